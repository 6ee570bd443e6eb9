"""What `encode` and `decode` share: chunks of input through workers into a row file, in order, with progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crystalfw.core.data.executor import PROCESSES, spread
from crystalfw.core.errors import Interrupted
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.resumable_csv import RowFile
from crystalfw.core.system.signals import StopRequest

Row = list[str]


def modules(representation: object) -> list[str]:
    """What workers of `encode` and `decode` import before they can begin."""
    return [type(representation).__module__, "pymatgen.core", "spglib"]


def run_rows(
    label: str,
    out: RowFile,
    work: Callable[..., list[Row]],
    calls: Iterable[tuple[Any, ...]],
    *,
    status: int,
    workers: int,
    executor: str = PROCESSES,
    preload: Sequence[str] = (),
    total: int | None = None,
    before: Callable[[list[Row]], None] | None = None,
) -> Counter[str]:
    """Append the rows of work(*call) for every call; returns how many of the new rows have which status (column `status`).

    `before` sees every list of rows before it is written: what it makes is there wherever the row is. Raises Interrupted on
    a signal, when the rows at hand are written.
    """
    counts: Counter[str] = Counter()
    progress = Progress(label, total, start=out.done)
    done = out.skip
    with StopRequest() as stop:
        for rows in spread(work, lambda: work, calls, workers=workers, preload=preload, name=executor):
            if before is not None:
                before(rows)
            counts.update(row[status] for row in out.append(rows))
            done += len(rows)
            failed = counts.total() - counts["ok"]
            progress.update(done, f"{failed:,} not ok" if failed else "")
            if stop.requested:
                raise Interrupted(f"stopped by {stop.requested} after {done} rows; the same command continues from there")
    progress.close()
    return counts


def summary(counts: Counter[str]) -> str:
    """`1,820 ok, 6 labels`."""
    ordered = sorted(counts.items(), key=lambda item: (item[0] != "ok", -item[1], item[0]))
    return ", ".join(f"{count:,} {status}" for status, count in ordered) or "nothing to do"
