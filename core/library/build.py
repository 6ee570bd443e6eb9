"""Sources -> library: described in parallel, kept in chunks so that a killed build continues, one entry per formula and type.

FOLDER/.partial holds finished chunks and is removed at the end. Memory holds a hash of each entry and one chunk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.executor import PROCESSES, chunks, spread
from crystalfw.core.data.reading import read_sound
from crystalfw.core.errors import DataError, Interrupted, Reject
from crystalfw.core.interfaces import Source
from crystalfw.core.library.entry import Entry, describe
from crystalfw.core.library.store import ARRAYS, MANIFEST, RELABELINGS, Library, Manifest, pack
from crystalfw.core.library.wyckoff import installed_relabelings
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.files import digest, write_atomically
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.signals import StopRequest

CHUNK = 256
"""Crystals described by one call of a worker."""


@dataclass(frozen=True)
class Origin:
    """A source of known crystals, with what the library says of it."""

    source: Source
    name: str
    licence: str = ""
    parts: tuple[str, ...] | None = None
    """Parts to take; all where None."""


@dataclass(frozen=True)
class _Described:
    entries: list[Entry]
    reasons: list[str]
    """Why the other rows gave no entry."""


def build_library(
    origins: Sequence[Origin], folder: Path, *, max_atoms: int = 500, workers: int = 0, executor: str = PROCESSES
) -> Library:
    """Build (or finish building) a library in `folder`; of several entries of one formula and type the first stays.

    Raises DataError where the folder holds something else, another build, or where nothing can be read; Interrupted on a
    signal, after which the same call continues.
    """
    if (folder / MANIFEST).exists():
        raise DataError(f"{folder}: there is a library already; remove it or choose another folder with -o")
    partial = _begin(origins, folder, max_atoms)
    _describe_all(origins, partial, max_atoms, workers, executor)
    _merge(partial, folder, [{"name": origin.name, "licence": origin.licence} for origin in origins])
    shutil.rmtree(partial)
    return Library.open(folder)


def _begin(origins: Sequence[Origin], folder: Path, max_atoms: int) -> Path:
    partial = folder / ".partial"
    if folder.exists() and not partial.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder}: the folder is not empty; choose another with -o")
    partial.mkdir(parents=True, exist_ok=True)
    request = json.dumps([max_atoms, [[o.name, o.licence, o.source.fingerprint(), o.parts] for o in origins]])
    record = partial / "request.json"
    if record.exists() and record.read_text(encoding="utf-8") != request:
        raise DataError(f"{folder}: an unfinished library of other crystals lies there; remove the folder or choose another")
    write_atomically(record, request.encode())
    return partial


def _records(origins: Sequence[Origin]) -> Iterator[tuple[int, Record]]:
    for number, origin in enumerate(origins):
        for part in origin.parts or origin.source.parts():
            for record in origin.source.records(part):
                yield number, record


def _describe_all(origins: Sequence[Origin], partial: Path, max_atoms: int, workers: int, executor: str) -> None:
    done = 0
    while (partial / f"{done:06d}.npz").exists():
        done += 1
    sources = [origin.source for origin in origins]
    waiting = chunks(islice(_records(origins), done * CHUNK, None), CHUNK)
    progress = Progress("library", None, start=done * CHUNK)
    preload = ["spglib", "pymatgen.core", __name__]
    calls = ((sources, chunk, max_atoms) for chunk in waiting)
    with StopRequest() as stop:
        for found in spread(described, lambda: described, calls, workers=workers, preload=preload, name=executor):
            _save(partial / f"{done:06d}.npz", found)
            done += 1
            progress.update(done * CHUNK)
            if stop.requested:
                raise Interrupted(f"stopped by {stop.requested}; the same command continues from there", signal=stop.requested)
    progress.close()


def described(sources: Sequence[Source], chunk: Sequence[tuple[int, Record]], max_atoms: int) -> _Described:
    """The entries of some records, in order, and the reasons of the others."""
    entries, reasons = [], []
    for number, record in chunk:
        item: Crystal | Rejected = read_sound(sources[number], record, max_atoms=max_atoms)
        if isinstance(item, Rejected):
            reasons.append(item.reason)
            continue
        try:
            entries.append(replace(describe(item), source=number))
        except Reject as error:
            reasons.append(error.reason)
    return _Described(entries, reasons)


def _save(path: Path, found: _Described) -> None:
    arrays = pack(found.entries)
    keys = b"".join(hashlib.sha256(entry.key.encode()).digest()[:16] for entry in found.entries)
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays, keys=np.frombuffer(keys, dtype="V16"), reasons=np.array(found.reasons, dtype=str))  # type: ignore[arg-type]
    temporary.replace(path)


def _merge(partial: Path, folder: Path, sources: list[dict[str, str]]) -> None:
    """Append the chunks to the arrays of the library, entries seen before left out; the manifest comes last."""
    seen: set[bytes] = set()
    rejected: Counter[str] = Counter()
    read = 0
    digests: dict[str, Any] = {name: hashlib.sha256() for name in ARRAYS}
    files = {name: open(folder / f"{name}.bin", "wb") for name in ARRAYS}  # noqa: SIM115 - closed below
    try:
        for path in sorted(partial.glob("*.npz")):
            with np.load(path) as chunk:
                keys = [key.tobytes() for key in chunk["keys"]]
                rejected.update(reason.split(":")[0] for reason in chunk["reasons"].tolist())
                read += len(keys) + len(chunk["reasons"])
                fresh = _first_times(keys, seen)
                for name, array in _picked({name: chunk[name] for name in ARRAYS}, fresh).items():
                    data = array.tobytes()
                    digests[name].update(data)
                    files[name].write(data)
    finally:
        for file in files.values():
            file.close()
    if not seen:
        why = "; ".join(f"{count:,} x {reason}" for reason, count in rejected.most_common(3))
        raise DataError(f"{folder}: no crystal of {read:,} rows can be used{f': {why}' if why else ''}")
    spellings = installed_relabelings()
    write_atomically(folder / f"{RELABELINGS}.json", spellings)
    checksums = {name: d.hexdigest() for name, d in digests.items()} | {RELABELINGS: digest(spellings)}
    manifest = Manifest(len(seen), read, dict(rejected), sources, checksums)
    write_atomically(folder / MANIFEST, json.dumps(vars(manifest), indent=2).encode())


def _first_times(keys: Sequence[bytes], seen: set[bytes]) -> NDArray[np.bool_]:
    """True for keys that are new; they are added to `seen`."""
    fresh = np.zeros(len(keys), dtype=bool)
    for place, key in enumerate(keys):
        fresh[place] = key not in seen
        seen.add(key)
    return fresh


_PER = {"coordinates": "n_atoms", "elements": "n_slots", "counts": "n_slots", "ids": "id_bytes",
        "letters": "letter_bytes"}  # fmt: skip


def _picked(arrays: dict[str, Any], keep: Any) -> dict[str, Any]:
    """The arrays of the entries to keep."""
    return {name: array[np.repeat(keep, arrays[_PER[name]]) if name in _PER else keep] for name, array in arrays.items()}
