"""Space groups of samples and reference, by spglib at two precisions: generated crystals tend to lose their symmetry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.core.samples import space_group_number
from crystalfw.core.workbench import Workbench
from crystalfw.plugins.metrics.geometry import Packed, digest, pack, share

SYSTEMS = {
    "triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142, "trigonal": 167, "hexagonal": 194, "cubic": 230,
}  # fmt: skip
"""Crystal system -> its last space-group number."""


def crystal_system(number: int) -> str:
    """The crystal system of a space-group number."""
    return next(system for system, last in SYSTEMS.items() if number <= last)


class Symmetry(Metric):
    """Crystal systems, share without symmetry (P1), agreement with the reference that a sample was made for."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        symprec: tuple[float, ...] = (0.1, 0.01)
        """Precisions in angstrom."""

    def __init__(self, config: Config) -> None:
        if not config.symprec or any(precision <= 0 for precision in config.symprec):
            raise DataError("symmetry: symprec lists precisions above 0 angstrom")
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Per precision, over the samples that are crystals."""
        known = {crystal.id: index for index, crystal in enumerate(reference) if crystal.id}
        made = [sample for sample in samples if sample.status == "ok" and sample.crystal is not None]
        crystals = [sample.crystal for sample in made if sample.crystal is not None]
        result: dict[str, Any] = {"asked": len(samples), "summary": []}
        for precision in self.config.symprec:
            ours = _numbers(context["bench"], crystals, precision)
            theirs = _numbers(context["bench"], reference, precision)
            pairs = [
                (number, theirs[known[sample.reference_id]])
                for number, sample in zip(ours, made, strict=True)
                if sample.reference_id in known
            ]
            agree = sum(one is not None and one == other for one, other in pairs)
            figures = {"samples": _figures(ours), "reference": _figures(theirs), "same_as_reference": share(agree, len(pairs))}
            result[f"symprec={precision:g}"] = figures
            result["summary"].append(f"P1 at symprec {precision:g}: {figures['samples']['p1']['count']} of {len(ours)} samples")
        return {**result, "protocol": {"spglib": "space-group number at symprec in angstrom", "denominator": "decoded samples"}}


def _numbers(bench: Workbench, crystals: Sequence[Crystal], precision: float) -> list[int | None]:
    items = [(pack(crystal), precision) for crystal in crystals]
    keys = [f"spg-1:{precision:g}:{digest(crystal)}" for crystal in crystals]
    return bench.map(f"space groups at {precision:g}", _number, items, keys)


def _number(item: tuple[Packed, float]) -> int | None:
    (lattice, frac_coords, numbers), precision = item
    return space_group_number(Crystal(lattice=lattice, frac_coords=frac_coords, numbers=numbers), precision)


def _figures(numbers: Sequence[int | None]) -> dict[str, Any]:
    systems = Counter(crystal_system(number) for number in numbers if number is not None)
    return {
        "p1": share(sum(number == 1 for number in numbers), len(numbers)),
        "not_found": sum(number is None for number in numbers),
        "distinct_groups": len({number for number in numbers if number is not None}),
        "systems": {system: round(systems[system] / len(numbers), 6) for system in SYSTEMS} if numbers else {},
    }
