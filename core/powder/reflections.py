"""Reflections of a crystal: Miller indices and squared structure factors, compiled.

F(hkl) = sum_j f_j(s) exp(2 pi i (h x_j + k y_j + l z_j)); International Tables, vol. B, 1.2. The fractional coordinates
alone decide the phases, so that the cell of a candidate can be fitted without computing F again.
Shapes: R reflections, N atoms, E elements.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.powder.scattering import S2_STEP, check_elements, form_factors
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_REFLECTIONS = 200_000
"""Reflections of one crystal above which its pattern is refused: its lines could not be told apart."""


def reflections(crystal: Crystal, q_max: float, q_min: float = 0.0) -> tuple[IntArray, FloatArray, FloatArray]:
    """hkl (R, 3), q (R,) = 1/d^2 in 1/angstrom^2 with q_min <= q <= q_max, |F|^2 (R,); one of each Friedel pair.

    Raises DataError for an element without scattering factors, a flat cell, or more than MAX_REFLECTIONS.
    """
    check_elements(crystal.numbers)
    volume = abs(np.linalg.det(crystal.lattice))
    expected = 2 / 3 * np.pi * q_max**1.5 * volume
    if not np.isfinite(expected) or volume < 1e-3:
        raise DataError(f"{crystal.id or crystal.formula}: a cell of {volume:.3g} cubic angstrom has no pattern")
    if expected > MAX_REFLECTIONS:
        raise DataError(
            f"{crystal.id or crystal.formula}: about {expected:,.0f} reflections; at most {MAX_REFLECTIONS:,} can be computed. "
            "Lower the largest angle, or give the primitive cell"
        )
    inverse = np.linalg.inv(crystal.lattice)
    bounds = np.floor(np.linalg.norm(crystal.lattice, axis=1) * np.sqrt(q_max) + 1e-9).astype(np.int64)
    hkl, q = _indices(np.ascontiguousarray(inverse.T @ inverse), bounds, q_max, q_min)
    order = np.argsort(crystal.numbers, kind="stable")
    return hkl, q, _powers(hkl, q, crystal.frac_coords[order], crystal.numbers[order], form_factors())


@njit(cache=True)
def _indices(metric: FloatArray, bounds: IntArray, q_max: float, q_min: float) -> tuple[IntArray, FloatArray]:
    """hkl (R, 3) and q (R,) of half the sphere; two passes, the first counts."""
    hkl, q = np.empty((0, 3), dtype=np.int64), np.empty(0)
    for fill in range(2):
        count = 0
        for h in range(bounds[0] + 1):
            for k in range(-bounds[1] if h > 0 else 0, bounds[1] + 1):
                base = h * h * metric[0, 0] + k * k * metric[1, 1] + 2 * h * k * metric[0, 1]
                slope = 2 * (h * metric[0, 2] + k * metric[1, 2])
                for ell in range(-bounds[2] if h > 0 or k > 0 else 1, bounds[2] + 1):
                    value = base + ell * (slope + ell * metric[2, 2])
                    if value > q_max or value < q_min:
                        continue
                    if fill:
                        hkl[count, 0], hkl[count, 1], hkl[count, 2] = h, k, ell
                        q[count] = value
                    count += 1
        if not fill:
            hkl, q = np.empty((count, 3), dtype=np.int64), np.empty(count)
    return hkl, q


@njit(cache=True, fastmath=True)
def _powers(hkl: IntArray, q: FloatArray, frac: FloatArray, numbers: IntArray, table: FloatArray) -> FloatArray:
    """|F|^2 (R,); atoms are sorted by element, so that a scattering factor is looked up once for all of them."""
    n = len(numbers)
    top = np.zeros(3, dtype=np.int64)
    for r in range(len(q)):
        for a in range(3):
            top[a] = max(top[a], abs(hkl[r, a]))
    # cos and sin of 2 pi m x for every axis, order m and atom; real numbers apart, so that the compiler can vectorise
    c, s = _phases(frac, top)
    c_hk, s_hk = np.empty(n), np.empty(n)
    factors = np.empty(n)
    out = np.empty(len(q))
    for r in range(len(q)):
        h, k, ell = hkl[r, 0], hkl[r, 1], hkl[r, 2]
        if r == 0 or h != hkl[r - 1, 0] or k != hkl[r - 1, 1]:
            ch, sh, ck, sk = c[0, h], s[0, h], c[1, abs(k)], s[1, abs(k)]
            sign = 1.0 if k >= 0 else -1.0
            for j in range(n):
                c_hk[j] = ch[j] * ck[j] - sign * sh[j] * sk[j]
                s_hk[j] = sh[j] * ck[j] + sign * ch[j] * sk[j]
        place = q[r] / 4 / S2_STEP
        low = int(place)
        share = place - low
        for j in range(n):
            if j and numbers[j] == numbers[j - 1]:
                factors[j] = factors[j - 1]
            else:
                factors[j] = table[numbers[j], low] * (1 - share) + table[numbers[j], low + 1] * share
        cl, sl = c[2, abs(ell)], s[2, abs(ell)]
        sign = 1.0 if ell >= 0 else -1.0
        real, imaginary = 0.0, 0.0
        for j in range(n):
            real += factors[j] * (c_hk[j] * cl[j] - sign * s_hk[j] * sl[j])
            imaginary += factors[j] * (s_hk[j] * cl[j] + sign * c_hk[j] * sl[j])
        out[r] = real**2 + imaginary**2
    return out


@njit(cache=True)
def _phases(frac: FloatArray, top: IntArray) -> tuple[FloatArray, FloatArray]:
    """cos and sin (3, M, N) of 2 pi m x, m from 0 to the largest order."""
    n = len(frac)
    c, s = np.empty((3, top.max() + 1, n)), np.empty((3, top.max() + 1, n))
    for a in range(3):
        for j in range(n):
            angle = 2 * np.pi * frac[j, a]
            step = complex(np.cos(angle), np.sin(angle))
            value = complex(1.0, 0.0)
            for m in range(top[a] + 1):
                c[a, m, j], s[a, m, j] = value.real, value.imag
                value *= step
    return c, s
