"""Which columns of a table are numbers, and lists of numbers in a field."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError

_INDEX_NAMES = {"", "index", "Unnamed: 0"}
"""Row numbers that pandas writes; not properties."""
_EMPTY_OR_BOOL = {"", "true", "false"}


@dataclass(frozen=True)
class Columns:
    """The columns of a table: all names, those that are properties, and the one that identifies rows."""

    names: tuple[str, ...]
    numeric: tuple[str, ...]
    id_name: str | None

    @classmethod
    def detect(
        cls, path: Path, rows: Sequence[dict[str, str]], candidates: Sequence[str], wanted: Sequence[str] | None,
        id_name: str | None,
    ) -> Columns:  # fmt: skip
        """`wanted` if given, else those candidates in which `rows` hold only numbers, booleans or nothing."""
        names = tuple(rows[0])
        if wanted is not None:
            missing = [name for name in wanted if name not in names]
            if missing:
                raise DataError(f"{path}: no column {', '.join(missing)} (option properties); there are {', '.join(names)}")
            return cls(names, tuple(wanted), id_name)
        numeric = [
            name for name in candidates
            if name not in _INDEX_NAMES and all(_is_number(row[name]) for row in rows) and any(row[name] for row in rows)
        ]  # fmt: skip
        return cls(names, tuple(numeric), id_name)


def _is_number(text: str) -> bool:
    if text.strip().lower() in _EMPTY_OR_BOOL:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


_BEGINS = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?(?![\d./-])")


def text_remark(name: str, values: Sequence[str]) -> str:
    """Why a column that looks like numbers is no property; empty for a column that does not look so."""
    given = [text for text in values if text.strip()]
    like_numbers = [text for text in given if _BEGINS.match(text) and len(text) < 60]
    if not given or 2 * len(like_numbers) < len(given):
        return ""
    row, example = next((row, text) for row, text in enumerate(values, start=1) if not _is_number(text))
    return f"column {name} is text (e.g. {example[:40]!r} in row {row}): not a property; write plain numbers, without units"


def _split(text: str) -> list[float]:
    # [0.1 0.2], as arrays are printed, too
    return [float(word) for word in text.strip().strip("[]").replace(",", " ").split()]


def floats_of(name: str, text: str) -> NDArray[np.float32]:
    """Numbers separated by spaces or commas, a JSON list of them, or of such lists of one length, as float32; or DataError."""
    try:
        plain = json.loads(text) if text.lstrip().startswith("[[") or ("," in text and "[" in text) else _split(text)
        array = np.array(plain, dtype=np.float32)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"no embedding: '{name}' is not a list of numbers: {text[:40]!r}") from error
    if array.ndim not in (1, 2) or array.size == 0 or not np.isfinite(array).all():
        raise DataError(f"no embedding: '{name}' must be a list of finite numbers, or a list of such lists")
    return array
