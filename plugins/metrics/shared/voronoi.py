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
def voronoi_faces(vectors, order):  # type: ignore[no-untyped-def]
    """(P,) solid angle and (P,) area of each neighbour's face, 0 where it has none; None where the cell is unbounded.

    `vectors` (P, 3) from the atom to its neighbours in angstrom; `order` (P,) sorts them by distance.
    """
    angles, areas = np.zeros(len(vectors)), np.zeros(len(vectors))
    corners = np.empty((MAX_FACES, _MAX_CORNERS, 3))
    sizes, owners = np.zeros(MAX_FACES, np.int64), np.full(MAX_FACES, -1, np.int64)
    n_faces = _cube(corners, sizes)
    reach = math.sqrt(3.0) * _HALF_BOX
    for place in order:
        x, y, z = vectors[place]
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
                kept[n_kept] = corners[face, corner]
                n_kept += 1
                if here >= -touch:
                    rim[n_rim] = corners[face, corner]
                    n_rim += 1
            if (here > touch and there < -touch) or (here < -touch and there > touch):
                kept[n_kept] = corners[face, corner] + here / (here - there) * (corners[face, after] - corners[face, corner])
                rim[n_rim] = kept[n_kept]
                n_kept, n_rim = n_kept + 1, n_rim + 1
        sizes[face] = n_kept if n_kept >= 3 else 0
        corners[face, :n_kept] = kept[:n_kept]
    place = n_faces
    for face in range(n_faces):
        if sizes[face] == 0:  # a face that is gone makes room
            place = face
            break
    if place >= MAX_FACES:
        return -1, True
    sizes[place], owners[place] = _ring(rim[:n_rim], nx, ny, nz, corners[place]), owner
    return max(n_faces, place + 1), True


@njit(cache=True)
def _ring(rim, nx, ny, nz, out):  # type: ignore[no-untyped-def]
    """Write the distinct points of a plane in order around their middle; returns how many, 0 for less than a triangle."""
    if len(rim) < 3:
        return 0
    middle = np.zeros(3)
    for point in rim:
        middle += point / len(rim)
    size = 0.0
    for point in rim:
        size = max(size, np.abs(point - middle).max())
    # two directions in the plane
    if abs(nx) < 0.6:
        ux, uy, uz = 0.0, nz, -ny
    else:
        ux, uy, uz = -nz, 0.0, nx
    norm = math.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / norm, uy / norm, uz / norm
    vx, vy, vz = ny * uz - nz * uy, nz * ux - nx * uz, nx * uy - ny * ux
    turns = np.empty(len(rim))
    for k in range(len(rim)):
        x, y, z = rim[k] - middle
        turns[k] = math.atan2(x * vx + y * vy + z * vz, x * ux + y * uy + z * uz)
    count, same = 0, _SAME * max(size, 1.0e-3)
    for k in np.argsort(turns):
        if count and np.abs(rim[k] - out[count - 1]).max() < same:
            continue
        if count >= _MAX_CORNERS:
            return 0
        out[count] = rim[k]
        count += 1
    if count > 1 and np.abs(out[count - 1] - out[0]).max() < same:
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
    a = polygon[0]
    na = math.sqrt((a * a).sum())
    for k in range(1, size - 1):
        b, c = polygon[k], polygon[k + 1]
        nb, nc = math.sqrt((b * b).sum()), math.sqrt((c * c).sum())
        bc = np.cross(b, c)
        triple = abs((a * bc).sum())
        base = na * nb * nc + nc * (a * b).sum() + nb * (a * c).sum() + na * (b * c).sum()
        angles[owner] += 2.0 * math.atan2(triple, base)
        side = np.cross(b - a, c - a)
        areas[owner] += 0.5 * math.sqrt((side * side).sum())
