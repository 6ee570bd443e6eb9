"""The table of crystals that a job writes, read while it grows: rows as JSON, and how many samples came through."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError
from crystalfw.core.sample.table import read_rows

_SHOWN = (
    "id", "reference_id", "rank", "probability", "origin", "why", "rwp", "condition", "slices", "status", "reason", "formula",
    "space_group", "cif", "log_prob",
)  # fmt: skip
_CHAIN = ("parse", "graph", "decode", "finalize")
_STAGES = {"parse": "strings that parse", "graph": "three-dimensional nets", "decode": "crystals found", "finalize": "accepted"}


def rows(table: Path, offset: int, limit: int, *, crystals_only: bool) -> dict[str, Any]:
    """Rows from `offset` on, the total so far, and the counts of each status."""
    counts: Counter[str] = Counter()
    written = False
    reasons: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    wanted = 0
    for row in _whole_rows(table):
        status = row["status"] or ("ok" if row["cif"].strip() else "read")
        counts[status] += 1
        written = written or bool(row["slices"])
        if status != "ok":
            reasons[row["reason"][:120]] += 1
        if crystals_only and not row["cif"].strip():
            continue
        if offset <= wanted < offset + limit:
            found.append({name: row[name] for name in _SHOWN if row.get(name)})
        wanted += 1
    return {
        "rows": found, "total": wanted, "counts": dict(counts), "funnel": funnel(counts) if written else [],
        "reasons": [[reason, count] for reason, count in reasons.most_common(5)],
    }  # fmt: skip


def funnel(counts: Counter[str]) -> list[list[Any]]:
    """[what, how many] from all samples so far to those accepted, of a table of strings."""
    total = counts.total()
    left, stages = total - counts["repeat"], [["samples so far", total]]
    for stage in _CHAIN:
        left -= counts[stage]
        stages.append([_STAGES[stage], left])
    return stages


def progress(log: str, folder: Path) -> str:
    """The last line of progress that the command printed; paths as seen from the job's folder."""
    lines = [line.strip() for line in log.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].replace(f"{folder}/", "")[:300] if lines else ""


def _whole_rows(table: Path) -> Any:
    """The rows that are complete: the last one may be being written."""
    if not table.is_file() or not table.stat().st_size:
        return
    rows = read_rows(table)
    while True:
        try:
            found = list(islice(rows, 1))
        except DataError:
            return
        if not found:
            return
        yield found[0]
