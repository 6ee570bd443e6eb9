"""What a worker does with a chunk of source items: parse, check, transform, encode, find neighbours, write a block.

This is a pure function of chunk and job: repeated anywhere, it writes the same file.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.block import PARTS, Block, Neighbours, make_block, save_block
from crystalfw.core.data.parts import assign_part
from crystalfw.core.data.reading import check_sound, listed, parsed
from crystalfw.core.errors import DataError, PluginError, Reject
from crystalfw.core.interfaces import Representation, Source, Transform
from crystalfw.core.records import Record, Rejected


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that the result for a source item depends on."""

    source: Source
    transforms: tuple[Transform, ...]
    representation: Representation | None
    cutoff: float | None
    max_atoms: int
    seed: int
    cut: tuple[tuple[str, float], ...]
    """Parts that the source lacks and the share of `train` that each takes, by formula."""


@dataclass(frozen=True)
class Done:
    """What the main process needs to know of a finished chunk."""

    crystals: int
    by_part: tuple[int, ...]
    rejected: int


def pack(job: Job) -> bytes:
    """The job as bytes for other processes; raises PluginError if a component cannot be pickled."""
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise PluginError(
            f"the source, a transform or the representation cannot be sent to other processes: {error}. "
            "Define its class in an importable module, or set data.workers to 1"
        ) from error


def modules_of(job: Job) -> list[str]:
    """Modules that a worker needs for the job."""
    components = [job.source, *job.transforms, *([job.representation] if job.representation else [])]
    neighbours = ["crystalfw.core.geometry.neighbours"] if job.cutoff else []
    return [__name__, "pymatgen.core", "spglib", *neighbours, *(type(item).__module__ for item in components)]


@lru_cache(maxsize=4)
def _unpack(payload: bytes) -> Job:
    job: Job = pickle.loads(payload)  # noqa: S301 - written by our own parent process
    return job


def work(job: Job | bytes, part: str, first_row: int, records: Sequence[Record], path: str) -> Done:
    """Process items first_row, first_row + 1, ... of a source part and write the block to `path`.

    `job` is packed (see `pack`) if another process does the work.
    """
    block = process(_unpack(job) if isinstance(job, bytes) else job, part, first_row, records)
    save_block(block, Path(path))
    return summary(block)


def summary(block: Block) -> Done:
    """Counts of a block."""
    by_part = tuple(int(count) for count in np.bincount(block.part, minlength=len(PARTS)))
    return Done(len(block.part), by_part, len(block.rejected))


Kept = tuple[int, Record, Crystal]
"""A crystal on its way, with the source's item and row that it came from."""


def process(job: Job, part: str, first_row: int, records: Sequence[Record]) -> Block:
    """The block of a chunk; every item is either one of its crystals or in its rejected list."""
    rejected: list[Rejected] = []
    kept: list[Kept] = []
    for row, record in enumerate(records, start=first_row):
        item = parsed(job.source, record)
        if isinstance(item, Rejected):
            rejected.append(item)
            continue
        try:
            kept.append((row, record, _transformed(job, part, row, item)))
        except (Reject, DataError) as error:
            rejected.append(Rejected(record.file, record.row, item.id, str(error)))
    kept = _equal_arrays(kept, rejected)
    tokens, kept = _encoded(job, kept, rejected)
    neighbours, tokens, kept = _connected(job, tokens, kept, rejected)
    parts = [PARTS.index(assign_part(part, crystal, job.cut)) for _, _, crystal in kept]
    return make_block(
        crystals=[crystal for _, _, crystal in kept], parts=parts, rows=[row for row, _, _ in kept], tokens=tokens,
        neighbours=neighbours, rejected=[listed(item) for item in rejected], records=len(records),
    )  # fmt: skip


def _transformed(job: Job, part: str, row: int, crystal: Crystal) -> Crystal:
    check_sound(crystal, max_atoms=max(1000, 20 * job.max_atoms))
    rng = np.random.default_rng([job.seed, PARTS.index(part), row])
    for transform in job.transforms:
        crystal = transform(crystal, rng)
    if crystal.n_atoms > job.max_atoms:
        raise Reject(f"more than {job.max_atoms} atoms (data.max_atoms): {crystal.n_atoms}")
    return crystal


def _equal_arrays(kept: list[Kept], rejected: list[Rejected]) -> list[Kept]:
    """Reject crystals whose named arrays differ from the majority's, because batches need equal shapes."""
    shapes = [tuple(sorted((name, np.shape(array)) for name, array in c.arrays.items())) for _, _, c in kept]
    if len(set(shapes)) <= 1:
        return kept
    usual = Counter(shapes).most_common(1)[0][0]
    for (_, record, crystal), shape in zip(kept, shapes, strict=True):
        if shape != usual:
            detail = f"{dict(shape) or 'none'}, others have {dict(usual) or 'none'}"
            rejected.append(Rejected(record.file, record.row, crystal.id, f"embedding of another shape: {detail}"))
    return [item for item, shape in zip(kept, shapes, strict=True) if shape == usual]


def _encoded(job: Job, kept: list[Kept], rejected: list[Rejected]) -> tuple[list[list[int]], list[Kept]]:
    """Token ids (begin and end included) of the crystals that have a string, and these crystals."""
    if job.representation is None:
        return [], kept
    vocabulary = job.representation.vocabulary
    if len(vocabulary) > 65535:
        raise PluginError(f"the representation has {len(vocabulary)} tokens; at most 65535 can be stored")
    tokens, encoded = [], []
    for item, result in zip(kept, job.representation.encode([c for _, _, c in kept]), strict=True):
        _, record, crystal = item
        if result.ok:
            tokens.append([vocabulary.begin, *job.representation.tokenize(result.string), vocabulary.end])
            encoded.append(item)
        else:
            rejected.append(Rejected(record.file, record.row, crystal.id, f"cannot be encoded: {result.reason}"))
    return tokens, encoded


def _connected(
    job: Job, tokens: list[list[int]], kept: list[Kept], rejected: list[Rejected]
) -> tuple[list[Neighbours], list[list[int]], list[Kept]]:
    """Neighbour pairs of each crystal if the job has a cutoff; a crystal with too many pairs is rejected."""
    if job.cutoff is None:
        return [], tokens, kept
    from crystalfw.core.geometry.neighbours import neighbour_arrays

    found: dict[int, Neighbours] = {}
    for place, (_, record, crystal) in enumerate(kept):
        try:
            found[place] = Neighbours(*neighbour_arrays(crystal, job.cutoff))
        except DataError as error:
            rejected.append(Rejected(record.file, record.row, crystal.id, f"no neighbour list: {error}"))
    return list(found.values()), [tokens[k] for k in found] if tokens else [], [kept[k] for k in found]
