"""The laws of potentials: each catches what was broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.geometry.neighbours import neighbour_arrays
from crystalfw.core.interfaces import Potential, SinglePoint
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version

RADIUS = 4.5


class Soft(Potential):
    """Soft spheres, (1 - r^2/R^2)^3 for every pair; an atom's size grows with its number."""

    elements = frozenset(range(1, 119))
    label = "soft spheres"

    def __init__(self, config):
        self.config = config

    def evaluate(self, crystals):
        return [self.one(crystal) for crystal in crystals]

    def one(self, crystal):
        source, target, shift = neighbour_arrays(crystal, RADIUS)
        vectors = (crystal.frac_coords[source] + shift - crystal.frac_coords[target]) @ crystal.lattice
        rest = 1 - (vectors**2).sum(axis=1) / RADIUS**2
        size = 0.02 * (crystal.numbers[source] + crystal.numbers[target])
        pulls = (-3 * size * rest**2 / RADIUS**2)[:, None] * vectors
        forces = np.zeros((crystal.n_atoms, 3))
        np.add.at(forces, target, 2 * pulls)
        return SinglePoint(float(0.5 * (size * rest**3).sum()), forces, vectors.T @ pulls / crystal.volume)


class Nameless(Soft):
    label = " "


class LeaksInBatch(Soft):
    def evaluate(self, crystals):
        return [replace(self.one(crystal), energy=self.one(crystal).energy + 0.01 * len(crystals)) for crystal in crystals]


class FlatForces(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, forces=point.forces.ravel())


class PerAtom(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, energy=point.energy / crystal.n_atoms)


class SeesX(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, energy=point.energy + 0.01 * crystal.n_atoms * abs(crystal.lattice[0, 0]))


class KeepsForces(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, forces=point.forces + np.array([0.1, 0.0, 0.0]))


class SeesPlace(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, energy=point.energy + 0.01 * float(np.cos(crystal.frac_coords[:, 0]).sum()))


class SeesCell(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(
            point, energy=point.energy + 0.01 * crystal.n_atoms * float(np.linalg.norm(crystal.lattice, axis=1).max())
        )


class WrongSign(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, forces=-point.forces)


class Pressure(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, stress=-point.stress)


class Doubled(Soft):
    def one(self, crystal):
        point = super().one(crystal)
        return replace(point, stress=2 * point.stress)


class Counts(Soft):
    calls = 0

    def one(self, crystal):
        self.calls += 1
        point = super().one(crystal)
        return replace(point, energy=point.energy + 1e-9 * self.calls)


BUGS: dict[str, dict[str, list[type]]] = {
    "potential": {
        "declared": [Nameless],
        "results": [LeaksInBatch, FlatForces],
        "extensive": [PerAtom],
        "rotation": [SeesX, KeepsForces],
        "translation": [SeesPlace],
        "cell": [SeesCell],
        "forces": [WrongSign],
        "stress": [Pressure, Doubled],
        "determinism": [Counts],
        "config": [other_config(Soft)],
        "version": [unordered_version(Soft)],
    }
}
LAWS = laws_of("potential")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_sound_potential_passes(law):
    assert law.violation(Subject("potential", Soft)) is None


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS["potential"][law.name]:
        message = law.violation(Subject("potential", bug))
        assert message is not None, f"{bug.__name__} passes"
        assert message.startswith(law.statement)
