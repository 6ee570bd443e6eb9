"""The gallery: sampled crystals that can be turned, each with its facts and its CIF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.report.crystal import MAX_ATOMS, picture
from crystalfw.core.evaluate.report.elements import gradients, key
from crystalfw.core.evaluate.report.html import Markup, join, section, tag
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.presentation import short
from crystalfw.core.sample.export import safe_name
from crystalfw.core.sample.table import is_sample_table, read_rows

SHOWN = 24
_LOOKED_AT = 2000


@dataclass(frozen=True)
class Pick:
    """A crystal to show."""

    id: str
    formula: str
    cif: str
    crystal: Crystal | None = None
    space_group: str = ""
    condition: str = ""
    origin: str = ""
    """The run that it comes from, where a page shows several."""


def pick(samples: Path | None, *, preferred: Sequence[str] = (), count: int = SHOWN) -> list[Pick]:
    """Crystals to show: first those preferred (valid, unique, novel), then others, each formula once as far as it goes.

    `samples` is a table of ours or anybody's files.
    """
    if samples is None:
        return []
    wanted = set(preferred)
    found = list(_from_table(samples) if is_sample_table(samples) else _from_files(samples))
    found.sort(key=lambda item: item.id not in wanted)
    first: list[Pick] = []
    again: list[Pick] = []
    seen: set[str] = set()
    for item in found:
        (again if item.formula in seen else first).append(item)
        seen.add(item.formula)
    picks = (replace(item, crystal=crystal) for item in (*first, *again) if (crystal := _drawable(item)) is not None)
    return list(islice(picks, count))


def _from_table(path: Path) -> Iterator[Pick]:
    for row in islice(read_rows(path), _LOOKED_AT):
        if row["status"] in ("ok", "") and row["cif"].strip():
            yield Pick(row["id"], row["formula"] or row["id"], row["cif"], None, row["space_group"], row["condition"])


def _from_files(path: Path) -> Iterator[Pick]:
    from crystalfw.core.evaluate.inputs import foreign_samples

    for sample in islice(foreign_samples(path), _LOOKED_AT):
        if sample.crystal is not None:
            yield Pick(sample.id, sample.crystal.formula, sample.crystal.cif(), sample.crystal)


def _drawable(item: Pick) -> Crystal | None:
    """The crystal, unless its CIF does not parse or it has too many atoms for a picture."""
    try:
        crystal = item.crystal or crystal_from_cif(item.cif, id=item.id)
    except DataError:
        return None
    return crystal if crystal.n_atoms <= MAX_ATOMS else None


def gallery(picks: Sequence[Pick]) -> Markup:
    """The section with all cards."""
    numbers = {int(number) for item in picks if item.crystal is not None for number in item.crystal.numbers}
    button = Markup('<button id="spin" class="button" type="button" aria-pressed="false" hidden>Turn all slowly</button>')
    lead = (
        "Drag a crystal to turn it, or focus it and use the arrow keys; a double click sets it back. "
        "Valid, unique and novel ones come first."
    )
    cards = tag("div", *(_card(item) for item in picks), class_="gallery")
    return section("crystals", "Sampled crystals", join([gradients(numbers), button]), cards, key(numbers), lead=lead)


def _card(item: Pick) -> Markup:
    assert item.crystal is not None
    formula = item.crystal.formula
    atoms = item.crystal.n_atoms
    facts = [f"{atoms} atom{'s' if atoms != 1 else ''}", f"{item.crystal.volume:.0f} Å³"]
    if item.space_group:
        facts.insert(0, f"space group {item.space_group}")
    condition = [tag("p", f"asked for {_condition(item.condition)}")] if item.condition else []
    link = tag("a", "CIF", href=f"data:chemical/x-cif;charset=utf-8,{quote(item.cif)}", download=f"{safe_name(item.id)}.cif")
    return tag(
        "figure",
        tag("figcaption", _formula(formula)),
        picture(item.crystal, f"Crystal structure of {formula}, sample {item.id}"),
        tag("p", ", ".join(facts)),
        *condition,
        tag("p", f"{item.origin + ', ' if item.origin else ''}sample {item.id} · ", link),
    )


def _condition(content: str) -> str:
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


def _formula(formula: str) -> Markup:
    """The formula with its numbers set low."""
    parts, digits = [], ""
    for character in formula:
        if character.isdigit() or character == ".":
            digits += character
            continue
        parts += [tag("sub", digits)] if digits else []
        digits = ""
        parts.append(tag("span", character))
    return join([*parts, tag("sub", digits)] if digits else parts)
