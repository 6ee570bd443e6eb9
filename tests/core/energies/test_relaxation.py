"""One crystal relaxed, with every way to end."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal
from crystalfw.core.energies.open import open_potential
from crystalfw.core.energies.relaxation import Settings, relax_one
from crystalfw.core.energies.symmetry import Symmetriser
from crystalfw.core.interfaces import Potential, SinglePoint
from crystalfw.core.testing.crystals import random_crystal, rotated, rotation, small_crystals

COPPER = small_crystals()[1]
EMT = open_potential("ase:EMT")


def alloy(seed=0):
    """Four atoms of Cu and Ni, off their places, in a skewed cell."""
    rng = np.random.default_rng(seed)
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]) + 0.03 * rng.normal(size=(4, 3))
    lattice = 3.7 * (np.eye(3) + 0.04 * rng.normal(size=(3, 3)))
    return Crystal(lattice=lattice, frac_coords=frac, numbers=np.array([29, 28, 29, 29]), id="alloy")


class Acts(Potential):
    """Does what it is told."""

    elements = frozenset(range(1, 119))
    label = "acts"

    def __init__(self, act):
        self.act = act

    def evaluate(self, crystals):
        return [self.act(crystal) for crystal in crystals]


def test_it_finds_the_minimum_that_ase_finds():
    from ase.calculators.emt import EMT as EffectiveMedium  # noqa: N811
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms = alloy().atoms
    atoms.calc = EffectiveMedium()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.005, steps=300)
    found = relax_one(EMT, alloy(), Settings(fmax=0.005))
    assert found.status == "ok"
    assert found.converged
    assert found.energy == pytest.approx(atoms.get_potential_energy() / 4, abs=1e-4)
    assert found.energy < found.energy_before
    assert found.crystal.id == "alloy"


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_the_end_does_not_depend_on_how_the_crystal_lies(seed):
    one = relax_one(EMT, alloy(seed), Settings(fmax=0.01))
    other = relax_one(EMT, rotated(alloy(seed), rotation(seed)), Settings(fmax=0.01))
    assert one.energy == pytest.approx(other.energy, abs=1e-3)


def test_a_second_relaxation_has_nothing_to_do():
    once = relax_one(EMT, alloy(), Settings(fmax=0.01))
    assert relax_one(EMT, once.crystal, Settings(fmax=0.02)).steps == 0


def test_no_steps_is_the_energy_as_it_stands():
    found = relax_one(EMT, alloy(), Settings(steps=0))
    assert (found.steps, found.reason, found.energy) == (0, "", found.energy_before)
    np.testing.assert_array_equal(found.crystal.lattice, alloy().lattice)


def test_too_few_steps_are_said():
    found = relax_one(EMT, alloy(), Settings(steps=1, fmax=1e-4))
    assert found.status == "ok"
    assert not found.converged
    assert found.reason == "not converged after 1 steps"


def test_a_fixed_cell_stays():
    found = relax_one(EMT, alloy(), Settings(cell=False))
    np.testing.assert_array_equal(found.crystal.lattice, alloy().lattice)
    assert found.energy < found.energy_before


def test_symmetry_is_kept_where_that_is_wanted():
    # under a potential that prefers a tetragonal cell, a cubic one stays cubic only with symmetry
    def tetragonal(crystal):
        lengths = np.linalg.norm(crystal.lattice, axis=1)
        pulls = np.diag(lengths * (lengths - [3.0, 3.0, 4.0])) / crystal.volume
        return SinglePoint(float(0.5 * ((lengths - [3.0, 3.0, 4.0]) ** 2).sum()), np.zeros((1, 3)), pulls)

    cubic = Crystal(lattice=3.2 * np.eye(3), frac_coords=np.zeros((1, 3)), numbers=np.array([29]))
    free = relax_one(Acts(tetragonal), cubic, Settings(fmax=0.001))
    kept = relax_one(Acts(tetragonal), cubic, Settings(fmax=0.001, symmetry=True))
    assert free.crystal.space_group.number == 123
    assert kept.crystal.space_group.number == 221
    assert kept.crystal.lattice[0, 0] == pytest.approx(10 / 3, abs=0.01)


def test_averaged_forces_obey_the_group():
    perovskite = small_crystals()[2]
    keep = Symmetriser(perovskite)
    forces = keep.forces(np.random.default_rng(0).normal(size=(5, 3)), perovskite.lattice)
    assert np.abs(forces).max() < 1e-12  # every site of the ideal perovskite is fixed by symmetry
    stress = keep.stress(np.diag([1.0, 2.0, 3.0]), perovskite.lattice)
    np.testing.assert_allclose(stress, 2 * np.eye(3), atol=1e-12)


def test_a_crystal_without_symmetry_is_left_as_it_is():
    crystal = random_crystal(3, 4)
    forces = np.random.default_rng(1).normal(size=(4, 3))
    np.testing.assert_allclose(Symmetriser(crystal).forces(forces, crystal.lattice), forces)


def test_an_unknown_element_is_said():
    found = relax_one(EMT, small_crystals()[2], Settings())
    assert (found.status, found.crystal) == ("element", None)
    assert "does not know Ti, Sr" in found.reason


def explodes(crystal):
    return SinglePoint(-crystal.volume, np.zeros((crystal.n_atoms, 3)), -np.eye(3))


def falls(crystal):
    return SinglePoint(crystal.volume, np.zeros((crystal.n_atoms, 3)), np.eye(3))


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (explodes, "the volume became 6"),
        (falls, "the volume became 0.1"),
        (lambda crystal: SinglePoint(float("nan"), np.zeros((1, 3)), np.zeros((3, 3))), "not finite"),
        (lambda crystal: SinglePoint(0.0, np.full((1, 3), 1e6), np.zeros((3, 3))), "a force of 1e"),
    ],
)
def test_a_crystal_that_explodes_is_said(act, sentence):
    found = relax_one(Acts(act), COPPER, Settings())
    assert (found.status, found.crystal) == ("blown_up", None)
    assert sentence in found.reason


def test_fused_atoms_are_said():
    fused = replace(alloy(), frac_coords=np.zeros((4, 3)))
    assert relax_one(EMT, fused, Settings()).reason == "two atoms are 0.00 angstrom apart"


def test_an_error_of_the_potential_is_quoted():
    def fails(crystal):
        raise RuntimeError("isolated atom")

    found = relax_one(Acts(fails), COPPER, Settings())
    assert (found.status, found.reason) == ("failed", "RuntimeError: isolated atom")


def test_a_crystal_that_takes_too_long_is_stopped():
    began = time.monotonic()
    found = relax_one(Acts(lambda crystal: time.sleep(60)), COPPER, Settings(seconds=0.2))
    assert (found.status, found.reason) == ("time", "stopped after 0.2 s")
    assert time.monotonic() - began < 5


def test_the_trajectory_holds_every_look():
    found = relax_one(EMT, alloy(), Settings(trajectory=True))
    assert len(found.path) == found.steps + 1
    assert found.path[-1][1] == pytest.approx(found.energy * 4)
