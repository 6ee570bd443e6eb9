"""Prepare once: source -> transforms -> strings -> neighbours, in parallel, resumable, cached by content.

The source is cut into shards of SHARD items; a worker writes each as one block file, atomically and only once. When all
blocks exist, they are assembled into the memory-mapped store and the folder is renamed into place.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.data.block import PARTS, Block, load_block
from crystalfw.core.data.executor import chunks, spread
from crystalfw.core.data.shard import Done, Job, modules_of, pack, summary, work
from crystalfw.core.data.store import FORMAT, MANIFEST, REJECTED, Dataset, SplitWriter, crc32, open_dataset, seal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Representation, Source, Transform
from crystalfw.core.recipe.schema import DataSection
from crystalfw.core.records import Record
from crystalfw.core.system.files import digest, one_at_a_time, write_atomically
from crystalfw.core.system.user_cache import user_cache

SHARD = 256
"""Source items per shard. Part of the format: results depend on it only through `max_crystals`."""

MAX_COLUMNS = 10_000
"""Property columns of a data set: every crystal has a place in each, so that files of many names would fill the disk."""

ReportProgress = Callable[[int, str, int | None], None]
"""Called with the number of source items done, a note, and the number of all items (None if it is not known)."""


def prepare(
    data: DataSection, source: Source, transforms: Sequence[Transform], representation: Representation | None, *,
    key: str, seed: int, cutoff: float | None = None, progress: ReportProgress | None = None,
) -> Dataset:  # fmt: skip
    """The prepared data set: from the cache if it is complete, otherwise prepared now.

    `key` stands for the options of transforms and representation. After a kill at any moment, the same call continues where
    it stopped and gives the same bytes. If two processes ask for the same data at once, one prepares it. Raises DataError
    if no crystal is left or a column of `data.columns` is missing.
    """
    if data.max_atoms < 1 or data.max_atoms > 65535:
        raise DataError(f"data.max_atoms must lie in 1-65535; got {data.max_atoms}")
    job = Job(
        source=source, transforms=tuple(transforms), representation=representation, cutoff=cutoff,
        max_atoms=data.max_atoms, seed=seed, cut=_cut(data, source),
    )  # fmt: skip
    cache = Path(data.cache) if data.cache else user_cache()
    folder = cache / "prepared" / content_key(data, job, key)
    _make_folder(folder.parent)
    with one_at_a_time(folder.with_suffix(".lock"), "another process prepares the same data; waiting for it"):
        found = open_dataset(folder)
        if isinstance(found, str):
            if folder.exists():
                print(f"cache: {found}; preparing again")
                shutil.rmtree(folder)
            try:
                _build(folder, data, job, progress)
            except OSError as error:
                raise DataError(
                    f"preparation stopped at {error.filename or folder}: {error.strerror}. Finished work is kept; "
                    "free disk space or set data.cache to another folder, and run the same command again"
                ) from error
            found = open_dataset(folder)
            assert isinstance(found, Dataset), found
    _require_columns(data, found)
    return found


def content_key(data: DataSection, job: Job, key: str) -> str:
    """Hash of everything that decides what the prepared data holds: content, options, versions."""
    versions = {name: importlib.metadata.version(name) for name in ("crystalfw", "pymatgen", "spglib", "numpy")}
    parts = {
        "format": [FORMAT, SHARD],
        "key": key,
        "source": [_class_name(job.source), job.source.fingerprint()],
        "transforms": [[_class_name(item), repr(item.config)] for item in job.transforms],
        "representation": job.representation and [_class_name(job.representation), repr(job.representation.config)],
        "data": [job.max_atoms, data.max_crystals, job.cut, job.cutoff],
        "seed": job.seed,
        "versions": versions,
    }
    return digest(json.dumps(parts, sort_keys=True).encode())[:24]


def _class_name(component: object) -> str:
    return f"{type(component).__module__}.{type(component).__qualname__}"


def _cut(data: DataSection, source: Source) -> tuple[tuple[str, float], ...]:
    """Parts that the source lacks, with the share of train that each takes."""
    parts = source.parts()
    unknown = set(parts) - set(PARTS)
    if unknown or not parts:
        raise DataError(f"a source's parts are train, val and test; this one has {', '.join(parts) or 'none'}")
    shares = {"test": data.test, "val": data.validation}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise DataError(f"data.{'validation' if name == 'val' else name} must lie in 0-1; got {share}")
    return tuple((name, share) for name, share in shares.items() if name not in parts and share > 0)


def _build(folder: Path, data: DataSection, job: Job, progress: ReportProgress | None) -> None:
    building = folder.with_suffix(".building")
    shards = building / "shards"
    _make_folder(shards)
    told = _Told(progress, data, job)
    counts = _do_shards(shards, data, job, told)
    paths = [shards / f"{part}-{k:08d}.npz" for part, count in counts.items() for k in range(count)]
    final = building / "store"
    shutil.rmtree(final, ignore_errors=True)
    final.mkdir()
    _assemble(final, paths, data, job)
    os.replace(final, folder)
    shutil.rmtree(building)


def _do_shards(shards: Path, data: DataSection, job: Job, told: _Told) -> dict[str, int]:
    """Make the missing shards; for each part the number of shards to use."""
    full = set[str]()

    def calls() -> Iterator[tuple[Any, ...]]:
        for part in job.source.parts():
            for k, chunk in enumerate(chunks(job.source.records(part), SHARD)):
                if part in full:
                    break
                yield part, k * SHARD, chunk, str(shards / f"{part}-{k:08d}.npz")

    kept, counts = Counter[str](), dict.fromkeys(job.source.parts(), 0)
    results = spread(
        partial(_work_once, job), lambda: partial(_work_once, pack(job)), calls(),
        workers=data.workers, preload=modules_of(job), name=data.executor,
    )  # fmt: skip
    with closing(results):
        for part, size, done in results:
            if part in full:  # was in progress when the part became full
                continue
            counts[part] += 1
            kept[part] += done.by_part[PARTS.index(part)]
            told.say(size, done.rejected)
            if data.max_crystals is not None and kept[part] >= data.max_crystals:
                full.add(part)
    return counts


class _Told:
    """Progress over all parts of the source."""

    def __init__(self, progress: ReportProgress | None, data: DataSection, job: Job) -> None:
        self._progress, self._items, self._rejected = progress, 0, 0
        self._total: int | None = None
        if progress is not None and data.max_crystals is None:
            sizes = [job.source.size(part) for part in job.source.parts()]
            known = [size for size in sizes if size is not None]
            self._total = sum(known) if len(known) == len(sizes) else None

    def say(self, items: int, rejected: int) -> None:
        self._items, self._rejected = self._items + items, self._rejected + rejected
        if self._progress is not None:
            self._progress(self._items, f"{self._rejected:,} rejected" if self._rejected else "", self._total)


def _work_once(job: Job | bytes, part: str, first_row: int, records: list[Record], path: str) -> tuple[str, int, Done]:
    """Make a shard unless its file exists and is intact."""
    block = load_block(Path(path)) if os.path.exists(path) else None
    if block is not None and block.records == len(records):
        return part, len(records), summary(block)
    return part, len(records), work(job, part, first_row, records, path)


class _Quota:
    """Which crystals of each block go to which part, with at most `limit` per part."""

    def __init__(self, limit: int | None) -> None:
        self._limit, self._taken = limit, Counter[int]()

    def choose(self, block: Block) -> dict[str, NDArray[np.int64]]:
        chosen = {}
        for code, name in enumerate(PARTS):
            places = np.flatnonzero(block.part == code)
            if self._limit is not None:
                places = places[: max(0, self._limit - self._taken[code])]
            self._taken[code] += len(places)
            if len(places):
                chosen[name] = places
        return chosen


def _assemble(final: Path, paths: list[Path], data: DataSection, job: Job) -> None:
    """Assemble the shards in two passes: sizes and columns, then copying; one block is in memory at a time."""
    writers: dict[str, SplitWriter] = {}
    columns: set[str] = set()
    arrays: dict[str, tuple[int, ...]] = {}
    counts: Counter[str] = Counter()
    for block, chosen in _blocks(paths, data.max_crystals):
        columns |= set(block.columns)
        if len(columns) > MAX_COLUMNS:
            raise DataError(f"more than {MAX_COLUMNS:,} property columns; the last is {max(columns, key=len)[:40]!r}")
        counts.update(reason_class(item.reason) for item in block.rejected)
        if len(block.part):
            _agree(arrays, {name: array.shape[1:] for name, array in block.arrays.items()})
        for part, places in chosen.items():
            writers.setdefault(part, SplitWriter(final / part)).plan(block, places)
    if not writers:
        raise DataError(_nothing_left(counts, paths))
    for writer in writers.values():
        writer.create(sorted(columns), arrays)
    with open(final / REJECTED, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "row", "id", "reason"])
        for block, chosen in _blocks(paths, data.max_crystals):
            for part, places in chosen.items():
                writers[part].add(block, places)
            for item in block.rejected:
                table.writerow([item.file, "" if item.row is None else item.row, item.id, item.reason])
    manifest = {
        "parts": {part: writers[part].close() for part in PARTS if part in writers},
        "columns": sorted(columns), "arrays": list(arrays),
        "rejected": dict(counts), "rejected_crc32": crc32(final / REJECTED),
        "vocabulary_size": len(job.representation.vocabulary) if job.representation else 0, "cutoff": job.cutoff,
    }  # fmt: skip
    write_atomically(final / MANIFEST, seal(manifest))


def _blocks(paths: list[Path], limit: int | None) -> Iterator[tuple[Block, dict[str, NDArray[np.int64]]]]:
    quota = _Quota(limit)
    for path in paths:
        block = load_block(path)
        if block is None:
            path.unlink(missing_ok=True)
            raise DataError(f"{path} was damaged after it was written; it is removed, run the same command again")
        yield block, quota.choose(block)


def _agree(arrays: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    """Raise DataError unless each named array has one shape in the whole data set."""
    if arrays and arrays != found:
        raise DataError(f"embeddings differ in shape within the data: {arrays} and {found or 'none'}")
    arrays.update(found)


def reason_class(reason: str) -> str:
    """The part of a reason that is counted: the text before the first colon, bracket or line break."""
    return reason.split("\n", 1)[0].split(":", 1)[0].split(" (", 1)[0].split(" on site ", 1)[0].strip()[:80]


def _nothing_left(counts: Counter[str], paths: list[Path]) -> str:
    if not counts:
        return "the data holds no crystal: the file or folder has no rows"
    listing = "; ".join(f"{reason} ({count})" for reason, count in counts.most_common(5))
    first = next(item for path in paths for item in getattr(load_block(path), "rejected", ()))
    place = ", ".join(
        text for text in (first.file, first.row is not None and f"row {first.row}", first.id and f"id {first.id}") if text
    )
    return f"no usable crystal: all {sum(counts.values())} were rejected: {listing}. The first: {place}: {first.reason}"


def _require_columns(data: DataSection, found: Dataset) -> None:
    missing = [name for name in data.columns if name not in found.columns]
    if missing:
        known = ", ".join(found.columns) or "none"
        raise DataError(f"{data.path or 'the data'} has no numeric column {', '.join(missing)}; it has {known}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write prepared data to {folder}: {error.strerror}. Set data.cache to another folder"
        ) from error
