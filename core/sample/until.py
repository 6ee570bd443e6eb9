"""Sampling until enough distinct crystals are there, instead of a number of tries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from crystalfw.core.interfaces import Representation
from crystalfw.core.sample.destination import crystals_of
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.table import read_rows

MOST_TRIES = 20
"""Tries for each crystal wanted before giving up."""


def distinct(table: Path, representation: Representation) -> int:
    """Crystals of a table that no other row repeats, by the representation's key; each without a key counts."""
    keys: set[str] = set()
    single = 0
    for crystal in crystals_of(table):
        key = representation.key(crystal)
        keys.add(key)
        single += not key
    return len(keys - {""}) + single


def sample_until(
    wanted: int, request: Request, table: Path, representation: Representation, sample: Callable[[Request], object]
) -> str:
    """Call `sample` with growing requests, whole blocks at a time; returns how it ended, for the screen.

    Sample k is the same however many are asked for, so that the table equals that of one request of the final size.
    """
    tries, most = wanted, MOST_TRIES * wanted
    while True:
        tries = min(most, math.ceil(tries / request.block) * request.block)
        sample(dataclasses.replace(request, settings=dataclasses.replace(request.settings, n=tries)))
        found = distinct(table, representation)
        if found >= wanted:
            return f"{found:,} distinct crystals ({wanted:,} wanted) after {tries:,} tries"
        if tries >= most:
            return f"{found:,} distinct crystals of the {wanted:,} wanted; gave up after {tries:,} tries"
        made = sum(bool(row["cif"].strip()) for row in read_rows(table))
        # as many as the share so far suggests, at least one block and at most four times as many as before
        share = max(found, made // 2, 1) / tries
        tries = min(4 * tries, max(tries + request.block, math.ceil(1.1 * wanted / share)))
