"""Stability (MatterGen): relax with a named potential, energy above a named hull at most 0.1 eV/atom; S.U.N. of all samples.

The hull is made of known crystals - training and reference - with the same potential's energies, so that errors of the
potential largely cancel; it is not the Materials Project's hull, and the result says so. Only known crystals within a
sample's chemical system are computed. Source: Zeni et al., Nature 639, 624 (2025), for the criterion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.energies.hull import Height, Hull
from crystalfw.core.energies.open import shared_potential
from crystalfw.core.energies.references import Reference, amounts_of_crystal
from crystalfw.core.energies.relaxation import Settings, relax_one
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import PerSample, decoded, ids
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.equality import find_equal, group_equal
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, mean, pack, share
from crystalfw.plugins.metrics.shared.population import judge

_ANY_SET = "smact14"
"""Only structural validity is asked for, which no oxidation states decide."""


class Stability(Metric):
    """Energy above the hull after relaxation; stable, and stable, unique and novel."""

    version = "2"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        potential: str = "chgnet"
        """Whose energies: chgnet, sevennet, ase:CALCULATOR, or a plugin's."""
        threshold: float = 0.1
        """Electronvolt per atom above the hull up to which a crystal counts as stable."""
        steps: int = 500
        """Relaxation steps at most."""
        fmax: float = 0.05
        """Force in eV/angstrom at which a relaxation ends; with the stress as `crystalfw relax` counts it."""
        relax_hull: bool = False
        """Relax the hull's crystals too; published crystals are relaxed already, by another method."""
        tolerance: str = "strict"
        """StructureMatcher tolerance of unique and novel."""
        time_limit: float = 300.0
        """Seconds per crystal."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Raises DataError where the potential is not installed or no crystals are known to make a hull of."""
        label = shared_potential(self.config.potential).label
        bench, train = context.bench, context.train
        if not len(train) and not len(reference):
            raise DataError("stability needs crystals to make a hull of: --reference or --train")
        crystals = decoded(bench, samples)
        crystals = crystals.keep(judge(bench, samples, _ANY_SET).structural[crystals.positions] == 0)
        relaxed = self._energies(crystals, True, bench, label, "relaxing samples")
        systems = {frozenset(crystal.numbers.tolist()) for crystal in crystals}
        members = [crystal for crystal in chain(train, reference) if _within(crystal, systems)]
        energies = self._energies(members, self.config.relax_hull, bench, label, "hull energies")
        heights = _heights(crystals, relaxed, members, energies)
        new = self._unique_and_novel(crystals, train if len(train) else reference, bench)
        values = {"energy_above_hull": [h.above for h in heights], "energy_per_atom": [_nan(r["energy"]) for r in relaxed]}
        names = ids(bench, samples)
        return {
            **self._record(len(samples), relaxed, len(members), heights, new, label),
            "outcomes": {name: _per_sample(names, crystals.positions, found) for name, found in values.items()},
        }

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Stable, and stable, unique and novel."""
        return [
            Figure.of_share("stable", "stable", result["stable"]),
            Figure.of_share("sun", "stable, unique and novel", result["sun"]),
        ]

    def _energies(
        self, crystals: Sequence[Crystal], relax: bool, bench: Workbench, label: str, what: str
    ) -> list[dict[str, Any]]:
        """Per crystal: energy (eV/atom) and root mean square displacement, or the problem."""
        config = self.config
        steps = config.steps if relax and shared_potential(config.potential).has_forces else 0
        settings = Settings(steps=steps, fmax=config.fmax, seconds=config.time_limit)
        questions = (
            (f"energy-2:{label}:{sorted(settings.record().items())}:{digest(one)}", (pack(one), config.potential, settings))
            for one in crystals
        )
        return list(bench.map(what, _energy, questions, len(crystals)))

    def _unique_and_novel(self, crystals: Sequence[Crystal], known: Sequence[Crystal], bench: Workbench) -> NDArray[np.bool_]:
        groups = group_equal(bench, crystals, self.config.tolerance, self.config.time_limit)
        seen = find_equal(bench, crystals, known, self.config.tolerance, self.config.time_limit)
        return np.asarray((groups.same_as == np.arange(len(crystals))) & (seen.same_as < 0))

    def _record(
        self, total: int, relaxed: Sequence[Mapping[str, Any]], members: int, heights: Sequence[Height],
        new: NDArray[np.bool_], label: str,
    ) -> dict[str, Any]:  # fmt: skip
        config = self.config
        stable = [not height.reason and height.above <= config.threshold for height in heights]
        sun = share(sum(one and other for one, other in zip(stable, new.tolist(), strict=True)), total)
        judged = [height.above for height in heights if not height.reason]
        problems = Counter(height.reason for height in heights if height.reason)
        return {
            "stable": share(sum(stable), total),
            "sun": sun,
            "above_hull_median": float(np.median(judged)) if judged else None,
            "displacement_mean": mean([item["displacement"] for item in relaxed if not item["problem"]]),
            "relaxed": len(relaxed) - sum(bool(item["problem"]) for item in relaxed),
            "not_judged": dict(problems),
            "summary": [f"stable, unique and novel ({label}, own hull): {sun['count']} of {total}{_not_judged(problems)}"],
            "protocol": {
                "potential": label,
                "hull": f"{label} energies of {members} known crystals in the samples' chemical systems",
                "hull_relaxed": config.relax_hull,
                "threshold_ev_per_atom": config.threshold,
                "denominator": "all samples",
                "displacement": "root mean square in angstrom, mean shift removed, change of the cell included",
            },
        }


def _not_judged(problems: Mapping[str, int]) -> str:
    """`; 4 not judged: no known crystals of an element 4`, empty where all were."""
    reasons = ", ".join(f"{name} {count}" for name, count in problems.items() if count)
    return f"; {sum(problems.values())} not judged: {reasons}" if reasons else ""


def _within(crystal: Crystal, systems: Collection[frozenset[int]]) -> bool:
    """Is the crystal in one of the chemical systems?"""
    elements = set(crystal.numbers.tolist())
    return any(elements <= system for system in systems)


def _heights(
    crystals: Sequence[Crystal],
    relaxed: Sequence[Mapping[str, Any]],
    known: Sequence[Crystal],
    energies: Sequence[Mapping[str, Any]],
) -> list[Height]:
    """Above the hull of the known crystals, or why that cannot be said."""
    entries = [
        Reference(crystal.id, amounts_of_crystal(crystal), item["energy"])
        for crystal, item in zip(known, energies, strict=True)
        if not item["problem"]
    ]
    hull = Hull(entries)
    return [
        Height(reason=item["problem"]) if item["problem"] else hull.height(amounts_of_crystal(crystal), item["energy"])
        for crystal, item in zip(crystals, relaxed, strict=True)
    ]


def _energy(item: tuple[Packed, str, Settings]) -> dict[str, Any]:
    (lattice, frac_coords, numbers), text, settings = item
    crystal = Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers)
    found = relax_one(shared_potential(text), crystal, settings)
    if found.status != "ok":
        # the reason quotes numbers: what is counted is the kind of failure, or the element
        return {"energy": None, "displacement": None, "problem": found.reason if found.status == "element" else found.status}
    return {"energy": found.energy, "displacement": found.displacement, "problem": ""}


def _per_sample(names: Sequence[str], positions: NDArray[np.integer[Any]], found: Sequence[float]) -> PerSample:
    values = np.full(len(names), np.nan)
    values[positions] = found
    return PerSample(names, values)


def _nan(value: float | None) -> float:
    return np.nan if value is None else value
