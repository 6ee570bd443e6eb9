"""Sequences of crystals and samples that need not fit in memory: on disk, or a selection of another sequence."""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Source = TypeVar("Source")


class LazySequence(Sequence[Item]):
    """A sequence that makes its items on access; slices are lists."""

    def _item(self, index: int) -> Item:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._item(position) for position in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return self._item(position)

    def __iter__(self) -> Iterator[Item]:
        return (self._item(position) for position in range(len(self)))


class Spool(LazySequence[Item]):
    """Items in a temporary file without a name, which ends with the process; each takes 8 bytes of memory. `folder`
    holds the file: beside the results, since /tmp may be small or in memory.
    """

    def __init__(self, items: Iterable[Item], folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._ends = array("q", [0])
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by the finalizer of the next line
        weakref.finalize(self, _discard, self._file)
        for item in items:
            self._ends.append(self._ends[-1] + self._file.write(pickle.dumps(item, pickle.HIGHEST_PROTOCOL)))
        self._file.flush()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _item(self, index: int) -> Item:
        start, end = self._ends[index], self._ends[index + 1]
        item: Item = pickle.loads(_read(self._file.fileno(), start, end - start))  # noqa: S301 - written above
        return item


def _discard(file: IO[bytes]) -> None:
    # on a full disk closing tries to write again; the error was reported already
    with suppress(OSError):
        file.close()


def _read(descriptor: int, start: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, start)
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, size)


class Picked(LazySequence[Item]):
    """The items at some positions of a sequence, made by `get` on access; nothing is copied."""

    def __init__(self, source: Sequence[Source], positions: NDArray[np.integer[Any]], get: Callable[[Source], Item]) -> None:
        self.source: Sequence[Any] = source
        self.positions, self._get = positions, get

    def __len__(self) -> int:
        return len(self.positions)

    def _item(self, index: int) -> Item:
        return self._get(self.source[int(self.positions[index])])

    def keep(self, mask: NDArray[np.bool_]) -> Picked[Item]:
        """The items whose `mask` (len(self),) is true."""
        return Picked(self.source, self.positions[mask], self._get)


class Strings(LazySequence[str]):
    """Short strings without Python's 50 bytes of overhead each."""

    def __init__(self, items: Iterable[str]) -> None:
        self._ends, self._text = array("q", [0]), bytearray()
        for item in items:
            self._text += item.encode("utf-8", errors="surrogatepass")
            self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _item(self, index: int) -> str:
        return bytes(self._text[self._ends[index] : self._ends[index + 1]]).decode("utf-8", errors="surrogatepass")
