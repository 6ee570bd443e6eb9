"""The sampling engine: strings from a sequence decoder, token by token under a grammar.

Rows of the batch are slots: a finished string leaves, a waiting one enters in its place and begins at once, so that every
step is full. Each sample has its own random stream (core/sample/draw.py), its condition is encoded in blocks that depend only
on its index, and the batch never shrinks below a few rows: samples do not depend on batch size, order or processes.

Shapes: R rows, B samples of a block, M memory tokens, V vocabulary, T tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.core.batch import Memory
from crystalfw.core.errors import ConditionError
from crystalfw.core.interfaces import Conditioning, Ports, Representation, SequenceDecoder, select_rows
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.sample.draw import TokenDraw

BLOCK = 64
"""Conditions are encoded in blocks of so many consecutive sample indices, whatever the batch size."""
ROWS_PER_THREAD = 4
"""Matrix products of fewer rows than four for each thread take another path in common libraries and round differently."""
MEMORY_STEP = 16
"""Memories are padded to a multiple of so many tokens, so that neighbours seldom change the shape."""

MemoryFor = Callable[[Sequence[int]], Memory]
ConstraintsFor = Callable[[Sequence[int]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class SampledString:
    """One string that the decoder wrote."""

    index: int
    """Which sample of the request it is: names its random stream."""
    ids: tuple[int, ...]
    """Token ids without begin and end."""
    string: str
    log_prob: float
    """Natural logarithm of the model's probability of the string and its end: temperature 1, no filter, no grammar."""
    finished: bool
    """False where the string was cut at the length limit."""


def sample_strings(
    decoder: SequenceDecoder,
    conditioning: Conditioning | None,
    representation: Representation,
    *,
    indices: Sequence[int],
    settings: SampleSection,
    seed: int,
    memory_for: MemoryFor | None = None,
    null_memory: Memory | None = None,
    constraints_for: ConstraintsFor | None = None,
) -> Iterator[SampledString]:
    """Write the samples `indices` (any subset of 0 ... settings.n - 1), yielding each as soon as it is finished.

    `memory_for(range)` gives the memory of consecutive samples and must be deterministic; it is not called where the
    conditioning has no port. `null_memory` (one row) is needed for guidance other than 1. `constraints_for(indices)` gives
    each sample's hard conditions. Raises ConditionError before the first token for settings or conditions that cannot be
    met. Modules should be in eval mode; rows leave in the order in which they finish.
    """
    max_length = _max_length(decoder, settings)
    constraints = list(constraints_for(indices)) if constraints_for else [{}] * len(indices)
    _check_constraints(representation, constraints, max_length)
    conditions = _Conditions(conditioning, memory_for, null_memory, settings)
    writer = _Writer(decoder, representation, conditions, settings, seed, max_length)
    yield from writer.write(list(zip((int(index) for index in indices), constraints, strict=True)))


def in_order(strings: Iterable[SampledString], wanted: Sequence[int]) -> Iterator[SampledString]:
    """Strings come as they finish; hand them on in the order of `wanted`. Rows enter in order, so few wait."""
    waiting: dict[int, SampledString] = {}
    position = 0
    for string in strings:
        waiting[string.index] = string
        while position < len(wanted) and wanted[position] in waiting:
            yield waiting.pop(wanted[position])
            position += 1


class _Conditions:
    """The prepared memory of the rows being written, for the conditional and, under guidance, the null side."""

    def __init__(
        self,
        conditioning: Conditioning | None,
        memory_for: MemoryFor | None,
        null_memory: Memory | None,
        settings: SampleSection,
    ) -> None:
        self.conditioning = conditioning if conditioning is not None and conditioning.port != "none" else None
        self.memory_for, self.null_memory, self.n = memory_for, null_memory, settings.n
        self.scale = settings.guidance
        if self.scale != 1.0 and self.conditioning is None:
            raise ConditionError(f"sample.guidance is {self.scale}; this model has no condition to be guided by")
        if self.scale != 1.0 and null_memory is None:
            raise ConditionError(f"sample.guidance is {self.scale}; this model was trained without a null condition")
        self.sides = 1 if self.scale in (0.0, 1.0) else 2
        self.indices: list[int] = []
        self._tree: Any = None
        self._width = 0
        self._blocks: OrderedDict[int, Any] = OrderedDict()

    def start(self, indices: Sequence[int]) -> Ports:
        """Ports for fresh rows, the null side's behind the conditional's; -1 stands for an idle row."""
        self.indices = list(indices)
        return self._gather()

    def replace(self, ports: Ports, rows: Sequence[int], indices: Sequence[int]) -> Ports:
        """Ports after new samples have entered at `rows`."""
        if self.conditioning is None or self.scale == 0.0 or not rows:
            return ports
        for row, index in zip(rows, indices, strict=True):
            self.indices[row] = index
        width = self._width
        fresh = self._rows(indices)
        if self._width != width:
            return self._gather()
        _assign((ports.prepared, ports.copied), torch.tensor(list(rows)), fresh)
        return ports

    def select(self, ports: Ports, rows: NDArray[np.int64]) -> Ports:
        """Ports for these rows only, in this order."""
        both = torch.as_tensor(np.concatenate([rows + side * len(self.indices) for side in range(self.sides)]))
        self.indices = [self.indices[row] for row in rows]
        return ports.select(both) if self.conditioning is not None else ports

    @torch.inference_mode()
    def _gather(self) -> Ports:
        if self.conditioning is None:
            return Ports(None, None)
        trees = []
        if self.scale != 0.0:
            trees.append(self._rows(self.indices))
        if self.scale != 1.0:
            assert self.null_memory is not None
            null = self._pair(self.null_memory.padded(max(self._width, MEMORY_STEP)))
            trees.append(select_rows(null, torch.zeros(len(self.indices), dtype=torch.int64)))
        prepared, copied = _joined(trees)
        return Ports(self.conditioning, prepared, copied)

    def _pair(self, memory: Memory) -> tuple[Any, Memory | None]:
        """What the ports keep of a memory (`Ports.bind`), as a tree of rows."""
        ports = Ports.bind(self.conditioning, memory)
        return ports.prepared, ports.copied

    @torch.inference_mode()
    def _rows(self, indices: Sequence[int]) -> Any:
        """Prepared rows of these samples; grows the common width where one of them needs it."""
        idle = next((index for index in indices if index >= 0), 0)
        wanted = [index if index >= 0 else idle for index in indices]
        width = -1
        while width != self._width:
            width = self._width
            rows = [select_rows(self._block(i // BLOCK), torch.tensor([i % BLOCK])) for i in wanted]
        return _joined(rows)

    def _block(self, block: int) -> Any:
        """The prepared memory of a whole block; the last few are kept."""
        if block not in self._blocks:
            assert self.memory_for is not None, "the conditioning needs a memory"
            memory = self.memory_for(range(block * BLOCK, min((block + 1) * BLOCK, max(self.n, block * BLOCK + 1))))
            width = -(-memory.tokens.shape[1] // MEMORY_STEP) * MEMORY_STEP
            if width > self._width:
                self._blocks.clear()
                self._width = width
            self._blocks[block] = self._pair(memory.padded(self._width))
            while len(self._blocks) > 4:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]


class _Writer:
    """The rows of one batch and the loop over steps."""

    def __init__(
        self,
        decoder: SequenceDecoder,
        representation: Representation,
        conditions: _Conditions,
        settings: SampleSection,
        seed: int,
        max_length: int,
    ) -> None:
        self.decoder, self.representation, self.conditions = decoder, representation, conditions
        self.vocabulary, self.seed, self.max_length = representation.vocabulary, seed, max_length
        self.batch_size = settings.batch_size
        self.token_draw = TokenDraw(
            temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p, min_p=settings.min_p
        )

    def write(self, waiting: list[tuple[int, Mapping[str, Any]]]) -> Iterator[SampledString]:
        """Write all waiting samples."""
        if not waiting:
            return
        waiting = waiting[::-1]
        self._start([waiting.pop() for _ in range(min(self.batch_size, len(waiting)))])
        while (self.index_R >= 0).any():
            self._step()
            done = self._done()
            yield from [self._sampled(row) for row in done]
            self._refill(done, waiting)

    @torch.inference_mode()
    def _start(self, first: list[tuple[int, Mapping[str, Any]]]) -> None:
        self.fewest = max(8, ROWS_PER_THREAD * torch.get_num_threads())
        width = max(len(first), self.fewest)
        idle = width - len(first)
        self.index_R = np.array([index for index, _ in first] + [-1] * idle, dtype=np.int64)
        self.ids_RT = np.full((width, self.max_length), self.vocabulary.pad, dtype=np.int64)
        self.ids_RT[:, 0] = self.vocabulary.begin
        self.step_R = np.zeros(width, dtype=np.int64)
        self.log_prob_R = np.zeros(width)
        constraints = [constraint for _, constraint in first] + [{}] * idle
        self.grammar = self.representation.grammar(width, self.max_length, constraints)
        self.ports = self.conditions.start(self.index_R.tolist())
        self.cache = self.decoder.new_cache(width * self.conditions.sides, self.max_length, self.ports)

    @torch.inference_mode()
    def _step(self) -> None:
        """One token for every row."""
        live_R = self.index_R >= 0
        rows_R = np.arange(len(live_R))
        last_R1 = torch.from_numpy(self.ids_RT[rows_R, self.step_R][:, None]).repeat(self.conditions.sides, 1)
        device = next(self.decoder.parameters()).device
        logits = self.decoder(last_R1.to(device, non_blocking=True), self.ports, self.cache)[:, -1]
        # On a GPU the grammar's work is done while the decoder's is still running.
        allowed_RV = self.grammar.mask()
        logits_RV, plain_RV = self._guided(logits.float())
        ids_R = self.token_draw.draw(logits_RV.cpu().numpy(), allowed_RV, self.seed, self.index_R, self.step_R)
        ids_R = np.where(live_R, ids_R, self.vocabulary.pad)
        chosen_R1 = torch.from_numpy(ids_R[:, None]).to(device)
        plain_R = plain_RV.gather(1, chosen_R1)[:, 0] - plain_RV.logsumexp(1)
        self.log_prob_R += np.where(live_R, plain_R.cpu().numpy().astype(np.float64), 0.0)
        self.grammar.advance(np.where(live_R, ids_R, allowed_RV.argmax(1)))
        self.step_R += live_R
        self.ids_RT[rows_R[live_R], self.step_R[live_R]] = ids_R[live_R]
        worn_out = torch.from_numpy(np.tile(~live_R, self.conditions.sides)) & (self.cache.positions >= self.max_length - 1)
        if worn_out.any():
            self.cache.reset(worn_out.nonzero()[:, 0])

    def _guided(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits to draw from, and those of the model itself; classifier-free guidance (Ho and Salimans 2022)."""
        if self.conditions.sides == 1:
            return logits, logits
        conditional, null = logits.chunk(2)
        return null + self.conditions.scale * (conditional - null), conditional

    def _done(self) -> list[int]:
        """Rows that wrote their end or reached the limit."""
        rows_R = np.arange(len(self.index_R))
        ended_R = self.ids_RT[rows_R, self.step_R] == self.vocabulary.end
        full_R = self.step_R == self.max_length - 1
        return [int(row) for row in np.flatnonzero((ended_R | full_R) & (self.index_R >= 0))]

    def _sampled(self, row: int) -> SampledString:
        length = int(self.step_R[row])
        finished = int(self.ids_RT[row, length]) == self.vocabulary.end
        ids = tuple(self.ids_RT[row, 1 : length + (0 if finished else 1)].tolist())
        string = self.representation.detokenize(ids)
        return SampledString(int(self.index_R[row]), ids, string, float(self.log_prob_R[row]), finished)

    @torch.inference_mode()  # a decoder's cache holds inference tensors, which may be written here only
    def _refill(self, done: list[int], waiting: list[tuple[int, Mapping[str, Any]]]) -> None:
        """Waiting samples enter where others finished; without any, the batch narrows once a quarter is idle."""
        if not done:
            return
        entering = [waiting.pop() for _ in range(min(len(done), len(waiting)))]
        rows = done[: len(entering)]
        self.index_R[done] = -1
        self._reset(done)
        if entering:
            self.index_R[rows] = [index for index, _ in entering]
            self.grammar.append_rows(len(entering), [constraint for _, constraint in entering])
            order = np.arange(len(self.index_R))
            order[rows] = len(self.index_R) + np.arange(len(entering))
            self.grammar.select(order)
            self.ports = self.conditions.replace(self.ports, rows, self.index_R[rows].tolist())
        live = np.flatnonzero(self.index_R >= 0)
        width = max(len(live), self.fewest)
        if len(live) and width <= 0.75 * len(self.index_R):
            self._keep(np.concatenate([live, np.flatnonzero(self.index_R < 0)[: width - len(live)]]))

    def _reset(self, rows: list[int]) -> None:
        width = len(self.index_R)
        self.cache.reset(torch.tensor([row + side * width for side in range(self.conditions.sides) for row in rows]))
        self.step_R[rows] = 0
        self.log_prob_R[rows] = 0.0
        self.ids_RT[rows, 0] = self.vocabulary.begin

    def _keep(self, rows: NDArray[np.int64]) -> None:
        width = len(self.index_R)
        self.cache.select(torch.from_numpy(np.concatenate([rows + s * width for s in range(self.conditions.sides)])))
        self.ports = self.conditions.select(self.ports, rows)
        self.grammar.select(rows)
        self.index_R, self.step_R, self.log_prob_R = self.index_R[rows], self.step_R[rows], self.log_prob_R[rows]
        self.ids_RT = self.ids_RT[rows]


def _max_length(decoder: SequenceDecoder, settings: SampleSection) -> int:
    limit = decoder.max_length
    if settings.max_length is not None and not 2 < settings.max_length <= limit:
        raise ConditionError(f"sample.max_length is {settings.max_length}; the decoder writes 3 to {limit} tokens")
    if settings.batch_size < 1:
        raise ConditionError(f"sample.batch_size is {settings.batch_size}; it must be 1 or more")
    return settings.max_length or limit


def _check_constraints(representation: Representation, constraints: Sequence[Mapping[str, Any]], max_length: int) -> None:
    """Raise ConditionError for an impossible hard condition of any sample, before the first token of all."""
    for constraint in {repr(constraint): constraint for constraint in constraints if constraint}.values():
        representation.grammar(1, max_length, [constraint])


def _joined(trees: Sequence[Any]) -> Any:
    """Concatenate trees of `Conditioning.prepare` along their leading dimension."""
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(list(trees))
    if isinstance(first, Memory):
        return Memory.joined(trees)
    if isinstance(first, Mapping):
        return {key: _joined([tree[key] for tree in trees]) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(list(items)) for items in zip(*trees, strict=True))
    return None


def _assign(tree: Any, rows: Tensor, fresh: Any) -> None:
    """Write the rows of `fresh` over the rows `rows` of `tree`, in place."""
    if isinstance(tree, Tensor):
        with torch.inference_mode():
            tree[rows.to(tree.device)] = fresh
    elif isinstance(tree, Memory):
        for name in ("tokens", "mask", "pooled", "ids"):
            _assign(getattr(tree, name), rows, getattr(fresh, name))
    elif isinstance(tree, Mapping):
        for key in tree:
            _assign(tree[key], rows, fresh[key])
    elif isinstance(tree, (list, tuple)):
        for old, new in zip(tree, fresh, strict=True):
            _assign(old, rows, new)
