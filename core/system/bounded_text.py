"""Bounded lines of text from outside, so that a file without line breaks cannot fill the memory; and short reasons."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, AnyStr

from crystalfw.core.errors import DataError

MAX_LINE = 64 * 1024 * 1024
"""Characters (or bytes) of a line above which a file is refused: no table of crystals has such a field."""
MAX_REASON = 400
"""Characters of a reason: a message may quote a whole file."""


def open_text(path: Path, *, errors: str = "strict") -> IO[str]:
    """A text file to read, unpacked if its name ends in .gz; line ends are kept, for the csv module."""
    # utf-8-sig: spreadsheets put a byte-order mark in front of the first column's name
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors=errors, newline="")
    return open(path, encoding="utf-8-sig", errors=errors, newline="")


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
