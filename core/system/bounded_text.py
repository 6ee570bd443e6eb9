"""Bounded lines of text from outside, so that a file without line breaks cannot fill the memory; and short reasons."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, AnyStr, cast

from crystalfw.core.errors import DataError

MAX_LINE = 64 * 1024 * 1024
"""Characters (or bytes) of a line above which a file is refused: no table of crystals has such a field."""
MAX_REASON = 400
"""Characters of a reason: a message may quote a whole file."""


PACKED = (".gz", ".xz", ".bz2")
"""Endings of compressed files that are read as they stand."""
XZ_MEMORY = 256 * 1024 * 1024
"""Bytes that unpacking xz may take; its header asks for up to 4 GB."""
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, OSError)
"""Errors of reading a compressed file that is damaged or cut off."""


def open_bytes(path: Path) -> IO[bytes]:
    """A file to read, unpacked if its name ends in .gz, .xz or .bz2."""
    name = path.name.lower()
    if name.endswith((".gz", ".tgz")):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if name.endswith(".bz2"):
        return cast("IO[bytes]", bz2.open(path, "rb"))
    if name.endswith(".xz"):
        return cast("IO[bytes]", io.BufferedReader(_Xz(path)))
    return open(path, "rb")


class _Xz(io.RawIOBase):
    """An xz file unpacked within XZ_MEMORY; lzma.open has no such bound."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._unpack = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            if self._unpack.eof:
                rest = self._unpack.unused_data or self._file.read(1 << 16)
                if not rest.strip(b"\0"):
                    return 0
                self._unpack = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
            else:
                rest = self._file.read(1 << 16) if self._unpack.needs_input else b""
                if self._unpack.needs_input and not rest:
                    raise EOFError("the file ended before the end of the xz stream")
            data = self._unpack.decompress(rest, max_length=len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(path: Path, *, errors: str = "strict") -> IO[str]:
    """A text file to read, unpacked if its name ends in .gz, .xz or .bz2; line ends are kept, for the csv module."""
    # utf-8-sig: spreadsheets put a byte-order mark in front of the first column's name
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors=errors, newline="")


def bounded_lines(stream: IO[AnyStr], path: Path, max_characters: int = MAX_LINE) -> Iterator[AnyStr]:
    """The lines of a stream, ends included; raises DataError for one longer than `max_characters`."""
    while line := stream.readline(max_characters + 1):
        if len(line) > max_characters:
            raise DataError(f"{path}: a line of more than {max_characters:,} characters; refused")
        yield line


def csv_rows(lines: Iterable[str], path: Path) -> Iterator[list[str]]:
    """The rows of a CSV; raises DataError if it is not a valid CSV (a line break in a field without quotes, a huge field)."""
    reader = csv.reader(lines)
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: damaged, or not a CSV: {error}") from error


def printable(text: str, max_characters: int = MAX_REASON) -> str:
    """The text as it can be written to any file: no lone surrogates, no NUL, cut at `max_characters` characters."""
    clean = text.encode("utf-8", errors="replace").decode("utf-8").replace("\0", "?")
    return clean if len(clean) <= max_characters else f"{clean[:max_characters]} ... ({len(text):,} characters)"
