"""metrics.csv: one row per logged step, always; TensorBoard as well if it is installed."""

from __future__ import annotations

import csv
import importlib
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crystalfw.core.system.bounded_text import bounded_lines
from crystalfw.core.system.files import write_text_atomically

COLUMNS = (
    "step", "epoch", "loss", "val_loss", "lr", "grad_norm", "tokens", "tokens_per_s", "mfu", "padding", "elapsed_s",
)  # fmt: skip


class Logbook:
    """Appends rows; on resume it first removes those after the checkpoint, so that each step appears once."""

    def __init__(self, path: Path, *, keep_until: int | None = None, extra: tuple[str, ...] = ()) -> None:
        self.path = path
        self.columns = tuple(dict.fromkeys((*COLUMNS, *extra)))
        kept = _rows_until(path, keep_until) if keep_until is not None else []
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(kept)
        write_text_atomically(path, text.getvalue())
        self._file = path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, self.columns, extrasaction="ignore", restval="")
        self._board = _tensorboard(path.parent / "tensorboard")

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; floats with full precision, so that equal losses are equal text."""
        self._writer.writerow({key: repr(value) if isinstance(value, float) else value for key, value in row.items()})
        self._file.flush()
        if self._board is not None:
            for key, value in row.items():
                if key != "step" and isinstance(value, (int, float)) and math.isfinite(value):
                    self._board.add_scalar(key, value, row["step"])

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def logged_rows(path: Path) -> Iterator[dict[str, str]]:
    """The complete rows of a metrics.csv as text; none where there is no file. A run may be writing, or have been killed while
    it wrote, the last line: one without its end is left out, and so is one that names no step."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(line for line in bounded_lines(file, path) if line.endswith("\n")):
            if row.get("step", "").isdigit() and None not in row:
                yield {name: content or "" for name, content in row.items()}


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    return [row for row in logged_rows(path) if int(row["step"]) <= step]


def _tensorboard(folder: Path) -> Any:
    try:
        importlib.import_module("tensorboard")
    except ImportError:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def read_metrics(path: Path) -> dict[str, list[float]]:
    """Columns of a metrics.csv as floats, NaN where a field is empty."""
    rows = list(logged_rows(path))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else {})}
