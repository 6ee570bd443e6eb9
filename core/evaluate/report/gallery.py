"""The gallery: sampled crystals that can be turned, each with its facts and its CIF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from crystalfw.core.crystal import Crystal
from crystalfw.core.drawing.bonding import RULE
from crystalfw.core.drawing.card import facts, formula_words
from crystalfw.core.drawing.elements import gradients, key
from crystalfw.core.drawing.markup import Markup, tag
from crystalfw.core.drawing.svg import picture
from crystalfw.core.evaluate.report.html import section
from crystalfw.core.evaluate.report.samples import Pick, condition_words
from crystalfw.core.sample.export import safe_name

HOW_TO = (
    "Drag a crystal to turn it; + and − zoom, ⬡ shows coordination polyhedra. By keyboard: focus it, then arrow keys, + and −, "
    "P, and 0 to set it back, as a double click does."
)
COORDINATION = (
    "Paler atoms are outside of the cell: they complete the coordination of every cation, or, where there are no cations, "
    "of every atom of the cell. Space groups by spglib at the tolerance given."
)
BUTTONS = Markup(
    '<button id="spin" class="button" type="button" aria-pressed="false" hidden>Turn all slowly</button> '
    '<button id="polyhedra" class="button" type="button" aria-pressed="false" hidden>Show polyhedra</button>'
)


def gallery(picks: Sequence[Pick]) -> Markup:
    """The section with all cards."""
    lead = f"Valid, unique and novel ones come first. {HOW_TO}"
    cards = tag("div", *(_card(item) for item in picks), class_="gallery")
    return section("crystals", "Sampled crystals", BUTTONS, cards, tag("p", f"{COORDINATION} {RULE}", class_="note"), lead=lead)


def balls_of(crystals: Iterable[Crystal | None]) -> Markup:
    """The shading of every element in these crystals: once on a page, before the first picture."""
    return gradients({int(number) for crystal in crystals if crystal is not None for number in crystal.numbers})


def crystal_card(crystal: Crystal, label: str, *below: Markup, above: Markup | None = None) -> Markup:
    """A crystal with its formula, picture, named colours and facts; `below` are further lines."""
    return tag(
        "figure",
        *([above] if above is not None else []),
        tag("figcaption", formula_words(crystal.formula)),
        picture(crystal, f"Crystal structure of {crystal.formula}, {label}"),
        key(set(crystal.numbers.tolist())),
        facts(crystal),
        *below,
    )


def cif_link(id: str, cif: str) -> Markup:
    """A link that saves the CIF."""
    return tag("a", "CIF", href=f"data:chemical/x-cif;charset=utf-8,{quote(cif)}", download=f"{safe_name(id)}.cif")


def _card(item: Pick) -> Markup:
    assert item.crystal is not None
    condition = [tag("p", f"asked for {condition_words(item.condition)}")] if item.condition else []
    origin = tag("p", f"{item.origin + ', ' if item.origin else ''}sample {item.id} · ", cif_link(item.id, item.cif))
    return crystal_card(item.crystal, f"sample {item.id}", *condition, origin)
