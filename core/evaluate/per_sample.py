"""What metrics ask of samples one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, FloatArray, IntArray
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.records import Sample
from crystalfw.core.system.sequences import Picked, Strings


def decoded(bench: Workbench, samples: Sequence[Sample]) -> Picked[Crystal]:
    """The crystals of the samples with status ok; `positions` says of which samples."""

    def find() -> Picked[Crystal]:
        good = np.fromiter(map(_is_decoded, samples), dtype=bool, count=len(samples))
        return Picked(samples, np.flatnonzero(good), crystal_of)

    # one object, so that what metrics work out about it once is found again
    return bench.once("crystals of the samples", find, samples)


def _is_decoded(sample: Sample) -> bool:
    return sample.status == "ok" and sample.crystal is not None


def crystal_of(sample: Sample) -> Crystal:
    """The crystal of a sample that has one."""
    assert sample.crystal is not None
    return sample.crystal


def ids(bench: Workbench, samples: Sequence[Sample]) -> Strings:
    """The ids of all samples."""
    return bench.once("ids", lambda: Strings(sample.id for sample in samples), samples)


def source_positions(bench: Workbench, samples: Sequence[Sample], reference: Sequence[Crystal]) -> IntArray:
    """(S,) position of the reference crystal that each sample names; -1 where it names none, -2 one that is not there."""

    def find() -> IntArray:
        known = {crystal.id: index for index, crystal in enumerate(reference) if crystal.id}
        places = (known.get(sample.reference_id, -2 if sample.reference_id else -1) for sample in samples)
        return np.fromiter(places, dtype=np.int64, count=len(samples))

    return bench.once("source positions", find, samples, reference)


class PerSample:
    """A value per sample id, NaN where a sample has none; what `outcomes` of an evaluation holds."""

    def __init__(self, names: Sequence[str], values_S: FloatArray | NDArray[np.bool_]) -> None:
        self._names, self._known = names, np.flatnonzero(~np.isnan(values_S))
        self.values: FloatArray = values_S[self._known].astype(np.float64)
        """(K,) those that there are."""

    def items(self) -> Iterator[tuple[str, float]]:
        """Pairs of id and value."""
        return ((self._names[k], value) for k, value in zip(self._known.tolist(), self.values.tolist(), strict=True))
