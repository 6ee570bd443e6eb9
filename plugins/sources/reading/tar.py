"""Tar archives from outside, packed or not: read in one pass, within bounds, never unpacked to disk.

The headers are read here (POSIX.1-1988 ustar with GNU and pax long names), since the library's reader takes as much memory
as a header states.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from crystalfw.core.errors import DataError
from crystalfw.core.records import Rejected
from crystalfw.core.system.bounded_text import DAMAGED, open_bytes
from crystalfw.plugins.sources.reading.formats import format_of

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_BLOCK = 512
_LONGEST_NAME = 64 * 1024
_STEP = 1 << 20


class TarArchive:
    """A tar of structure files, in the order of the archive; sizes are checked while it is read."""

    def __init__(self, path: Path, max_total: int, max_member: int) -> None:
        self.path, self._max_total, self._max_member = path, max_total, max_member
        self._read = 0

    def __enter__(self) -> TarArchive:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open."""

    def texts(self) -> Iterator[tuple[str, bytes | Rejected]]:
        """Name and bytes of every structure file, or why it is not read. Raises DataError for a damaged archive."""
        try:
            with open_bytes(self.path) as stream:
                yield from self._members(stream)
        except DAMAGED as error:
            raise DataError(f"{self.path}: damaged or truncated archive: {error}") from error

    def _members(self, stream: IO[bytes]) -> Iterator[tuple[str, bytes | Rejected]]:
        long_name = ""
        while (header := self._take(stream, _BLOCK, "a header")).strip(b"\0"):
            kind, size = header[156:157], self._size(header)
            if kind in (b"L", b"x"):
                if size > _LONGEST_NAME:
                    raise DataError(f"{self.path}: a name of {size:,} bytes; refused")
                long_name = _name_in(kind, self._data(stream, size)) or long_name
                continue
            name, long_name = long_name or _name(header), ""
            if kind not in (b"0", b"\0") or format_of(name) in (None, "db"):
                self._skip(stream, size)
            elif _leaves(name):
                self._skip(stream, size)
                yield name, Rejected(f"{self.path}/{name}", None, "", "path leads out of the archive")
            elif size > self._max_member:
                self._skip(stream, size)
                reason = f"too large: {size / 1e6:.0f} MB (option max_file_mb)"
                yield name, Rejected(f"{self.path}/{name}", None, "", reason)
            else:
                yield name, self._data(stream, size)

    def _data(self, stream: IO[bytes], size: int) -> bytes:
        padded = -(-size // _BLOCK) * _BLOCK
        return self._take(stream, padded, "a member")[:size]

    def _skip(self, stream: IO[bytes], size: int) -> None:
        left = -(-size // _BLOCK) * _BLOCK
        while left:
            left -= len(self._take(stream, min(left, _STEP), "a member"))

    def _take(self, stream: IO[bytes], size: int, what: str) -> bytes:
        self._read += size
        if self._read > self._max_total:
            raise DataError(
                f"{self.path}: unpacks to more than {self._max_total / 1e9:g} GB (option max_zip_gb); the rest is refused"
            )
        data = stream.read(size)
        if len(data) < size:
            raise DataError(f"{self.path}: damaged or truncated archive: it ends within {what}")
        return data

    def _size(self, header: bytes) -> int:
        stated = _octal(header[148:156])
        if stated != sum(header[:148]) + 8 * 32 + sum(header[156:]):
            raise DataError(f"{self.path}: not a tar archive, or damaged: a header's checksum does not hold")
        size = int.from_bytes(header[125:136], "big") if header[124] & 128 else _octal(header[124:136])
        if size < 0:
            raise DataError(f"{self.path}: damaged archive: a header states no size")
        return size


def _octal(field: bytes) -> int:
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        return -1


def _name(header: bytes) -> str:
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:262] == b"ustar" and header[262:263] != b" " else b""
    name = header[:100].split(b"\0", 1)[0]
    return _text(prefix + b"/" + name if prefix else name)


def _name_in(kind: bytes, data: bytes) -> str:
    """The name in a GNU long name, or the `path` of a pax header (`LENGTH path=NAME` lines)."""
    if kind == b"L":
        return _text(data.split(b"\0", 1)[0])
    lines = [line.partition(b" ")[2] for line in data.split(b"\n")]
    return next((_text(line[5:]) for line in lines if line.startswith(b"path=")), "")


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="replace")


def _leaves(name: str) -> bool:
    pure = PurePosixPath(name.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts
