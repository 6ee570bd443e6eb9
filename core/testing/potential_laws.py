"""The laws of potentials, checked on four small crystals made of elements that the potential knows.

Tolerances leave room for potentials in single precision: 1e-5 eV per atom, and a few per cent of a slope that is compared
with finite differences. Shapes: N atoms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.interfaces import Potential, SinglePoint
from crystalfw.core.testing import crystals as small
from crystalfw.core.testing.laws import Broken, NotApplicable, Subject, law

_ENERGY = 2e-5
"""eV per atom."""
_FORCE = 2e-3
"""eV/angstrom."""
_STRESS = 1e-4
"""eV/angstrom^3."""
_STEP = 0.01
"""angstrom, or strain, to either side for a finite difference."""
_SHARE = 0.03
"""Of a slope, by which a finite difference may miss it."""


def known_crystals(potential: Potential) -> list[Crystal]:
    """The small crystals; an element that the potential does not know is replaced by a known one near copper."""
    spare = sorted(potential.elements, key=lambda number: (abs(number - 29), number))
    found = []
    for crystal in small.small_crystals():
        kinds = sorted(set(crystal.numbers.tolist()))
        free = [number for number in spare if number not in kinds] or spare
        to = {z: z if z in potential.elements else free[k % len(free)] for k, z in enumerate(kinds)}
        found.append(replace(crystal, numbers=np.array([to[z] for z in crystal.numbers.tolist()])))
    return found


def _potential(subject: Subject) -> tuple[Any, list[Crystal]]:
    potential = subject.make()
    return potential, known_crystals(potential)


def _forceful(subject: Subject) -> tuple[Any, list[Crystal]]:
    potential, crystals = _potential(subject)
    if not potential.has_forces:
        raise NotApplicable("it gives energies only")
    return potential, crystals


def _one(potential: Potential, crystal: Crystal) -> SinglePoint:
    return potential.evaluate([crystal])[0]


def _full(potential: Potential, crystal: Crystal) -> tuple[FloatArray, FloatArray]:
    """Forces and stress."""
    point = _one(potential, crystal)
    if point.forces is None or point.stress is None:
        raise Broken(f"{crystal.id}: no forces or no stress although has_forces is True.")
    return point.forces, point.stress


def _same_energy(potential: Potential, one: Crystal, other: Crystal, times: float = 1.0, what: str = "") -> None:
    first, second = times * _one(potential, one).energy, _one(potential, other).energy
    if abs(first - second) > _ENERGY * other.n_atoms + 1e-6 * abs(second):
        raise Broken(f"{one.id}{what}: {first:.6f} eV against {second:.6f} eV.")


@law("potential", "It says which elements it knows and what it is called.", "Set `elements` (atomic numbers) and `label`.")
def declared(subject: Subject) -> None:  # noqa: D103
    potential = subject.make()
    if not potential.elements or not {*potential.elements} <= set(range(1, 119)):
        raise Broken(f"elements is {sorted(potential.elements)[:5]}.")
    if not potential.label.strip() or potential.zero not in ("atoms", "elements"):
        raise Broken(f"label is {potential.label!r}, zero {potential.zero!r}.")


@law(
    "potential", "One finite result per crystal, in order, whatever else is in the batch.",
    "Return energies of whole cells in eV, forces (N, 3), a symmetric stress (3, 3); nothing may leak between crystals.",
)  # fmt: skip
def results(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _potential(subject)
    found = potential.evaluate(crystals)
    if len(found) != len(crystals) or potential.evaluate([]) != []:
        raise Broken(f"{len(found)} results for {len(crystals)} crystals, {len(potential.evaluate([]))} for none.")
    for point, crystal in zip(found, crystals, strict=True):
        if abs(point.energy - _one(potential, crystal).energy) > _ENERGY * crystal.n_atoms:
            raise Broken(f"{crystal.id} alone has another energy than in a batch.")
        if not potential.has_forces:
            if point.forces is not None or point.stress is not None:
                raise Broken("it gives forces although has_forces is False.")
            continue
        forces, stress = np.asarray(point.forces), np.asarray(point.stress)
        if forces.shape != (crystal.n_atoms, 3) or stress.shape != (3, 3):
            raise Broken(f"forces are {forces.shape}, stress {stress.shape} for {crystal.n_atoms} atoms.")
        if not (np.isfinite(forces).all() and np.isfinite(stress).all() and np.isfinite(point.energy)):
            raise Broken(f"{crystal.id} gives a number that is not finite.")
        if np.abs(stress - stress.T).max() > _STRESS:
            raise Broken(f"the stress of {crystal.id} is not symmetric.")


@law("potential", "The energy is extensive.", "Return the energy of the cell, not per atom, and no average over atoms.")
def extensive(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _potential(subject)
    for crystal in crystals:
        _same_energy(potential, crystal, small.doubled(crystal), 2.0, " twice")


@law(
    "potential", "Rotating the crystal leaves the energy and rotates forces and stress.",
    "Build on distances and relative vectors; rotate forces with the vectors, the stress from both sides.",
)  # fmt: skip
def rotation(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _potential(subject)
    turn = small.rotation(3)
    for crystal in crystals:
        turned = small.rotated(crystal, turn)
        _same_energy(potential, crystal, turned, what=" rotated")
        if potential.has_forces:
            (forces_N3, stress_33), (turned_N3, turned_33) = _full(potential, crystal), _full(potential, turned)
            if np.abs(forces_N3 @ turn.T - turned_N3).max() > _FORCE:
                raise Broken(f"the forces of {crystal.id} do not rotate.")
            if np.abs(turn @ stress_33 @ turn.T - turned_33).max() > _STRESS:
                raise Broken(f"the stress of {crystal.id} does not rotate.")


@law("potential", "Moving all atoms together changes nothing.", "Use differences of positions only.")
def translation(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _potential(subject)
    for crystal in crystals:
        _same_energy(potential, crystal, small.translated(crystal, np.array([0.31, -0.72, 1.13])), what=" moved")


def _other_cells(crystal: Crystal) -> list[tuple[str, Crystal]]:
    return [
        ("wrapped", small.rewrapped(crystal)),
        ("in another basis", small.rebased(crystal)),
        ("in another order", small.permuted(crystal)),
    ]


@law(
    "potential", "The choice of cell, of periodic images and of the order of atoms changes no energy.",
    "Find neighbours over all periodic images (core/geometry/neighbours.py).",
)  # fmt: skip
def cell(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _potential(subject)
    for crystal in crystals:
        for what, other in _other_cells(crystal):
            _same_energy(potential, crystal, other, what=f" {what}")


def _slope(energy: Callable[[float], float]) -> float:
    return (energy(_STEP) - energy(-_STEP)) / (2 * _STEP)


def _off_balance(crystal: Crystal) -> Crystal:
    """Atoms moved a little, so that symmetry does not hide a wrong force."""
    shift = 0.08 * np.random.default_rng(5).normal(size=(crystal.n_atoms, 3))
    return replace(crystal, frac_coords=crystal.frac_coords + shift @ np.linalg.inv(crystal.lattice))


@law(
    "potential", "Forces are minus the gradient of the energy.",
    "Differentiate the energy that you return by Cartesian positions; mind the sign.",
)  # fmt: skip
def forces(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _forceful(subject)
    for crystal in map(_off_balance, crystals):
        way = np.random.default_rng(1).normal(size=(crystal.n_atoms, 3))
        way -= way.mean(axis=0)
        if not np.abs(way).max():
            continue  # one atom has no force
        way /= np.linalg.norm(way)

        def shifted(step: float, crystal: Crystal = crystal, way: FloatArray = way) -> float:
            frac = crystal.frac_coords + step * way @ np.linalg.inv(crystal.lattice)
            return _one(potential, replace(crystal, frac_coords=frac)).energy

        expected, said = _slope(shifted), -float((_full(potential, crystal)[0] * way).sum())
        _compare(crystal, "slope along a random direction", expected, said, 0.01)


@law(
    "potential", "The stress is the derivative of the energy by strain, divided by the volume.",
    "Strain cell and positions together; a positive trace means that the crystal wants to shrink; eV/angstrom^3.",
)  # fmt: skip
def stress(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _forceful(subject)
    for crystal in crystals:
        for strain in (np.eye(3), np.array([[0.5, 0.3, -0.2], [0.3, -0.4, 0.1], [-0.2, 0.1, 0.2]])):

            def strained(step: float, crystal: Crystal = crystal, strain: FloatArray = strain) -> float:
                lattice = crystal.lattice @ (np.eye(3) + 0.3 * step * strain)
                return _one(potential, replace(crystal, lattice=lattice)).energy

            expected = _slope(strained) / 0.3
            said = crystal.volume * float((_full(potential, crystal)[1] * strain).sum())
            _compare(crystal, "slope along a strain", expected, said, 0.05)


def _compare(crystal: Crystal, what: str, expected: float, said: float, floor: float) -> None:
    if abs(expected - said) > floor + _SHARE * abs(expected):
        raise Broken(f"{crystal.id}: the {what} is {expected:.4f} by finite differences, {said:.4f} as said.")


@law("potential", "The same crystal gives the same result, to the last bit.", "Draw nothing; keep no state between calls.")
def determinism(subject: Subject) -> None:  # noqa: D103
    potential, crystals = _potential(subject)
    first, second = potential.evaluate(crystals), potential.evaluate(crystals)
    if [point.energy for point in first] != [point.energy for point in second]:
        raise Broken("a second call gives other energies.")
