"""CrystalNN's neighbours and the fingerprint made of them, compiled: what pymatgen needs 200 ms a crystal for.

The rules are those of pymatgen's CrystalNN with its default options, for crystals without oxidation states: the weight of
a neighbour is the solid angle of its Voronoi face, times solid angle per area (porous crystals), times what the difference
of electronegativity gives, times a cut-off by covalent radii (Pan et al., Inorg. Chem. 60, 1590, 2021). A coordination
number weighs what its stretch of a quarter circle over the sorted weights is. Shapes: N sites, P pairs, Z atomic numbers.
"""

from __future__ import annotations

import math
import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import FloatArray, IntArray
from crystalfw.core.system.compiled import njit
from crystalfw.plugins.metrics.shared.order_parameters import MAX_COORDINATION, motif_tables, order_parameters
from crystalfw.plugins.metrics.shared.voronoi import ascending, voronoi_faces

SIZE = 61
"""Numbers of a site: 24 coordination numbers, 37 motifs."""
_FIRST_CUTOFF = 7.0
"""Angstrom; doubled for a site whose cell is not closed by neighbours this near, up to the longest diagonal."""
_MAX_Z = 119


def site_fingerprints(lattice: FloatArray, frac_coords: FloatArray, numbers: IntArray) -> FloatArray:
    """(N, 61) for each coordination number its weight, followed by weight times order parameter for each of its motifs.

    Lattice rows in angstrom. Raises ValueError where a site has no closed Voronoi cell, atoms coincide, or pymatgen has no
    radius of an element.
    """
    found = np.full((len(numbers), SIZE), np.nan)
    radii, negativities = _elements()
    if np.isnan(radii[numbers]).any():
        raise ValueError("an element without a covalent or atomic radius")
    corners = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]]) @ lattice
    longest = float(np.linalg.norm(corners, axis=1).max()) + 0.01
    cutoff = _FIRST_CUTOFF
    while True:
        first, second, vectors = _pairs(lattice, frac_coords, cutoff)
        starts = np.searchsorted(first, np.arange(len(numbers) + 1))
        open_sites = np.flatnonzero(np.isnan(found[:, 0]))
        _fingerprints(open_sites, starts, vectors, numbers[second], numbers, radii, negativities, *motif_tables(), found)
        if not np.isnan(found).any():
            return found
        if cutoff >= longest:
            raise ValueError("a site without a closed Voronoi cell")
        cutoff = min(2 * cutoff, longest + 0.001)


@cache
def compiled() -> None:
    """Compile, or load what was compiled before: outside of any time limit, once for each process."""
    site_fingerprints(4.0 * np.eye(3), np.zeros((1, 3)), np.array([29]))


def _pairs(lattice: FloatArray, frac_coords: FloatArray, cutoff: float) -> tuple[IntArray, IntArray, FloatArray]:
    """(P,) sites, sorted, (P,) neighbours, (P, 3) vectors from site to neighbour, within the cut-off in angstrom."""
    from vesin import NeighborList

    first, second, vectors, distances = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=frac_coords @ lattice, box=lattice, periodic=True, quantities="ijDd"
    )
    if len(distances) and distances.min() < 1e-8:
        raise ValueError("two atoms at one place")
    order = np.lexsort((distances, first))
    return first[order].astype(np.int64), second[order].astype(np.int64), np.ascontiguousarray(vectors[order])


@cache
def _elements() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(Z,) radius in angstrom, covalent or else atomic, and (Z,) Pauling electronegativity; NaN where unknown."""
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
    from pymatgen.core import Element

    radii, negativities = np.full(_MAX_Z, np.nan), np.full(_MAX_Z, np.nan)
    for number in range(1, _MAX_Z):
        element = Element.from_Z(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # noble gases have no electronegativity
            negativities[number] = element.X
            radius = CovalentRadius.radius.get(element.symbol, element.atomic_radius)
        radii[number] = np.nan if radius is None else float(radius)
    return radii, negativities


@njit(cache=True)
def _fingerprints(  # type: ignore[no-untyped-def]
    sites, starts, vectors, neighbours, numbers, radii, negativities, motif_starts, kinds, rows, out
):
    """Fill out[sites]; rows of sites whose Voronoi cell is unbounded stay as they are."""
    for site in sites:
        near = vectors[starts[site] : starts[site + 1]]
        if len(near) < 4:
            continue
        angles, areas, closed = voronoi_faces(near)
        if not closed:
            continue
        kinds_near = neighbours[starts[site] : starts[site + 1]]
        weights = _weights(near, angles, areas, numbers[site], kinds_near, radii, negativities)
        for column in range(SIZE):
            out[site, column] = 0.0
        _site(near, weights, motif_starts, kinds, rows, out[site])


@njit(cache=True)
def _weights(near, angles, areas, number, kinds_near, radii, negativities):  # type: ignore[no-untyped-def]
    """(P,) CrystalNN's weight of each neighbour."""
    weights, largest, highest = np.zeros(len(near)), 0.0, 0.0
    for k in range(len(near)):
        largest = max(largest, angles[k])
    for k in range(len(near)):
        if areas[k] <= 0.0:
            continue
        weights[k] = angles[k] / largest * angles[k] / areas[k]
        difference = abs(negativities[number] - negativities[kinds_near[k]])
        if not math.isnan(difference):
            weights[k] *= 1.0 + 3.0 * math.sqrt(difference / 3.3)
        highest = max(highest, weights[k])
    for k in range(len(near)):
        distance = math.sqrt(near[k, 0] ** 2 + near[k, 1] ** 2 + near[k, 2] ** 2)
        low = radii[number] + radii[kinds_near[k]] + 0.5
        weights[k] /= highest
        if distance >= low + 0.5:
            weights[k] = 0.0
        elif distance > low:
            weights[k] *= (math.cos((distance - low) / 0.5 * math.pi) + 1.0) * 0.5
    return weights


@njit(cache=True)
def _site(near, weights, motif_starts, kinds, rows, out):  # type: ignore[no-untyped-def]
    """Fill one site's fingerprint; the motif `bcc` depends on the order of neighbours, which is pymatgen's."""
    order, units = np.empty(len(weights), np.int64), np.empty((len(weights), 3))
    ascending(-weights, len(weights), order)
    for place in range(len(order)):
        k = order[place]
        norm = math.sqrt(near[k, 0] ** 2 + near[k, 1] ** 2 + near[k, 2] ** 2)
        for axis in range(3):
            units[place, axis] = near[k, axis] / norm
        weights[k] = np.rint(weights[k] * 1000.0) / 1000.0
    count = 0
    while count < len(order) and weights[order[count]] > 0.0:
        here = weights[order[count]]
        while count < len(order) and weights[order[count]] == here:
            count += 1
        after = weights[order[count]] if count < len(order) else 0.0
        if count > MAX_COORDINATION:
            return
        share = (_quarter(here) - _quarter(after)) / (0.25 * math.pi)
        place, first, last = count - 1 + motif_starts[count], motif_starts[count], motif_starts[count + 1]
        out[place] = share
        if last > first:
            order_parameters(units[:count], kinds[first:last], rows[first:last], out[place + 1 : place + 1 + last - first])
            for motif in range(place + 1, place + 1 + last - first):
                out[motif] *= share


@njit(cache=True)
def _quarter(x):  # type: ignore[no-untyped-def]
    """Area of the unit quarter circle left of x."""
    if x >= 1.0:
        return 0.25 * math.pi
    height = math.sqrt(1.0 - x * x)
    return 0.5 * (x * height + math.atan(x / height))
