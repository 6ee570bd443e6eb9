"""For prediction instead of variety: beam search under the grammar, and the likeliest distinct ones of many samples.

Shapes: R live strings, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from crystalfw.core.batch import Memory
from crystalfw.core.errors import ConditionError
from crystalfw.core.interfaces import Conditioning, Ports, Representation, SequenceDecoder
from crystalfw.core.sample.engine import SampledString


@torch.inference_mode()
def beam_search(
    decoder: SequenceDecoder,
    conditioning: Conditioning | None,
    representation: Representation,
    *,
    width: int,
    memory: Memory | None = None,
    max_length: int | None = None,
    constraint: Mapping[str, Any] | None = None,
) -> list[SampledString]:
    """The likeliest strings that a beam of `width` finds for one condition, likeliest first, at most `width`.

    `memory` holds the one condition (leading dimension 1). Stops when no unfinished string can overtake the finished ones:
    a probability only falls with every token. `index` of a result is its rank. Raises ConditionError for a constraint that
    cannot be met.
    """
    if width < 1:
        raise ConditionError(f"the beam's width is {width}; it must be 1 or more")
    limit = min(max_length or decoder.max_length, decoder.max_length)
    vocabulary = representation.vocabulary
    grammar = representation.grammar(1, limit, [constraint or {}])
    ports = Ports(None, None) if memory is None else Ports.bind(conditioning, memory)
    cache = decoder.new_cache(1, limit, ports)
    device = next(decoder.parameters()).device
    score_R, written_R = np.zeros(1), [[vocabulary.begin]]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(limit - 1):
        last_R1 = torch.tensor([[ids[-1]] for ids in written_R], device=device)
        log_prob_RV = decoder(last_R1, ports, cache)[:, -1].float().log_softmax(-1).cpu().numpy().astype(np.float64)
        total_RV = np.where(grammar.mask(), score_R[:, None] + log_prob_RV, -np.inf)
        finished += [
            (float(total_RV[row, vocabulary.end]), written_R[row])
            for row in np.flatnonzero(np.isfinite(total_RV[:, vocabulary.end]))
        ]
        finished = sorted(finished, key=lambda item: -item[0])[:width]
        total_RV[:, vocabulary.end] = -np.inf
        best = np.argsort(-total_RV, axis=None, kind="stable")[:width]
        best = best[np.isfinite(total_RV.ravel()[best])]
        if not len(best) or (len(finished) == width and total_RV.ravel()[best[0]] <= finished[-1][0]):
            break
        parent_R, token_R = np.divmod(best, total_RV.shape[1])
        score_R = total_RV.ravel()[best]
        written_R = [[*written_R[row], int(token)] for row, token in zip(parent_R, token_R, strict=True)]
        grammar.select(parent_R)
        grammar.advance(token_R)
        cache.select(torch.from_numpy(parent_R))
        ports = ports.select(torch.from_numpy(parent_R).to(device)) if memory is not None else ports
    return [
        SampledString(rank, tuple(ids[1:]), representation.detokenize(ids[1:]), score, finished=True)
        for rank, (score, ids) in enumerate(finished)
    ]


def likeliest_distinct(
    samples: Iterable[SampledString], keep: int, key: Callable[[str], Hashable] = str
) -> list[SampledString]:
    """Of the finished samples the `keep` likeliest with different keys (e.g. a canonical form), likeliest first."""
    found: dict[Hashable, SampledString] = {}
    for sample in sorted(samples, key=lambda item: (-item.log_prob, item.index)):
        if sample.finished:
            found.setdefault(key(sample.string), sample)
        if len(found) == keep:
            break
    return list(found.values())
