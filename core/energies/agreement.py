"""How well a potential agrees with a table of known energies, and what separates their zeros.

A total energy of a potential becomes comparable with formation energies of a table by one number per element, fitted to
crystals of the table; the error is measured on others. Shapes: R crystals, E elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.energies.many import relax_many
from crystalfw.core.energies.references import Reference, References
from crystalfw.core.energies.relaxation import Relaxed, Settings
from crystalfw.core.interfaces import Potential
from crystalfw.core.system.progress import track

COMPARED = 200
"""Crystals of the table on which the error is measured, at most."""
FITTED = 10
"""Crystals for each element from which its number is fitted."""


@dataclass(frozen=True)
class Agreement:
    """A potential against a table, in eV per atom."""

    mae: float = np.nan
    """Mean absolute error; NaN where nothing could be compared."""
    bias: float = np.nan
    """Mean of potential minus table."""
    compared: int = 0
    fitted: int = 0
    """Crystals from which the numbers of the elements come; 0 where none are needed."""
    shifts: Mapping[int, float] | None = None
    """Atomic number -> eV that is taken from the potential's energy for each atom; None where the zeros are the same."""
    reason: str = ""
    """Why there is no error."""

    def comparable(self, amounts: Sequence[tuple[int, float]], energy: float) -> float:
        """The potential's energy per atom on the table's zero; NaN where an element has no fitted number."""
        if self.shifts is None:
            return energy
        return energy - sum(share * self.shifts.get(number, np.nan) for number, share in amounts)

    def without_shifts(self) -> Agreement:
        """The same error where both energies are the potential's own."""
        return replace(self, shifts=None)

    def sentence(self) -> str:
        """The error in words."""
        if not self.compared:
            return f"error not measured: {self.reason}"
        fitted = f"; one number per element fitted to {self.fitted:,} others" if self.shifts is not None else ""
        return (
            f"mean absolute error {self.mae:.3f} eV/atom on {self.compared:,} of its crystals (bias {self.bias:+.3f}){fitted}"
        )


def agreement(
    potential: Potential, text: str, references: References, elements: Collection[int], *, fit: bool, seed: int = 0,
    workers: int = 0, seconds: float = 120.0,
) -> Agreement:  # fmt: skip
    """Compare on crystals of the table that consist of known elements; those with the `elements` asked about come first.

    `fit`: also fit a number for each of the elements, from other crystals than those of the comparison where there are
    enough. Deterministic by the seed.
    """
    if not references.has_cifs:
        return Agreement(reason="the table has no column cif", shifts={} if fit else None)
    usable = [entry for entry in references.entries if entry.elements <= potential.elements]
    compared, fitted = chosen(usable, frozenset(elements), fit, np.random.default_rng(seed))
    wanted = [*compared, *(entry for entry in fitted if entry not in set(compared))]
    crystals = references.crystals({entry.id for entry in wanted})
    wanted = [entry for entry in wanted if entry.id in crystals]
    points = _points("measuring the potential", [crystals[entry.id] for entry in wanted], text, workers, seconds)
    energies = {entry.id: point.energy for entry, point in zip(wanted, points, strict=True) if point.status == "ok"}
    fitted = [entry for entry in fitted if entry.id in energies]
    shifts = _fit(fitted, energies) if fit else None
    own = Agreement(fitted=len(fitted), shifts=shifts)
    errors = np.array([
        own.comparable(entry.amounts, energies[entry.id]) - entry.energy for entry in compared if entry.id in energies
    ])  # fmt: skip
    errors = errors[np.isfinite(errors)]
    if not len(errors):
        return Agreement(fitted=own.fitted, shifts=shifts, reason="no crystal of the table could be compared")
    return Agreement(float(np.abs(errors).mean()), float(errors.mean()), len(errors), own.fitted, shifts)


def chosen(
    usable: Sequence[Reference], elements: frozenset[int], fit: bool, rng: np.random.Generator
) -> tuple[list[Reference], list[Reference]]:
    """(those to compare, those to fit with), drawn at random; what shares all its elements with those asked about first."""
    drawn = [usable[k] for k in rng.permutation(len(usable))]
    drawn.sort(key=lambda entry: (not entry.elements <= elements, not entry.elements & elements))
    if not fit:
        return drawn[:COMPARED], []
    fitted, counts = [], dict.fromkeys(elements, 0)
    for entry in drawn:
        if any(counts.get(z, FITTED) < FITTED for z in entry.elements):
            fitted.append(entry)
            for z in entry.elements:
                counts[z] = counts.get(z, 0) + 1
    taken = set(fitted)
    others = [entry for entry in drawn if entry not in taken and all(counts.get(z, 0) for z in entry.elements)]
    return others[:COMPARED], fitted


def _fit(entries: Sequence[Reference], energies: Mapping[str, float]) -> dict[int, float]:
    """Least squares of (potential minus table) on the shares of the elements."""
    kinds = sorted({z for entry in entries for z in entry.elements})
    shares_RE = np.zeros((len(entries), len(kinds)))
    for row, entry in zip(shares_RE, entries, strict=True):
        for number, share in entry.amounts:
            row[kinds.index(number)] = share
    apart_R = np.array([energies[entry.id] - entry.energy for entry in entries])
    return dict(zip(kinds, np.linalg.lstsq(shares_RE, apart_R, rcond=1e-8)[0].tolist(), strict=True))


def recomputed(
    potential: Potential, text: str, references: References, elements: frozenset[int], *, workers: int = 0,
    seconds: float = 120.0,
) -> tuple[list[Reference], int]:  # fmt: skip
    """The entries within the elements with the potential's own energies of their crystals as they stand, and how many the
    potential gives no energy for."""
    inside = [entry for entry in references.entries if entry.elements <= elements & potential.elements]
    crystals = references.crystals({entry.id for entry in inside})
    inside = [entry for entry in inside if entry.id in crystals]
    points = _points("energies of the hull", [crystals[entry.id] for entry in inside], text, workers, seconds)
    found = [replace(entry, energy=point.energy) for entry, point in zip(inside, points, strict=True) if point.status == "ok"]
    return found, len(inside) - len(found)


def _points(what: str, crystals: Sequence[Crystal], text: str, workers: int, seconds: float) -> Iterator[Relaxed]:
    """Energies of crystals as they stand, with progress on the screen."""
    found = relax_many(crystals, text, Settings(steps=0, seconds=seconds), workers=workers)
    return track(found, what, len(crystals))
