"""Prediction instead of variety: several candidates for each condition, the likeliest distinct ones kept.

Candidates are draws (`sample.candidates`) or the finds of a beam search (`sample.beam`). Two are the same where the
representation's canonical key is. They are decoded from the likeliest on until `sample.keep` of them are crystals, so that
a string without a crystal takes no place as long as another one waits. Where a space group is asked for, or a property that
the request's judge predicts, all candidates are decoded: those with the group go before the others, the nearest ones first.
Where conditions are drawn from the training crystals, those with the group keep the order of their draws: the first of them
is then a draw from the model's distribution of crystals with that group (rejection sampling), while the likeliest of many is
a small and known crystal too often.

Condition p has the rows p * keep ... (p + 1) * keep - 1 of the table, and its draw c the random stream
(seed, p * candidates + c): a row depends on nothing else that is asked for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.space_group import space_group_number
from crystalfw.core.interfaces import SequenceDecoder
from crystalfw.core.records import Sample
from crystalfw.core.sample.beam import beam_search, likeliest_distinct
from crystalfw.core.sample.conditions import SPACE_GROUP
from crystalfw.core.sample.engine import SampledString, in_order
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.sampler import Sampler
from crystalfw.core.sample.table import sample_id
from crystalfw.core.system.wording import counted


@dataclass
class Tally:
    """What became of the candidates of one call."""

    conditions: int = 0
    written: int = 0
    distinct: int = 0
    kept: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Reason -> candidates that were tried and gave no crystal."""

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.failed.most_common())
        failed = f"{sum(self.failed.values()):,} without a crystal ({reasons}), " if self.failed else ""
        return (
            f"candidates of {counted(self.conditions, 'condition')}: {self.written:,} written, {self.distinct:,} distinct, "
            f"{failed}{self.kept:,} kept"
        )


def predicted(sampler: Sampler, request: Request, rows: Sequence[int], tally: Tally) -> Iterator[Sample]:
    """The samples of these rows of the table, in ascending order."""
    each = request.settings.rows_per_condition
    wanted = {number: list(own) for number, own in groupby(sorted(rows), key=lambda row: row // each)}
    find = _searched if request.settings.beam else _drawn
    for number, strings in find(sampler, request, list(wanted)):
        samples = _chosen(sampler, request, number, strings, tally)
        yield from (samples[row - number * each] for row in wanted[number])


def _drawn(sampler: Sampler, request: Request, numbers: Sequence[int]) -> Iterator[tuple[int, list[SampledString]]]:
    """Draws of all conditions in one stream, so that the batch stays full from one condition to the next."""
    each = request.settings.n_candidates
    indices = [number * each + draw for number in numbers for draw in range(each)]
    strings = in_order(sampler.strings(request, indices, each), indices)
    for number, own in groupby(strings, key=lambda string: string.index // each):
        yield number, list(own)


def _searched(sampler: Sampler, request: Request, numbers: Sequence[int]) -> Iterator[tuple[int, list[SampledString]]]:
    decoder, conditioning = sampler.generator.decoder, sampler.generator.conditioning
    assert isinstance(decoder, SequenceDecoder)
    for number in numbers:
        condition = request.condition(number * request.settings.rows_per_condition)
        yield number, beam_search(
            decoder, conditioning, sampler.components.representation, width=request.settings.n_candidates,
            memory=sampler.memory([condition]) if conditioning.port != "none" else None,
            max_length=request.settings.max_length, constraint=sampler.constraint(request, condition),
        )  # fmt: skip


def _chosen(sampler: Sampler, request: Request, number: int, strings: Sequence[SampledString], tally: Tally) -> list[Sample]:
    """The rows of one condition: crystals, likeliest first; then, where they are too few, what the others lack."""
    keep, first = request.settings.rows_per_condition, number * request.settings.rows_per_condition
    distinct = likeliest_distinct(strings, len(strings), sampler.components.representation.canonical_key)
    waiting = [replace(string, index=first) for string in distinct]
    kept: list[Sample] = []
    failed: list[Sample] = []
    condition = request.nth_condition(number)
    group, asked = asked_group(condition), request.judge.asked(condition) if request.judge else {}
    while waiting and len(kept) < keep:
        tried, waiting = (waiting, []) if group or asked else (waiting[: keep - len(kept)], waiting[keep - len(kept) :])
        for sample in sampler.crystals(request, tried):
            (kept if sample.crystal is not None else failed).append(sample)
    kept = met_first(kept, group, _order(distinct) if request.drawing else {})
    if request.judge and asked:
        kept = met_first(request.judge.nearest_first(kept, asked), group)
    kept = kept[:keep]
    cut = [replace(string, index=first) for string in strings if not string.finished]
    failed += [sampler.failure(request, string, "parse", "unfinished: cut at the length limit") for string in cut]
    tally.conditions, tally.written, tally.kept = tally.conditions + 1, tally.written + len(strings), tally.kept + len(kept)
    tally.distinct += len(distinct)
    tally.failed.update(sample.reason.split(":")[0] for sample in failed)
    found = [*kept, *failed][:keep]
    found += [_repeat(sampler, request, first, len(distinct), len(strings))] * (keep - len(found))
    return [replace(sample, id=sample_id(first + rank)) for rank, sample in enumerate(found)]


def asked_group(condition: Crystal | None) -> int:
    """The space group number that a condition asks for; 0 where it asks for none."""
    value = math.nan if condition is None else condition.properties.get(SPACE_GROUP, math.nan)
    return 0 if math.isnan(value) else int(value)


def met_first(samples: Sequence[Sample], group: int, draw: Mapping[str, int] | None = None) -> list[Sample]:
    """Crystals with the space group asked for, then the others, each in the order given; as they are where it is 0.

    `draw`: string -> when it was drawn; the crystals with the group are then in that order.
    """
    if not group:
        return list(samples)
    met: list[Sample] = []
    others: list[Sample] = []
    for one in samples:
        (met if one.crystal is not None and space_group_number(one.crystal) == group else others).append(one)
    return [*(sorted(met, key=lambda one: draw[one.string]) if draw else met), *others]


def _order(strings: Sequence[SampledString]) -> dict[str, int]:
    """String -> its place among the draws."""
    return {string.string: string.index for string in strings}


def _repeat(sampler: Sampler, request: Request, row: int, distinct: int, written: int) -> Sample:
    nothing = SampledString(row, (), "", 0.0, finished=True)
    reason = f"repeat: {distinct} distinct among {written} candidates"
    return replace(sampler.failure(request, nothing, "repeat", reason), log_prob=None)
