"""Patterns as files: two columns, and the table of lines."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError
from crystalfw.core.system.files import write_atomically

FloatArray = NDArray[np.float64]


def write_pattern(path: str | Path, two_theta: FloatArray, intensity: FloatArray, header: str = "") -> None:
    """Columns two theta and intensity: .csv with a header, anything else with spaces and a comment. Raises DataError."""
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".xy", ".csv", ".dat", ".txt"):
        raise DataError(f"{path}: patterns are written as .xy, .dat, .txt or .csv")
    separator, first = (",", "two_theta,intensity") if ending == ".csv" else (" ", f"# {header}")
    rows = (f"{x:.5f}{separator}{y:.6g}" for x, y in zip(two_theta, intensity, strict=True))
    write_atomically(path, ("\n".join([first, *rows]) + "\n").encode())


def write_columns(path: str | Path, columns: Mapping[str, Sequence[object]]) -> None:
    """A CSV table of columns of equal length."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
