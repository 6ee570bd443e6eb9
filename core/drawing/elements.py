"""Elements as pictures show them: colour, radius, electronegativity, the legend and the shading of balls."""

from __future__ import annotations

from crystalfw.core.drawing.markup import Markup, join, tag

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
# Electronegativities times 100 on Pauling's scale, hydrogen first, 0 where none is known (Allred, J. Inorg. Nucl. Chem. 1961,
# 215, and later additions, as pymatgen has them).
_ELECTRONEGATIVITIES = (
    "220 0 98 157 204 255 304 344 398 0 93 131 161 190 219 258 316 0 82 100 136 154 163 166 155 183 188 191 190 165 "
    "181 201 218 255 296 300 82 95 122 133 160 216 190 220 228 220 193 169 178 196 205 210 266 260 79 89 110 112 113 "
    "114 113 117 120 120 110 122 123 124 125 110 127 130 150 236 190 220 220 228 254 200 162 233 202 200 220 220 70 "
    "90 110 130 150 138 136 128 130 130 130 130 130 130 130 130 130 "
)
_UNKNOWN_COLOUR, _UNKNOWN_RADIUS, _UNKNOWN_ELECTRONEGATIVITY = "ff1493", 170, 200


def colour(number: int) -> str:
    """The element's colour as #rrggbb."""
    known = _COLOURS.split()
    return "#" + (known[number - 1] if 1 <= number <= len(known) else _UNKNOWN_COLOUR)


def radius(number: int) -> float:
    """Covalent radius in angstrom."""
    known = _RADII.split()
    return (int(known[number - 1]) if 1 <= number <= len(known) else _UNKNOWN_RADIUS) / 100


def electronegativity(number: int) -> float:
    """Electronegativity on Pauling's scale; 2 for elements without one, so that they count as neither metal nor anion."""
    known = _ELECTRONEGATIVITIES.split()
    value = int(known[number - 1]) if 1 <= number <= len(known) else 0
    return (value or _UNKNOWN_ELECTRONEGATIVITY) / 100


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


def _ball(number: int) -> Markup:
    circle = f'<circle cx="10" cy="10" r="9" fill="url(#el{number})"/>'
    return Markup(f'<svg viewBox="0 0 20 20" aria-hidden="true">{circle}</svg>')


def _mixed(first: str, second: str, weight: float) -> str:
    pairs = [(int(first[k : k + 2], 16), int(second[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * weight):02x}" for a, b in pairs)
