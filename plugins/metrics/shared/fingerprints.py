"""Fingerprints of structure and composition that coverage compares: CrystalNN order parameters and Magpie statistics.

Structure: 61 numbers per site (the weight of each coordination number, times how well the site's neighbours form each
motif of that number), averaged over the sites. Composition: six statistics of 22 element properties, 132 numbers.
Both as matminer's presets `ops` and `magpie` define them (Zimmermann and Jain, RSC Adv. 10, 6063, 2020; Ward et al., npj
Comput. Mater. 2, 16028, 2016); checked against matminer in tests/golden.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray

_SMALLEST_SCALE = 0.3
"""Angstrom per atom, cubed root of the volume: below, a sphere of neighbours would hold thousands."""


def structure_fingerprint(crystal: Crystal) -> FloatArray:
    """(61,) mean over the sites. Raises ValueError where a site has no neighbours in CrystalNN's sense."""
    from crystalfw.plugins.metrics.shared.crystal_nn import site_fingerprints

    found: FloatArray = site_fingerprints(crystal.lattice, crystal.frac_coords, crystal.numbers).mean(axis=0)
    return found


def composition_fingerprint(counts: dict[str, float]) -> FloatArray:
    """(132,) minimum, maximum, range, mean, mean absolute deviation and mode of each property; NaN where one is unknown."""
    table = _magpie()["elements"]
    unknown = [np.nan] * len(_magpie()["columns"])
    rows = np.array([table.get(symbol, unknown) for symbol in counts], dtype=np.float64)
    weights = np.array(list(counts.values()), dtype=np.float64)
    weights = weights / weights.sum()
    mean = weights @ rows
    commonest = rows[np.isclose(weights, weights.max())].min(axis=0)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return np.stack([low, high, high - low, mean, weights @ np.abs(rows - mean), commonest], axis=1).ravel()


def scaled(fingerprints_S132: FloatArray) -> FloatArray:
    """Composition fingerprints in the units of CDVAE's cut-offs."""
    return (fingerprints_S132 - np.array(_magpie()["means"])) / np.array(_magpie()["stds"])


@cache
def _magpie() -> dict[str, Any]:
    text = resources.files("crystalfw.plugins.metrics").joinpath("magpie.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


NEIGHBOURS = 24
"""Neighbours that average minimum distances look at."""


def average_minimum_distances(crystal: Crystal) -> FloatArray:
    """(NEIGHBOURS,) mean over the sites of the distance to the 1st, 2nd, ... neighbour, in units of (V / N)^(1/3).

    It depends neither on the elements nor on the choice of the cell, and changes continuously. Source: D. Widdowson et al.,
    MATCH 87, 529 (2022). NaN where atoms coincide by the thousand or the cell is flat.
    """
    from vesin import NeighborList

    scale = (crystal.volume / crystal.n_atoms) ** (1 / 3)
    if not np.isfinite(scale) or scale < _SMALLEST_SCALE:
        return np.full(NEIGHBOURS, np.nan)
    cutoff = 2.9 * scale  # a sphere of this radius holds about 100 atoms of even density
    for _ in range(6):
        first, distances = NeighborList(cutoff=cutoff, full_list=True).compute(
            points=crystal.cart_coords, box=crystal.lattice, periodic=True, quantities="id"
        )
        counts = np.bincount(first, minlength=crystal.n_atoms)
        if counts.min() >= NEIGHBOURS:
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            ordered = distances[np.lexsort((distances, first))]
            found: FloatArray = ordered[starts[:, None] + np.arange(NEIGHBOURS)].mean(0) / scale
            return found
        cutoff *= 1.5
    return np.full(NEIGHBOURS, np.nan)
