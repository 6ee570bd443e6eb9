"""What `embed` and `predict-properties` share: structures of a path that a model can read; the others are counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import read_crystals
from crystalfw.core.errors import ConditionError, DataError
from crystalfw.core.records import Rejected

if TYPE_CHECKING:
    from crystalfw.core.sample.trained import Trained


def usable(trained: Trained, path: str, rejected: list[Rejected]) -> Iterator[Crystal]:
    """The crystals of a path that the model reads, each with an id; others go into `rejected` with their reason."""
    if not Path(path).exists():
        raise DataError(f"{path}: no such file or folder")
    for number, item in enumerate(read_crystals(path)):
        if isinstance(item, Crystal):
            try:
                trained.prepared(item, path)
                yield item if item.id else replace(item, id=f"{Path(path).stem}-{number}")
                continue
            except ConditionError as error:
                item = Rejected(path, number, item.id, str(error))
        rejected.append(item)


def report(rejected: list[Rejected], warnings: list[str]) -> None:
    """Say on stderr which structures are left out and which lie outside of what the model has seen."""
    for item in rejected[:10]:
        row = f", row {item.row}" if item.row is not None else ""
        print(f"{item.file}{row}{f' (id {item.id})' if item.id else ''}: left out: {item.reason}", file=sys.stderr)
    if len(rejected) > 10:
        print(f"and {len(rejected) - 10:,} more left out", file=sys.stderr)
    for warning, count in Counter(warnings).items():
        print(warning + (f" ({count:,} structures)" if count > 1 else ""), file=sys.stderr)
