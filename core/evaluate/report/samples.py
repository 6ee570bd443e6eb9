"""The samples that a page shows: rows of our table, or somebody's files, each with its crystal where there is one to draw."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.drawing.card import drawable
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.presentation import short
from crystalfw.core.sample.table import is_sample_table, read_rows

SHOWN = 24
LOOKED_AT = 2000


@dataclass(frozen=True)
class Pick:
    """A sample to show; failed ones have a reason and no CIF."""

    id: str
    formula: str
    cif: str
    crystal: Crystal | None = None
    condition: str = ""
    reference: str = ""
    """Id of the crystal that it was made for."""
    reason: str = ""
    string: str = ""
    origin: str = ""
    """The run that it comes from, where a page shows several."""


def pick(samples: Path | None, *, preferred: Sequence[str] = (), count: int = SHOWN) -> list[Pick]:
    """Crystals to show: first those preferred (valid, unique, novel), then others, each formula once as far as it goes."""
    wanted = set(preferred)
    found = [item for item in islice(rows(samples), LOOKED_AT) if item.cif]
    found.sort(key=lambda item: item.id not in wanted)
    first: list[Pick] = []
    again: list[Pick] = []
    seen: set[str] = set()
    for item in found:
        (again if item.formula in seen else first).append(item)
        seen.add(item.formula)
    return list(islice((item for item in map(with_crystal, (*first, *again)) if item.crystal is not None), count))


def find(samples: Path | None, ids: Collection[str]) -> dict[str, Pick]:
    """The samples of these ids, with their crystals, as far as they are there; reads no further than it must."""
    wanted, found = set(ids), dict[str, Pick]()
    for item in rows(samples) if wanted else ():
        if item.id in wanted:
            found[item.id] = with_crystal(item)
            if len(found) == len(wanted):
                break
    return found


def rows(samples: Path | None) -> Iterator[Pick]:
    """Every sample, streamed; none without a table."""
    if samples is not None:
        yield from _from_table(samples) if is_sample_table(samples) else _from_files(samples)


def with_crystal(item: Pick) -> Pick:
    """The sample with its crystal, unless its CIF does not parse or it cannot be drawn."""
    try:
        crystal = item.crystal or (crystal_from_cif(item.cif, id=item.id) if item.cif else None)
    except DataError:
        return item
    return replace(item, crystal=crystal if crystal is not None and drawable(crystal) else None)


def condition_words(content: str) -> str:
    """`band_gap 2, composition SrTiO3` from the condition's JSON; other text as it is."""
    try:
        asked = json.loads(content)
    except ValueError:
        return content
    if not isinstance(asked, dict):
        return content
    return ", ".join(f"{name} {_value(value)}" for name, value in asked.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"{key}{'' if count == 1 else short(count)}" for key, count in value.items())
    return short(value)


def _from_table(path: Path) -> Iterator[Pick]:
    for row in read_rows(path):
        made = row["status"] in ("ok", "")
        yield Pick(
            row["id"], row["formula"] or row["id"], row["cif"] if made and row["cif"].strip() else "",
            condition=row["condition"], reference=row["reference_id"], reason=row["reason"] or row["status"],
            string=row["slices"],
        )  # fmt: skip


def _from_files(path: Path) -> Iterator[Pick]:
    from crystalfw.core.evaluate.inputs import foreign_samples

    for sample in islice(foreign_samples(path), LOOKED_AT):
        if sample.crystal is not None:
            yield Pick(sample.id, sample.crystal.formula, sample.crystal.cif(), sample.crystal)
        else:
            yield Pick(sample.id, sample.id, "", reason=sample.reason)
