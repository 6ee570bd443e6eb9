"""A crystal as the 3D viewer draws it: atoms with their images, bonds, cell, polyhedra and the facts beside them.

Coordinates are Cartesian, angstrom. Atoms, bonds and polyhedra are those of all pictures (drawing/scene.py).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, lattice_to_parameters
from crystalfw.core.drawing.bonding import RULE, bonds
from crystalfw.core.drawing.elements import colour, radius, symbol
from crystalfw.core.drawing.scene import Surroundings, in_cell
from crystalfw.core.errors import ConditionError

MAX_DRAWN = 1000
"""Atoms of the cells asked for, beyond which nothing is drawn."""


def scene(crystal: Crystal, supercell: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Any]:
    """The scene as JSON: `atoms`, `bonds` (pairs of atoms), `cell` (a, b, c), `polyhedra` (faces of atoms), `facts`.

    `outside` of an atom: 0 in the cells or on their faces; 1 a neighbour of an atom there; 2 needed only by the polyhedron of
    an atom on a face. `loose`: does an atom of the cells show no bond without its neighbours outside?
    Raises ConditionError for more than MAX_DRAWN atoms.
    """
    count = crystal.n_atoms * int(np.prod(supercell))
    if count > MAX_DRAWN:
        raise ConditionError(f"{count:,} atoms are too many to draw; choose fewer cells")
    home = in_cell(crystal)
    drawn = Surroundings(crystal.lattice, home, bonds(crystal.lattice, home, crystal.numbers), supercell)
    inside, near = drawn.inside(), dict.fromkeys(drawn.added(drawn.base()))
    far = [place for place in drawn.added(inside) if place not in near]
    places = [*inside, *near, *far]
    index = {place: k for k, place in enumerate(places)}
    positions, pairs = drawn.cartesian(places), drawn.pairs(index)
    outside = [0] * len(inside) + [1] * len(near) + [2] * len(far)
    atoms = [
        {"element": symbol(int(crystal.numbers[place[0]])), "index": place[0], "x": x, "y": y, "z": z, "outside": out}
        for place, (x, y, z), out in zip(places, positions.round(4).tolist(), outside, strict=True)
    ]
    bonded = {k for pair in pairs if max(pair) < len(inside) for k in pair}
    polyhedra = [(index[centre], drawn.faces(centre, index, positions)) for centre in inside]
    present = sorted(set(crystal.numbers.tolist()))
    elements = {symbol(n): {"colour": colour(n), "radius": round(radius(n), 3)} for n in present}
    return {
        "atoms": atoms, "bonds": pairs, "cell": crystal.lattice.round(5).tolist(), "supercell": list(supercell),
        "elements": elements, "polyhedra": [_triangles(centre, faces) for centre, faces in polyhedra if faces],
        "facts": facts(crystal), "rule": RULE, "loose": bool(pairs) and len(bonded) < len(inside),
    }  # fmt: skip


def facts(crystal: Crystal) -> dict[str, Any]:
    """Formula, cell parameters (angstrom, degrees), volume (cubic angstrom), space group with its tolerance."""
    lengths, angles = lattice_to_parameters(crystal.lattice)
    group = crystal.space_group
    return {
        "formula": crystal.formula, "atoms": crystal.n_atoms, "volume": round(crystal.volume, 2),
        "lengths": lengths.round(4).tolist(), "angles": angles.round(2).tolist(),
        "space_group": "none found" if group is None else str(group), "tolerance": "0.1 Å",
    }  # fmt: skip


def bond_ends(crystal: Crystal, first: int, second: int, cell: tuple[int, int, int]) -> list[list[float]]:
    """Both ends of the bond from one atom to another in `cell`, in the scene's coordinates."""
    start = in_cell(crystal)[first]
    step = crystal.frac_coords[second] + np.array(cell) - crystal.frac_coords[first]
    return (np.stack([start, start + step]) @ crystal.lattice).round(4).tolist()


def _triangles(centre: int, faces: list[list[int]]) -> dict[str, Any]:
    """The polyhedron as triangles of atoms."""
    return {"centre": centre, "faces": [[face[0], p, q] for face in faces for p, q in pairwise(face[1:])]}
