"""Structure files: a file, a folder, a zip or a tar of CIF, POSCAR, JSON and extxyz, or an ASE database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.bounded_text import DAMAGED, PACKED, open_bytes, printable
from crystalfw.plugins.sources.reading.archives import Archive
from crystalfw.plugins.sources.reading.fingerprint import fingerprint_files
from crystalfw.plugins.sources.reading.formats import (
    KNOWN,
    UnreadableDatabaseError,
    database_rows,
    format_of,
    parse_text,
    split_text,
)
from crystalfw.plugins.sources.reading.id_prop import USUAL, PropertyTable
from crystalfw.plugins.sources.reading.tar import ENDINGS, TarArchive

PARTS = ("train", "val", "test")


class Files(Source):
    """Every structure file below a path, in the order of names; properties from extxyz, JSON documents, ASE databases and a
    table id_prop.csv beside the files (CGCNN's and ALIGNN's layout).

    Sub-folders train, val and test, where they exist, are the parts. A CIF with several data blocks, a JSON list of
    structures or documents and JSON lines give a crystal each. A file that cannot be read is a Rejected with its
    name; files of unknown formats are ignored; if no file remains, this is an error.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `files`; the bounds protect against archives and files made to fill the memory."""

        max_file_mb: float = 16.0
        """Files that are larger (unpacked) are rejected unread."""
        max_zip_gb: float = 20.0
        """A zip or tar that unpacks to more bytes is refused."""
        # not in the repr, which is part of fingerprints: data that was prepared before this option is still found
        properties: str | None = field(default=None, repr=False)
        """Table in the folder: a file's name (with or without its ending) and numbers; default: id_prop.csv if it exists."""

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
        return fingerprint_files([*paths, *self._table_paths.values()], repr(self.config) + names)

    @cached_property
    def _table_paths(self) -> dict[str, Path]:
        """The table of properties of each part: in its sub-folder, otherwise in the folder."""
        if not self.path.is_dir():
            return {}
        name = self.config.properties or USUAL
        found = {}
        for part in self.parts():
            places = [self.path / part / name] if self._split else []
            there = [path for path in (*places, self.path / name) if path.is_file()]
            if there:
                found[part] = there[0]
        if self.config.properties and not found:
            raise DataError(f"{self.path}: no table '{name}' there (option properties)")
        return found

    def _property_table(self, part: str) -> PropertyTable | None:
        path = self._table_paths.get(part)
        return None if path is None else PropertyTable(path)

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
        table = self._property_table(part)
        for record in self._records(part):
            count += 1
            yield record if table is None else _with_properties(record, table)
        if not count:
            raise DataError(f"{self.path}: no structure file; known are {KNOWN}")
        if table is not None:
            yield from table.unused()

    def _records(self, part: str) -> Iterator[Record]:
        packed = self.path.is_file() and self.path.name.lower().endswith((".zip", *ENDINGS))
        if packed:
            kind = Archive if self.path.suffix.lower() == ".zip" else TarArchive
            with kind(self.path, int(self.config.max_zip_gb * 1e9), self._max_bytes) as archive:
                for name, text in archive.texts():
                    yield from self._of_text(f"{shown(self.path)}/{name}", name, text)
            return
        if self.path.is_file():
            if format_of(self.path.name) is None:
                raise DataError(f"{self.path}: unknown format; known are {KNOWN}")
            paths = [self.path]
        else:
            paths = self._files(self.path if self.parts() == ("train",) and not self._split else self.path / part)
        for path in paths:
            if format_of(path.name) == "db":
                yield from self._of_database(path)
            elif path.stat().st_size > self._max_bytes:
                yield _rejected(shown(path), f"too large: more than {self.config.max_file_mb:g} MB (option max_file_mb)")
            else:
                yield from self._of_text(shown(path), path.name, _content(path, self._max_bytes))

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
        kind, text, *more = record.content
        stem = Path(record.file).name
        stem = (stem.rsplit(".", 1)[0] if stem.lower().endswith(PACKED) else stem).rsplit(".", 1)[0]
        id = stem if record.row is None else f"{stem}-{record.row}"
        try:
            crystal = parse_text(kind, text, id)
            return replace(crystal, properties={**crystal.properties, **more[0]}) if more and more[0] else crystal
        except DataError as error:
            return Rejected(record.file, record.row, id, str(error))


def shown(path: Path) -> str:
    """The path as valid text, since a name may hold bytes that are not."""
    return printable(str(path), 4096)


def _content(path: Path, limit: int) -> bytes | Rejected:
    try:
        with open_bytes(path) as stream:
            data = stream.read(limit + 1)
    except DAMAGED as error:
        return Rejected(shown(path), None, "", f"cannot be read: {getattr(error, 'strerror', None) or error}")
    return data if len(data) <= limit else Rejected(shown(path), None, "", "too large: unpacks to more than max_file_mb")


def _with_properties(record: Record, table: PropertyTable) -> Record:
    """The record with what the table says of its file; its own properties are kept where the table has none."""
    return (
        Record(record.file, record.row, (*record.content, dict(table.of(Path(record.file).name))))
        if isinstance(record.content, tuple)
        else record
    )


def _rejected(file: str, reason: str) -> Record:
    return Record(file, None, Rejected(file, None, "", reason))
