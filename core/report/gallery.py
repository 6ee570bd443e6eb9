"""The gallery: sampled crystals that can be turned, each with its facts and its CIF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from crystalfw.core.cif import crystal_from_cif
from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.report.crystal import MOST_ATOMS, picture
from crystalfw.core.report.elements import gradients, key
from crystalfw.core.report.html import Markup, join, section, tag
from crystalfw.core.report.numbers import short
from crystalfw.core.samples import is_sample_table, read_rows, safe_name

SHOWN = 24
_LOOKED_AT = 2000


@dataclass(frozen=True)
class Pick:
    """A crystal to show."""

    id: str
    crystal: Crystal
    cif: str
    space_group: str = ""
    condition: str = ""
    origin: str = ""
    """The run that it comes from, where a page shows several."""


def pick(samples: Path | None, *, preferred: Sequence[str] = (), count: int = SHOWN) -> list[Pick]:
    """Crystals from a table: first those preferred (valid, unique, novel), then others, each formula once as far as it goes."""
    if samples is None or not is_sample_table(samples):
        return []
    wanted = set(preferred)
    rows = [row for row in islice(read_rows(samples), _LOOKED_AT) if row["status"] == "ok" and row["cif"].strip()]
    rows.sort(key=lambda row: row["id"] not in wanted)
    first: list[dict[str, str]] = []
    again: list[dict[str, str]] = []
    seen: set[str] = set()
    for row in rows:
        (again if row["formula"] in seen else first).append(row)
        seen.add(row["formula"])
    picks: list[Pick] = []
    for row in [*first, *again]:
        if len(picks) == count:
            break
        try:
            crystal = crystal_from_cif(row["cif"], id=row["id"])
        except DataError:
            continue
        if crystal.n_atoms <= MOST_ATOMS:
            picks.append(Pick(row["id"], crystal, row["cif"], row["space_group"], row["condition"]))
    return picks


def gallery(picks: Sequence[Pick]) -> Markup:
    """The section with all cards."""
    numbers = {int(number) for item in picks for number in item.crystal.numbers}
    button = Markup('<button id="spin" class="button" type="button" aria-pressed="false" hidden>Turn all slowly</button>')
    lead = (
        "Drag a crystal to turn it, or focus it and use the arrow keys; a double click sets it back. "
        "Valid, unique and novel ones come first."
    )
    cards = tag("div", *(_card(item) for item in picks), class_="gallery")
    return section("crystals", "Sampled crystals", join([gradients(numbers), button]), cards, key(numbers), lead=lead)


def _card(item: Pick) -> Markup:
    formula = item.crystal.formula
    facts = [f"{item.crystal.n_atoms} atoms", f"{item.crystal.volume:.0f} Å³"]
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
