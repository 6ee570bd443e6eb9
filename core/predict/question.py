"""What `crystalfw predict` is asked: formulas or a table of them, and how many formula units a cell may hold."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crystalfw.core.errors import ConditionError, DataError
from crystalfw.core.library.entry import slots_of
from crystalfw.core.records import Question
from crystalfw.core.sample.conditions import parse_composition
from crystalfw.core.system.bounded_text import bounded_lines, csv_rows, printable

MAX_ELEMENTS = 12
"""A formula with more is refused: no known structure type has so many."""


@dataclass(frozen=True)
class Asked:
    """One question with its id; or the reason why it cannot be asked."""

    id: str
    text: str
    question: Question | None
    reason: str = ""


def question_of(text: str, *, cell: bool = False, atoms: int | None = None) -> Question:
    """The question that a formula asks. Raises ConditionError with a sentence.

    `cell`: the counts are the atoms of the primitive cell. `atoms`: that many atoms in the primitive cell. Otherwise any
    number of formula units is considered.
    """
    from pymatgen.core import Element

    counts = parse_composition(text)
    unknown = [symbol for symbol in counts if not 1 <= Element(symbol).Z <= 103]
    if unknown:
        raise ConditionError(f"{text}: no crystal of {unknown[0]} is known; elements up to Lr (103) can be asked for")
    if len(counts) > MAX_ELEMENTS:
        raise ConditionError(f"{text}: {len(counts)} elements; at most {MAX_ELEMENTS} can be asked for")
    numbers = np.repeat([Element(symbol).Z for symbol in counts], list(counts.values()))
    elements, reduced, units = slots_of(numbers)
    if atoms is not None:
        if atoms % sum(reduced):
            raise ConditionError(f"{text}: {atoms} atoms are no whole number of formula units of {sum(reduced)} atoms")
        return Question(elements, reduced, (atoms // sum(reduced),))
    return Question(elements, reduced, (units,) if cell else ())


def read_questions(given: Sequence[str], *, cell: bool = False, atoms: int | None = None) -> Iterator[Asked]:
    """The questions of formulas and of tables with columns `id` and `composition`, streamed."""
    for text in given:
        if text.lower().endswith(".csv"):
            for id, composition in read_table(Path(text)):
                yield _asked(id, composition, cell, atoms)
        else:
            yield _asked(text, text, cell, atoms)


def _asked(id: str, text: str, cell: bool, atoms: int | None) -> Asked:
    try:
        return Asked(id, text, question_of(text, cell=cell, atoms=atoms))
    except ConditionError as error:
        return Asked(id, text, None, printable(str(error)))


def read_table(path: Path) -> Iterator[tuple[str, str]]:
    """(id, composition) of every row; the row number where there is no id. Raises DataError for an unusable table."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv_rows(bounded_lines(file, path), path)
        header = [name.strip() for name in next(rows, [])]
        if "composition" not in header:
            raise DataError(f"{path}: no column 'composition'; there are {', '.join(header) or 'none'}")
        place, id_place = header.index("composition"), header.index("id") if "id" in header else None
        try:
            for number, row in enumerate(rows, start=1):
                if not any(field.strip() for field in row):
                    continue
                text = row[place].strip() if place < len(row) else ""
                id = row[id_place].strip() if id_place is not None and id_place < len(row) else ""
                yield id or str(number), text
        except csv.Error as error:
            raise DataError(f"{path}: cannot be read on: {error}") from error
