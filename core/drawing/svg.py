"""A crystal as an SVG that stands without a script; crystal.js turns, zooms and draws the same scene.

Own code instead of a viewer library: no WebGL (a page may hold about sixteen such canvases), no half megabyte in each page,
and a picture that prints and shows without JavaScript (docs/project/decisions.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from crystalfw.core.drawing.elements import colour
from crystalfw.core.drawing.markup import Markup, text
from crystalfw.core.drawing.scene import SIZE, Scene, scene

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal

_AXES = ((1, "a"), (2, "b"), (4, "c"))


def picture(crystal: Crystal, label: str) -> Markup:
    """The SVG with its scene for crystal.js; `label` is what a screen reader says."""
    drawn = scene(crystal)
    colours = {str(number): colour(number) for number in sorted({int(ball[4]) for ball in drawn.balls})}
    content = {"a": drawn.balls, "b": drawn.bonds, "c": drawn.corners, "f": drawn.faces, "k": colours}
    data = json.dumps(content, separators=(",", ":")).replace(".0,", ",")
    half = SIZE // 2
    return Markup(
        f'<svg class="crystal" viewBox="{-half} {-half} {SIZE} {SIZE}" tabindex="0" role="img" aria-label="{text(label)}" '
        f'data-scene="{text(data)}">{_drawn(drawn)}</svg>'
    )


def _drawn(drawn: Scene) -> str:
    """Everything from back to front, the axes' names last; crystal.js does the same."""
    marks = [*_cell(drawn), *_bonds(drawn)]
    for x, y, z, r, number, outside in drawn.balls:
        style = ' class="out"' if outside else ""
        marks.append((z, f'<circle{style} cx="{x:g}" cy="{-y:g}" r="{r:g}" fill="url(#el{int(number)})"/>'))
    return "".join(mark for _, mark in sorted(marks, key=lambda item: item[0])) + "".join(_names(drawn))


def _cell(drawn: Scene) -> Iterator[tuple[float, str]]:
    """The twelve edges, those from the origin in the axes' colours."""
    for first in range(8):
        for bit, axis in _AXES:
            if not first & bit:
                p, q = drawn.corners[first], drawn.corners[first | bit]
                style = f"edge {axis}" if first == 0 else "edge"
                for k in range(4):
                    u, v = _between(p, q, k / 4), _between(p, q, (k + 1) / 4)
                    yield (u[2] + v[2]) / 2, _line(u, v, f'class="{style}"')


def _bonds(drawn: Scene) -> Iterator[tuple[float, str]]:
    """Two halves, each in the colour of its atom."""
    for pair in drawn.bonds:
        first, second = (drawn.balls[k] for k in pair)
        middle = _between(first, second, 0.5)
        style = "bond out" if first[5] or second[5] else "bond"
        for end in (first, second):
            yield (end[2] + middle[2]) / 2, _line(end, middle, f'class="{style}" stroke="{colour(int(end[4]))}"')


def _names(drawn: Scene) -> Iterator[str]:
    origin = drawn.corners[0]
    for bit, axis in _AXES:
        x, y, _ = _between(origin, drawn.corners[bit], 1.0)
        length = max(((x - origin[0]) ** 2 + (y - origin[1]) ** 2) ** 0.5, 1e-9)
        x, y = x + 9 * (x - origin[0]) / length, y + 9 * (y - origin[1]) / length
        yield f'<text class="{axis}" x="{x:.1f}" y="{3.5 - y:.1f}">{axis}</text>'


def _between(first: list[float], second: list[float], share: float) -> list[float]:
    return [a + (b - a) * share for a, b in zip(first[:3], second[:3], strict=True)]


def _line(p: list[float], q: list[float], look: str) -> str:
    return f'<path {look} d="M{p[0]:.1f} {-p[1]:.1f}L{q[0]:.1f} {-q[1]:.1f}"/>'
