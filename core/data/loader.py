"""Batches for training and validation: bucketed by length, the same for every number of devices, seekable.

The global batch of step s depends on the seed and s only. Shapes: B crystals of a micro-batch, T tokens, n crystals
of the split.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from crystalfw.core.batch import CrystalBatch, Edges, TokenBatch, TrainBatch
from crystalfw.core.crystal import Crystal
from crystalfw.core.data.store import Split
from crystalfw.core.errors import DataError, Reject
from crystalfw.core.interfaces import Representation, Transform

Item = TypeVar("Item")

POOL = 32
"""Global batches that are sorted by length together: enough for little padding, few enough to stay random."""
_ORDER, _POOL, _ITEM = 1, 2, 3
"""Names of the random streams under the seed."""


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """How the crystals of a split become batches."""

    batch_size: int
    """Crystals of a global batch: of all ranks and micro-batches of a step."""
    seed: int
    rank: int = 0
    world_size: int = 1
    accumulate: int = 1
    """Micro-batches per step."""
    train: bool = True
    """False for validation: neither augmentation nor transforms."""
    representation: Representation | None = None
    """Needed for augmentation and for the id of padding."""
    augment: bool = False
    """Replace strings by random equivalents (training only)."""
    train_transforms: tuple[Transform, ...] = ()
    cutoff: float | None = None
    """Add neighbour pairs up to this distance, angstrom."""
    dtype: torch.dtype | None = None
    """Type of real numbers; default: torch's default."""
    max_length: int | None = None
    """Tokens that the decoder has room for."""
    prefetch: int = 2
    """Micro-batches that a thread prepares ahead; 0 for none."""

    def check(self) -> None:
        """Raise DataError for options that contradict each other."""
        if self.train and self.batch_size < self.world_size * self.accumulate:
            raise DataError(
                f"a batch of {self.batch_size} crystals cannot be spread over {self.world_size} devices x {self.accumulate} "
                "accumulation steps; raise fit.batch_size or lower fit.accumulate"
            )
        if self.augment and self.representation is None:
            raise DataError("augmentation of strings needs the representation")


class Loader:
    """Micro-batches of one rank.

    `batches(start)` yields `accumulate` micro-batches per step, from step `start` on, without end. The crystals of all
    ranks and micro-batches of a step are the global batch; training joins shuffled epochs to one stream, cuts it into pools
    of POOL global batches, and sorts each pool by length, so that it uses every crystal and needs little padding.
    `validation_batches` covers every crystal once over all ranks.
    """

    def __init__(self, split: Split, options: LoaderOptions) -> None:
        if len(split) == 0:
            raise DataError(f"split '{split.name}' holds no crystal")
        options.check()
        self.split, self.batch_size, self.seed, self.train = split, options.batch_size, options.seed, options.train
        self.rank, self.world_size, self.accumulate = options.rank, options.world_size, options.accumulate
        self.representation, self.augment = options.representation, options.augment and options.train
        self.transforms = options.train_transforms if options.train else ()
        self.cutoff, self.dtype, self.prefetch = options.cutoff, options.dtype or torch.get_default_dtype(), options.prefetch
        self.max_length = options.max_length
        self.lengths = split.lengths
        # a pool is an epoch at most: sorting several epochs together would fill batches with one crystal
        self.pool = max(1, min(POOL, len(split) // self.batch_size))
        self._columns = {name: torch.as_tensor(np.array(column)).to(self.dtype) for name, column in split.columns.items()}
        self._permutation = lru_cache(maxsize=2)(self._shuffled)
        self._cut_pool = lru_cache(maxsize=2)(self._pool)
        if split.has_tokens and self.max_length is not None and int(self.lengths.max()) > self.max_length:
            count = int((self.lengths > self.max_length).sum())
            raise DataError(
                f"{count:,} strings of split '{split.name}' are longer than the decoder's {self.max_length} tokens (the "
                f"longest has {int(self.lengths.max())}); raise the decoder's max_length or lower data.max_atoms"
            )

    # --- which crystals ---------------------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which every crystal is seen once."""
        return len(self.split) / self.batch_size

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.split))

    def _pool(self, number: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The global batches of pool `number`: crystals and epochs, each (batch_size,)."""
        size = self.pool * self.batch_size
        place = np.arange(number * size, (number + 1) * size)
        epochs, within = np.divmod(place, len(self.split))
        index = np.empty_like(within)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            index[chosen] = self._permutation(int(epoch))[within[chosen]]
        # strings of equal length in random order, so that batches differ from epoch to epoch
        order = np.lexsort((np.random.default_rng([self.seed, _POOL, number]).random(len(index)), self.lengths[index]))
        batches = [(index[chosen], epochs[chosen]) for chosen in np.split(order, self.pool)]
        shuffle = np.random.default_rng([self.seed, _POOL, number, 1]).permutation(self.pool)
        return [batches[k] for k in shuffle]

    def global_batch(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Crystals (batch_size,) of a step, sorted by length, and the epoch that each belongs to."""
        pool, within = divmod(step, self.pool)
        return self._cut_pool(pool)[within]

    def micro_batches(self, step: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """This rank's share of a step, in `accumulate` pieces. Crystals are dealt out by length, so that all ranks have
        equal work."""
        index, epochs = self.global_batch(step)
        index, epochs = index[self.rank :: self.world_size], epochs[self.rank :: self.world_size]
        return list(zip(np.array_split(index, self.accumulate), np.array_split(epochs, self.accumulate), strict=True))

    def validation_indices(self, limit: int | None = None) -> list[NDArray[np.int64]]:
        """This rank's crystals of each validation batch; over all ranks every crystal once (up to `limit` batches).

        Every rank has the same number of batches; some are empty if a batch holds fewer crystals than there are ranks.
        With a limit, the same batches are always taken, from all lengths.
        """
        order = np.argsort(self.lengths, kind="stable")
        batches = np.array_split(order, -(-len(order) // self.batch_size))
        if limit is not None and limit < len(batches):
            batches = [batches[k] for k in np.linspace(0, len(batches) - 1, limit + 2)[1:-1].round().astype(int)]
        shares = [batch[self.rank :: self.world_size] for batch in batches]
        return [piece for share in shares for piece in np.array_split(share, self.accumulate)]

    # --- what they become -------------------------------------------------------------------------------------------

    def batches(self, start_step: int = 0) -> Generator[TrainBatch, None, None]:
        """Endless micro-batches of this rank, `accumulate` per step, from step `start_step` on."""
        return _prefetched(self._endless(start_step), self.prefetch)

    def _endless(self, step: int) -> Iterator[TrainBatch]:
        while True:
            for index, epochs in self.micro_batches(step):
                yield self.collate(index, epochs)
            step += 1

    def validation_batches(self, limit: int | None = None) -> Iterator[tuple[TrainBatch, bool]]:
        """This rank's validation batches, without augmentation, each with whether it counts.

        Ranks that share a model must step together, so a batch of one crystal that does not count replaces an empty one.
        """
        stand_in = np.zeros(1, dtype=np.int64)
        filled = ((index if len(index) else stand_in, len(index) > 0) for index in self.validation_indices(limit))
        made = ((self.collate(index, np.zeros_like(index)), counts) for index, counts in filled)
        return _prefetched(made, self.prefetch)

    def collate(self, index: NDArray[np.int64], epochs: NDArray[np.int64]) -> TrainBatch:
        """The batch of these crystals; what is random in it depends on seed, epoch and crystal only."""
        streams = [np.random.default_rng([self.seed, _ITEM, int(e), int(k)]) for e, k in zip(epochs, index, strict=True)]
        if self.transforms:
            crystals = [self._transformed(int(k), rng) for k, rng in zip(index, streams, strict=True)]
            batch = CrystalBatch.from_crystals(crystals, self.dtype)
        else:
            batch = self._stored(index)
        keeps_edges = all(transform.keeps_edges for transform in self.transforms)
        if self.cutoff is not None and keeps_edges and self.split.cutoff == self.cutoff:
            batch = _with_stored_edges(self.split, batch, index)
        elif self.cutoff is not None:
            batch = batch.with_edges(self.cutoff)
        if self.split.retrieved is not None:
            batch = replace(batch, templates=self.split.retrieved.batch(index))
        tokens = self._tokens(index, streams) if self.split.has_tokens else None
        return TrainBatch(batch, tokens, torch.as_tensor(index))

    def _transformed(self, index: int, rng: np.random.Generator) -> Crystal:
        crystal = self.split[index]
        for transform in self.transforms:
            try:
                crystal = transform(crystal, rng)
            except Reject as error:
                name = type(transform).__name__.lower()
                raise DataError(
                    f"transform '{name}' rejected crystal {crystal.id or index} during training ({error}); transforms "
                    "that reject belong into the preparation"
                ) from error
        return crystal

    def _stored(self, index: NDArray[np.int64]) -> CrystalBatch:
        split = self.split
        n_atoms = split.offsets["atoms"][index + 1] - split.offsets["atoms"][index]
        atoms = np.concatenate([np.arange(*split.offsets["atoms"][k : k + 2]) for k in index])
        return CrystalBatch(
            lattice=torch.as_tensor(split.files["lattice"][index]).to(self.dtype),
            frac_coords=torch.as_tensor(split.files["frac"][atoms]).to(self.dtype),
            numbers=torch.as_tensor(split.files["numbers"][atoms].astype(np.int64)),
            crystal_index=torch.as_tensor(np.repeat(np.arange(len(index)), n_atoms)),
            n_atoms=torch.as_tensor(n_atoms),
            properties={name: column[torch.as_tensor(index)] for name, column in self._columns.items()},
            arrays={name: torch.as_tensor(split.array(name)[index]).to(self.dtype) for name in split.array_names},
        )

    def _tokens(self, index: NDArray[np.int64], streams: Sequence[np.random.Generator]) -> TokenBatch:
        strings = [self._string(int(k), rng) for k, rng in zip(index, streams, strict=True)]
        lengths = torch.tensor([len(string) for string in strings], dtype=torch.int64)
        pad = self.representation.vocabulary.pad if self.representation is not None else 0
        ids_BT = torch.full((len(strings), int(lengths.max())), pad, dtype=torch.int64)
        for row, string in enumerate(strings):
            ids_BT[row, : len(string)] = torch.as_tensor(string)
        return TokenBatch(ids_BT, lengths)

    def _string(self, index: int, rng: np.random.Generator) -> NDArray[np.int64]:
        stored = self.split.ids(index)
        if not self.augment or self.representation is None:
            return stored
        text = self.representation.augment(self.representation.detokenize(stored.tolist()), rng)
        vocabulary = self.representation.vocabulary
        drawn = np.array([vocabulary.begin, *self.representation.tokenize(text), vocabulary.end], dtype=np.int64)
        # if the equivalent is too long for the decoder, take the canonical string, which fits
        return stored if self.max_length is not None and len(drawn) > self.max_length else drawn


def _with_stored_edges(split: Split, batch: CrystalBatch, index: NDArray[np.int64]) -> CrystalBatch:
    offsets = split.offsets["edges"]
    counts = offsets[index + 1] - offsets[index]
    edges = np.concatenate([np.arange(*offsets[k : k + 2]) for k in index])
    first_atom = np.repeat(np.cumsum(batch.n_atoms.numpy()) - batch.n_atoms.numpy(), counts)
    source, target = (split.files[name][edges].astype(np.int64) + first_atom for name in ("edge_source", "edge_target"))
    shift = split.files["edge_shift"][edges].astype(np.int64)
    assert split.cutoff is not None
    edges_of_batch = Edges(torch.as_tensor(source), torch.as_tensor(target), torch.as_tensor(shift), split.cutoff)
    return replace(batch, edges=edges_of_batch)


def _prefetched(items: Iterator[Item], depth: int) -> Generator[Item, None, None]:
    """The same items, prepared by a thread up to `depth` ahead. Its exceptions are raised here; it ends with the reader."""
    if depth <= 0:
        yield from items
        return
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=produce, name="crystalfw-loader", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stop.set()
        thread.join()
