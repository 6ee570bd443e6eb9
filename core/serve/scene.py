"""A crystal as the 3D viewer draws it: atoms with their images, bonds, cell, polyhedra and the facts beside them.

Coordinates are Cartesian, angstrom. Bonds follow the rule of all pictures (drawing/bonding.py); an atom outside of the cell is
drawn where a bond leads to it.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal, lattice_to_parameters
from crystalfw.core.drawing.bonding import RULE, Bonds, bonds
from crystalfw.core.drawing.elements import colour, radius, symbol
from crystalfw.core.drawing.scene import hull_faces
from crystalfw.core.errors import ConditionError

MAX_DRAWN = 1000
"""Atoms of the cells asked for, beyond which nothing is drawn."""
_ON_A_FACE = 0.02
_CORNERS = range(4, 15)
"""Neighbours of a cation that make a polyhedron."""


def scene(crystal: Crystal, supercell: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Any]:
    """The scene as JSON: `atoms`, `bonds` (pairs of atoms), `cell` (a, b, c), `polyhedra` (faces of atoms), `facts`.

    Raises ConditionError for more than MAX_DRAWN atoms.
    """
    count = crystal.n_atoms * int(np.prod(supercell))
    if count > MAX_DRAWN:
        raise ConditionError(f"{count:,} atoms are too many to draw; choose fewer cells")
    home = in_cell(crystal)
    found = bonds(crystal.lattice, home, crystal.numbers)
    keys, inside, pairs, polyhedra = _drawn(home, found, supercell)
    places = np.array(list(keys), dtype=np.int64).reshape(-1, 4)
    positions = (home[places[:, 0]] + places[:, 1:]) @ crystal.lattice
    numbers = crystal.numbers[places[:, 0]]
    atoms = [
        {"element": symbol(int(n)), "index": int(a), "x": x, "y": y, "z": z, "outside": k >= inside}
        for k, (a, n, (x, y, z)) in enumerate(zip(places[:, 0], numbers, positions.round(4).tolist(), strict=True))
    ]
    present = sorted(set(crystal.numbers.tolist()))
    elements = {symbol(n): {"colour": colour(n), "radius": round(radius(n), 3)} for n in present}
    return {
        "atoms": atoms, "bonds": sorted(pairs), "cell": crystal.lattice.round(5).tolist(), "supercell": list(supercell),
        "elements": elements, "polyhedra": [_faces(positions, centre, corners) for centre, corners in polyhedra],
        "facts": facts(crystal), "rule": RULE,
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


def in_cell(crystal: Crystal) -> NDArray[np.float64]:
    """(N, 3) fractional positions inside the cell; those just below 1 count as on the face at 0."""
    home = crystal.frac_coords - np.floor(crystal.frac_coords)
    home[home > 1 - _ON_A_FACE] -= 1.0
    return np.asarray(home)


def bond_ends(crystal: Crystal, first: int, second: int, shift: tuple[int, int, int]) -> list[list[float]]:
    """Both ends of the bond from one atom to another in the cell `shift`, in the scene's coordinates."""
    start = in_cell(crystal)[first]
    step = crystal.frac_coords[second] + np.array(shift) - crystal.frac_coords[first]
    return (np.stack([start, start + step]) @ crystal.lattice).round(4).tolist()


Key = tuple[int, int, int, int]


def _drawn(
    home: NDArray[np.float64], found: Bonds, supercell: tuple[int, int, int]
) -> tuple[dict[Key, int], int, set[tuple[int, int]], list[tuple[int, list[int]]]]:
    """Atoms drawn, as (atom, cell) -> number; how many lie inside; pairs that are bonded; corners around cations."""
    keys: dict[Key, int] = {}
    for k, position in enumerate(home):
        axes = [range(n + 1) if abs(value) < _ON_A_FACE else range(n) for value, n in zip(position, supercell, strict=True)]
        for a, b, c in product(*axes):
            keys[k, a, b, c] = len(keys)
    inside, pairs, polyhedra = len(keys), set(), []
    around = [np.flatnonzero(found.first == k) for k in range(len(home))]
    for (k, a, b, c), number in list(keys.items()):
        corners = []
        for bond in around[k]:
            u, v, w = found.shift[bond].tolist()
            other = keys.setdefault((int(found.second[bond]), a + u, b + v, c + w), len(keys))
            pairs.add((min(number, other), max(number, other)))
            if found.to_anion[bond]:
                corners.append(other)
        if found.cation[k] and len(corners) in _CORNERS:
            polyhedra.append((number, corners))
    return keys, inside, pairs, polyhedra


def _faces(positions: NDArray[np.float64], centre: int, corners: list[int]) -> dict[str, Any]:
    """The polyhedron as triangles of atoms."""
    triangles = []
    for face in hull_faces(positions[corners]):
        triangles += [[corners[face[0]], corners[p], corners[q]] for p, q in pairwise(face[1:])]
    return {"centre": centre, "faces": triangles}
