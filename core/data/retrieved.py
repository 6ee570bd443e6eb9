"""Strings retrieved for the crystals of a split: flat arrays beside the prepared data, memory-mapped, with checksums.

Shapes: n crystals, S strings of all of them, T tokens of all strings, B crystals of a batch, M tokens of the longest row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystalfw.core.batch import Templates
from crystalfw.core.data.store import crc32
from crystalfw.core.system.files import write_atomically

ARRAYS = {"tokens": "<u2", "length": "<u2", "log_probability": "<f4", "strings": "<u2"}
"""Name -> type: (T,) token ids; (S,) tokens of each string; (S,) its log-probability; (n,) strings of each crystal."""
MANIFEST = "retrieved.json"


@dataclass(frozen=True)
class Told:
    """A retrieved string as token ids, begin and end included, with the natural logarithm of its probability."""

    ids: Sequence[int]
    log_probability: float


def as_templates(rows: Sequence[Sequence[Told]]) -> Templates:
    """The strings of B crystals, likeliest first in each row, as a batch."""
    width = max((sum(len(told.ids) for told in row) for row in rows), default=0)
    ids, position, rank = (np.full((len(rows), width), fill, dtype=np.int64) for fill in (-1, 0, 0))
    log_probability = np.zeros((len(rows), width), dtype=np.float32)
    for b, row in enumerate(rows):
        start = 0
        for place, told in enumerate(row):
            own = slice(start, start + len(told.ids))
            ids[b, own], position[b, own], rank[b, own] = told.ids, np.arange(len(told.ids)), place
            log_probability[b, own] = told.log_probability
            start = own.stop
    return Templates(*(torch.from_numpy(array) for array in (ids, position, rank, log_probability)))


class Retrieved:
    """The strings of every crystal of one split, in its order."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self._first = np.concatenate([[0], np.cumsum(arrays["strings"], dtype=np.int64)])
        self._start = np.concatenate([[0], np.cumsum(arrays["length"], dtype=np.int64)])

    def __len__(self) -> int:
        return len(self._arrays["strings"])

    def __getitem__(self, index: int) -> list[Told]:
        tokens, log_probability = self._arrays["tokens"], self._arrays["log_probability"]
        strings = range(self._first[index], self._first[index + 1])
        return [Told(tokens[self._start[s] : self._start[s + 1]].tolist(), float(log_probability[s])) for s in strings]

    def batch(self, index: NDArray[np.int64]) -> Templates:
        """The strings of the crystals `index` (B,)."""
        return as_templates([self[int(k)] for k in index])


def pack(rows: Iterable[Sequence[Told]]) -> dict[str, NDArray[Any]]:
    """Rows of strings as arrays."""
    rows = list(rows)
    strings = [told for row in rows for told in row]
    columns: dict[str, list[Any]] = {
        "tokens": [number for told in strings for number in told.ids], "length": [len(told.ids) for told in strings],
        "log_probability": [told.log_probability for told in strings], "strings": [len(row) for row in rows],
    }  # fmt: skip
    return {name: np.array(columns[name], dtype=kind) for name, kind in ARRAYS.items()}


def assemble(chunks: Sequence[Path], folder: Path) -> None:
    """Write the arrays of chunk files (.npz), one after the other, to `folder`; the manifest comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        with open(folder / f"{name}.bin", "wb") as file:
            for path in chunks:
                with np.load(path) as chunk:
                    file.write(chunk[name].tobytes())
    sums = {name: crc32(folder / f"{name}.bin") for name in ARRAYS}
    write_atomically(folder / MANIFEST, json.dumps(sums).encode())


def open_retrieved(folder: Path) -> Retrieved | None:
    """What `assemble` wrote; None where it is missing or damaged."""
    try:
        sums = json.loads((folder / MANIFEST).read_bytes())
        if any(crc32(folder / f"{name}.bin") != sums[name] for name in ARRAYS):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Retrieved({name: _mapped(folder / f"{name}.bin", kind) for name, kind in ARRAYS.items()})


def _mapped(path: Path, kind: str) -> NDArray[Any]:
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.zeros(0, dtype=kind)
