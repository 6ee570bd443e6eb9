"""The table of crystals that a job writes, read while it grows: rows as JSON, and how many samples came through.

A table is read once: afterwards only what was added since the last look, and the rows that are asked for.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError
from crystalfw.core.system.resumable_csv import rows_with_ends

_SHOWN = (
    "id", "reference_id", "rank", "probability", "origin", "why", "rwp", "explained", "condition", "slices", "status", "reason",
    "formula", "space_group", "cif", "log_prob",
)  # fmt: skip
_CHAIN = ("parse", "graph", "decode", "finalize")
_STAGES = {"parse": "strings that parse", "graph": "three-dimensional nets", "decode": "crystals found", "finalize": "accepted"}
_KEPT = 64
"""Tables whose places are remembered."""


class Growing:
    """What is known of one table: where its whole rows begin, and the counts of their status."""

    def __init__(self, table: Path) -> None:
        self.table = table
        self._begin()

    def _begin(self) -> None:
        """Nothing is known yet."""
        self.end, self.inode = 0, -1
        self.header: list[str] = []
        self.starts: list[int] = []
        """The byte where each row with a crystal begins."""
        self.all: list[int] = []
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.written = False
        """Does any row hold a string that a model wrote?"""

    def update(self) -> None:
        """Read the rows added since the last time; the last one counts when its line has ended. A table that was begun anew is
        read anew."""
        state = self.table.stat() if self.table.is_file() else None
        if state is None or state.st_ino != self.inode or state.st_size < self.end:
            self._begin()
        if state is None or state.st_size == self.end:
            return
        self.inode = state.st_ino
        for fields, end, ended in rows_with_ends(self.table, self.end):
            if not ended or (self.header and len(fields) != len(self.header)):
                return
            if self.header:
                self._count(dict(zip(self.header, fields, strict=True)))
            self.header, self.end = self.header or fields, end

    def _count(self, row: dict[str, str]) -> None:
        crystal = bool(row.get("cif", "").strip())
        status = row.get("status") or ("ok" if crystal else "read")
        self.counts[status] += 1
        self.written = self.written or bool(row.get("slices"))
        if status != "ok":
            self.reasons[row.get("reason", "")[:120]] += 1
        self.all.append(self.end)
        if crystal:
            self.starts.append(self.end)

    def read(self, starts: list[int]) -> list[dict[str, Any]]:
        """The rows that begin at these bytes."""
        found = []
        for start in starts:
            fields = next(islice(rows_with_ends(self.table, start), 1))[0]
            row = dict(zip(self.header, fields, strict=False))
            found.append({name: row[name] for name in _SHOWN if row.get(name)} | _group(row.get("space_group", "")))
        return found


class Tables:
    """The tables that were looked at lately; answers of several threads at once."""

    def __init__(self) -> None:
        self._known: OrderedDict[Path, Growing] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, table: Path, offset: int, limit: int, *, crystals_only: bool) -> dict[str, Any]:
        """Rows from `offset` on, the total so far, and the counts of each status. Raises DataError for a damaged table."""
        with self._lock:
            known = self._known.setdefault(table, Growing(table))
            self._known.move_to_end(table)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            known.update()
            if known.header and "cif" not in known.header:
                raise DataError(f"{table}: no column 'cif'")
            wanted = known.starts if crystals_only else known.all
            return {
                "rows": known.read(wanted[offset : offset + limit]), "total": len(wanted), "counts": dict(known.counts),
                "funnel": funnel(known.counts) if known.written else [],
                "reasons": [[reason, count] for reason, count in known.reasons.most_common(5)],
            }  # fmt: skip


def funnel(counts: Counter[str]) -> list[list[Any]]:
    """[what, how many] from all samples so far to those accepted, of a table of strings."""
    total = counts.total()
    left, stages = total - counts["repeat"], [["samples", total]]
    for stage in _CHAIN:
        left -= counts[stage]
        stages.append([_STAGES[stage], left])
    return stages


def progress(log: str, folder: Path) -> str:
    """The last line of progress that the command printed; paths as seen from the job's folder."""
    lines = [line.strip() for line in log.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].replace(f"{folder}/", "")[:300] if lines else ""


def _group(number: str) -> dict[str, str]:
    """`group`: symbol and number, e.g. Pm-3m (221)."""
    symbol = _symbols().get(number)
    return {"group": f"{symbol} ({number})"} if symbol else {}


@cache
def _symbols() -> dict[str, str]:
    """Number of each space group -> its short Hermann-Mauguin symbol, of the standard setting."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    return {str(number): sg_symbol_from_int_number(number) for number in range(1, 231)}
