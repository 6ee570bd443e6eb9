"""Tables of crystals: CSV (also packed) or parquet, one file or a folder with train.*, val.*, test.* (CDVAE's layout)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.bounded_text import DAMAGED, open_bytes
from crystalfw.plugins.sources.reading.columns import Columns, floats_of, text_remark
from crystalfw.plugins.sources.reading.embeddings import Embedding, open_embedding
from crystalfw.plugins.sources.reading.fingerprint import fingerprint_files
from crystalfw.plugins.sources.reading.formats import format_of, parse_text
from crystalfw.plugins.sources.reading.json_documents import ID_NAMES, STRUCTURE_NAMES, crystal_from_text
from crystalfw.plugins.sources.reading.rows import MALFORMED, MAX_FIELD, SUFFIXES, read_rows, suffix_of

PARTS = ("train", "val", "test")
_USUAL = (
    "cif", *(name for name in STRUCTURE_NAMES if name != "cif"), "LeMatStructs", "cif_string", "file", "filename", "cif_file",
)  # fmt: skip
"""Columns that hold crystals, the first one that is there; a column may hold the names of structure files. LeMatStructs and
cif_string are LeMat-GenBench's (arXiv 2512.04562)."""
_PEEK = 1000


class Table(Source):
    """Rows with a crystal: CIF text, a structure as JSON, or the name of a structure file in the table's folder. Numeric
    columns become properties; memory does not grow with the table.

    Rows are numbered from 1, the header not counted. A row that cannot be read is a Rejected with its file, row and id;
    a file that cannot be read is a DataError.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `table`."""

        cif: str = "cif"
        """Column with the crystals; without a column cif, the first of structure, atoms, file, ... that is there."""
        id: str | None = None
        """Column with identifiers; default: material_id, id, mp_id, ..., whichever exists."""
        properties: tuple[str, ...] | None = None
        """Property columns; default: every column whose first 1000 rows hold only numbers, True / False or nothing."""
        arrays: Mapping[str, str] | None = None
        """Precomputed embeddings: name -> a column with lists of numbers, or a .npy / .pt file beside the table with one entry
        per row; `{part}` in a file's name stands for train, val, test. Default: the column `embedding`, and files called
        embedding.npy (one table) or train_embedding.npy, val_embedding.npy, ... (.pt likewise), if they exist."""
        # not in the repr, which is part of fingerprints: data that was prepared before this option is still found
        where: Mapping[str, str] | None = field(default=None, repr=False)
        """Read only rows whose columns hold these texts, e.g. {part: train}; default: every row."""

    def __init__(self, config: Config, *, path: str | None = None) -> None:
        if path is None:
            raise DataError("source 'table' needs data.path: a .csv, .csv.gz or .parquet file, or a folder with train.csv")
        self.config, self.path = config, Path(path)

    @cached_property
    def _files(self) -> dict[str, Path]:
        if not self.path.exists():
            raise DataError(f"{self.path}: no such file or folder (data.path)")
        if self.path.is_file():
            if suffix_of(self.path) is None:
                raise DataError(f"{self.path}: not a table; it must end in {', '.join(SUFFIXES)}")
            return {"train": self.path}
        found = {}
        for part in PARTS:
            there = [self.path / f"{part}{suffix}" for suffix in SUFFIXES if (self.path / f"{part}{suffix}").is_file()]
            if len(there) > 1:
                raise DataError(f"{self.path}: {there[0].name} and {there[1].name} are both there; keep one")
            if there:
                found[part] = there[0]
        if "train" not in found:
            raise DataError(f"{self.path}: the folder holds no train{' / train'.join(SUFFIXES)}")
        return found

    def parts(self) -> tuple[str, ...]:
        """The parts that have a file; ("train",) for a single table."""
        return tuple(self._files)

    def fingerprint(self) -> str:
        """Hash of the tables' and the embedding files' bytes and of the options."""
        beside = [p for part in self.parts() for name in self._arrays(()).values() if (p := self._beside(part, name))]
        chosen = repr(sorted(self.config.where.items())) if self.config.where else ""
        beside += [path for part in self.parts() for path in self._structure_files(part)]
        return fingerprint_files([*self._files.values(), *beside], repr(self.config) + chosen)

    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        """Crystals and rejected rows of one part, in the table's order."""
        return map(self.parse, self.records(part))

    def records(self, part: str) -> Iterator[Record]:
        """The rows of one part: CIF text, id and numbers, unparsed."""
        path = self._files[part]
        rows = enumerate(read_rows(path), start=1)
        peeked = list(islice(rows, _PEEK))
        if not peeked:
            raise DataError(f"{path}: the table has no rows")
        whole = [row for _, row in peeked if MALFORMED not in row]
        if not whole:
            raise DataError(f"{path}, row 1: {peeked[0][1][MALFORMED]}")
        columns = self._columns(path, whole)
        embeddings = self._embeddings(part, columns)
        number = 0
        for number, row in chain(peeked, rows):
            if self._chosen(row):
                yield self._record(path, number, row, columns, embeddings)
        for embedding in embeddings.values():
            embedding.check_length(number, path)

    def _chosen(self, row: Mapping[str, str]) -> bool:
        """False for a row that option `where` leaves out; a malformed row is kept, so that it is listed as rejected."""
        return MALFORMED in row or all(row[name] == text for name, text in (self.config.where or {}).items())

    def _columns(self, path: Path, rows: list[dict[str, str]]) -> Columns:
        names = list(rows[0])
        column = self._column(path, names)
        if self.config.id is not None and self.config.id not in names:
            raise DataError(f"{path}: no column '{self.config.id}' (option id); the columns are {', '.join(names)}")
        missing = [name for name in self.config.where or () if name not in names]
        if missing:
            raise DataError(f"{path}: no column '{missing[0]}' (option where); the columns are {', '.join(names)}")
        id_name = self.config.id or next((name for name in ID_NAMES if name in names), None)
        taken = {column, id_name, *self._arrays(names).values()}
        return Columns.detect(path, rows, [name for name in names if name not in taken], self.config.properties, id_name)

    def _column(self, path: Path, names: Sequence[str]) -> str:
        """The column with the crystals."""
        if self.config.cif in names:
            return self.config.cif
        found = next((name for name in _USUAL if name in names), None)
        if found is None or self.config.cif != Table.Config.cif:
            raise DataError(
                f"{path}: no column '{self.config.cif}'; the columns are {', '.join(names)}. Where another one holds the "
                "crystals: data.source={name: table, cif: COLUMN}"
            )
        return found

    def _structure_files(self, part: str) -> list[Path]:
        """The structure files that the rows of a part name, for the fingerprint."""
        path = self._files[part]
        found: dict[str, None] = {}
        for number, row in enumerate(read_rows(path)):
            if MALFORMED in row:
                continue
            text = row[self._column(path, list(row))].strip()
            if not _is_file_name(text) and number >= _PEEK:
                break
            if _is_file_name(text):
                found[text] = None
        paths = [path.parent / name for name in found if not _leaves(name)]
        return [file for file in paths if file.is_file() and not file.is_symlink()]

    def remarks(self) -> tuple[str, ...]:
        """Columns that look like numbers and hold text, so that they are no properties: of the first rows of `train`."""
        path = self._files["train"]
        rows = [row for row in islice(read_rows(path), _PEEK) if MALFORMED not in row]
        if not rows or self.config.properties is not None:
            return ()
        columns = self._columns(path, rows)
        others = [name for name in columns.names if name not in (*columns.numeric, columns.id_name, *_USUAL, self.config.cif)]
        return tuple(remark for name in others if (remark := text_remark(name, [row[name] for row in rows])))

    def _arrays(self, columns: Sequence[str]) -> Mapping[str, str]:
        """Name of each embedding -> column or file, from the options or by the usual names."""
        if self.config.arrays is not None:
            return self.config.arrays
        if self._usual_file is not None:
            return {"embedding": self._usual_file}
        return {"embedding": "embedding"} if "embedding" in columns else {}

    @cached_property
    def _usual_file(self) -> str | None:
        folder = self.path if self.path.is_dir() else self.path.parent
        several = len(self._files) > 1
        for name in ("{part}_embedding.npy", "{part}_embedding.pt") if several else ("embedding.npy", "embedding.pt"):
            there = {part: (folder / name.replace("{part}", part)).is_file() for part in self._files}
            if any(there.values()) and not all(there.values()):
                missing = next(name.replace("{part}", part) for part, found in there.items() if not found)
                raise DataError(f"{folder}: {missing} is missing; every part with a table needs its embeddings")
            if all(there.values()):
                return name
        return None

    def _beside(self, part: str, name: str) -> Path | None:
        """The embedding file called `name`, or None if it is a column."""
        if not name.endswith((".npy", ".pt")):
            return None
        folder = self.path if self.path.is_dir() else self.path.parent
        path = folder / name.replace("{part}", part)
        if len(self._files) > 1 and "{part}" not in name:
            raise DataError(f"embedding file {path}: the data has parts, so its name needs {{part}}, e.g. {{part}}_{name}")
        return path

    def _embeddings(self, part: str, columns: Columns) -> dict[str, Embedding]:
        opened = {}
        for name, where in self._arrays(columns.names).items():
            path = self._beside(part, where)
            if path is not None:
                opened[name] = open_embedding(path)
            elif where not in columns.names:
                known = ", ".join(columns.names)
                raise DataError(f"{self._files[part]}: embedding '{name}': no column '{where}'; the columns are {known}")
        return opened

    def _record(
        self, path: Path, number: int, row: dict[str, str], columns: Columns, embeddings: Mapping[str, Embedding]
    ) -> Record:
        if MALFORMED in row:
            return Record(str(path), number, Rejected(str(path), number, "", row[MALFORMED]))
        arrays: dict[str, NDArray[np.float32] | str] = {}
        for name, where in self._arrays(columns.names).items():
            arrays[name] = embeddings[name].row(number, path) if name in embeddings else row.get(where, "")
        id = row.get(columns.id_name, "") if columns.id_name else ""
        texts = {name: row.get(name, "") for name in columns.numeric}
        column = self._column(path, columns.names)
        return Record(str(path), number, (id, (column, row.get(column) or ""), texts, arrays))

    def size(self, part: str) -> int | None:
        """Counts the rows by reading them; None if the table is truncated."""
        try:
            return sum(self._chosen(row) for row in read_rows(self._files[part]))
        except DataError:
            return None

    def parse(self, record: Record) -> Crystal | Rejected:
        """The crystal of a row, or why it is rejected."""
        if isinstance(record.content, Rejected):
            return record.content
        id, (column, cif), texts, arrays = record.content
        try:
            if not cif.strip():
                raise DataError(f"no structure: column '{column}' is empty")
            properties = {name: _number(name, text) for name, text in texts.items()}
            crystal = self._crystal(Path(record.file).parent, cif, id, properties)
            if not arrays:
                return crystal
            parsed = {name: floats_of(name, value) if isinstance(value, str) else value for name, value in arrays.items()}
            return Crystal(
                lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=crystal.numbers, id=id,
                properties=properties, arrays=parsed,
            )  # fmt: skip
        except DataError as error:
            return Rejected(record.file, record.row, id, str(error))
        except (UnicodeDecodeError, *DAMAGED) as error:  # of a file that the row names
            return Rejected(record.file, record.row, id, f"'{cif.strip()}' cannot be read: {error}")

    def _crystal(self, folder: Path, text: str, id: str, properties: Mapping[str, float]) -> Crystal:
        name = text.strip()
        if not _is_file_name(name):
            return crystal_from_text(text, id=id, properties=properties)
        path = folder / name
        if _leaves(name) or path.is_symlink():
            raise DataError(f"file '{name}' is not in the table's folder")
        if not path.is_file():
            raise DataError(f"no structure file '{name}' beside the table")
        if path.stat().st_size > MAX_FIELD:
            raise DataError(f"too large: '{name}' has more than {MAX_FIELD:,} bytes")
        with open_bytes(path) as stream:
            content = stream.read(MAX_FIELD)
        crystal = parse_text(format_of(name) or "cif", content.decode("utf-8-sig"), id or path.stem)
        return replace(crystal, id=id or crystal.id, properties={**crystal.properties, **properties})


def _is_file_name(text: str) -> bool:
    """True for the name of a structure file, in contrast to the text of a structure."""
    return "\n" not in text and 0 < len(text) < 400 and format_of(text) not in (None, "db")


def _leaves(name: str) -> bool:
    pure = PurePosixPath(name.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts


_WORDS = {"": float("nan"), "true": 1.0, "false": 0.0}


def _number(name: str, text: str) -> float:
    word = _WORDS.get(text.strip().lower())
    if word is not None:
        return word
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"not a number: column '{name}' holds {text[:40]!r}") from error
    if np.isinf(value):
        raise DataError(f"not a number: column '{name}' holds {text[:40]!r}")
    return value
