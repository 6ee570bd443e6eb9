"""Zip files from outside: read member by member in memory, within bounds, never unpacked to disk."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType

from crystalfw.core.errors import DataError
from crystalfw.core.records import Rejected
from crystalfw.plugins.sources.reading.formats import format_of

MAX_MEMBERS = 10_000_000
HIGHEST_RATIO = 200
"""Bytes out per byte in above which a member is a bomb: structure files compress about tenfold."""
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
"""Errors that zipfile raises for damaged zips; ValueError also for names that are not text."""


class Archive:
    """A zip of structure files; its stated sizes are checked against bounds before and while a member is read."""

    def __init__(self, path: Path, max_total: int, max_member: int) -> None:
        self.path, self._max_member = path, max_member
        try:
            self._zip = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise DataError(f"{path}: not a readable zip file: {error}") from error
        members = self._zip.infolist()
        total = sum(member.file_size for member in members)
        if len(members) > MAX_MEMBERS or total > max_total:
            self._zip.close()
            raise DataError(
                f"{path}: {len(members):,} members that unpack to {total / 1e9:.1f} GB, more than {max_total / 1e9:g} GB "
                "(option max_zip_gb); refused"
            )
        self._members = sorted((m for m in members if not m.is_dir() and format_of(m.filename)), key=lambda m: m.filename)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zip.close()

    def texts(self) -> Iterator[tuple[str, bytes | Rejected]]:
        """Name and bytes of every structure file in the order of names, or why it is not read."""
        for member in self._members:
            yield member.filename, self._read(member)

    def _read(self, member: zipfile.ZipInfo) -> bytes | Rejected:
        where = f"{self.path}/{member.filename}"
        pure = PurePosixPath(member.filename.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts or (pure.parts and ":" in pure.parts[0]):
            return Rejected(where, None, "", "path leads out of the zip")
        if member.flag_bits & 1:
            return Rejected(where, None, "", "encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # the decoders of the other methods take as much memory as a file tells them to
            return Rejected(where, None, "", "packed with a method other than deflate")
        if member.file_size > self._max_member:
            return Rejected(where, None, "", f"too large: {member.file_size / 1e6:.0f} MB unpacked (option max_file_mb)")
        if member.file_size > 100_000 and member.file_size > HIGHEST_RATIO * max(1, member.compress_size):
            return Rejected(where, None, "", "zip bomb: packed more tightly than any structure file")
        try:
            with self._zip.open(member) as stream:
                # the size in the directory may lie: never read more than allowed
                data = stream.read(self._max_member + 1)
        except DAMAGE as error:
            return Rejected(where, None, "", f"damaged member: {error}")
        return data if len(data) <= self._max_member else Rejected(where, None, "", "too large: unpacks to more than it says")
