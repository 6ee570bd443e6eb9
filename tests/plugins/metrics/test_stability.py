"""Stability with potentials that are always there, and with CHGNet where it is installed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError, PluginError
from crystalfw.plugins.metrics import stability
from crystalfw.plugins.metrics.stability import Stability
from tests.plugins.metrics.crystals import caesium_chloride, rock_salt, sample

SODIUM = Crystal(lattice=4.2 * np.eye(3), frac_coords=np.array([[0, 0, 0], [0.5] * 3]), numbers=np.array([11, 11]), id="Na")
CHLORINE = Crystal(
    lattice=np.diag([6.0, 4.5, 8.0]), frac_coords=np.array([[0, 0, 0], [0, 0, 0.25]]), numbers=np.array([17, 17]), id="Cl2"
)
EMT = Stability.Config(potential="ase:EMT")
FCC = 0.5 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])


def metal(number, a, id):
    return Crystal(lattice=a * FCC, frac_coords=np.zeros((1, 3)), numbers=np.array([number]), id=id)


def test_a_hull_needs_crystals(context):
    with pytest.raises(DataError, match="hull"):
        Stability(EMT).compute([sample("0", rock_salt())], [], context)


def test_a_potential_that_does_not_exist_is_named(context):
    with pytest.raises(PluginError, match="no potential called 'nosuch'"):
        Stability(Stability.Config(potential="nosuch")).compute([sample("0", rock_salt())], [rock_salt()], context)


def test_energies_and_heights_of_alloys(context):
    """Ordered CuAu is bound under EMT; the same crystal stretched relaxes back to it; salt is beyond EMT."""
    alloy = caesium_chloride(3.1, (29, 79))
    samples = [
        sample("bound", alloy),
        sample("stretched", replace(alloy, lattice=alloy.lattice * 1.08)),
        sample("salt", rock_salt()),
        sample("string", status="parse"),
        sample("palladium", metal(46, 3.9, "")),
    ]
    result = Stability(EMT).compute(samples, [metal(29, 3.59, "Cu"), metal(79, 4.06, "Au")], context)
    above = dict(result["outcomes"]["energy_above_hull"].items())
    assert above["bound"] == pytest.approx(above["stretched"], abs=2e-3)
    assert set(above) == {"bound", "stretched"}
    assert result["stable"]["of"] == 5
    assert result["stable"]["count"] == sum(value <= 0.1 for value in above.values())
    assert sum(result["not_judged"].values()) == 2
    assert any("does not know Na, Cl" in reason for reason in result["not_judged"])
    assert "no known energy of the element Pd" in result["not_judged"]
    assert "EMT (ASE" in result["protocol"]["potential"]


def test_what_was_not_judged_is_counted_in_words():
    assert stability._not_judged({"timeout": 1, "no known energy of the element Na": 3, "ValueError": 0}) == (
        "; 4 not judged: timeout 1, no known energy of the element Na 3"
    )
    assert stability._not_judged({"timeout": 0}) == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_rock_salt_is_stable_and_caesium_chloride_type_is_not(context):
    """NaCl takes the rock-salt structure; the caesium chloride structure lies about 0.1 eV/atom above it."""
    pytest.importorskip("chgnet")
    samples = [
        sample("0", rock_salt(5.5)),
        sample("1", caesium_chloride(3.5, (11, 17))),
        sample("2", rock_salt(5.5, (19, 17))),
        sample("3", status="parse"),
    ]
    metric = Stability(Stability.Config(steps=30, threshold=0.05))
    result = metric.compute(samples, [rock_salt(5.69, id="NaCl"), SODIUM, CHLORINE], context)
    assert (result["stable"]["count"], result["stable"]["of"]) == (1, 4)
    assert result["sun"]["count"] == 0
    assert result["not_judged"] == {"no known energy of the element K": 1}
    assert "CHGNet" in result["protocol"]["potential"]
