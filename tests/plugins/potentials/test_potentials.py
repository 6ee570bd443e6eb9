"""The built-in potentials obey the laws; those of packages that are not installed are skipped."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from crystalfw.core.energies.open import open_potential
from crystalfw.core.errors import PluginError
from crystalfw.core.testing import PotentialTests
from crystalfw.core.testing.crystals import small_crystals

without_chgnet = pytest.mark.skipif(find_spec("chgnet") is None, reason="chgnet is not installed")
without_sevenn = pytest.mark.skipif(find_spec("sevenn") is None, reason="sevenn is not installed")
quiet = pytest.mark.filterwarnings("ignore")  # libraries warn of their own parts


class TestEmt(PotentialTests):
    name = "ase"
    options = {"calculator": "EMT"}  # noqa: RUF012


class TestLennardJones(PotentialTests):
    name = "ase"
    options = {  # noqa: RUF012
        "calculator": "LennardJones", "parameters": {"sigma": 2.0, "epsilon": 0.1, "rc": 6.0, "smooth": True},
    }  # fmt: skip


@quiet
@without_chgnet
@pytest.mark.slow
class TestChgnet(PotentialTests):
    name = "chgnet"

    def test_it_says_what_the_library_itself_says(self):
        crystal = small_crystals()[3]
        potential = self.make()
        theirs = potential._model.predict_structure(crystal.structure, task="efs")
        ours = potential.evaluate([crystal])[0]
        assert ours.energy == pytest.approx(float(theirs["e"]) * crystal.n_atoms, abs=1e-4)
        np.testing.assert_allclose(ours.forces, theirs["f"], atol=1e-4)
        np.testing.assert_allclose(ours.stress, theirs["s"] / 160.21766208, atol=1e-5)


@quiet
@without_sevenn
@pytest.mark.slow
class TestSevennet(PotentialTests):
    name = "sevennet"


def test_units_and_sign_are_those_of_the_published_lattice_constant():
    # copper under EMT has its minimum near 3.59 angstrom: larger cells want to shrink, smaller ones to grow
    copper = small_crystals()[1]
    potential = open_potential("ase:EMT")
    pulls = [float(np.trace(potential.evaluate([_scaled(copper, a)])[0].stress)) for a in (3.45, 3.75)]
    assert pulls[0] < 0 < pulls[1]


def _scaled(crystal, a):
    return replace(crystal, lattice=crystal.lattice * a / 3.61)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("chgnett", "Did you mean 'chgnet'"),
        ("ase:NoSuch", "ASE has no calculator called 'NoSuch'"),
        ("ase", "calculator"),
        ("ase:json:JSONDecoder", "is not a calculator"),
    ],
)
def test_bad_names_are_sentences(text, sentence):
    with pytest.raises(PluginError, match=sentence):
        open_potential(text)


def test_a_potential_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sevenn", None)
    monkeypatch.setitem(sys.modules, "sevenn.calculator", None)
    with pytest.raises(PluginError, match=r"potential 'sevennet'.*pip install 'crystalfw\[sevennet\]'"):
        open_potential("sevennet")
