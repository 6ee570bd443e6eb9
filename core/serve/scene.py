"""A crystal as the viewer draws it: atoms with their images, bonds, cell, polyhedra and the facts beside them.

Coordinates are Cartesian, angstrom. Bonds: pairs little longer than the shortest at either end and short enough for their
covalent radii, the rule of the reports' pictures. An atom outside of the cell is drawn where a bond leads to it.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from crystalfw.core.crystal import Crystal, lattice_to_parameters
from crystalfw.core.errors import ConditionError
from crystalfw.core.evaluate.report.elements import colour, radius

MAX_DRAWN = 4000
_ON_A_FACE = 0.02
_LONGER, _REACH = 1.18, 1.3


def scene(crystal: Crystal, supercell: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Any]:
    """The scene as JSON: `atoms`, `bonds` (pairs of atoms), `cell` (a, b, c), `polyhedra` (faces of atoms), `facts`."""
    if crystal.n_atoms * int(np.prod(supercell)) > MAX_DRAWN // 4:
        raise ConditionError(f"{crystal.n_atoms * int(np.prod(supercell)):,} atoms are too many to draw; choose fewer cells")
    home, cells, atom = _inside(crystal, supercell)
    pairs = _neighbours(crystal)
    keys = {(int(a), *map(int, c)): k for k, (a, c) in enumerate(zip(atom, cells, strict=True))}
    inside = len(keys)
    bonds: set[tuple[int, int]] = set()
    for k in range(inside):
        a, cell = int(atom[k]), cells[k]
        for other, shift in pairs[a]:
            key = (other, *(int(v) for v in cell + shift))
            bonds.add(tuple(sorted((k, keys.setdefault(key, len(keys))))))  # type: ignore[arg-type]
    places = np.array(list(keys), dtype=np.int64).reshape(-1, 4)
    positions = (home[places[:, 0]] + places[:, 1:]) @ crystal.lattice
    atoms = [
        {"element": _symbol(n), "index": int(a), "x": x, "y": y, "z": z, "outside": k >= inside}
        for k, (a, n, (x, y, z)) in enumerate(
            zip(places[:, 0], crystal.numbers[places[:, 0]], np.round(positions, 4).tolist(), strict=True)
        )
    ]
    elements = {_symbol(n): {"colour": colour(n), "radius": round(radius(n), 3)} for n in sorted(set(crystal.numbers.tolist()))}
    return {
        "atoms": atoms, "bonds": sorted(bonds), "cell": crystal.lattice.round(5).tolist(), "supercell": list(supercell),
        "elements": elements, "polyhedra": _polyhedra(positions, crystal.numbers[places[:, 0]], bonds, inside),
        "facts": facts(crystal),
    }  # fmt: skip


def facts(crystal: Crystal) -> dict[str, Any]:
    """Formula, cell parameters (angstrom, degrees), volume (cubic angstrom), space group with its tolerance."""
    lengths, angles = lattice_to_parameters(crystal.lattice)
    group = crystal.space_group
    return {
        "formula": crystal.formula, "atoms": crystal.n_atoms, "volume": round(crystal.volume, 2),
        "lengths": lengths.round(4).tolist(), "angles": angles.round(2).tolist(),
        "space_group": f"{group[0]} ({group[1]})" if group is not None else "none found", "tolerance": "0.1 Å",
    }  # fmt: skip


def _inside(crystal: Crystal, supercell: tuple[int, int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Wrapped positions, and cell and atom of every atom in the supercell, those on its faces repeated."""
    home = crystal.frac_coords - np.floor(crystal.frac_coords)
    home[home > 1 - _ON_A_FACE] -= 1.0
    cells, atom = [], []
    for k, position in enumerate(home):
        axes = [range(n + 1) if abs(value) < _ON_A_FACE else range(n) for value, n in zip(position, supercell, strict=True)]
        for shift in product(*axes):
            cells.append(shift)
            atom.append(k)
    return home, np.array(cells, dtype=np.int64), np.array(atom, dtype=np.int64)


def _neighbours(crystal: Crystal) -> list[list[tuple[int, NDArray[np.int64]]]]:
    """Of each atom its bonded neighbours: (atom, cell)."""
    home = crystal.frac_coords - np.floor(crystal.frac_coords)
    home[home > 1 - _ON_A_FACE] -= 1.0
    radii = np.array([radius(n) for n in crystal.numbers.tolist()])
    cutoff = _REACH * 2 * radii.max()
    widths = crystal.volume / np.linalg.norm(np.cross(np.roll(crystal.lattice, -1, 0), np.roll(crystal.lattice, -2, 0)), axis=1)
    reach = np.minimum(np.ceil(cutoff / widths + 1).astype(int), 6)
    shifts = np.array(list(product(*(range(-r, r + 1) for r in reach))), dtype=np.int64)
    found: list[list[tuple[int, NDArray[np.int64]]]] = []
    near = np.full(crystal.n_atoms, np.inf)
    close: list[tuple[int, NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    for i in range(crystal.n_atoms):
        distances = np.linalg.norm((home[None] + shifts[:, None] - home[i]) @ crystal.lattice, axis=-1)
        rows, columns = np.nonzero((distances > 0.3) & (distances <= _REACH * (radii[i] + radii)[None]))
        if len(rows):
            near[i] = distances[rows, columns].min()
        close.append((i, rows, columns, distances[rows, columns]))
    for i, rows, columns, lengths in close:
        keep = lengths <= _LONGER * np.maximum(near[i], near[columns])
        found.append([(int(c), shifts[r]) for r, c in zip(rows[keep], columns[keep], strict=True)])
    return found


def _polyhedra(
    positions: NDArray[Any], numbers: NDArray[Any], bonds: set[tuple[int, int]], inside: int
) -> list[dict[str, Any]]:
    """Coordination polyhedra around cations: atoms whose four or more neighbours are all more electronegative."""
    from pymatgen.core import Element

    around: dict[int, list[int]] = {}
    for i, j in bonds:
        around.setdefault(i, []).append(j)
        around.setdefault(j, []).append(i)
    strength = {n: Element.from_Z(n).X for n in set(numbers.tolist())}
    found = []
    for centre in range(inside):
        corners = sorted(around.get(centre, []))
        if not 4 <= len(corners) <= 14 or any(strength[int(numbers[k])] <= strength[int(numbers[centre])] for k in corners):
            continue
        try:
            hull = ConvexHull(positions[corners])
        except QhullError:  # a planar coordination spans no volume
            continue
        faces = [[corners[k] for k in simplex] for simplex in hull.simplices]
        found.append({"centre": centre, "faces": faces})
    return found


def _symbol(number: int) -> str:
    from pymatgen.core import Element

    return str(Element.from_Z(int(number)).symbol)
