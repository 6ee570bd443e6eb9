"""One crystal relaxed: positions and cell, bounded in steps and time, every way to fail with a reason."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crystalfw.core.contracts.judging import Potential, SinglePoint
from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.energies.descent import Descent
from crystalfw.core.energies.symmetry import Symmetriser
from crystalfw.core.geometry.lattice import shortest_distance
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit

_VOLUME = 6.0
"""A cell that grows or shrinks by this factor has blown up or collapsed."""
_CLOSEST = 0.3
"""angstrom: atoms nearer than this have fused."""
_FORCE = 1e4
"""eV/angstrom above which nothing physical is left."""
_RISE = 0.05
"""eV/atom that a step may go uphill before it is taken back."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a crystal is relaxed."""

    steps: int = 500
    """Steps at most."""
    fmax: float = 0.05
    """eV/angstrom: no force is longer at the end, nor a row of volume times stress per atom (in eV)."""
    seconds: float = 120.0
    """Time limit for one crystal; 0 is none."""
    symmetry: bool = False
    """Keep the space group that the crystal has at 0.1 angstrom."""
    cell: bool = True
    """Relax the cell too."""
    trajectory: bool = False
    """Keep every step."""

    def record(self) -> dict[str, Any]:
        """What decides the result, for keys and requests."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Relaxed:
    """What became of one crystal."""

    status: str
    """`ok`; `element`, `time`, `blown_up` or `failed`."""
    reason: str = ""
    """A sentence where the status is not ok, or the steps did not suffice."""
    crystal: Crystal | None = None
    """The relaxed crystal; None where the status is not ok."""
    energy: float = np.nan
    """eV per atom at the end."""
    energy_before: float = np.nan
    """eV per atom of the crystal as given."""
    fmax: float = np.nan
    """The largest force at the end, with the stress as in `Settings.fmax`."""
    steps: int = 0
    """Steps taken."""
    converged: bool = False
    """False where the steps did not suffice."""
    displacement: float = np.nan
    """Root mean square in angstrom, with the mean shift removed and the change of the cell included."""
    path: tuple[tuple[Crystal, float], ...] = ()
    """Every crystal on the way with its energy in eV, where the settings keep it."""


class BlownUp(Exception):  # noqa: N818 - an outcome that is counted
    """The crystal has left what a potential can judge; the message says how."""


def unknown_elements(potential: Potential, crystal: Crystal) -> str:
    """`H, Rn`: elements of the crystal that the potential does not know; empty where it knows all."""
    from pymatgen.core import Element

    return ", ".join(Element.from_Z(z).symbol for z in sorted({*crystal.numbers.tolist()} - potential.elements))


def relax_one(potential: Potential, crystal: Crystal, settings: Settings) -> Relaxed:
    """Relax a crystal; never raises for a crystal. With steps=0 its energy is computed as it stands."""
    if missing := unknown_elements(potential, crystal):
        return Relaxed(status="element", reason=f"{potential.label} does not know {missing}")
    try:
        with time_limit(settings.seconds), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries warn of their own parts on every call
            return _Walk(potential, crystal, settings).run()
    except TimeLimitExceeded:
        return Relaxed(status="time", reason=f"stopped after {settings.seconds:g} s")
    except BlownUp as error:
        return Relaxed(status="blown_up", reason=str(error))
    except Exception as error:  # a potential's library may raise anything for an odd crystal
        return Relaxed(status="failed", reason=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


class _Walk:
    """The way of one crystal downhill."""

    def __init__(self, potential: Potential, crystal: Crystal, settings: Settings) -> None:
        self.potential, self.start, self.settings = potential, crystal, settings
        self.keep = Symmetriser(crystal) if settings.symmetry and settings.steps else None
        self.descent = Descent(crystal)
        self.path: list[tuple[Crystal, float]] = []

    def run(self) -> Relaxed:
        here, n_atoms = self.start, self.start.n_atoms
        point, slope = self._look(here)
        first, steps, shrink = point.energy, 0, 1.0
        while steps < self.settings.steps and self._fmax(here, slope) > self.settings.fmax:
            there = self.descent.moved(here, shrink * self.descent.step(slope))
            steps += 1
            new_point, new_slope = self._look(there)
            if new_point.energy > point.energy + _RISE * n_atoms:
                shrink = max(0.3 * shrink, 0.02)
                self.descent.forget()
                continue
            shrink = min(1.0, 2.0 * shrink)
            here, point, slope = there, new_point, new_slope
        return self._arrived(here, point, slope, first, steps)

    def _look(self, crystal: Crystal) -> tuple[SinglePoint, FloatArray]:
        """Energy and gradient, symmetrised where that is wanted. Raises BlownUp."""
        self._check(crystal)
        point = self.potential.evaluate([crystal])[0]
        forces = np.zeros((crystal.n_atoms, 3)) if point.forces is None else np.asarray(point.forces, dtype=np.float64)
        stress = np.zeros((3, 3)) if point.stress is None else np.asarray(point.stress, dtype=np.float64)
        if not (np.isfinite(point.energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
            raise BlownUp("energy or forces are not finite")
        if np.abs(forces).max() > _FORCE:
            raise BlownUp(f"a force of {np.abs(forces).max():.3g} eV/angstrom")
        if self.settings.trajectory:
            self.path.append((crystal, point.energy))
        if self.keep is not None:
            forces, stress = self.keep.forces(forces, crystal.lattice), self.keep.stress(stress, crystal.lattice)
        return point, self.descent.gradient(crystal, forces, stress if self.settings.cell else np.zeros((3, 3)))

    def _check(self, crystal: Crystal) -> None:
        if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()):
            raise BlownUp("cell or positions are not finite")
        growth = crystal.volume / self.start.volume
        if not 1 / _VOLUME < growth < _VOLUME:
            raise BlownUp(f"the volume became {growth:.3g} times what it was")
        if (closest := shortest_distance(crystal.lattice, crystal.frac_coords)) < _CLOSEST:
            raise BlownUp(f"two atoms are {closest:.2f} angstrom apart")

    def _fmax(self, crystal: Crystal, slope: FloatArray) -> float:
        virial = slope[-3:] * self.descent.length / crystal.n_atoms
        return float(np.linalg.norm(np.concatenate([slope[:-3], virial]), axis=1).max())

    def _arrived(self, crystal: Crystal, point: SinglePoint, slope: FloatArray, first: float, steps: int) -> Relaxed:
        fmax = self._fmax(crystal, slope)
        converged = fmax <= self.settings.fmax
        shift = crystal.cart_coords - self.start.cart_coords
        spread = float(np.sqrt(((shift - shift.mean(axis=0)) ** 2).sum(axis=1).mean()))
        late = "" if converged or not self.settings.steps else f"not converged after {steps} steps"
        return Relaxed(
            status="ok", reason=late, crystal=crystal, energy=point.energy / crystal.n_atoms,
            energy_before=first / crystal.n_atoms, fmax=fmax, steps=steps, converged=converged, displacement=spread,
            path=tuple(self.path),
        )  # fmt: skip
