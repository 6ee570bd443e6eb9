"""`--like patterns.csv`: a table of measured patterns as conditions, one for each row.

Column `pattern` names a file, looked for beside the table; `composition` (or `formula`) and the model's properties stand
beside it, `id` names the row. A table with a column `cif` is one of crystals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError, CrystalfwError
from crystalfw.core.sample.conditions import PATTERN, condition_crystal
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows


def is_pattern_table(like: object) -> bool:
    """A .csv with a column `pattern` and no crystals."""
    if not isinstance(like, (str, Path)) or Path(like).suffix.lower() != ".csv" or not Path(like).is_file():
        return False
    with open(like, encoding="utf-8-sig", errors="replace") as file:
        header = {name.strip() for name in file.readline(10_000).split(",")}
    return PATTERN in header and "cif" not in header


def pattern_conditions(
    path: Path, requires: frozenset[str], optional: frozenset[str], limit: int | None = None
) -> list[Crystal]:
    """The conditions of at most `limit` rows. Raises ConditionError with the row for a file or value that is wrong."""
    found = []
    for number, row in enumerate(islice(_rows(path), limit), start=1):
        id = row.pop("id", "")
        file = row.pop(PATTERN, "")
        if "formula" in row:
            row.setdefault("composition", row.pop("formula"))
        asked = {**row, **({PATTERN: str(path.parent / file)} if file else {})}
        try:
            crystal = condition_crystal(asked, requires, optional)
        except CrystalfwError as error:
            raise ConditionError(f"{path}, row {number}: {error}") from error
        found.append(replace(crystal, id=id or Path(file).stem or str(number)))
    if not found:
        raise ConditionError(f"{path}: holds no pattern to take the condition from")
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The filled fields of every row that is not empty."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv_rows(bounded_lines(file, path), path)
        header = [name.strip() for name in next(rows, [])]
        for row in rows:
            named = {name: field.strip() for name, field in zip(header, row, strict=False) if field.strip()}
            if named:
                yield named
