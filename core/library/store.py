"""A library on disk: a folder of arrays that are memory-mapped, and manifest.json with counts, sources and checksums.

Shapes: K entries, N atoms of all entries, S slots of all entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError
from crystalfw.core.library.entry import Entry
from crystalfw.core.system.files import file_digest

FORMAT = 1
MANIFEST = "manifest.json"
ARRAYS = {
    "lattice": ("<f8", (3, 3)), "group": ("<i2", ()), "units": ("<i4", ()), "source": ("<i2", ()),
    "n_atoms": ("<i4", ()), "n_slots": ("<i2", ()), "id_bytes": ("<i4", ()), "letter_bytes": ("<i4", ()),
    "frac_coords": ("<f8", (3,)), "numbers": ("<i2", ()), "elements": ("<i2", ()), "counts": ("<i4", ()),
    "ids": ("<u1", ()), "letters": ("<u1", ()),
}  # fmt: skip
"""Name -> type and inner shape; files NAME.bin, raw and little-endian."""


def pack(entries: Sequence[Entry]) -> dict[str, NDArray[Any]]:
    """Entries as the arrays of a library."""
    ids = [entry.id.encode() for entry in entries]
    letters = [",".join(entry.letters).encode() for entry in entries]
    columns: dict[str, Any] = {
        "lattice": [entry.lattice for entry in entries], "group": [entry.group for entry in entries],
        "units": [entry.units for entry in entries], "source": [entry.source for entry in entries],
        "n_atoms": [len(entry.numbers) for entry in entries], "n_slots": [len(entry.elements) for entry in entries],
        "id_bytes": [len(text) for text in ids], "letter_bytes": [len(text) for text in letters],
        "frac_coords": [row for entry in entries for row in entry.frac_coords],
        "numbers": [number for entry in entries for number in entry.numbers],
        "elements": [number for entry in entries for number in entry.elements],
        "counts": [count for entry in entries for count in entry.counts],
        "ids": np.frombuffer(b"".join(ids), dtype=np.uint8), "letters": np.frombuffer(b"".join(letters), dtype=np.uint8),
    }  # fmt: skip
    return {name: np.asarray(columns[name], dtype=kind).reshape(-1, *inner) for name, (kind, inner) in ARRAYS.items()}


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says."""

    entries: int
    read: int
    """Crystals that the library was built from."""
    rejected: dict[str, int]
    """Reason -> rows that gave no entry."""
    sources: list[dict[str, str]]
    """Name and licence note of each source."""
    sha256: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """One hash for the content of all arrays."""
        return hashlib.sha256(json.dumps(self.sha256, sort_keys=True).encode()).hexdigest()


class Library:
    """Entries read where they lie; opening a million of them takes no memory."""

    def __init__(self, manifest: Manifest, arrays: dict[str, NDArray[Any]]) -> None:
        self.manifest, self._arrays = manifest, arrays
        self._starts = {name: _starts(arrays[name]) for name in ("n_atoms", "n_slots", "id_bytes", "letter_bytes")}

    @classmethod
    def of(cls, entries: Sequence[Entry], source: str = "given in Python") -> Library:
        """A library in memory."""
        manifest = Manifest(len(entries), len(entries), {}, [{"name": source, "licence": ""}])
        arrays = pack(entries)
        digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
        return cls(Manifest(**{**vars(manifest), "sha256": digests}), arrays)

    @classmethod
    def open(cls, folder: str | Path) -> Library:
        """Map a library's files; raises DataError where it is missing, damaged or of a newer format."""
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(f"{folder}: no library there; make one with: crystalfw library build CRYSTALS -o {folder}")
        try:
            manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
            missing = set(ARRAYS) - set(manifest.sha256)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: damaged; build the library again ({error})") from error
        if manifest.format > FORMAT or missing:
            raise DataError(f"{path}: a library of format {manifest.format}; this crystalfw reads up to {FORMAT}")
        arrays = {}
        for name, (kind, inner) in ARRAYS.items():
            file = folder / f"{name}.bin"
            if not file.is_file() or file_digest(file) != manifest.sha256[name]:
                raise DataError(f"{file}: missing or damaged (its checksum is wrong); build the library again")
            empty = file.stat().st_size == 0
            flat = np.zeros(0, dtype=kind) if empty else np.memmap(file, dtype=kind, mode="r")
            arrays[name] = flat.reshape(-1, *inner)
        return cls(manifest, arrays)

    def __len__(self) -> int:
        return len(self._arrays["group"])

    def __getitem__(self, index: int) -> Entry:
        a = self._arrays
        atoms, slots = self._range("n_atoms", index), self._range("n_slots", index)
        return Entry(
            lattice=np.array(a["lattice"][index]), frac_coords=np.array(a["frac_coords"][atoms]),
            numbers=a["numbers"][atoms].astype(np.int64), elements=tuple(a["elements"][slots].tolist()),
            counts=tuple(a["counts"][slots].tolist()), units=int(a["units"][index]), group=int(a["group"][index]),
            letters=self.letters(index), id=self.id(index), source=int(a["source"][index]),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Entry]:
        return (self[index] for index in range(len(self)))

    def id(self, index: int) -> str:
        """Id of an entry in its source."""
        return bytes(self._arrays["ids"][self._range("id_bytes", index)]).decode()

    def letters(self, index: int) -> tuple[str, ...]:
        """Wyckoff letters of each slot of an entry."""
        return tuple(bytes(self._arrays["letters"][self._range("letter_bytes", index)]).decode().split(","))

    def source(self, index: int) -> str:
        """Name of the source that an entry comes from."""
        return self.manifest.sources[int(self._arrays["source"][index])]["name"]

    def slots(self, index: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Elements and counts of an entry's reduced formula."""
        where = self._range("n_slots", index)
        return tuple(self._arrays["elements"][where].tolist()), tuple(self._arrays["counts"][where].tolist())

    def group_and_units(self, index: int) -> tuple[int, int]:
        """Space group and formula units of an entry."""
        return int(self._arrays["group"][index]), int(self._arrays["units"][index])

    def _range(self, name: str, index: int) -> slice:
        starts = self._starts[name]
        return slice(int(starts[index]), int(starts[index + 1]))


def _starts(lengths: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
