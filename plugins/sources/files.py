"""Structure files: a file, a folder or a zip of CIF, POSCAR, pymatgen JSON and extxyz, or an ASE database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.bounded_text import printable
from crystalfw.plugins.sources.reading.archives import Archive
from crystalfw.plugins.sources.reading.fingerprint import fingerprint_files
from crystalfw.plugins.sources.reading.formats import UnreadableDatabaseError, database_rows, format_of, parse_text, split_text

PARTS = ("train", "val", "test")


class Files(Source):
    """Every structure file below a path, in the order of names; properties from extxyz and ASE databases.

    Sub-folders train, val and test, where they exist, are the parts. A file that cannot be read is a Rejected with its
    name; files of unknown formats are ignored; if no file remains, this is an error.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `files`; the bounds protect against archives and files made to fill the memory."""

        max_file_mb: float = 16.0
        """Files that are larger (unpacked) are rejected unread."""
        max_zip_gb: float = 20.0
        """A zip that unpacks to more bytes is refused."""

    def __init__(self, config: Config, *, path: str | None = None) -> None:
        if path is None:
            raise DataError("source 'files' needs data.path: a folder or zip of structures, or one structure file")
        self.config, self.path = config, Path(path)
        self._max_bytes = int(config.max_file_mb * 1e6)

    def parts(self) -> tuple[str, ...]:
        """train, val and test if sub-folders of these names exist, otherwise ("train",)."""
        self._check_path()
        if not self.path.is_dir():
            return ("train",)
        found = tuple(part for part in PARTS if (self.path / part).is_dir())
        return found if "train" in found else ("train",)

    def fingerprint(self) -> str:
        """Hash of names and bytes of all structure files and of the options."""
        self._check_path()
        paths = self._files(self.path) if self.path.is_dir() else [self.path]
        names = "\n".join(str(path.relative_to(self.path)) for path in paths) if self.path.is_dir() else self.path.name
        return fingerprint_files(paths, repr(self.config) + names)

    def _check_path(self) -> None:
        if not self.path.exists():
            raise DataError(f"{self.path}: no such file or folder (data.path)")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise DataError(f"{self.path}: the file is empty")

    def _files(self, folder: Path) -> list[Path]:
        # links are not followed: a link may lead out of the folder, or back into it without end
        return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and format_of(path.name))

    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        """Crystals and rejected files of one part, in the order of names."""
        return map(self.parse, self.records(part))

    def records(self, part: str) -> Iterator[Record]:
        """The text of every structure, unparsed; rows count the structures of a file that may hold several."""
        self._check_path()
        count = 0
        for record in self._records(part):
            count += 1
            yield record
        if not count:
            raise DataError(f"{self.path}: no structure file; known are CIF, POSCAR, pymatgen JSON, extxyz, ASE db")

    def _records(self, part: str) -> Iterator[Record]:
        if self.path.suffix.lower() == ".zip":
            with Archive(self.path, int(self.config.max_zip_gb * 1e9), self._max_bytes) as archive:
                for name, text in archive.texts():
                    yield from self._of_text(f"{shown(self.path)}/{name}", name, text)
            return
        if self.path.is_file():
            if format_of(self.path.name) is None:
                raise DataError(f"{self.path}: unknown format; known are CIF, POSCAR, pymatgen JSON, extxyz, ASE db, zip")
            paths = [self.path]
        else:
            paths = self._files(self.path if self.parts() == ("train",) and not self._split else self.path / part)
        for path in paths:
            if format_of(path.name) == "db":
                yield from self._of_database(path)
            elif path.stat().st_size > self._max_bytes:
                yield _rejected(shown(path), f"too large: more than {self.config.max_file_mb:g} MB (option max_file_mb)")
            else:
                yield from self._of_text(shown(path), path.name, _content(path))

    def _of_database(self, path: Path) -> Iterator[Record]:
        """Rows of an ASE database. In a folder, a database that cannot be read is a Rejected; alone, it is an error."""
        try:
            yield from database_rows(path)
        except UnreadableDatabaseError as error:
            if self.path.is_file():
                raise
            yield _rejected(shown(path), str(error))

    @property
    def _split(self) -> bool:
        return (self.path / "train").is_dir()

    def _of_text(self, where: str, name: str, content: bytes | Rejected) -> Iterator[Record]:
        """One record per structure in a file."""
        if isinstance(content, Rejected):
            yield Record(where, None, content)
            return
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            yield _rejected(where, f"not text: {error.reason} at byte {error.start}")
            return
        kind = format_of(name)
        if kind is not None and not text.strip():
            yield _rejected(where, "empty file")
        elif kind is not None:
            for row, piece in split_text(kind, text):
                yield Record(where, row, (kind, piece))

    def size(self, part: str) -> int | None:
        """Counts the records by reading them; None if the data are truncated."""
        try:
            return sum(1 for _ in self.records(part))
        except DataError:
            return None

    def parse(self, record: Record) -> Crystal | Rejected:
        """The crystal of one record, or why it is rejected."""
        if isinstance(record.content, (Crystal, Rejected)):
            return record.content
        kind, text = record.content
        stem = Path(record.file).name.removesuffix(".gz").rsplit(".", 1)[0]
        id = stem if record.row is None else f"{stem}-{record.row}"
        try:
            return parse_text(kind, text, id)
        except DataError as error:
            return Rejected(record.file, record.row, id, str(error))


def shown(path: Path) -> str:
    """The path as valid text, since a name may hold bytes that are not."""
    return printable(str(path), 4096)


def _content(path: Path) -> bytes | Rejected:
    try:
        return path.read_bytes()
    except OSError as error:
        return Rejected(shown(path), None, "", f"cannot be read: {error.strerror}")


def _rejected(file: str, reason: str) -> Record:
    return Record(file, None, Rejected(file, None, "", reason))
