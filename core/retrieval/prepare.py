"""Once for a data set: library of its train part, fitted retriever, and the strings retrieved for every crystal.

Chunks of CHUNK crystals are looked up in parallel and kept as files, so that a killed preparation continues; memory holds a
few chunks. A crystal's own formula is never among its strings, in no part of the data.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.executor import spread
from crystalfw.core.data.retrieved import assemble, open_retrieved, pack
from crystalfw.core.data.store import Dataset, Split, open_dataset
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Representation, Source
from crystalfw.core.library.build import Origin, build_library
from crystalfw.core.library.store import MANIFEST, Library
from crystalfw.core.recipe.schema import DataSection, RetrievalSection
from crystalfw.core.records import Rejected
from crystalfw.core.retrieval.lookup import LIBRARY, Lookup, fit_retriever, numbers_only, open_lookup
from crystalfw.core.system.files import digest, one_at_a_time
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.user_cache import user_cache

FORMAT = 2
CHUNK = 128
Say = Callable[[str], None]


class TrainPart(Source):
    """The train part of a prepared data set, for a library to be built from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def parts(self) -> tuple[str, ...]:
        """Only train."""
        return ("train",)

    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        """The crystals, streamed."""
        found = open_dataset(self._folder)
        if isinstance(found, str):
            raise DataError(f"{self._folder}: {found}; prepare the data again")
        split = found.splits[part]
        return (split[index] for index in range(len(split)))

    def fingerprint(self) -> str:
        """The prepared folder's name is a hash of its content."""
        return self._folder.name


def retrieve(
    dataset: Dataset, section: RetrievalSection, representation: Representation, n: int, data: DataSection, seed: int, say: Say
) -> Path:
    """Look up n strings for every crystal of the data set, unless that was done; the folder of library and retriever.

    Every split then has its `retrieved`. Raises DataError for a library that is missing or damaged.
    """
    given = None if section.library is None else Library.open(section.library).manifest.digest
    spec = section.retriever
    name = digest(json.dumps([FORMAT, dataset.folder.name, given, spec.name, repr(spec.config), seed]).encode())[:24]
    folder = (Path(data.cache) if data.cache else user_cache()) / "retrieved" / name
    folder.mkdir(parents=True, exist_ok=True)
    strings = folder / f"strings-{n}"
    with one_at_a_time(folder / "lock", "another process retrieves for the same data; waiting for it"):
        if not _attached(dataset, strings):
            _library(folder / LIBRARY, dataset, section, data)
            fit_retriever(folder, spec, seed, say)
            lookup = open_lookup(folder, spec, representation, n)
            packed = pickle.dumps((folder, spec, representation, n))
            for part, split in dataset.splits.items():
                _look_up(lookup, packed, split, strings / part, data)
    if not _attached(dataset, strings):
        raise DataError(f"{strings}: damaged after it was written; remove the folder and run the same command again")
    return folder


def _attached(dataset: Dataset, strings: Path) -> bool:
    for part, split in dataset.splits.items():
        split.retrieved = open_retrieved(strings / part)
        if split.retrieved is None or len(split.retrieved) != len(split):
            return False
    return True


def _library(folder: Path, dataset: Dataset, section: RetrievalSection, data: DataSection) -> None:
    if (folder / MANIFEST).is_file():
        return
    if section.library is not None:
        shutil.copytree(section.library, folder, dirs_exist_ok=True)
        return
    origin = Origin(TrainPart(dataset.folder), f"{data.path or 'prototypes'}, part train")
    build_library([origin], folder, workers=data.workers, executor=data.executor)


def _look_up(lookup: Lookup, packed: bytes, split: Split, folder: Path, data: DataSection) -> None:
    partial_folder = folder.with_name(f".{folder.name}")
    partial_folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(split), CHUNK)
    paths = [partial_folder / f"{start:09d}.npz" for start in starts]
    calls = (
        ([split.ragged("numbers", "atoms", k).astype(np.int64) for k in range(start, min(start + CHUNK, len(split)))], path)
        for start, path in zip(starts, paths, strict=True)
    )
    preload = [__name__, "spglib", type(lookup.retriever).__module__, type(lookup.representation).__module__]
    progress = Progress(f"retrieve for {split.name}", len(split))
    done = spread(
        partial(_chunk, lookup), lambda: partial(_chunk_elsewhere, packed), calls,
        workers=data.workers, preload=preload, name=data.executor,
    )  # fmt: skip
    for number, _ in enumerate(done, start=1):
        progress.update(min(number * CHUNK, len(split)))
    progress.close()
    assemble(paths, folder)
    shutil.rmtree(partial_folder)


def _chunk(lookup: Lookup, numbers: list[NDArray[np.int64]], path: Path) -> None:
    if path.exists():
        return
    rows = [lookup.strings(numbers_only(own), exclude_own=True) for own in numbers]
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "wb") as file:
        np.savez(file, **pack(rows))  # type: ignore[arg-type]
    temporary.replace(path)


def _chunk_elsewhere(packed: bytes, numbers: list[NDArray[np.int64]], path: Path) -> None:
    _chunk(_unpacked(packed), numbers, path)


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Lookup:
    return open_lookup(*pickle.loads(packed))  # noqa: S301 - written by our own parent process
