"""A crystal as a picture: atoms, bonds and cell edges, drawn here as SVG and turned in the browser by page.js.

The picture stands without a script; page.js draws the same scene after each turn. Own code instead of a viewer library:
no WebGL (which phones limit to a few canvases a page), a few kilobytes instead of half a megabyte per report.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.evaluate.report.elements import colour, gradients, key, radius
from crystalfw.core.evaluate.report.html import Markup, tag, text

SIZE = 200
"""Side of the picture's coordinate system."""
MAX_ATOMS = 200
"""Larger cells are not drawn."""
_ON_A_FACE = 0.02
_BALL = 0.42
"""Drawn radius as a share of the covalent radius plus a constant, so that bonds stay visible."""
_TURN, _TILT = np.deg2rad(-28), np.deg2rad(14)


@dataclass(frozen=True)
class Scene:
    """What is drawn; coordinates in the picture's units around its centre, x right, y up, z towards the eye."""

    atoms: list[list[float]]
    """[x, y, z, radius, atomic number] per ball, images on cell faces included."""
    bonds: list[list[int]]
    """Pairs of balls."""
    corners: list[list[float]]
    """Eight corners of the cell, in the order of the bits of (a, b, c)."""


def scene(crystal: Crystal) -> Scene:
    """The cell with the atoms on its faces repeated, as one sees it in textbooks."""
    frac, numbers = _with_images(crystal)
    centre = crystal.lattice.sum(axis=0) / 2
    corners = np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(8)]) @ crystal.lattice - centre
    positions = frac @ crystal.lattice - centre
    radii = np.array([_BALL * radius(number) + 0.12 for number in numbers])
    bonds = _bonds(positions, numbers)
    turned = _orientation()
    reach = max(np.linalg.norm(corners, axis=1).max(), (np.linalg.norm(positions, axis=1) + radii).max())
    scale = SIZE / 2 / reach
    positions, corners = positions @ turned.T * scale, corners @ turned.T * scale
    atoms = [[*map(_rounded, p), _rounded(r * scale), int(n)] for p, r, n in zip(positions, radii, numbers, strict=True)]
    return Scene(atoms, bonds, [[_rounded(value) for value in corner] for corner in corners])


def picture(crystal: Crystal, label: str) -> Markup:
    """The SVG with its scene for page.js."""
    drawn = scene(crystal)
    data = json.dumps({"a": drawn.atoms, "b": drawn.bonds, "c": drawn.corners, "k": _colours(drawn)}, separators=(",", ":"))
    half = SIZE // 2
    return Markup(
        f'<svg class="crystal" viewBox="{-half} {-half} {SIZE} {SIZE}" tabindex="0" role="img" aria-label="{text(label)}" '
        f'data-scene="{text(data)}">{_drawn(drawn)}</svg>'
    )


def notebook_picture(crystal: Crystal) -> Markup:
    """The picture with its caption and styles of its own, for a notebook; the caption alone where nothing can be drawn."""
    caption = tag("figcaption", repr(crystal))
    finite = np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all() and crystal.volume > 0
    if not finite or not 0 < crystal.n_atoms <= MAX_ATOMS:
        return tag("figure", caption)
    numbers = set(crystal.numbers.tolist())
    drawn = picture(crystal, f"Crystal structure of {crystal.formula}")
    return tag("figure", _NOTEBOOK_STYLE, gradients(numbers), drawn, key(numbers), caption, class_="crystalfw")


_NOTEBOOK_STYLE = Markup(
    "<style>.crystalfw { margin: 0; max-width: 18em; } .crystalfw svg.crystal { width: 16em; overflow: visible; } "
    ".crystalfw .edge { stroke: #888; stroke-width: 0.8; fill: none; } .crystalfw .legend svg { width: 1em; } "
    ".crystalfw .bond { stroke-width: 4; stroke-linecap: round; fill: none; }</style>"
)


def _with_images(crystal: Crystal) -> tuple[FloatArray, Any]:
    frac = crystal.frac_coords - np.floor(crystal.frac_coords)
    frac[frac > 1 - _ON_A_FACE] -= 1.0
    positions, numbers = [], []
    for position, number in zip(frac, crystal.numbers.tolist(), strict=True):
        axes = [(0.0, 1.0) if abs(value) < _ON_A_FACE else (0.0,) for value in position]
        for shift in ((a, b, c) for a in axes[0] for b in axes[1] for c in axes[2]):
            positions.append(position + np.array(shift))
            numbers.append(number)
    return np.array(positions), np.array(numbers)


def _bonds(positions: FloatArray, numbers: Any) -> list[list[int]]:
    """Pairs little longer than the shortest at either end, and short enough for their covalent radii."""
    if len(positions) < 2:
        return []
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    radii = np.array([radius(number) for number in numbers])
    shortest = distances.min(axis=1)
    close = distances <= 1.18 * np.maximum(shortest[:, None], shortest[None])
    bonded = close & (distances <= 1.3 * (radii[:, None] + radii[None])) & (distances > 0.3)
    return [[int(i), int(j)] for i, j in zip(*np.nonzero(np.triu(bonded)), strict=True)]


def _orientation() -> FloatArray:
    """c upwards, seen from a little above and aside."""
    stand = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    cos_t, sin_t, cos_u, sin_u = np.cos(_TURN), np.sin(_TURN), np.cos(_TILT), np.sin(_TILT)
    turn = np.array([[cos_t, 0, sin_t], [0, 1, 0], [-sin_t, 0, cos_t]])
    tilt = np.array([[1, 0, 0], [0, cos_u, -sin_u], [0, sin_u, cos_u]])
    return np.asarray(tilt @ turn @ stand)


def _colours(drawn: Scene) -> dict[str, str]:
    return {str(int(atom[4])): colour(int(atom[4])) for atom in drawn.atoms}


def _drawn(drawn: Scene) -> str:
    """Everything from back to front; page.js does the same."""
    marks: list[tuple[float, str]] = []
    for first in range(8):
        for bit in (1, 2, 4):
            if not first & bit:
                marks += _edge(drawn.corners[first], drawn.corners[first | bit])
    for i, j in drawn.bonds:
        marks += _bond(drawn.atoms[i], drawn.atoms[j])
    for x, y, z, r, number in drawn.atoms:
        marks.append((z, f'<circle cx="{x:.1f}" cy="{-y:.1f}" r="{r:.1f}" fill="url(#el{int(number)})"/>'))
    return "".join(mark for _, mark in sorted(marks, key=lambda item: item[0]))


def _edge(first: list[float], second: list[float]) -> list[tuple[float, str]]:
    pieces = 4
    points = [[a + (b - a) * k / pieces for a, b in zip(first, second, strict=True)] for k in range(pieces + 1)]
    return [
        ((p[2] + q[2]) / 2, f'<path class="edge" d="M{p[0]:.1f} {-p[1]:.1f}L{q[0]:.1f} {-q[1]:.1f}"/>')
        for p, q in pairwise(points)
    ]


def _bond(first: list[float], second: list[float]) -> list[tuple[float, str]]:
    middle = [(a + b) / 2 for a, b in zip(first[:3], second[:3], strict=True)]
    return [
        (
            (end[2] + middle[2]) / 2,
            f'<path class="bond" stroke="{colour(int(end[4]))}" '
            f'd="M{end[0]:.1f} {-end[1]:.1f}L{middle[0]:.1f} {-middle[1]:.1f}"/>',
        )
        for end in (first, second)
    ]


def _rounded(value: float) -> float:
    return round(float(value), 1)
