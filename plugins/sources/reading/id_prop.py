"""Properties of structure files in a table beside them: id_prop.csv, as CGCNN and ALIGNN (JARVIS) lay out their data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from crystalfw.core.errors import DataError
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows, open_text
from crystalfw.plugins.sources.reading.formats import format_of

USUAL = "id_prop.csv"
TARGET = "target"
"""Name of the property in a table without a header; target_1, target_2 ... where there are several."""


class PropertyTable:
    """Rows NAME,NUMBER,... or with a header; NAME is a file's name, with or without its ending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.numbers: dict[str, dict[str, float]] = {}
        self._rows: dict[str, int] = {}
        self._used: set[str] = set()
        self._read()

    def of(self, name: str) -> Mapping[str, float]:
        """The properties of a structure file; none where the table has no row for it."""
        for key in (name, _stem(name)):
            if key in self.numbers:
                self._used.add(key)
                return self.numbers[key]
        return {}

    def unused(self) -> Iterator[Record]:
        """Rows whose structure file is not there, each as a Rejected."""
        for name, row in self._rows.items():
            if name not in self._used:
                reason = f"no structure file: row of '{name}', which is not beside the table"
                yield Record(str(self.path), row, Rejected(str(self.path), row, name, reason))

    def _read(self) -> None:
        with open_text(self.path) as stream:
            rows = [row for row in csv_rows(bounded_lines(stream, self.path), self.path) if any(map(str.strip, row))]
        if not rows or len(rows[0]) < 2:
            raise DataError(f"{self.path}: each row must hold a file's name and at least one number")
        header = None if _number(rows[0][1]) is not None else [name.strip() for name in rows.pop(0)[1:]]
        names = header or ([TARGET] if len(rows[0]) == 2 else [f"{TARGET}_{k}" for k in range(1, len(rows[0]))])
        for number, row in enumerate(rows, start=1):
            values = {name: value for name, text in zip(names, row[1:], strict=False) if (value := _number(text)) is not None}
            name = row[0].strip()
            if name in self.numbers:
                raise DataError(f"{self.path}, row {number}: '{name}' has a row already (row {self._rows[name]})")
            self.numbers[name], self._rows[name] = values, number


def _stem(name: str) -> str:
    while format_of(name) and "." in name:
        name = name.rsplit(".", 1)[0]
    return name


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
