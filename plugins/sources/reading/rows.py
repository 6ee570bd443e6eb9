"""Rows of a table file as dictionaries of text, streamed: CSV (also packed), parquet."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from crystalfw.core.errors import DataError
from crystalfw.core.system.bounded_text import DAMAGED, bounded_lines, open_text

SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".csv.bz2", ".parquet")
MAX_FIELD = 16_000_000
"""Characters above which a field is a mistake (a quote that never closes), not a crystal."""
MAX_COLUMNS = 10_000


MALFORMED = "\0malformed"
"""Key of a row whose number of fields is not the header's: the value states the numbers, the other columns are absent."""


def suffix_of(path: Path) -> str | None:
    """The table suffix of a file's name, or None."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows as column -> text, empty if missing; raises DataError, naming the row after which the file is damaged."""
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    if suffix_of(path) == ".parquet":
        return _parquet_rows(path)
    return _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    row = 0
    before = csv.field_size_limit(MAX_FIELD)
    try:
        with open_text(path) as stream:
            reader = csv.reader(bounded_lines(stream, path))
            names = next(reader, [])
            _check_header(path, names)
            for fields in reader:
                if not fields:
                    continue
                row += 1
                if len(fields) == len(names):
                    yield dict(zip(names, fields, strict=True))
                else:
                    yield {MALFORMED: f"malformed row: {len(fields)} fields, but the header has {len(names)} columns"}
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text after row {row} ({error.reason}); convert the file to UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}: broken CSV after row {row}: {error}") from error
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # e.g. not permitted: nothing is damaged
            raise
        raise DataError(f"{path}: damaged or truncated compressed file after row {row}: {error}") from error
    finally:
        csv.field_size_limit(before)


def _check_header(path: Path, names: list[str]) -> None:
    if not any(name.strip() for name in names):
        raise DataError(f"{path}: the file has no header line")
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{path}: {len(names):,} columns, more than {MAX_COLUMNS:,}")
    if MALFORMED in names:
        raise DataError(f"{path}: a column is called {MALFORMED!r}")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"{path}: column {', '.join(repr(name) for name in twice)} occurs twice")


def _parquet_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(f"{path}: reading parquet needs pyarrow: pip install 'crystalfw[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=32):
                for row in batch.to_pylist():
                    yield {name: _text(value) for name, value in row.items()}
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from error


def _text(value: object) -> str:
    # a float's repr is the shortest text that reads back as the same float; lists become JSON
    if isinstance(value, dict):  # a structure
        return json.dumps(value, default=str)
    return "" if value is None else value if isinstance(value, str) else str(value)
