"""The periodic table as a heat map."""

from __future__ import annotations

from collections.abc import Mapping

from crystalfw.core.drawing.elements import symbol
from crystalfw.core.drawing.markup import Markup, join, tag, text
from crystalfw.core.presentation import percent

_CELL, _GAP = 26, 6


def periodic_table(shares: Mapping[str, float], beside: Mapping[str, float], label: str) -> Markup:
    """The periodic table, each element shaded by its share of crystals; `beside` is the other side, told on hover."""
    highest = max([*shares.values(), *beside.values()], default=0.0) or 1.0
    cells = []
    for number in range(1, 104):
        name = symbol(number)
        tip = f"{name}: {percent(shares.get(name, 0.0))} here, {percent(beside.get(name, 0.0))} beside"
        # the square root keeps rare elements visible beside oxygen
        cells.append(_square(name, _place(number), (shares.get(name, 0.0) / highest) ** 0.5, tip))
    width, height = 18 * _CELL, 9 * _CELL + _GAP
    opening = f'<svg class="periodic" viewBox="0 0 {width} {height}" role="img" aria-label="{text(label)}">'
    return Markup(f"{opening}{join(cells)}</svg>")


def _square(name: str, place: tuple[int, int], strength: float, tip: str) -> Markup:
    column, row = place
    x, y, side = column * _CELL, row * _CELL + (_GAP if row > 6 else 0), _CELL - 2
    box = f'<rect x="{x}" y="{y}" width="{side}" height="{side}" rx="3" '
    layers = Markup(f'{box}class="cell"/>{box}class="heat" style="opacity:{strength:.3f}"/>')
    style = "on" if strength > 0.6 else "none" if not strength else None
    written = tag("text", name, x=x + side / 2, y=y + 16, text_anchor="middle", class_=style)
    return tag("g", tag("title", tip), layers, written)


def _place(number: int) -> tuple[int, int]:
    """Column and row, from 0; lanthanides and actinides in two rows below."""
    from pymatgen.core import Element

    if 57 <= number <= 71 or 89 <= number <= 103:
        start = 57 if number <= 71 else 89
        return number - start + 2, 7 if start == 57 else 8
    element = Element.from_Z(number)
    return element.group - 1, element.row - 1
