"""Stability (MatterGen): relax with a named potential, energy above a named hull at most 0.1 eV/atom; S.U.N. of all samples.

The potential is CHGNet (extra `crystalfw[relax]`). The hull is made of known crystals - training and reference - with the
same potential's energies, so that errors of the potential largely cancel; it is not the Materials Project's hull, and the
result says so. Only known crystals within a sample's chemical system are computed. Source: Zeni et al., Nature 639, 624
(2025), for the criterion; Deng et al., Nat. Mach. Intell. 5, 1031 (2023), for CHGNet.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.per_sample import decoded
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure
from crystalfw.core.records import Sample
from crystalfw.core.system.time_limit import TimeLimitExceeded, time_limit
from crystalfw.plugins.metrics.shared.equality import find_equal, group_equal
from crystalfw.plugins.metrics.shared.geometry import Packed, digest, pack, share, unpack
from crystalfw.plugins.metrics.shared.population import judge

_ANY_SET = "smact14"
"""Only structural validity is asked for, which no oxidation states decide."""


class Stability(Metric):
    """Energy above the hull after relaxation; stable, and stable, unique and novel."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        threshold: float = 0.1
        """Electronvolt per atom above the hull up to which a crystal counts as stable."""
        steps: int = 200
        """Relaxation steps at most."""
        fmax: float = 0.1
        """Force in eV/angstrom at which a relaxation ends."""
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
        _require_potential()
        bench, train = context.bench, context.train
        if not len(train) and not len(reference):
            raise DataError("stability needs crystals to make a hull of: --reference or --train")
        crystals = decoded(bench, samples)
        crystals = crystals.keep(judge(bench, samples, _ANY_SET).structural[crystals.positions] == 0)
        relaxed = self._energies(crystals, True, bench, "relaxing samples")
        systems = {frozenset(crystal.numbers.tolist()) for crystal in crystals}
        members = [crystal for crystal in chain(train, reference) if _within(crystal, systems)]
        hull = self._energies(members, self.config.relax_hull, bench, "hull energies")
        above = _above_hull(crystals, relaxed, members, hull)
        new = self._unique_and_novel(crystals, train if len(train) else reference, bench)
        return self._record(len(samples), relaxed, members, above, new)

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Stable, and stable, unique and novel."""
        return [
            Figure.of_share("stable", "stable", result["stable"]),
            Figure.of_share("sun", "stable, unique and novel", result["sun"]),
        ]

    def _energies(self, crystals: Sequence[Crystal], relax: bool, bench: Workbench, label: str) -> list[dict[str, Any]]:
        """Per crystal: energy (eV/atom), volume change and root mean square displacement, or the problem."""
        settings = (self.config.steps if relax else 0, self.config.fmax, self.config.time_limit)
        questions = ((f"chgnet-1:{settings}:{digest(crystal)}", (pack(crystal), settings)) for crystal in crystals)
        return list(bench.map(label, _energy, questions, len(crystals)))

    def _unique_and_novel(self, crystals: Sequence[Crystal], known: Sequence[Crystal], bench: Workbench) -> NDArray[np.bool_]:
        groups = group_equal(bench, crystals, self.config.tolerance, self.config.time_limit)
        seen = find_equal(bench, crystals, known, self.config.tolerance, self.config.time_limit)
        return np.asarray((groups.same_as == np.arange(len(crystals))) & (seen.same_as < 0))

    def _record(
        self,
        total: int,
        relaxed: list[dict[str, Any]],
        members: list[Crystal],
        above: list[float | None],
        new: NDArray[np.bool_],
    ) -> dict[str, Any]:
        config = self.config
        stable = [value is not None and value <= config.threshold for value in above]
        sun = share(sum(one and other for one, other in zip(stable, new.tolist(), strict=True)), total)
        heights = [value for value in above if value is not None]
        problems = Counter(item["problem"] for item in relaxed if item["problem"])
        problems["no known crystals of an element"] = sum(
            value is None and not item["problem"] for value, item in zip(above, relaxed, strict=True)
        )
        return {
            "stable": share(sum(stable), total),
            "sun": sun,
            "above_hull_median": float(np.median(heights)) if heights else None,
            "displacement_mean": _mean([item["displacement"] for item in relaxed if not item["problem"]]),
            "relaxed": len(relaxed) - sum(bool(item["problem"]) for item in relaxed),
            "not_judged": {name: count for name, count in problems.items() if count},
            "summary": [f"stable, unique and novel (CHGNet, own hull): {sun['count']} of {total}{_not_judged(problems)}"],
            "protocol": {
                "potential": _potential_name(),
                "hull": f"{_potential_name()} energies of {len(members)} known crystals in the samples' chemical systems",
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


def _above_hull(
    crystals: Sequence[Crystal],
    energies: Sequence[Mapping[str, Any]],
    known: Sequence[Crystal],
    hull: Sequence[Mapping[str, Any]],
) -> list[float | None]:
    """eV/atom above the hull of the known crystals; None where an energy or an element's reference is missing."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    entries = [
        PDEntry(crystal.structure.composition, item["energy"] * crystal.n_atoms)
        for crystal, item in zip(known, hull, strict=True)
        if not item["problem"]
    ]
    diagrams: dict[frozenset[Any], Any] = {}
    above: list[float | None] = []
    for crystal, item in zip(crystals, energies, strict=True):
        composition = crystal.structure.composition
        system = frozenset(composition.elements)
        if system not in diagrams:
            inside = [entry for entry in entries if set(entry.composition.elements) <= system]
            pure = {entry.composition.elements[0] for entry in inside if len(entry.composition.elements) == 1}
            diagrams[system] = PhaseDiagram(inside) if pure == system else None
        diagram = diagrams[system]
        if diagram is None or item["problem"]:
            above.append(None)
            continue
        above.append(float(item["energy"] - diagram.get_hull_energy_per_atom(composition)))
    return above


def _energy(item: tuple[Packed, tuple[int, float, float]]) -> dict[str, Any]:
    packed, (steps, fmax, limit) = item
    structure = unpack(packed)
    try:
        with time_limit(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of its own parts on every call
            if not steps:
                return {"energy": float(_model().predict_structure(structure)["e"]), "displacement": 0.0, "problem": ""}
            outcome = _relaxer().relax(structure, fmax=fmax, steps=steps, verbose=False)
            energy = float(_model().predict_structure(outcome["final_structure"])["e"])
            moved = outcome["final_structure"].cart_coords - structure.cart_coords
            spread = float(np.sqrt(((moved - moved.mean(axis=0)) ** 2).sum(axis=1).mean()))
            return {"energy": energy, "displacement": spread, "problem": ""}
    except TimeLimitExceeded:
        return {"energy": None, "displacement": None, "problem": "timeout"}
    except Exception as error:
        return {"energy": None, "displacement": None, "problem": type(error).__name__}


@cache
def _model() -> Any:
    import torch
    from chgnet.model import CHGNet

    torch.set_num_threads(1)
    return CHGNet.load(verbose=False, use_device="cpu")


@cache
def _relaxer() -> Any:
    from chgnet.model import StructOptimizer

    return StructOptimizer(model=_model(), use_device="cpu")


def _require_potential() -> None:
    from importlib.util import find_spec

    if find_spec("chgnet") is None:
        raise DataError("stability needs the potential CHGNet: pip install 'crystalfw[relax]'")


def _potential_name() -> str:
    from importlib.metadata import version

    return f"CHGNet {version('chgnet')}"


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
