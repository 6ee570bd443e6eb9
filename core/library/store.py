"""A library on disk: a folder of arrays that are memory-mapped, and manifest.json with counts, sources and checksums.

An entry takes some 160 bytes: coordinates are kept to 1/65520 of the cell, lengths and angles to 1e-4 angstrom and degrees.
What is lost is below 0.001 angstrom, a hundredth of the tolerance at which symmetry is found.

Shapes: K entries, N atoms of all entries, S slots of all entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import lattice_from_parameters, lattice_to_parameters
from crystalfw.core.errors import DataError
from crystalfw.core.library.entry import Entry
from crystalfw.core.library.wyckoff import canonical_letters, installed_relabelings
from crystalfw.core.system.files import file_digest

FORMAT = 2
MANIFEST = "manifest.json"
GRID = 65_520
"""Steps of a fractional coordinate: 16 x 9 x 5 x 7 x 13, so that 1/3, 1/8 and 5/12 are kept exactly."""
DIGITS = 4
"""Decimals of lengths and angles."""
PER_ENTRY = {
    "cell": ("<f4", (6,)), "group": ("<u1", ()), "units": ("<u2", ()), "source": ("<u2", ()),
    "n_slots": ("<u1", ()), "id_bytes": ("<u2", ()), "letter_bytes": ("<u2", ()), "n_atoms": ("<u2", ()),
}  # fmt: skip
PER_ITEM = {
    "coordinates": ("<u2", (3,)), "elements": ("<u1", ()), "counts": ("<u2", ()), "ids": ("<u1", ()), "letters": ("<u1", ()),
}  # fmt: skip
ARRAYS = PER_ENTRY | PER_ITEM
"""Name -> type and inner shape; files NAME.bin, raw and little-endian. Atoms lie slot after slot."""
RELABELINGS = "relabelings"
"""One more file: the equivalent spellings of Wyckoff letters, as they were when the library was built."""


def pack(entries: Sequence[Entry]) -> dict[str, NDArray[Any]]:
    """Entries as the arrays of a library."""
    ids = [entry.id.encode() for entry in entries]
    letters = [",".join(entry.letters).encode() for entry in entries]
    cells, coordinates = zip(*(_geometry(entry) for entry in entries), strict=True) if entries else ((), ())
    columns: dict[str, Any] = {
        "cell": cells, "group": [entry.group for entry in entries],
        "units": [entry.units for entry in entries], "source": [entry.source for entry in entries],
        "n_atoms": [len(entry.numbers) for entry in entries], "n_slots": [len(entry.elements) for entry in entries],
        "id_bytes": [len(text) for text in ids], "letter_bytes": [len(text) for text in letters],
        "coordinates": np.concatenate(coordinates) if coordinates else [],
        "elements": [number for entry in entries for number in entry.elements],
        "counts": [count for entry in entries for count in entry.counts],
        "ids": np.frombuffer(b"".join(ids), dtype=np.uint8), "letters": np.frombuffer(b"".join(letters), dtype=np.uint8),
    }  # fmt: skip
    return {name: np.asarray(columns[name], dtype=kind).reshape(-1, *inner) for name, (kind, inner) in ARRAYS.items()}


def _geometry(entry: Entry) -> tuple[NDArray[Any], NDArray[Any]]:
    """(6,) lengths and angles, (N, 3) steps of the grid. A left-handed cell is turned: both its axes and its atoms."""
    frac = entry.frac_coords if np.linalg.det(entry.lattice) > 0 else -entry.frac_coords
    cell = np.concatenate(lattice_to_parameters(entry.lattice))
    return np.round(cell, DIGITS), np.round(np.mod(frac, 1.0) * GRID).astype(np.int64) % GRID


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
    """Entries read where they lie; opening a million of them takes no memory but their positions."""

    def __init__(self, manifest: Manifest, arrays: dict[str, NDArray[Any]], relabelings: bytes, folder: Path | None) -> None:
        self.manifest, self._arrays, self._relabelings, self.folder = manifest, arrays, relabelings, folder
        self._starts = {name: _starts(arrays[name]) for name in ("n_atoms", "n_slots", "id_bytes", "letter_bytes")}

    @classmethod
    def of(cls, entries: Sequence[Entry], source: str = "given in Python") -> Library:
        """A library in memory."""
        manifest = Manifest(len(entries), len(entries), {}, [{"name": source, "licence": ""}])
        arrays = pack(entries)
        digests = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
        return cls(Manifest(**{**vars(manifest), "sha256": digests}), arrays, installed_relabelings(), None)

    @classmethod
    def open(cls, folder: str | Path) -> Library:
        """Map a library's files; raises DataError where it is missing, damaged, empty or of another format."""
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise DataError(f"{folder}: no library there; make one with: crystalfw library build CRYSTALS -o {folder}")
        try:
            manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
            named = set(manifest.sha256)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: damaged; build the library again ({error})") from error
        if manifest.format != FORMAT or not named >= {*ARRAYS, RELABELINGS}:
            raise DataError(
                f"{path}: a library of format {manifest.format}; this crystalfw reads format {FORMAT}: build it again"
            )
        for name in (*ARRAYS, RELABELINGS):
            file = _file(folder, name)
            if not file.is_file() or file_digest(file) != manifest.sha256[name]:
                raise DataError(f"{file}: missing or damaged (its checksum is wrong); build the library again")
        if not manifest.entries:
            raise DataError(f"{folder}: it holds no crystal; make a library with: crystalfw library build CRYSTALS -o FOLDER")
        arrays = {name: _mapped(_file(folder, name), kind, inner) for name, (kind, inner) in ARRAYS.items()}
        return cls(manifest, arrays, _file(folder, RELABELINGS).read_bytes(), folder)

    def __len__(self) -> int:
        return len(self._arrays["group"])

    def __getitem__(self, index: int) -> Entry:
        a = self._arrays
        slots = self._range("n_slots", index)
        elements, counts, units = a["elements"][slots].tolist(), a["counts"][slots].tolist(), int(a["units"][index])
        cell = np.round(a["cell"][index].astype(np.float64), DIGITS)
        return Entry(
            lattice=lattice_from_parameters(cell[:3], cell[3:]),
            frac_coords=a["coordinates"][self._range("n_atoms", index)] / GRID,
            numbers=np.repeat(elements, np.array(counts, dtype=np.int64) * units), elements=tuple(elements),
            counts=tuple(counts), units=units, group=int(a["group"][index]),
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

    def canonical(self, group: int, letters: tuple[str, ...]) -> tuple[str, ...]:
        """The one spelling of letters in this library."""
        return canonical_letters(group, letters, self._relabelings)

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

    def rows_of(self, counts: tuple[int, ...]) -> list[int]:
        """Positions of the entries of an anonymous formula, in order."""
        likely = np.flatnonzero(self._ratios == _ratio_key(np.array(counts), np.arange(len(counts))).sum())
        return [int(row) for row in likely if self.slots(int(row))[1] == counts]

    def ratios(self) -> dict[tuple[int, ...], int]:
        """Anonymous formula -> number of entries, in the order in which they first appear."""
        _, first, count = np.unique(self._ratios, return_index=True, return_counts=True)
        return {self.slots(int(first[k]))[1]: int(count[k]) for k in np.argsort(first)}

    @cached_property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that occur in any entry."""
        return frozenset(np.unique(self._arrays["elements"]).tolist())

    @cached_property
    def _ratios(self) -> NDArray[np.uint64]:
        """(K,) a hash of each entry's counts."""
        starts = self._starts["n_slots"]
        place = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
        return np.add.reduceat(_ratio_key(self._arrays["counts"], place), starts[:-1])

    def _range(self, name: str, index: int) -> slice:
        starts = self._starts[name]
        return slice(int(starts[index]), int(starts[index + 1]))


def _ratio_key(counts: NDArray[Any], place: NDArray[Any]) -> NDArray[np.uint64]:
    """A hash of each slot's count and place (splitmix64's finaliser); the sum over slots stands for the formula."""
    with np.errstate(over="ignore"):
        mixed = (counts.astype(np.uint64) * np.uint64(1 << 8) + place.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        return np.asarray((mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))


def _starts(lengths: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _file(folder: Path, name: str) -> Path:
    return folder / (f"{name}.json" if name == RELABELINGS else f"{name}.bin")


def _mapped(file: Path, kind: str, inner: tuple[int, ...]) -> NDArray[Any]:
    flat = np.memmap(file, dtype=kind, mode="r") if file.stat().st_size else np.zeros(0, dtype=kind)
    return flat.reshape(-1, *inner)
