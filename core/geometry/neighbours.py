"""Periodic neighbour pairs within a cutoff: all images, self-images included, each pair listed both ways.

The search is vesin's cell list (https://github.com/Luthaf/vesin); this file adds what makes it exact and safe for any
crystal: positions wrapped, skewed bases reduced first, and a bound on memory. Shapes: N atoms, E edges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray, IntArray
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.lattice import reduce_pairs

if TYPE_CHECKING:
    from vesin import NeighborList

if TYPE_CHECKING:
    from vesin import NeighborList

MAX_EDGES = 10_000_000
"""Bound on the edges of one batch; about 400 MB of indices, and several times that in an encoder."""


def neighbour_arrays(crystal: Crystal, cutoff: float) -> tuple[IntArray, IntArray, IntArray]:
    """Source (E,), target (E,) and shift (E, 3) of one crystal's neighbour pairs, int64; sorted by target.

    The vector of an edge, target i to source j, is (f_j + shift - f_i) @ lattice, at most `cutoff` angstrom long.
    Raises DataError for a cell without volume and for more than MAX_EDGES expected pairs.
    """
    return search_pairs(new_list(cutoff), crystal.lattice, crystal.frac_coords, cutoff, crystal.id or "the crystal")


def new_list(cutoff: float) -> NeighborList:
    """A cell list for `search_pairs`; raises DataError unless the cutoff is a positive number of angstrom."""
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise DataError(f"a neighbour cutoff must be a positive number of angstrom, not {cutoff}")
    from vesin import NeighborList  # imports ASE if it is installed; plugin authors import this file with the contracts

    return NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)


def search_pairs(
    search: NeighborList, lattice: FloatArray, frac_coords: FloatArray, cutoff: float, name: str
) -> tuple[IntArray, IntArray, IntArray]:
    """Source (E,), target (E,) and shift (E, 3) of one crystal; `name` is what a DataError calls it."""
    _check(lattice, frac_coords, cutoff, name)
    # vesin visits the images of the given basis: many for a skewed basis, few for the reduced one
    transform_33 = reduce_pairs(lattice)
    reduced_33 = transform_33 @ lattice
    frac_N3 = frac_coords @ np.linalg.inv(transform_33)
    cell_N3 = np.floor(frac_N3)
    points_N3 = (frac_N3 - cell_N3) @ reduced_33
    target, source, shift_E3 = search.compute(points_N3, reduced_33, True, "ijS")
    source, target = source.astype(np.int64), target.astype(np.int64)
    moved_E3 = shift_E3 + cell_N3[target] - cell_N3[source]
    return source, target, np.rint(moved_E3 @ transform_33).astype(np.int64)


def _check(lattice: FloatArray, frac_coords: FloatArray, cutoff: float, name: str) -> None:
    if not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
        raise DataError(f"{name} has no geometry (NaN or infinite lattice or positions): neighbours cannot be found")
    volume = abs(np.linalg.det(lattice))
    if volume < 1e-6:
        raise DataError(f"{name} has a cell of {volume:.3g} cubic angstrom: not a crystal")
    expected = len(frac_coords) ** 2 * 4 / 3 * math.pi * cutoff**3 / volume
    if expected > MAX_EDGES:
        raise DataError(
            f"{name} ({len(frac_coords)} atoms in {volume:.3g} cubic angstrom) would have about {expected:,.0f} neighbour "
            f"pairs within {cutoff:g} angstrom; the bound is {MAX_EDGES:,}. Set it aside (transform 'filter') or "
            "lower the cutoff"
        )
