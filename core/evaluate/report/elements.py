"""Elements as pictures show them: colour, size, place in the periodic table, and the table as a heat map."""

from __future__ import annotations

from collections.abc import Mapping

from crystalfw.core.evaluate.report.html import Markup, join, tag, text
from crystalfw.core.presentation import percent

# The Jmol colours, hydrogen first: what crystallographers expect (oxygen red, nitrogen blue, ...).
_COLOURS = (
    "ffffff d9ffff cc80ff c2ff00 ffb5b5 909090 3050f8 ff0d0d 90e050 b3e3f5 ab5cf2 8aff00 bfa6a6 f0c8a0 ff8000 ffff30 "
    "1ff01f 80d1e3 8f40d4 3dff00 e6e6e6 bfc2c7 a6a6ab 8a99c7 9c7ac7 e06633 f090a0 50d050 c88033 7d80b0 c28f8f 668f8f "
    "bd80e3 ffa100 a62929 5cb8d1 702eb0 00ff00 94ffff 94e0e0 73c2c9 54b5b5 3b9e9e 248f8f 0a7d8c 006985 c0c0c0 ffd98f "
    "a67573 668080 9e63b5 d47a00 940094 429eb0 57178f 00c900 70d4ff ffffc7 d9ffc7 c7ffc7 a3ffc7 8fffc7 61ffc7 45ffc7 "
    "30ffc7 1fffc7 00ff9c 00e675 00d452 00bf38 00ab24 4dc2ff 4da6ff 2194d6 267dab 266696 175487 d0d0e0 ffd123 b8b8d0 "
    "a6544d 575961 9e4fb5 ab5c00 754f45 428296 420066 007d00 70abfa 00baff 00a1ff 008fff 0080ff 006bff 545cf2 785ce3 "
    "8a4fe3 a136d4 b31fd4 b31fba b30da6 bd0d87 c70066 cc0059 d1004f d90045 e00038 e6002e eb0026 "
)
# Covalent radii in picometres, hydrogen first (Cordero et al., Dalton Trans. 2008, 2832).
_RADII = (
    "31 28 128 96 84 76 71 66 57 58 166 141 121 111 107 105 102 106 203 176 170 160 153 139 139 132 126 124 132 122 "
    "122 120 119 120 120 116 220 195 190 175 164 154 147 146 142 139 145 144 142 139 139 138 139 140 244 215 207 204 "
    "203 201 199 198 198 196 194 192 192 189 190 187 187 175 170 162 151 144 141 136 136 132 145 146 148 140 150 150 "
    "260 221 215 206 200 196 190 187 180 169 "
)
_UNKNOWN_COLOUR, _UNKNOWN_RADIUS = "ff1493", 170
_CELL, _GAP = 26, 6


def colour(number: int) -> str:
    """The element's colour as #rrggbb."""
    known = _COLOURS.split()
    return "#" + (known[number - 1] if 1 <= number <= len(known) else _UNKNOWN_COLOUR)


def radius(number: int) -> float:
    """Covalent radius in angstrom."""
    known = _RADII.split()
    return (int(known[number - 1]) if 1 <= number <= len(known) else _UNKNOWN_RADIUS) / 100


def symbol(number: int) -> str:
    """Chemical symbol; `Z7` style where there is none."""
    from pymatgen.core import Element

    return str(Element.from_Z(number).symbol) if 1 <= number <= 118 else f"Z{number}"


def gradients(numbers: set[int]) -> Markup:
    """Definitions that shade each element's sphere, shared by all pictures of the page."""
    parts = []
    for number in sorted(numbers):
        base = colour(number)
        stops = [("0%", _mixed(base, "#ffffff", 0.65)), ("45%", base), ("100%", _mixed(base, "#000000", 0.45))]
        inner = join(Markup(f'<stop offset="{offset}" stop-color="{shade}"/>') for offset, shade in stops)
        parts.append(Markup(f'<radialGradient id="el{number}" cx="36%" cy="32%" r="68%">{inner}</radialGradient>'))
    return Markup(f'<svg class="defs" width="0" height="0" aria-hidden="true"><defs>{join(parts)}</defs></svg>')


def key(numbers: set[int]) -> Markup:
    """Which colour is which element."""
    return tag("div", *(tag("span", _ball(number), symbol(number)) for number in sorted(numbers)), class_="legend elements")


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


def _ball(number: int) -> Markup:
    circle = f'<circle cx="10" cy="10" r="9" fill="url(#el{number})"/>'
    return Markup(f'<svg viewBox="0 0 20 20" aria-hidden="true">{circle}</svg>')


def _place(number: int) -> tuple[int, int]:
    """Column and row, from 0; lanthanides and actinides in two rows below."""
    from pymatgen.core import Element

    if 57 <= number <= 71 or 89 <= number <= 103:
        start = 57 if number <= 71 else 89
        return number - start + 2, 7 if start == 57 else 8
    element = Element.from_Z(number)
    return element.group - 1, element.row - 1


def _mixed(first: str, second: str, weight: float) -> str:
    pairs = [(int(first[k : k + 2], 16), int(second[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * weight):02x}" for a, b in pairs)
