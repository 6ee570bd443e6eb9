"""What `crystalfw data` reports of a source (counts, columns, reasons, random crystals) and the tables it writes."""

from __future__ import annotations

import csv
import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.errors import DataError
from crystalfw.core.system.files import open_new_text
from crystalfw.core.system.wording import counted

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal
    from crystalfw.core.interfaces import Source
    from crystalfw.core.records import Rejected


class Survey:
    """Valid crystals of a source, part by part; counts and lists the rejected ones."""

    def __init__(self, source: Source, max_atoms: int, rejected: str | None, stack: ExitStack) -> None:
        self.source, self.max_atoms = source, max_atoms
        self.kept: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.first: Rejected | None = None
        self._listed = rejected
        self._table = None
        if rejected:
            self._table = csv.writer(stack.enter_context(open_new_text(Path(rejected))))
            self._table.writerow(["file", "row", "id", "reason"])

    def crystals(self) -> Iterator[tuple[str, Crystal]]:
        """(part, crystal); raises DataError if every item is rejected."""
        from crystalfw.core.data.reading import read_crystals
        from crystalfw.core.records import Rejected
        from crystalfw.core.system.progress import Progress

        progress = Progress("read", None)
        for part in self.source.parts():
            for item in read_crystals(self.source, part=part, max_atoms=self.max_atoms):
                if isinstance(item, Rejected):
                    self._set_aside(item)
                else:
                    self.kept[part] += 1
                    yield part, item
                progress.update(self.kept.total() + self.reasons.total(), f"{self.reasons.total():,} rejected")
        if not self.kept:
            raise DataError(f"no usable crystal: all {self.reasons.total():,} were rejected. {self._example()}")

    def _set_aside(self, item: Rejected) -> None:
        from crystalfw.core.data.prepare import reason_class
        from crystalfw.core.system.bounded_text import printable

        self.first = self.first or item
        self.reasons[reason_class(item.reason)] += 1
        if self._table is not None:
            fields = (printable(text) for text in (item.file, "" if item.row is None else str(item.row), item.id, item.reason))
            self._table.writerow(list(fields))

    def _example(self) -> str:
        from crystalfw.core.system.bounded_text import printable

        if self.first is None:
            return ""
        row = "" if self.first.row is None else f", row {self.first.row}"
        id = f" (id {self.first.id})" if self.first.id else ""
        return printable(f"The first: {self.first.file}{row}{id}: {self.first.reason}")

    def report(self) -> None:
        """Print sizes of the parts and what was rejected."""
        sizes = ", ".join(f"{part} {count:,}" for part, count in self.kept.items())
        print(f"{counted(self.kept.total(), 'crystal')}: {sizes}")
        for remark in self.source.remarks():
            print(remark)
        if self.reasons:
            where = f", listed in {self._listed}" if self._listed else "; --rejected FILE lists them"
            print(f"{self.reasons.total():,} rejected{where}:")
            for reason, count in self.reasons.most_common():
                print(f"  {count:>9,}  {reason}")
            print(self._example())


class Reservoir:
    """A uniform random choice from a stream (reservoir sampling, Vitter 1985), always the same for the same stream."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, 0
        self.crystals: list[Crystal] = []
        self._random = random.Random(0)  # noqa: S311 - no secret

    def add(self, crystal: Crystal) -> None:
        """The next crystal of the stream."""
        self.seen += 1
        if len(self.crystals) < self.size:
            self.crystals.append(crystal)
        elif (place := self._random.randrange(self.seen)) < self.size:
            self.crystals[place] = crystal


class ColumnRange:
    """Count and range of a property."""

    def __init__(self) -> None:
        self.count, self.low, self.high = 0, math.inf, -math.inf

    def add(self, value: float) -> None:
        """The next value; NaN is a missing one."""
        if not math.isnan(value):
            self.count, self.low, self.high = self.count + 1, min(self.low, value), max(self.high, value)

    def __str__(self) -> str:
        return f"{self.count:,} values from {self.low:g} to {self.high:g}" if self.count else "no value"


def write_tables(items: Survey, out: Path, cut: tuple[tuple[str, float], ...], stack: ExitStack) -> None:
    """Write crystals to one table, or to one per part of a folder; the columns are those of the first 1000 crystals."""
    from itertools import chain, islice

    from crystalfw.core.data.parts import assign_part

    single = out.name.lower().endswith((".csv", ".csv.gz"))
    if out.suffix and not single and not out.is_dir():
        raise DataError(f"{out}: tables are written as .csv or .csv.gz, or into a folder (a name without an ending)")
    if single and cut:
        raise DataError(f"{out}: a split needs a folder to write to")
    crystals = items.crystals()
    first = list(islice(crystals, 1000))
    names = sorted({name for _, crystal in first for name in crystal.properties})
    header = ["material_id", "cif", "pretty_formula", *names]
    tables = {}
    written: Counter[str] = Counter()
    for part, crystal in chain(first, crystals):
        place = assign_part("train", crystal, cut) if cut else part
        written[place] += 1
        file = out if single else out / f"{place}.csv.gz"
        if file not in tables:
            tables[file] = csv.writer(stack.enter_context(open_new_text(file)))
            tables[file].writerow(header)
        new = sorted(set(crystal.properties) - set(names))
        if new:
            raise DataError(f"crystal {crystal.id}: column {', '.join(new)} appears only after the first 1000 crystals")
        values = ["" if math.isnan(v := crystal.properties.get(name, math.nan)) else repr(v) for name in names]
        tables[file].writerow([crystal.id, crystal.cif(), crystal.formula, *values])
    items.kept = written
    for file in tables:
        print(f"wrote {file}")
