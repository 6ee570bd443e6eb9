"""What a worker does with a chunk of source items: parse, check, transform, encode, find neighbours, write a block.

A pure function of the chunk and the job: doing it twice gives the same file, wherever it runs.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.block import PARTS, Block, Neighbours, make_block, save_block
from crystalfw.core.errors import DataError, PluginError, Reject
from crystalfw.core.interfaces import Record, Rejected, Representation, Source, Transform
from crystalfw.core.lattice import is_degenerate
from crystalfw.core.textlines import printable
from crystalfw.core.timelimit import time_limit

LONGEST = 10_000.0
"""Lattice vectors above this, in angstrom, are a mistake in the file."""
WIDEST = 1e6
"""Fractional coordinates above this are a mistake in the file."""
LONGEST_ID = 1_000
MOST_PROPERTIES = 1_000
"""Characters of an identifier and named numbers of one crystal above which the file is a mistake."""
PARSE_SECONDS = 120.0
"""Seconds that one item may take to be read; what the bounds of the parsers let through is set aside then."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides what becomes of a source item."""

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
    """The job as bytes for other processes; raises PluginError where a component cannot be sent."""
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
    neighbours = ["crystalfw.core.neighbours"] if job.cutoff else []
    return [__name__, "pymatgen.core", "spglib", *neighbours, *(type(item).__module__ for item in components)]


@lru_cache(maxsize=4)
def _unpack(payload: bytes) -> Job:
    job: Job = pickle.loads(payload)  # noqa: S301 - written by our own parent process
    return job


def work(job: Job | bytes, part: str, first_row: int, records: Sequence[Record], path: str) -> Done:
    """Process items first_row, first_row + 1, ... of a source part and write the block to `path`.

    `job` is packed (see `pack`) where another process does the work.
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
    """The block that a chunk becomes; every item is either a crystal in it or in its rejected list."""
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


def parsed(source: Source, record: Record) -> Crystal | Rejected:
    """What the source makes of a record; a parser that fails or takes too long costs the record, not the work."""
    try:
        with time_limit(PARSE_SECONDS):
            return source.parse(record)
    except Exception as error:
        # `parse` promises not to raise; one that does must not end the preparation of a million others
        return Rejected(record.file, record.row, "", f"parser failed: {type(error).__name__}: {error}")


def read_sound(source: Source, record: Record, *, most_atoms: int) -> Crystal | Rejected:
    """The crystal of a record, or why there is none that can be worked with."""
    item = parsed(source, record)
    if isinstance(item, Rejected):
        return item
    try:
        check_sound(item, most_atoms=most_atoms)
    except Reject as error:
        return Rejected(record.file, record.row, item.id, error.reason)
    return item


def listed(item: Rejected) -> Rejected:
    """The item as it can be listed: ids and reasons quote files from strangers."""
    return Rejected(printable(item.file, 4096), item.row, printable(item.id), printable(item.reason))


def _transformed(job: Job, part: str, row: int, crystal: Crystal) -> Crystal:
    check_sound(crystal, most_atoms=max(1000, 20 * job.max_atoms))
    rng = np.random.default_rng([job.seed, PARTS.index(part), row])
    for transform in job.transforms:
        crystal = transform(crystal, rng)
    if crystal.n_atoms > job.max_atoms:
        raise Reject(f"more than {job.max_atoms} atoms (data.max_atoms): {crystal.n_atoms}")
    return crystal


def check_sound(crystal: Crystal, *, most_atoms: int) -> None:
    """Raise Reject for what no later step should have to meet: no atoms, NaN, a flat or absurd cell."""
    lattice, frac, numbers = crystal.lattice, crystal.frac_coords, crystal.numbers
    if crystal.n_atoms == 0:
        raise Reject("no atoms")
    if crystal.n_atoms > most_atoms:
        raise Reject(f"more than {most_atoms} atoms in the cell as given: {crystal.n_atoms}")
    if not (np.isfinite(lattice).all() and np.isfinite(frac).all()):
        raise Reject("not finite: lattice or positions hold NaN or infinity")
    if np.abs(lattice).max() > LONGEST or np.abs(frac).max() > WIDEST:
        raise Reject(f"absurd numbers: a lattice component above {LONGEST:g} angstrom or a coordinate above {WIDEST:g}")
    if is_degenerate(lattice):
        raise Reject("flat cell: its vectors span no volume")
    if len(crystal.id) > LONGEST_ID:
        raise Reject(f"absurd id: {len(crystal.id):,} characters")
    if len(crystal.properties) > MOST_PROPERTIES or any(len(name) > LONGEST_ID for name in crystal.properties):
        raise Reject(f"absurd properties: {len(crystal.properties):,}, or a name of more than {LONGEST_ID:,} characters")
    if numbers.min() < 1 or numbers.max() > 118:
        raise Reject(f"no such element: atomic number {int(numbers.min() if numbers.min() < 1 else numbers.max())}")


def _equal_arrays(kept: list[Kept], rejected: list[Rejected]) -> list[Kept]:
    """Set aside crystals whose named arrays are not those of most others: batches need equal shapes."""
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
    """Neighbour pairs of each crystal, where a cutoff asks for them; one with absurdly many is set aside."""
    if job.cutoff is None:
        return [], tokens, kept
    from crystalfw.core.neighbours import neighbour_arrays

    found: dict[int, Neighbours] = {}
    for place, (_, record, crystal) in enumerate(kept):
        try:
            found[place] = Neighbours(*neighbour_arrays(crystal, job.cutoff))
        except DataError as error:
            rejected.append(Rejected(record.file, record.row, crystal.id, f"no neighbour list: {error}"))
    return list(found.values()), [tokens[k] for k in found] if tokens else [], [kept[k] for k in found]


def assign_part(part: str, crystal: Crystal, cut: Sequence[tuple[str, float]]) -> str:
    """The part of a crystal: the source's own, or one cut out of train by a hash of the reduced formula.

    The hash does not depend on the seed or on the other crystals: a formula is always on the same side.
    """
    if part != "train":
        return part
    place = formula_hash(crystal)
    for name, share in cut:
        if place < share:
            return name
        place -= share
    return "train"


def formula_hash(crystal: Crystal) -> float:
    """A number in [0, 1) from the reduced formula, the same everywhere and always."""
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    divisor = math.gcd(*(int(count) for count in counts))
    text = ",".join(f"{z}:{n // divisor}" for z, n in zip(numbers.tolist(), counts.tolist(), strict=True))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
