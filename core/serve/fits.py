"""The fit of a powder pattern as the page draws it, from the files that `crystalfw solve` writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError
from crystalfw.core.serve.jobs import NotFound
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows

_MOST = 4000
"""Points of a curve that are sent; of more the highest and the lowest of each stretch."""


def fit(out: Path, number: int) -> dict[str, Any]:
    """Verdict, lines (degrees) and curves of pattern `number`; raises NotFound where it was not solved yet."""
    table = out / "fits" / f"{number:06d}.csv"
    if not table.is_file() or not table.with_suffix(".json").is_file():
        raise NotFound(f"pattern {number} has no fit yet")
    try:
        about = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
        with open(table, "rb") as file:
            rows = csv_rows((line.decode("utf-8", "replace") for line in bounded_lines(file, table)), table)
            header = next(rows, [])
            points = [[float(field) for field in row] for row in rows]
    except (ValueError, csv.Error) as error:
        raise DataError(f"{table}: damaged: {error}") from error
    kept = _thinned(points)
    return {**about, "curves": {name: [row[k] for row in kept] for k, name in enumerate(header)}}


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most _MOST of (two theta, measured, ...): the extremes of what was measured in each stretch, in order."""
    if len(points) <= _MOST:
        return points
    size = -(-2 * len(points) // _MOST)
    kept = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        kept += sorted({id(p): p for p in (min(stretch, key=_measured), max(stretch, key=_measured))}.values())
    return kept


def _measured(point: list[float]) -> float:
    return point[1]
