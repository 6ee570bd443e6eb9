"""The prepared data on disk: flat arrays, memory-mapped, with checksums; a Split reads single crystals out of them.

A folder holds manifest.json, rejected.csv and per part one .npy file per field (see block.py), offsets (n + 1,) of each
ragged group, columns (K, n), and one file per named array (n, ...). Shapes: n crystals.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.block import PER_CRYSTAL, RAGGED, Block
from crystalfw.core.system.sequences import LazySequence
from crystalfw.core.system.wording import counted

if TYPE_CHECKING:
    from crystalfw.core.data.retrieved import Retrieved

FORMAT = 1
MANIFEST = "manifest.json"
REJECTED = "rejected.csv"
_CHUNK = 1 << 24


class Split(LazySequence[Crystal]):
    """The crystals of train, val or test, read-only; memory-mapped, so that size costs no memory."""

    def __init__(
        self, name: str, files: Mapping[str, NDArray[Any]], column_names: Sequence[str], array_names: Sequence[str],
        vocabulary_size: int, cutoff: float | None,
    ) -> None:  # fmt: skip
        self.name, self.vocabulary_size, self.cutoff = name, vocabulary_size, cutoff
        self.files = files
        self.column_names, self.array_names = tuple(column_names), tuple(array_names)
        self.offsets = {group: files[f"{group}_offset"] for group in RAGGED}
        self.retrieved: Retrieved | None = None
        """Strings of known crystals for each of its crystals, where the encoder asks for them (core/retrieval)."""

    def __len__(self) -> int:
        return len(self.files["lattice"])

    @property
    def has_tokens(self) -> bool:
        """True if the crystals were encoded as strings."""
        return self.vocabulary_size > 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each string, begin and end included; without strings, atoms."""
        return np.diff(self.offsets["tokens"] if self.has_tokens else self.offsets["atoms"])

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """(n,) atoms of each crystal."""
        return np.diff(self.offsets["atoms"])

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Property columns by name, each (n,), NaN where missing."""
        return {name: self.column(name) for name in self.column_names}

    def column(self, name: str) -> NDArray[np.float64]:
        """(n,) one property; raises KeyError for an unknown name."""
        if name not in self.column_names:
            raise KeyError(f"no column '{name}'; there are {', '.join(self.column_names) or 'none'}")
        column: NDArray[np.float64] = self.files["columns"][self.column_names.index(name)]
        return column

    def array(self, name: str) -> NDArray[np.float32]:
        """(n, K) or (n, M, K) one named array."""
        array: NDArray[np.float32] = self.files[f"array_{self.array_names.index(name)}"]
        return array

    def ragged(self, field: str, group: str, index: int) -> NDArray[Any]:
        """Crystal `index`'s entries of a ragged field."""
        start, stop = self.offsets[group][index : index + 2]
        return self.files[field][start:stop]

    def ids(self, index: int) -> NDArray[np.int64]:
        """Token ids of one string, begin and end included."""
        return self.ragged("tokens", "tokens", index).astype(np.int64)

    def id(self, index: int) -> str:
        """Identifier of one crystal in its source; empty if it had none."""
        return self.ragged("id_bytes", "ids", index).tobytes().decode()

    def _item(self, index: int) -> Crystal:
        """One crystal, with its properties and arrays."""
        return Crystal(
            lattice=np.array(self.files["lattice"][index]),
            frac_coords=np.array(self.ragged("frac", "atoms", index)),
            numbers=self.ragged("numbers", "atoms", index).astype(np.int64),
            id=self.id(index),
            properties={name: float(self.files["columns"][k, index]) for k, name in enumerate(self.column_names)},
            arrays={name: np.array(self.array(name)[index]) for name in self.array_names},
        )

    @property
    def unigram_counts(self) -> NDArray[np.int64]:
        """(V,) how often each token occurs after the first position: the unigram model."""
        tokens = self.files["tokens"]
        counts = np.zeros(self.vocabulary_size, dtype=np.int64)
        for start in range(0, len(tokens), _CHUNK):
            counts += np.bincount(tokens[start : start + _CHUNK], minlength=self.vocabulary_size)
        if len(tokens):
            # the begin token is given, not predicted
            counts[int(tokens[0])] -= len(self)
        return counts


class Dataset:
    """Prepared data: splits, property columns, and what was rejected and why."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.columns: tuple[str, ...] = tuple(manifest["columns"])
        """Names of the property columns."""
        self.rejected_path = folder / REJECTED
        """CSV with file, row, id, reason of every crystal rejected."""
        self.rejected: Counter[str] = Counter(manifest["rejected"])
        """Crystals rejected, by reason."""
        self.splits: dict[str, Split] = {
            name: Split(
                name, _open_files(folder, name, files), manifest["columns"], manifest["arrays"],
                manifest["vocabulary_size"], manifest["cutoff"],
            )
            for name, files in manifest["parts"].items()
        }  # fmt: skip

    def __len__(self) -> int:
        return sum(len(split) for split in self.splits.values())

    def summary(self) -> str:
        """Sizes of the splits and counts of what was rejected, for the screen."""
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        lines = [f"prepared {counted(len(self), 'crystal')}: {sizes}"]
        if self.rejected:
            lines.append(f"rejected {sum(self.rejected.values()):,}, listed in {self.rejected_path}:")
            lines += [f"  {count:>7,}  {reason}" for reason, count in self.rejected.most_common()]
        return "\n".join(lines)


def _open_files(folder: Path, split: str, files: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    opened = {}
    for name in files:
        path = folder / split / f"{name}.npy"
        array = np.load(path, mmap_mode="r", allow_pickle=False) if files[name]["mapped"] else np.load(path, allow_pickle=False)
        opened[name] = array
    return opened


class SplitWriter:
    """Assembles blocks into the files of one split, in two passes: sizes first (`plan`), then the data (`add`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.column_names: tuple[str, ...] = ()
        self.array_shapes: dict[str, tuple[int, ...]] = {}
        self.size, self.totals = 0, dict.fromkeys(RAGGED, 0)
        self._at, self._filled = 0, dict.fromkeys(RAGGED, 0)
        self._open: dict[str, NDArray[Any]] = {}

    def plan(self, block: Block, chosen: NDArray[np.int64]) -> None:
        """Count the crystals `chosen` of a block."""
        self.size += len(chosen)
        for group in RAGGED:
            self.totals[group] += int(block.counts[group][chosen].sum())

    def create(self, columns: Sequence[str], arrays: Mapping[str, tuple[int, ...]]) -> None:
        """Make the files, empty, for these property columns and named arrays (shape of one crystal's)."""
        self.column_names, self.array_shapes = tuple(columns), dict(arrays)
        self.folder.mkdir(parents=True)
        for name, (dtype, shape) in PER_CRYSTAL.items():
            self._make(name, dtype, (self.size, *shape))
        for group, fields in RAGGED.items():
            self._make(f"{group}_offset", "<i8", (self.size + 1,))
            for name, (dtype, shape) in fields.items():
                self._make(name, dtype, (self.totals[group], *shape))
        self._make("columns", "<f8", (len(self.column_names), self.size))
        for k, shape in enumerate(self.array_shapes.values()):
            self._make(f"array_{k}", "<f4", (self.size, *shape))

    def _make(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        path = self.folder / f"{name}.npy"
        if 0 in shape:
            # nothing to map: an empty file region cannot be memory-mapped
            np.save(path, np.zeros(shape, dtype=dtype))
            self._open[name] = np.zeros(shape, dtype=dtype)
        else:
            self._open[name] = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
            _reserve(path)

    def add(self, block: Block, chosen: NDArray[np.int64]) -> None:
        """Append the crystals `chosen` of a block."""
        at, stop = self._at, self._at + len(chosen)
        for name in PER_CRYSTAL:
            self._open[name][at:stop] = block.fields[name][chosen]
        for group, fields in RAGGED.items():
            counts = block.counts[group]
            ends = np.cumsum(counts)
            picked = np.zeros(int(counts.sum()), dtype=bool)
            for start, end in zip((ends - counts)[chosen].tolist(), ends[chosen].tolist(), strict=True):
                picked[start:end] = True
            filled = self._filled[group]
            self._open[f"{group}_offset"][at + 1 : stop + 1] = filled + np.cumsum(counts[chosen])
            self._filled[group] = filled + int(picked.sum())
            for name in fields:
                self._open[name][filled : self._filled[group]] = block.fields[name][picked]
        for k, name in enumerate(self.column_names):
            column = block.columns.get(name)
            self._open["columns"][k, at:stop] = np.nan if column is None else column[chosen]
        for k, name in enumerate(self.array_shapes):
            self._open[f"array_{k}"][at:stop] = block.arrays[name][chosen]
        self._at = stop

    def close(self) -> dict[str, dict[str, Any]]:
        """Flush, and describe every file: bytes, CRC-32, whether it can be mapped."""
        described = {}
        for name, array in self._open.items():
            mapped = isinstance(array, np.memmap)
            if mapped:
                array.flush()  # type: ignore[attr-defined]
            path = self.folder / f"{name}.npy"
            described[name] = {"bytes": path.stat().st_size, "crc32": crc32(path), "mapped": mapped}
        self._open.clear()
        return described


def _reserve(path: Path) -> None:
    """Allocate the file on disk now: a full disk raises OSError here, but would kill the process when mapped pages are
    written."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def crc32(path: Path) -> int:
    """Checksum of a file, read in pieces."""
    value = 0
    with open(path, "rb") as stream:
        while piece := stream.read(_CHUNK):
            value = zlib.crc32(piece, value)
    return value


def seal(manifest: Mapping[str, Any]) -> bytes:
    """The manifest's bytes, with a checksum of its own."""
    body = json.dumps(manifest, sort_keys=True)
    return json.dumps({"format": FORMAT, "crc32": zlib.crc32(body.encode()), "manifest": manifest}, sort_keys=True).encode()


def open_dataset(folder: Path) -> Dataset | str:
    """The data set in a folder, or why it cannot be used: missing, incomplete, truncated, damaged."""
    try:
        outer = json.loads((folder / MANIFEST).read_bytes())
        manifest = outer["manifest"]
        if outer["format"] != FORMAT or zlib.crc32(json.dumps(manifest, sort_keys=True).encode()) != outer["crc32"]:
            return f"{folder / MANIFEST} is damaged or of another version"
        for split, files in manifest["parts"].items():
            for name, expected in files.items():
                path = folder / split / f"{name}.npy"
                if path.stat().st_size != expected["bytes"] or crc32(path) != expected["crc32"]:
                    return f"{path} is damaged"
        if crc32(folder / REJECTED) != manifest["rejected_crc32"]:
            return f"{folder / REJECTED} is damaged"
        return Dataset(folder, manifest)
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{folder} cannot be read: {error}"
