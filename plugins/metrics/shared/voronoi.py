"""Faces of one atom's Voronoi cell, compiled: a large cube is cut by the bisector planes of the neighbours, nearest first.

What is asked of a face are its area, the solid angle under which the atom sees it, and whose neighbour made it. A plane
that touches the cell in a vertex or an edge makes no face. Shapes: P neighbours, F faces.
"""

from __future__ import annotations

import math

import numpy as np

from crystalfw.core.system.compiled import njit

_HALF_BOX = 1.0e4
"""Angstrom. A cell that still reaches the cube is unbounded: there are too few neighbours."""
_TOUCH = 1.0e-9
"""Angstrom, times the distance of the plane: a vertex this near to a plane lies in it."""
_SAME = 1.0e-7
"""Angstrom, times the size of the cell: nearer vertices are one."""
MAX_FACES = 128
_MAX_CORNERS = 64


@njit(cache=True)
def voronoi_faces(vectors):  # type: ignore[no-untyped-def]
    """(P,) solid angle and (P,) area of each neighbour's face, 0 where it has none, and whether the cell is closed.

    `vectors` (P, 3) from the atom to its neighbours in angstrom, the nearest first.
    """
    angles, areas = np.zeros(len(vectors)), np.zeros(len(vectors))
    corners = np.empty((MAX_FACES, _MAX_CORNERS, 3))
    sizes, owners = np.zeros(MAX_FACES, np.int64), np.full(MAX_FACES, -1, np.int64)
    n_faces = _cube(corners, sizes)
    reach = math.sqrt(3.0) * _HALF_BOX
    for place in range(len(vectors)):
        x, y, z = vectors[place, 0], vectors[place, 1], vectors[place, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        if distance > 2.0 * reach:
            break
        n_faces, cut = _cut(corners, sizes, owners, n_faces, x / distance, y / distance, z / distance, distance / 2, place)
        if n_faces < 0:
            return angles, areas, False
        if cut:
            reach = _reach(corners, sizes, n_faces)
    for face in range(n_faces):
        if sizes[face] < 3:
            continue
        if owners[face] < 0:
            return angles, areas, False
        _measure(corners[face], sizes[face], owners[face], angles, areas)
    return angles, areas, True


@njit(cache=True)
def _cube(corners, sizes):  # type: ignore[no-untyped-def]
    """Fill the six faces of the first cube; returns their number."""
    face = 0
    for axis in range(3):
        for sign in (-1.0, 1.0):
            for corner, (u, v) in enumerate(((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))):
                corners[face, corner, axis] = sign * _HALF_BOX
                corners[face, corner, (axis + 1) % 3] = u * _HALF_BOX
                corners[face, corner, (axis + 2) % 3] = v * _HALF_BOX
            sizes[face] = 4
            face += 1
    return face


@njit(cache=True)
def _cut(corners, sizes, owners, n_faces, nx, ny, nz, height, owner):  # type: ignore[no-untyped-def]
    """Keep what lies below the plane n.r = height; returns the number of faces (-1: too many) and whether anything went."""
    touch, outside = _TOUCH * max(1.0, height), False
    for face in range(n_faces):
        for corner in range(sizes[face]):
            r = corners[face, corner]
            if nx * r[0] + ny * r[1] + nz * r[2] - height > touch:
                outside = True
    if not outside:
        return n_faces, False
    rim, n_rim = np.empty((4 * _MAX_CORNERS, 3)), 0
    kept, above = np.empty((_MAX_CORNERS, 3)), np.empty(_MAX_CORNERS)
    for face in range(n_faces):
        size, n_kept = sizes[face], 0
        for corner in range(size):
            r = corners[face, corner]
            above[corner] = nx * r[0] + ny * r[1] + nz * r[2] - height
        for corner in range(size):
            after = (corner + 1) % size
            here, there = above[corner], above[after]
            if n_kept + 2 > _MAX_CORNERS or n_rim + 2 > len(rim):
                return -1, True
            if here <= touch:
                _copy(corners[face, corner], kept[n_kept])
                n_kept += 1
                if here >= -touch:
                    _copy(corners[face, corner], rim[n_rim])
                    n_rim += 1
            if (here > touch and there < -touch) or (here < -touch and there > touch):
                way = here / (here - there)
                for axis in range(3):
                    start = corners[face, corner, axis]
                    kept[n_kept, axis] = start + way * (corners[face, after, axis] - start)
                _copy(kept[n_kept], rim[n_rim])
                n_kept, n_rim = n_kept + 1, n_rim + 1
        sizes[face] = n_kept if n_kept >= 3 else 0
        for corner in range(n_kept):
            _copy(kept[corner], corners[face, corner])
    place = n_faces
    for face in range(n_faces):
        if sizes[face] == 0:  # a face that is gone makes room
            place = face
            break
    if place >= MAX_FACES:
        return -1, True
    sizes[place], owners[place] = _ring(rim, n_rim, nx, ny, nz, corners[place]), owner
    return max(n_faces, place + 1), True


@njit(cache=True)
def _copy(source, target):  # type: ignore[no-untyped-def]
    for axis in range(3):
        target[axis] = source[axis]


@njit(cache=True)
def _apart(a, b):  # type: ignore[no-untyped-def]
    """Largest difference of the coordinates of two points."""
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]), abs(a[2] - b[2]))


@njit(cache=True)
def ascending(values, count, order):  # type: ignore[no-untyped-def]
    """Write into `order` what sorts the first values, equal ones as they stand; numba's own sorts take seconds to compile."""
    for k in range(count):
        place = k
        while place > 0 and values[order[place - 1]] > values[k]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = k


@njit(cache=True)
def _ring(rim, n_rim, nx, ny, nz, out):  # type: ignore[no-untyped-def]
    """Write the distinct points of a plane in order around their middle; returns how many, 0 for less than a triangle."""
    if n_rim < 3:
        return 0
    middle = np.zeros(3)
    for k in range(n_rim):
        for axis in range(3):
            middle[axis] += rim[k, axis] / n_rim
    # two directions in the plane
    if abs(nx) < 0.6:
        ux, uy, uz = 0.0, nz, -ny
    else:
        ux, uy, uz = -nz, 0.0, nx
    norm = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / norm, uy / norm, uz / norm
    vx, vy, vz = ny * uz - nz * uy, nz * ux - nx * uz, nx * uy - ny * ux
    turns, order, size = np.empty(n_rim), np.empty(n_rim, np.int64), 1.0e-3
    for k in range(n_rim):
        x, y, z = rim[k, 0] - middle[0], rim[k, 1] - middle[1], rim[k, 2] - middle[2]
        turns[k] = math.atan2(x * vx + y * vy + z * vz, x * ux + y * uy + z * uz)
        size = max(size, abs(x), abs(y), abs(z))
    ascending(turns, n_rim, order)
    count, same = 0, _SAME * size
    for k in order:
        if count and _apart(rim[k], out[count - 1]) < same:
            continue
        if count >= _MAX_CORNERS:
            return 0
        _copy(rim[k], out[count])
        count += 1
    if count > 1 and _apart(out[count - 1], out[0]) < same:
        count -= 1
    return count if count >= 3 else 0


@njit(cache=True)
def _reach(corners, sizes, n_faces):  # type: ignore[no-untyped-def]
    """Distance of the farthest corner."""
    found = 0.0
    for face in range(n_faces):
        for corner in range(sizes[face]):
            r = corners[face, corner]
            found = max(found, r[0] * r[0] + r[1] * r[1] + r[2] * r[2])
    return math.sqrt(found)


@njit(cache=True)
def _measure(polygon, size, owner, angles, areas):  # type: ignore[no-untyped-def]
    """Solid angle and area of a polygon, as a fan of triangles (van Oosterom and Strackee, IEEE TBME 30, 125, 1983)."""
    a, left, right = polygon[0], np.empty(3), np.empty(3)
    na = math.sqrt(_dot(a, a))
    for k in range(1, size - 1):
        b, c = polygon[k], polygon[k + 1]
        nb, nc = math.sqrt(_dot(b, b)), math.sqrt(_dot(c, c))
        base = na * nb * nc + nc * _dot(a, b) + nb * _dot(a, c) + na * _dot(b, c)
        triple = abs(
            a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        angles[owner] += 2.0 * math.atan2(triple, base)
        for axis in range(3):
            left[axis], right[axis] = b[axis] - a[axis], c[axis] - a[axis]
        across = _dot(left, right)
        areas[owner] += 0.5 * math.sqrt(max(_dot(left, left) * _dot(right, right) - across * across, 0.0))


@njit(cache=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
