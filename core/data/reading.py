"""The one reader of crystals from outside: it streams, bounds time, size and length, and gives a reason for every rejection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import ConditionError, Reject
from crystalfw.core.geometry.lattice import is_degenerate
from crystalfw.core.interfaces import Source
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.options import create
from crystalfw.core.records import Record, Rejected
from crystalfw.core.system.bounded_text import printable
from crystalfw.core.system.time_limit import time_limit

MAX_ATOMS = 2_000
"""Crystals with more atoms are rejected: comparing two of them takes minutes."""
MAX_LENGTH = 10_000.0
"""A lattice vector longer than this, in angstrom, is a mistake in the file."""
MAX_COORDINATE = 1e6
"""A fractional coordinate above this is a mistake in the file."""
MAX_ID = 1_000
"""Characters of an identifier, or of a property's name, above which the file is a mistake."""
MAX_PROPERTIES = 1_000
"""Named numbers of one crystal above which the file is a mistake."""
PARSE_SECONDS = 120.0
"""Seconds that reading one item may take; slower items are rejected even if they pass the bounds of the parsers."""


def open_source(path: str | Path) -> Source:
    """The source that reads a table, a structure file, a folder or a zip."""
    source: Source = create("source", source_name(str(path)), path=str(path))
    return source


def read_crystals(
    origin: str | Path | Source, *, part: str | None = None, max_atoms: int = MAX_ATOMS
) -> Iterator[Crystal | Rejected]:
    """Crystals of a path or source, in order and one at a time; a Rejected for each item that gives no crystal.

    If the source has the part `part`, only that part is read, otherwise all parts. Raises DataError for a file that cannot
    be read at all.
    """
    source = open_source(origin) if isinstance(origin, (str, Path)) else origin
    parts = source.parts()
    for name in (part,) if part in parts else parts:
        for record in source.records(name):
            item = read_sound(source, record, max_atoms=max_atoms)
            yield listed(item) if isinstance(item, Rejected) else item


def read_like(path: str | Path) -> Iterator[Crystal]:
    """Crystals of a file or folder given by --like, named after the file if they have no id. Raises ConditionError for
    one that cannot be read.
    """
    for item in read_crystals(path):
        if isinstance(item, Rejected):
            row = f", row {item.row}" if item.row is not None else ""
            raise ConditionError(f"{item.file}{row}: {item.reason}")
        yield item if item.id else replace(item, id=Path(path).stem)


def parsed(source: Source, record: Record) -> Crystal | Rejected:
    """The source's parse of a record. If the parser fails or takes too long, this record is rejected and reading continues."""
    try:
        with time_limit(PARSE_SECONDS):
            return source.parse(record)
    except Exception as error:
        # `parse` must not raise; if it does, the other records are still prepared
        return Rejected(record.file, record.row, "", f"parser failed: {type(error).__name__}: {error}")


def read_sound(source: Source, record: Record, *, max_atoms: int) -> Crystal | Rejected:
    """The crystal of a record, or why it is rejected."""
    item = parsed(source, record)
    if isinstance(item, Rejected):
        return item
    try:
        check_sound(item, max_atoms=max_atoms)
    except Reject as error:
        return Rejected(record.file, record.row, item.id, error.reason)
    return item


def listed(item: Rejected) -> Rejected:
    """The item made safe for a table: ids and reasons quote files from outside."""
    return Rejected(printable(item.file, 4096), item.row, printable(item.id), printable(item.reason))


def check_sound(crystal: Crystal, *, max_atoms: int) -> None:
    """Raise Reject for a crystal that later steps cannot handle: no atoms, NaN, a flat or absurd cell."""
    lattice, frac, numbers = crystal.lattice, crystal.frac_coords, crystal.numbers
    if crystal.n_atoms == 0:
        raise Reject("no atoms")
    if crystal.n_atoms > max_atoms:
        raise Reject(f"more than {max_atoms} atoms in the cell as given: {crystal.n_atoms}")
    if not (np.isfinite(lattice).all() and np.isfinite(frac).all()):
        raise Reject("not finite: lattice or positions hold NaN or infinity")
    if np.abs(lattice).max() > MAX_LENGTH or np.abs(frac).max() > MAX_COORDINATE:
        raise Reject(
            f"absurd numbers: a lattice component above {MAX_LENGTH:g} angstrom or a coordinate above {MAX_COORDINATE:g}"
        )
    if is_degenerate(lattice):
        raise Reject("flat cell: its vectors span no volume")
    if len(crystal.id) > MAX_ID:
        raise Reject(f"absurd id: {len(crystal.id):,} characters")
    if len(crystal.properties) > MAX_PROPERTIES or any(len(name) > MAX_ID for name in crystal.properties):
        raise Reject(f"absurd properties: {len(crystal.properties):,}, or a name of more than {MAX_ID:,} characters")
    if numbers.min() < 1 or numbers.max() > 118:
        raise Reject(f"no such element: atomic number {int(numbers.min() if numbers.min() < 1 else numbers.max())}")
