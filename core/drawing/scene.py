"""A crystal as a scene: balls, bonds, polyhedra and the cell, in the picture's units.

Balls are the atoms of the cell, their images on its faces, and the atoms outside of it that a coordination needs to be whole:
that of every cation, images included; without cations (elements, alloys, ZnS-like covalent solids) that of every atom once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.drawing.bonding import Bonds, bonds
from crystalfw.core.drawing.elements import radius

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal

FloatArray = NDArray[np.float64]
Place = tuple[int, int, int, int]
"""An atom of the cell and the lattice vectors that it is moved by."""

SIZE = 200
"""Side of the picture's coordinate system."""
MAX_ATOMS = 200
"""Larger cells are not drawn."""
_ON_A_FACE = 0.02
_BALL = 0.42
"""Drawn radius as a share of the covalent radius plus a constant, so that bonds stay visible."""
_MOST_BALLS = 160
"""Beyond so many balls, images on faces keep their bonds inside of the cell only."""
_MARGIN = 12
_FACES = range(4, 9)
"""Coordination numbers whose polyhedra are drawn; larger ones hide the rest."""


@dataclass(frozen=True)
class Scene:
    """What is drawn; coordinates around the picture's centre, x right, y up, z towards the eye."""

    balls: list[list[float]]
    """[x, y, z, radius, atomic number, 1 outside of the cell else 0]."""
    bonds: list[list[int]]
    """Pairs of balls."""
    corners: list[list[float]]
    """Eight corners of the cell, in the order of the bits of (a, b, c)."""
    faces: list[list[int]] = field(default_factory=list)
    """[atomic number of the centre, balls around the face ...] of coordination polyhedra."""


def in_cell(crystal: Crystal) -> FloatArray:
    """(N, 3) fractional positions inside the cell; those just below 1 count as on the face at 0."""
    home = crystal.frac_coords - np.floor(crystal.frac_coords)
    home[home > 1 - _ON_A_FACE] -= 1.0
    return np.asarray(home)


def scene(crystal: Crystal) -> Scene:
    """The cell, standing on its ab plane and seen from a little above and aside, fitted to the picture."""
    wrapped = in_cell(crystal)
    cell = Surroundings(crystal.lattice, wrapped, bonds(crystal.lattice, wrapped, crystal.numbers))
    places, outside = cell.places()
    turned = _orientation(crystal.lattice)
    centre = crystal.lattice.sum(axis=0) / 2
    positions = (cell.cartesian(places) - centre) @ turned.T
    corners = (np.array([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(8)]) @ crystal.lattice - centre) @ turned.T
    numbers = [int(crystal.numbers[place[0]]) for place in places]
    radii = np.array([_BALL * radius(number) + 0.12 for number in numbers])
    scale = _fitted(positions, radii, corners)
    balls = [
        [*map(_rounded, p * scale), _rounded(r * scale), n, int(k in outside)]
        for k, (p, r, n) in enumerate(zip(positions, radii, numbers, strict=True))
    ]
    index = {place: k for k, place in enumerate(places)}
    faces = [[numbers[index[centre]], *face] for centre in places for face in cell.faces(centre, index, positions)]
    return Scene(balls, cell.pairs(index), [list(map(_rounded, corner * scale)) for corner in corners], faces)


@dataclass(frozen=True)
class Surroundings:
    """Which atoms of some cells are drawn: those inside, their images on faces, what a coordination needs outside."""

    lattice: FloatArray
    frac: FloatArray
    bonds: Bonds
    cells: tuple[int, int, int] = (1, 1, 1)
    """Cells drawn along a, b, c."""

    def cartesian(self, places: list[Place]) -> FloatArray:
        """(N, 3) positions, angstrom."""
        return np.asarray([(self.frac[atom] + shift) @ self.lattice for atom, *shift in places]).reshape(-1, 3)

    def places(self) -> tuple[list[Place], set[int]]:
        """All balls, and which of them are outside of the cell."""
        inside = self.inside()
        added = self.added(inside)
        if len(inside) + len(added) > _MOST_BALLS:
            added = self.added(self.base())
        return [*inside, *added], set(range(len(inside), len(inside) + len(added)))

    def inside(self) -> list[Place]:
        """The atoms of the cells and their images on opposite faces."""
        return [(atom, *shift) for atom in range(len(self.frac)) for shift in self._images(atom)]

    def base(self) -> list[Place]:
        """The atoms of the cells, each once."""
        a, b, c = map(range, self.cells)
        return [(atom, *shift) for atom in range(len(self.frac)) for shift in itertools.product(a, b, c)]

    def _images(self, atom: int) -> Iterator[tuple[int, int, int]]:
        """The cells' own places, and those on opposite faces."""
        axes = [range(n + (abs(value) < _ON_A_FACE)) for n, value in zip(self.cells, self.frac[atom], strict=True)]
        yield from itertools.product(*axes)

    def partners(self, place: Place) -> list[tuple[Place, bool]]:
        """The bonded places, and whether each is the anion of its bond."""
        atom, x, y, z = place
        return [((other, x + a, y + b, z + c), anion) for other, (a, b, c), anion in self.bonds.partners[atom]]

    def added(self, places: list[Place]) -> list[Place]:
        """Places outside that the coordination of the cations among these needs, each once: their anions. Without cations
        that of every atom of the cells."""
        centres = [place for place in places if self.bonds.cation[place[0]]] if self.bonds.cation.any() else self.base()
        found = dict.fromkeys(
            other for centre in centres for other, anion in self.partners(centre) if anion or not self.bonds.cation[centre[0]]
        )
        known = set(self.inside())
        return [place for place in found if place not in known]

    def pairs(self, index: dict[Place, int]) -> list[list[int]]:
        """Every bond between two balls."""
        found = {
            (min(k, index[other]), max(k, index[other]))
            for place, k in index.items()
            for other, _ in self.partners(place)
            if other in index
        }
        return [list(pair) for pair in sorted(found)]

    def faces(self, place: Place, index: dict[Place, int], positions: FloatArray) -> list[list[int]]:
        """Faces of the polyhedron of anions around a cation, where all of them are drawn."""
        around = [other for other, anion in self.partners(place) if anion] if self.bonds.cation[place[0]] else []
        if len(around) not in _FACES or any(other not in index for other in around):
            return []
        balls = [index[other] for other in around]
        return [[balls[k] for k in face] for face in hull_faces(positions[balls])]


def hull_faces(points: FloatArray) -> list[list[int]]:
    """Faces of the convex hull of K points (K, 3), corners in order around each; none where the points lie in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except QhullError:
        return []
    planes: dict[tuple[float, ...], set[int]] = {}
    for simplex, equation in zip(hull.simplices, hull.equations, strict=True):
        same = next((key for key in planes if np.allclose(key, equation, atol=0.05)), tuple(equation))
        planes.setdefault(same, set()).update(map(int, simplex))
    return [_around(points, sorted(face), np.array(plane[:3])) for plane, face in planes.items()]


def _around(points: FloatArray, face: list[int], normal: FloatArray) -> list[int]:
    middle = points[face].mean(axis=0)
    first = points[face[0]] - middle
    second = np.cross(normal, first)
    angle = {k: float(np.arctan2((points[k] - middle) @ second, (points[k] - middle) @ first)) for k in face}
    return sorted(face, key=angle.__getitem__)


def _orientation(lattice: FloatArray) -> FloatArray:
    """The normal of the ab plane upwards, a towards the viewer's left, then turned a little for depth."""
    up = np.cross(lattice[0], lattice[1])
    up = up / (np.linalg.norm(up) or 1.0) * (np.sign(np.linalg.det(lattice)) or 1.0)
    along = lattice[0] / (np.linalg.norm(lattice[0]) or 1.0)
    # screen x is b-ward, screen y is up, screen z (to the eye) is along a
    stand = np.array([np.cross(up, along), up, along])
    turn, tilt = np.deg2rad(-28), np.deg2rad(14)
    cos_t, sin_t, cos_u, sin_u = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt)
    yaw = np.array([[cos_t, 0, sin_t], [0, 1, 0], [-sin_t, 0, cos_t]])
    pitch = np.array([[1, 0, 0], [0, cos_u, -sin_u], [0, sin_u, cos_u]])
    return np.asarray(pitch @ yaw @ stand)


def _fitted(positions: FloatArray, radii: FloatArray, corners: FloatArray) -> float:
    """The scale at which the picture, as it first stands, fills its square; page and notebook shrink it while it turns."""
    reach = max(np.abs(corners[:, :2]).max(), (np.abs(positions[:, :2]).max(axis=1) + radii).max())
    return float((SIZE / 2 - _MARGIN) / reach)


def _rounded(value: Any) -> float:
    return round(float(value), 1)
