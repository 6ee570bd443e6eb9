"""The canonical table of samples, samples.csv: one row per crystal requested, written as they come, resumable.

A row is never left out: what failed has an empty `cif` and says why. `status` is `ok` or the stage that failed:

- `parse`      the string is unfinished or is not of the grammar;
- `graph`      the string parses but says no three-dimensional periodic graph;
- `decode`     no crystal was found for the graph (the representation's `embedding`, `geometry`, time limits ...);
- `finalize`   a crystal came out, but the physical constraints reject it;
- `read`       the crystal came from a file (somebody else's samples) that cannot be read;
- `repeat`     in a prediction: the candidates hold no further distinct string for this row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import MAX_ATOMS, check_sound
from crystalfw.core.errors import DataError, Reject
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.geometry.space_group import space_group_number
from crystalfw.core.records import Sample
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows, printable
from crystalfw.core.system.resumable_csv import ResumableCsv, rows_with_ends

COLUMNS = (
    "id", "seed", "condition", "slices", "status", "reason", "formula", "space_group", "cif", "reference_id", "log_prob",
)  # fmt: skip
STATUSES = ("ok", "parse", "graph", "decode", "finalize", "read", "repeat")
_STATUS_OF_REASON = {"parse": "parse", "unfinished": "parse", "grammar": "parse", "graph": "graph", "finalize": "finalize"}


def status_of(reason: str) -> str:
    """The status of a failure whose code (first word of the reason) a representation or transform gave."""
    code = reason.split(":")[0].split()[0].lower() if reason.strip() else ""
    return _STATUS_OF_REASON.get(code, "decode")


def sample_id(index: int) -> str:
    """The id of sample `index` in samples.csv."""
    return f"{index:06d}"


def sample_row(sample: Sample) -> dict[str, str]:
    """The sample as a row of text fields, in the order of COLUMNS."""
    crystal = sample.crystal
    number = space_group_number(crystal) if crystal is not None else None
    return {
        "id": sample.id,
        "seed": str(sample.seed),
        "condition": json.dumps(_plain(sample.condition), sort_keys=True) if sample.condition else "",
        "slices": sample.string,
        "status": sample.status,
        "reason": sample.reason,
        "formula": crystal.formula if crystal is not None else "",
        "space_group": "" if number is None else str(number),
        "cif": crystal.cif() if crystal is not None else "",
        "reference_id": sample.reference_id,
        "log_prob": "" if sample.log_prob is None else repr(float(sample.log_prob)),
    }


class SampleWriter(ResumableCsv):
    """Appends samples to samples.csv. `done` holds the ids already there (with `resume=True`)."""

    def __init__(self, path: str | Path, *, resume: bool = False) -> None:
        self.done: set[str] = set()
        super().__init__(path, COLUMNS, resume=resume, seen=lambda fields: self.done.add(fields[0]))

    def append(self, sample: Sample) -> None:
        """Write one sample; raises DataError when its id is already in the table."""
        if sample.id in self.done:
            raise DataError(f"{self.path}: the sample id {sample.id!r} is written twice")
        self.write([list(sample_row(sample).values())])
        self.done.add(sample.id)


def write_samples(samples: Iterable[Sample], path: str | Path) -> int:
    """Write a whole table; returns the number of rows."""
    with SampleWriter(path) as writer:
        for sample in samples:
            writer.append(sample)
        return len(writer.done)


def is_sample_table(path: str | Path) -> bool:
    """True for our own tables, and for anybody's CSV that names the crystal each sample was made for (`reference_id`)."""
    path = Path(path)
    if not path.is_file() or path.suffix != ".csv":
        return False
    with open(path, encoding="utf-8", newline="", errors="replace") as file:
        header = next(csv_rows(bounded_lines(file, path), path), [])
    return "cif" in header and ("status" in header or "reference_id" in header)


def read_samples(path: str | Path) -> Iterator[Sample]:
    """Stream the samples of a table; a row whose cif no longer parses comes with status `read` and the reason."""
    for number, row in enumerate(read_rows(path), start=1):
        crystal, status, reason = None, row["status"] or ("ok" if row["cif"].strip() else "read"), row["reason"]
        id = row["id"] or f"row-{number}"
        if row["cif"].strip():
            try:
                crystal = crystal_from_cif(row["cif"], id=id)
                check_sound(crystal, max_atoms=MAX_ATOMS)
            except (DataError, Reject) as error:
                crystal, status, reason = None, "read", printable(str(error))
        try:
            yield Sample(
                id=id,
                seed=int(row["seed"] or 0),
                string=row["slices"],
                status=status,
                reason=reason or ("" if crystal is not None else status),
                crystal=crystal,
                condition=json.loads(row["condition"]) if row["condition"] else {},
                reference_id=row["reference_id"],
                log_prob=float(row["log_prob"]) if row["log_prob"] else None,
                relaxed=_relaxed(row, id),
                cpu_s=float(row["cpu_s"]) if row.get("cpu_s") else None,
            )
        except ValueError as error:
            raise DataError(
                f"{path}, row {number} (id {id}): seed, condition, log_prob or cpu_s cannot be read: {error}"
            ) from error


def _relaxed(row: Mapping[str, str], id: str) -> Crystal | None:
    """The crystal in the column `relaxed_cif`; None without one, or where it cannot be read."""
    text = row.get("relaxed_cif", "")
    if not text.strip():
        return None
    try:
        crystal = crystal_from_cif(text, id=id)
        check_sound(crystal, max_atoms=MAX_ATOMS)
    except (DataError, Reject):
        return None
    return crystal


def read_rows(path: str | Path) -> Iterator[dict[str, str]]:
    """Stream the rows as text; columns that a table lacks are empty. Raises DataError for a damaged table."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such table of samples")
    for count, (row, whole) in enumerate(_records(path), start=1):
        if not whole:
            raise DataError(
                f"{path}, row {count}: torn in the middle, or another number of fields than the header; "
                "a table of ours is completed by the same sample command with --resume"
            )
        yield row


def rows_of_questions(path: str | Path) -> list[int]:
    """How many rows each question (a composition, a pattern) of a table has: the first has rank 1, or no rank where it
    could not be answered."""
    found: list[int] = []
    for row in read_rows(path):
        if row["rank"] in ("", "1"):
            found.append(0)
        found[-1] += 1
    return found


def _records(path: Path) -> Iterator[tuple[dict[str, str], bool]]:
    """Rows, and whether each is whole (only the last can be torn by a kill)."""
    rows = rows_with_ends(path)
    header, _, _ = next(rows, ([], 0, True))
    if "cif" not in header:
        raise DataError(f"{path}: not a table of samples: its first line must name the columns {', '.join(COLUMNS)}")
    blank = dict.fromkeys(COLUMNS, "")
    for fields, _, ended in rows:
        # a foreign table may end without a newline: only in ours is that the mark of a torn row
        whole = len(fields) == len(header) and (ended or header != list(COLUMNS))
        yield {**blank, **dict(zip(header, fields, strict=False))}, whole


def _plain(value: Any) -> Any:
    """The value as JSON knows it; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
