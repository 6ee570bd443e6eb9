"""pymatgen's StructureMatcher on two reduced crystals, compiled: what pymatgen needs 5 to 30 ms a pair for.

The rules are those of `StructureMatcher(ltol, stol, angle_tol, scale=True)` without supercells and subsets (S. P. Ong et al.,
Comput. Mater. Sci. 68, 314, 2013; checked against pymatgen in the tests): volumes are scaled to each other; every lattice of
the first crystal whose lengths and angles lie within the tolerances of the second's is tried with every translation that puts
an atom of the rarest element on another; atoms are assigned on the average of both lattices, and the mean displacement is
taken out. Assignments of exactly equal cost are decided by rounding, here as in pymatgen: about one pair in a thousand, in
symmetric crystals, gets another answer. Shapes: N atoms in each cell, M lattices, T translations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations

import numpy as np

from crystalfw.core.geometry.compiled_reduction import determinant, inverse
from crystalfw.core.geometry.matcher import TOLERANCES
from crystalfw.core.system.compiled import njit
from crystalfw.plugins.metrics.shared.geometry import Packed

_FAR = 1e20
"""Squared distance of atoms that must not be assigned to each other."""
_EXACT = 1e-5
"""A match this close ends the search, as in pymatgen."""


def fits(first: Packed, second: Packed, tolerance: str) -> bool:
    """`StructureMatcher.fit` of crystals that are reduced already: does the largest displacement stay below stol?"""
    return _smallest(first, second, tolerance, rms=False, enough=TOLERANCES[tolerance][1]) is not None


def rms_distance(first: Packed, second: Packed, tolerance: str) -> float | None:
    """`StructureMatcher.get_rms_dist()[0]` of reduced crystals, in units of (V / N)^(1/3); None without a match.

    Below 1e-5 both take the first match they come to; lattices are tried in another order, so that those values differ.
    """
    return _smallest(first, second, tolerance, rms=True, enough=_EXACT)


def fits_anonymous(first: Packed, second: Packed, tolerance: str) -> bool:
    """`StructureMatcher.fit_anonymous` of reduced crystals: do they match when elements are exchanged?"""
    return any(fits(renamed, second, tolerance) for renamed in _renamed(first, second))


def compiled() -> None:
    """Compile, or load what was compiled before: outside of any time limit."""
    cell = (4.0 * np.eye(3), np.zeros((1, 3)), np.array([29]))
    rms_distance(cell, cell, "strict")


def _renamed(first: Packed, second: Packed) -> Iterator[Packed]:
    """The first crystal with the elements of the second, in every way that gives the second's composition."""
    lattice, frac_coords, numbers = first
    ours, places, our_counts = np.unique(numbers, return_inverse=True, return_counts=True)
    theirs, their_counts = np.unique(second[2], return_counts=True)
    if len(ours) != len(theirs) or len(numbers) != len(second[2]):
        return
    for order in permutations(range(len(theirs))):
        if (their_counts[list(order)] == our_counts).all():
            yield lattice, frac_coords, theirs[list(order)][places]


def _smallest(first: Packed, second: Packed, tolerance: str, *, rms: bool, enough: float) -> float | None:
    """The smallest displacement below stol, or the first below `enough`; None where there is none.

    One compiled call for each lattice, so that a time limit can end the search.
    """
    ltol, stol, angle_tol = TOLERANCES[tolerance]
    (lattice1, frac1, numbers1), (lattice2, frac2, numbers2) = first, second
    if len(numbers1) != len(numbers2) or not np.array_equal(np.sort(numbers1), np.sort(numbers2)):
        return None
    ratio = (abs(determinant(lattice2)) / abs(determinant(lattice1))) ** (1 / 6)
    lattice1, lattice2 = lattice1 * ratio, lattice2 / ratio
    forbidden = numbers2[:, None] != numbers1[None, :]
    rarest = int(np.argmax(forbidden.sum(-1)))
    starts = np.flatnonzero(~forbidden[rarest])
    cart1, best = frac1 @ lattice1, np.inf
    for aligned in _lattices(lattice1, lattice2, ltol, angle_tol):
        found = _of_lattice(aligned, lattice2, cart1, frac2, forbidden, starts, rarest, stol, rms, enough)
        best = min(best, found)
        if best < enough:
            break
    return best if best < stol else None


@njit(cache=True)
def _lattices(lattice, target, ltol, angle_tol):  # type: ignore[no-untyped-def]
    """(M, 3, 3) bases of the lattice whose lengths and angles (degrees) lie within the tolerances of the target's."""
    lengths, angles = _parameters(target)
    longest = 0.0
    for axis in range(3):
        longest = max(longest, lengths[axis])
    reach = longest * (1.0 + ltol)
    reciprocal = inverse(lattice)
    most = np.empty(3, np.int64)
    for axis in range(3):
        norm = math.sqrt(reciprocal[0, axis] ** 2 + reciprocal[1, axis] ** 2 + reciprocal[2, axis] ** 2)
        most[axis] = math.ceil(reach * norm)
    size = (2 * most[0] + 1) * (2 * most[1] + 1) * (2 * most[2] + 1)
    vectors, indices, norms = np.empty((3, size, 3)), np.empty((3, size, 3)), np.empty((3, size))
    counts = np.zeros(3, np.int64)
    for i in range(-most[0], most[0] + 1):
        for j in range(-most[1], most[1] + 1):
            for k in range(-most[2], most[2] + 1):
                vector = i * lattice[0] + j * lattice[1] + k * lattice[2]
                norm = math.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
                if norm > reach + 1e-8:
                    continue
                for axis in range(3):
                    if 1.0 / (1.0 + ltol) < norm / lengths[axis] < 1.0 + ltol:
                        place = counts[axis]
                        vectors[axis, place], norms[axis, place] = vector, norm
                        indices[axis, place, 0], indices[axis, place, 1], indices[axis, place, 2] = i, j, k
                        counts[axis] += 1
    found, many = np.empty((16, 3, 3)), 0
    for a in range(counts[0]):
        for b in range(counts[1]):
            if not _near_angle(vectors[0, a], vectors[1, b], norms[0, a] * norms[1, b], angles[2], angle_tol):
                continue
            for c in range(counts[2]):
                if not _near_angle(vectors[0, a], vectors[2, c], norms[0, a] * norms[2, c], angles[1], angle_tol):
                    continue
                if not _near_angle(vectors[1, b], vectors[2, c], norms[1, b] * norms[2, c], angles[0], angle_tol):
                    continue
                scale = np.empty((3, 3))
                scale[0], scale[1], scale[2] = indices[0, a], indices[1, b], indices[2, c]
                if abs(abs(determinant(scale)) - 1.0) > 0.5:
                    continue
                if many == len(found):
                    larger = np.empty((2 * many, 3, 3))
                    larger[:many] = found
                    found = larger
                found[many, 0], found[many, 1], found[many, 2] = vectors[0, a], vectors[1, b], vectors[2, c]
                many += 1
    return found[:many]


@njit(cache=True)
def _near_angle(u, v, lengths, angle, angle_tol):  # type: ignore[no-untyped-def]
    cosine = max(-1.0, min(1.0, (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]) / lengths))
    return abs(math.degrees(math.acos(cosine)) - angle) <= angle_tol


@njit(cache=True)
def _parameters(lattice):  # type: ignore[no-untyped-def]
    """(3,) lengths and (3,) angles in degrees of the rows."""
    lengths, angles = np.empty(3), np.empty(3)
    for axis in range(3):
        lengths[axis] = math.sqrt(lattice[axis, 0] ** 2 + lattice[axis, 1] ** 2 + lattice[axis, 2] ** 2)
    for axis in range(3):
        u, v = lattice[(axis + 1) % 3], lattice[(axis + 2) % 3]
        cosine = (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]) / (lengths[(axis + 1) % 3] * lengths[(axis + 2) % 3])
        angles[axis] = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
    return lengths, angles


@njit(cache=True)
def _average(one, other):  # type: ignore[no-untyped-def]
    """(3, 3) rows of the lattice with the mean lengths and angles of two."""
    (lengths1, angles1), (lengths2, angles2) = _parameters(one), _parameters(other)
    a, b, c = (lengths1 + lengths2) / 2.0
    alpha, beta, gamma = np.radians((angles1 + angles2) / 2.0)
    value = (math.cos(alpha) * math.cos(beta) - math.cos(gamma)) / (math.sin(alpha) * math.sin(beta))
    star = math.acos(max(-1.0, min(1.0, value)))
    rows = np.zeros((3, 3))
    rows[0, 0], rows[0, 2] = a * math.sin(beta), a * math.cos(beta)
    rows[1, 0], rows[1, 1] = -b * math.sin(alpha) * math.cos(star), b * math.sin(alpha) * math.sin(star)
    rows[1, 2], rows[2, 2] = b * math.cos(alpha), c
    return rows


@njit(cache=True)
def _fractional_tolerance(lattice, stol, spacing):  # type: ignore[no-untyped-def]
    """(3,) what stol times the spacing is in fractional coordinates, doubled, as pymatgen has it."""
    reciprocal, out = inverse(lattice), np.empty(3)
    for axis in range(3):
        norm = math.sqrt(reciprocal[0, axis] ** 2 + reciprocal[1, axis] ** 2 + reciprocal[2, axis] ** 2)
        out[axis] = 2.0 * norm * stol * spacing
    return out


@njit(cache=True)
def _of_lattice(  # type: ignore[no-untyped-def]
    aligned, lattice2, cart1, frac2, forbidden, starts, rarest, stol, rms, enough
):
    """The smallest displacement over the translations, infinite where none keeps atoms within the tolerance."""
    n = len(frac2)
    frac1 = cart1 @ inverse(aligned)
    average = _average(aligned, lattice2)
    spacing = (abs(determinant(average)) / n) ** (1.0 / 3.0)
    tolerance = _fractional_tolerance(average, stol, spacing)
    reduced, mapping, done = np.empty((3, 3)), np.empty((3, 3)), False
    short, best = np.empty(3), np.inf
    for start in starts:
        moved = frac2 + (frac1[start] - frac2[rarest])
        if not _all_near(moved, frac1, tolerance, forbidden):
            continue
        if not done:
            reduced, mapping = _lenstra(average)
            mapping, short, done = inverse(mapping), _fractional_tolerance(reduced, stol, spacing), True
        found = _displacement(moved @ mapping, frac1 @ mapping, reduced, short, forbidden, rms) / spacing
        best = min(best, found)
        if best < enough and best < stol:
            break
    return best


@njit(cache=True)
def _all_near(moved, frac1, tolerance, forbidden):  # type: ignore[no-untyped-def]
    """Has every atom of the second crystal one of its element in the first near it?"""
    for i in range(len(moved)):
        near = False
        for j in range(len(frac1)):
            if forbidden[i, j]:
                continue
            near = True
            for axis in range(3):
                apart = moved[i, axis] - frac1[j, axis]
                if abs(apart - np.rint(apart)) > tolerance[axis]:
                    near = False
                    break
            if near:
                break
        if not near:
            return False
    return True


@njit(cache=True)
def _displacement(frac2, frac1, lattice, tolerance, forbidden, rms):  # type: ignore[no-untyped-def]
    """Root mean square (or largest) distance in angstrom of the best assignment, its mean vector taken out."""
    n = len(frac2)
    carts = np.empty((2, n, 3))
    carts[0], carts[1] = (frac2 - np.floor(frac2)) @ lattice, (frac1 - np.floor(frac1)) @ lattice
    costs, vectors = np.full((n, n), _FAR), np.full((n, n, 3), _FAR)
    for i in range(n):
        for j in range(n):
            near = not forbidden[i, j]
            for axis in range(3):
                apart = frac2[i, axis] - frac1[j, axis]
                near = near and abs(apart - np.rint(apart)) <= tolerance[axis]
            if near:
                costs[i, j] = _nearest_image(carts[0, i], carts[1, j], lattice, vectors[i, j])
    assigned = _assignment(costs)
    mean = np.zeros(3)
    for i in range(n):
        if costs[i, assigned[i]] == _FAR:
            return np.inf
        mean += vectors[i, assigned[i]] / n
    total, largest = 0.0, 0.0
    for i in range(n):
        square = 0.0
        for axis in range(3):
            square += (vectors[i, assigned[i], axis] - mean[axis]) ** 2
        total, largest = total + square, max(largest, square)
    return math.sqrt(total / n) if rms else math.sqrt(largest)


@njit(cache=True)
def _nearest_image(start, end, lattice, out):  # type: ignore[no-untyped-def]
    """Write the shortest of the 27 vectors from start to an image of end; returns its square."""
    best = _FAR
    for i in range(-1, 2):
        for j in range(-1, 2):
            for k in range(-1, 2):
                x = end[0] - start[0] + i * lattice[0, 0] + j * lattice[1, 0] + k * lattice[2, 0]
                y = end[1] - start[1] + i * lattice[0, 1] + j * lattice[1, 1] + k * lattice[2, 1]
                z = end[2] - start[2] + i * lattice[0, 2] + j * lattice[1, 2] + k * lattice[2, 2]
                square = x * x + y * y + z * z
                if square < best:
                    best = square
                    out[0], out[1], out[2] = x, y, z
    return best


@njit(cache=True)
def _assignment(costs):  # type: ignore[no-untyped-def]
    """(N,) column of each row at the least total cost: shortest augmenting paths, in the order that SciPy takes.

    Source: D. F. Crouse, IEEE Trans. Aerosp. Electron. Syst. 52, 1679 (2016), as SciPy's linear_sum_assignment has it.
    """
    n = len(costs)
    u, v = np.zeros(n), np.zeros(n)
    of_row, of_column, path = np.full(n, -1), np.full(n, -1), np.full(n, -1)
    for row in range(n):
        lowest, i, sink, left = 0.0, row, -1, n
        remaining, paths = np.arange(n - 1, -1, -1), np.full(n, np.inf)
        rows, columns = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        while sink == -1:
            index, least = -1, np.inf
            rows[i] = True
            for place in range(left):
                j = remaining[place]
                reached = lowest + costs[i, j] - u[i] - v[j]
                if reached < paths[j]:
                    path[j], paths[j] = i, reached
                if paths[j] < least or (paths[j] == least and of_column[j] == -1):
                    least, index = paths[j], place
            lowest, j = least, remaining[index]
            if of_column[j] == -1:
                sink = j
            else:
                i = of_column[j]
            columns[j] = True
            left -= 1
            remaining[index] = remaining[left]
        u[row] += lowest
        for i in range(n):
            if rows[i] and i != row:
                u[i] += lowest - paths[of_row[i]]
            if columns[i]:
                v[i] -= lowest - paths[i]
        j = sink
        while True:
            i = path[j]
            of_column[j] = i
            of_row[i], j = j, of_row[i]
            if i == row:
                break
    return of_row


@njit(cache=True)
def _lenstra(lattice):  # type: ignore[no-untyped-def]
    """Rows (3, 3) reduced by Lenstra, Lenstra and Lovasz with delta 0.75, and T (3, 3) with reduced = T @ lattice."""
    a, mapping = lattice.copy(), np.eye(3)
    b, u, m = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(3)
    for i in range(3):
        _orthogonalise(a, b, u, m, i)
    k = 1
    while k < 3:
        for i in range(k - 1, -1, -1):
            times = np.rint(u[k, i])
            if times != 0.0:
                a[k] -= times * a[i]
                mapping[k] -= times * mapping[i]
                for j in range(i):
                    u[k, j] -= times * u[i, j]
                u[k, i] -= times
        if (b[k] ** 2).sum() >= (0.75 - u[k, k - 1] ** 2) * (b[k - 1] ** 2).sum():
            k += 1
            continue
        for rows in (a, mapping):
            for axis in range(3):
                rows[k, axis], rows[k - 1, axis] = rows[k - 1, axis], rows[k, axis]
        _orthogonalise(a, b, u, m, k - 1)
        _orthogonalise(a, b, u, m, k)
        if k > 1:
            k -= 1
        else:
            for i in range(2):
                u[2, i] = (a[2] * b[i]).sum() / m[i]
    return a, mapping


@njit(cache=True)
def _orthogonalise(a, b, u, m, row):  # type: ignore[no-untyped-def]
    """Gram-Schmidt of one row."""
    b[row] = a[row]
    for i in range(row):
        u[row, i] = (a[row] * b[i]).sum() / m[i]
    for i in range(row):
        b[row] -= u[row, i] * b[i]
    m[row] = (b[row] ** 2).sum()
