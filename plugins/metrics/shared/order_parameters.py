"""How well an atom's neighbours form each structural motif, compiled: the order parameters of CrystalNN's fingerprint.

The same numbers as pymatgen's LocalStructOrderParams, whose parameters are taken (Zimmermann et al., Front. Mater. 4, 34,
2017; Peters, J. Chem. Phys. 131, 244103, 2009). Every neighbour j is put to the north pole in turn and every other k on
the prime meridian; the rest are measured by polar angle and azimuth. The bond orientational parameters (Steinhardt et al.,
Phys. Rev. B 28, 784, 1983) are written by the addition theorem. Shapes: N neighbours, M motifs.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.system.compiled import njit

_BOND_ORIENTATIONAL = ("q2", "q4", "q6")
MOTIFS: dict[int, tuple[str, ...]] = {
    1: ("sgl_bd",),
    2: ("L-shaped", "water-like", "bent 120 degrees", "bent 150 degrees", "linear"),
    3: ("trigonal planar", "trigonal non-coplanar", "T-shaped"),
    4: ("square co-planar", "tetrahedral", "rectangular see-saw-like", "see-saw-like", "trigonal pyramidal"),
    5: ("pentagonal planar", "square pyramidal", "trigonal bipyramidal"),
    6: ("hexagonal planar", "octahedral", "pentagonal pyramidal"),
    7: ("hexagonal pyramidal", "pentagonal bipyramidal"),
    8: ("body-centered cubic", "hexagonal bipyramidal"),
    9: _BOND_ORIENTATIONAL,
    10: _BOND_ORIENTATIONAL,
    11: _BOND_ORIENTATIONAL,
    12: ("cuboctahedral", *_BOND_ORIENTATIONAL),
}
"""Coordination number -> motifs whose order parameter is taken."""
MAX_COORDINATION = 24
SINGLE, BENT, PLANAR, PYRAMID, BIPYRAMID, HEXAGON, SEE_SAW, PENTAGON, CUBE, CUBOCTAHEDRON, Q2, Q4, Q6 = range(13)
_KINDS = {
    "sgl_bd": SINGLE, "bent": BENT, "tri_plan_max": PLANAR, "tet_max": PLANAR, "T": PYRAMID, "tri_pyr": PYRAMID,
    "sq_pyr": PYRAMID, "pent_pyr": PYRAMID, "hex_pyr": PYRAMID, "tri_bipyr": BIPYRAMID, "pent_bipyr": BIPYRAMID,
    "hex_bipyr": BIPYRAMID, "oct_max": BIPYRAMID, "sq_plan_max": BIPYRAMID, "hex_plan_max": HEXAGON, "see_saw_rect": SEE_SAW,
    "pent_plan_max": PENTAGON, "bcc": CUBE, "cuboct_max": CUBOCTAHEDRON, "q2": Q2, "q4": Q4, "q6": Q6,
}  # fmt: skip
_COLUMNS = ("TA", "IGW_TA", "IGW_EP", "min_SPP", "IGW_SPP", "w_SPP", "fac_AA", 2, 4, 5, 6)
TA, W_TA, W_EQUATOR, POLE, W_POLE, POLE_SHARE, TURN, HIGH, LOW, W_MIDDLE, W_OFF = range(11)
_SMALL = 1.0e-12


@cache
def motif_tables() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(26,) first motif of each coordination number, (M,) kinds, (M, 11) parameters, pymatgen's."""
    from pymatgen.analysis.local_env import CN_OPT_PARAMS, LocalStructOrderParams

    starts, kinds, rows = [0, 0], list[int](), list[list[float]]()
    for coordination in range(1, MAX_COORDINATION + 1):
        known: dict[str, Any] = CN_OPT_PARAMS.get(coordination, {})
        for motif in MOTIFS.get(coordination, ()):
            name, *settings = known.get(motif, [motif])
            given = LocalStructOrderParams([name], parameters=[settings[0] if settings else None]).get_parameters(0) or {}
            kinds.append(_KINDS[name])
            rows.append([float(given.get(column, np.nan)) for column in _COLUMNS])
        starts.append(len(kinds))
    return np.array(starts), np.array(kinds), np.array(rows)


@njit(cache=True)
def order_parameters(units, kinds, rows, out):  # type: ignore[no-untyped-def]
    """Write one number for each motif of this coordination number; `units` (N, 3) unit vectors to the neighbours."""
    n = len(units)
    cosines, thetas, axes, on_axis = _angles(units)
    for motif in range(len(kinds)):
        kind = kinds[motif]
        if kind == SINGLE:
            out[motif] = 1.0
        elif kind >= Q2:
            out[motif] = _bond_orientational(cosines, kind)
        elif kind == BENT:
            total = 0.0
            for j in range(n):
                for k in range(n):
                    if j != k:
                        total += _bell(rows[motif, W_TA] * (thetas[j, k] / math.pi - rows[motif, TA]))
            out[motif] = total / (n * (n - 1))
        else:
            out[motif] = _peters(kind, rows[motif], thetas, axes, on_axis)


@njit(cache=True)
def _angles(units):  # type: ignore[no-untyped-def]
    """Cosines and angles between neighbours; the direction of k seen from the pole j, and whether k lies on the axis."""
    n = len(units)
    cosines, thetas, axes, on_axis = np.empty((n, n)), np.empty((n, n)), np.zeros((n, n, 3)), np.zeros((n, n), np.bool_)
    for j in range(n):
        for k in range(n):
            dot = units[j, 0] * units[k, 0] + units[j, 1] * units[k, 1] + units[j, 2] * units[k, 2]
            own = units[j, 0] * units[j, 0] + units[j, 1] * units[j, 1] + units[j, 2] * units[j, 2]
            cosines[j, k] = max(-1.0, min(dot, 1.0))
            thetas[j, k] = math.acos(cosines[j, k])
            square = 0.0
            for axis in range(3):
                axes[j, k, axis] = units[k, axis] - dot / own * units[j, axis]
                square += axes[j, k, axis] ** 2
            norm = math.sqrt(square)
            on_axis[j, k] = norm < _SMALL
            for axis in range(3):
                axes[j, k, axis] /= max(norm, _SMALL)
    return cosines, thetas, axes, on_axis


@njit(cache=True)
def _bell(x):  # type: ignore[no-untyped-def]
    return math.exp(-0.5 * x * x)


@njit(cache=True)
def _bond_orientational(cosines, kind):  # type: ignore[no-untyped-def]
    """Square root of the mean Legendre polynomial of degree 2, 4 or 6 over all pairs, each with itself included."""
    total, n = 0.0, len(cosines)
    for j in range(n):
        for k in range(n):
            s = 1.0 if j == k else cosines[j, k] ** 2
            if kind == Q2:
                total += (3 * s - 1) / 2
            elif kind == Q4:
                total += (35 * s**2 - 30 * s + 3) / 8
            else:
                total += (231 * s**3 - 315 * s**2 + 105 * s - 5) / 16
    return math.sqrt(max(total, 0.0)) / n


@njit(cache=True)
def _peters(kind, row, thetas, axes, on_axis):  # type: ignore[no-untyped-def]
    """The best over poles and meridians; for a cube the sum."""
    n, best, total = len(thetas), 0.0, 0.0
    for j in range(n):
        for k in range(n):
            if j == k or (kind == CUBE and j > k):
                continue
            value, norm = _of_meridian(kind, row, thetas[j, k])
            if not on_axis[j, k]:
                for m in range(n):
                    if m in (j, k):
                        continue
                    more, weight = _of_other(kind, row, thetas, axes, on_axis, j, k, m)
                    value, norm = value + more, norm + weight
            total += value
            if norm > _SMALL:
                best = max(best, value / norm)
    if kind == CUBE:
        return total / (0.5 * n * (6 + (n - 2) * (n - 3)))
    return best


@njit(cache=True)
def _of_meridian(kind, row, theta):  # type: ignore[no-untyped-def]
    """Contribution and weight of the neighbour on the prime meridian, at the polar angle theta."""
    share = theta / math.pi
    if kind == PLANAR:
        return _bell(row[W_TA] * (share - row[TA])), 1.0
    if kind == PYRAMID:
        return _bell(row[W_EQUATOR] * (share - 0.5)), 1.0
    if kind == PENTAGON:
        return _bell(row[W_TA] * (share - (0.4 if theta <= row[TA] * math.pi else 0.8))), 1.0
    if kind in (CUBE, CUBOCTAHEDRON):
        if theta >= row[POLE]:
            return row[POLE_SHARE] * _bell(row[W_POLE] * (share - 1.0)), row[POLE_SHARE]
        return 0.0, 0.0
    if theta < row[POLE]:
        return _bell(_off_equator(kind, row, share)), 1.0
    return 0.0, 0.0


@njit(cache=True)
def _off_equator(kind, row, share):  # type: ignore[no-untyped-def]
    if kind == HEXAGON:
        return row[W_TA] * (abs(share - 0.5) - row[TA])
    return row[W_EQUATOR] * (share - 0.5)


@njit(cache=True)
def _of_other(kind, row, thetas, axes, on_axis, j, k, m):  # type: ignore[no-untyped-def]
    """Contribution and weight of neighbour m, with j at the pole and k on the meridian."""
    theta_k, theta = thetas[j, k], thetas[j, m]
    share = theta / math.pi
    value = weight = 0.0
    if kind in (BIPYRAMID, HEXAGON, SEE_SAW) and theta >= row[POLE]:
        value, weight = _bell(row[W_POLE] * (share - 1.0)), 1.0
    if on_axis[j, m]:
        return value, weight
    a, b = axes[j, k], axes[j, m]
    phi = math.acos(max(-1.0, min(a[0] * b[0] + a[1] * b[1] + a[2] * b[2], 1.0)))
    if kind == PLANAR:
        return _bell(row[W_TA] * (share - row[TA])) * math.cos(row[TURN] * phi) ** 2, 1.0
    if kind == PENTAGON:
        return _bell(row[W_TA] * (share - (0.4 if theta <= row[TA] * math.pi else 0.8))) * math.cos(phi) ** 2, 1.0
    if kind == PYRAMID:
        return math.cos(row[TURN] * phi) ** 2 * _bell(row[W_EQUATOR] * (share - 0.5)), 1.0
    if kind == CUBE:
        if theta_k >= row[POLE]:
            return 0.0, 0.0
        off = (theta - math.pi / 2) / math.asin(1 / 3)
        sign = 1.0 if theta_k > math.pi / 2 else -1.0
        return sign * math.cos(3 * phi) * math.exp(0.5) * off * _bell(off), 1.0
    if kind == CUBOCTAHEDRON:
        return _of_cuboctahedron(row, theta_k, theta, phi)
    if theta < row[POLE] and theta_k < row[POLE] and (kind != SEE_SAW or phi < 0.75 * math.pi):
        value += math.cos(row[TURN] * phi) ** 2 * _bell(_off_equator(kind, row, share))
        weight += 1.0
    return value, weight


@njit(cache=True)
def _of_cuboctahedron(row, theta_k, theta, phi):  # type: ignore[no-untyped-def]
    if theta >= row[POLE] or not row[LOW] < theta_k < row[HIGH]:
        return 0.0, 0.0
    share = theta / math.pi
    if row[LOW] < theta < row[HIGH]:
        return math.cos(phi) ** 2 * _bell(row[W_MIDDLE] * (share - 0.5)), 1.0
    if theta == row[LOW] or theta == row[HIGH]:
        return 0.0, 0.0
    turn = 0.0556 * (math.cos(phi - 0.5 * math.pi) - 0.81649658)
    return _bell(turn) * _bell(row[W_OFF] * (share - (1 / 3 if theta < row[LOW] else 2 / 3))), 1.0
