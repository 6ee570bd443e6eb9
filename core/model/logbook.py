"""metrics.csv: one row per logged step, always; TensorBoard as well if it is installed."""

from __future__ import annotations

import csv
import importlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    """Complete rows up to `step`; a kill can leave a torn last line."""
    if not path.exists():
        return []
    whole = path.read_text()
    whole = whole[: whole.rfind("\n") + 1]
    return [row for row in csv.DictReader(io.StringIO(whole)) if row["step"].isdigit() and int(row["step"]) <= step]


def _tensorboard(folder: Path) -> Any:
    try:
        importlib.import_module("tensorboard")
    except ImportError:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def read_metrics(path: Path) -> dict[str, list[float]]:
    """Columns of a metrics.csv as floats, NaN where a field is empty."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else {})}
