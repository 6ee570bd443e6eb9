"""How much of a test set stands in the training set: formulas, structures, polymorphs. Printed with every match rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.plugins.metrics.shared.equality import find_equal
from crystalfw.plugins.metrics.shared.geometry import share
from crystalfw.plugins.metrics.shared.population import compositions

TOLERANCE = "strict"


@dataclass(frozen=True)
class Leaks:
    """Of R reference crystals."""

    formula: NDArray[np.bool_]
    """(R,) the training crystals hold its reduced formula."""
    structure: NDArray[np.bool_]
    """(R,) a training crystal equals it (StructureMatcher, strict)."""
    polymorph: NDArray[np.bool_]
    """(R,) another reference crystal has its reduced formula."""

    def record(self) -> dict[str, Any]:
        """Counts as JSON."""
        total = len(self.formula)
        return {
            "formula_in_training": share(int(self.formula.sum()), total),
            "structure_in_training": share(int(self.structure.sum()), total),
            "polymorph_of_training": share(int((self.formula & ~self.structure).sum()), total),
            "polymorphs_among_references": share(int(self.polymorph.sum()), total),
        }


def leaks(bench: Workbench, reference: Sequence[Crystal], train: Sequence[Crystal], limit: float = 20.0) -> Leaks:
    """Worked out once in an evaluation."""

    def count() -> Leaks:
        ours, theirs = compositions(bench, reference), compositions(bench, train)
        _, inverse, sizes = np.unique(ours, return_inverse=True, return_counts=True)
        found = find_equal(bench, reference, train, TOLERANCE, limit)
        return Leaks(np.isin(ours, theirs), found.same_as >= 0, sizes[inverse] > 1)

    return bench.once("leaks", count, reference, train)


def sentence(record: Mapping[str, Any]) -> str:
    """The counts in words."""
    total = record["formula_in_training"]["of"]
    return (
        f"of {total:,} reference crystals the training part holds {record['formula_in_training']['count']:,} formulas and "
        f"{record['structure_in_training']['count']:,} structures; {record['polymorph_of_training']['count']:,} are other "
        f"polymorphs of a training formula, {record['polymorphs_among_references']['count']:,} share their formula with "
        "another reference"
    )
