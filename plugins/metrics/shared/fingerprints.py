"""Fingerprints of structure and composition that coverage compares: CrystalNN order parameters and Magpie statistics.

Structure: 61 numbers per site (the weight of each coordination number, times how well the site's neighbours form each
motif of that number), averaged over the sites. Composition: six statistics of 22 element properties, 132 numbers.
Both as matminer's presets `ops` and `magpie` define them (Zimmermann and Jain, RSC Adv. 10, 6063, 2020; Ward et al., npj
Comput. Mater. 2, 16028, 2016); written here on pymatgen alone, checked against matminer in tests/golden.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

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
_MAX_COORDINATION = 24
_SMALLEST_SCALE = 0.3
"""Angstrom per atom, cubed root of the volume: below, a sphere of neighbours would hold thousands."""


def structure_fingerprint(structure: Structure) -> FloatArray:
    """(61,) mean over the sites."""
    with warnings.catch_warnings():
        # CrystalNN says for every structure without oxidation states that it takes other radii: that is the protocol
        warnings.simplefilter("ignore")
        return np.mean([_site_fingerprint(structure, index) for index in range(len(structure))], axis=0)


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


def _site_fingerprint(structure: Structure, index: int) -> list[float]:
    data = _crystal_nn().get_nn_data(structure, index)
    values: list[float] = []
    for coordination in range(1, _MAX_COORDINATION + 1):
        weight = float(data.cn_weights.get(coordination, 0.0))
        values.append(weight)
        motifs = _order_parameters().get(coordination, ())
        if weight == 0.0:
            values += [0.0] * len(motifs)
            continue
        sites = [structure[index], *(neighbour["site"] for neighbour in data.cn_nninfo[coordination])]
        for motif in motifs:
            parameter = motif.get_order_parameters(sites, 0, indices_neighs=list(range(1, len(sites))))[0]
            values.append(weight * (parameter or 0.0))
    return values


@cache
def _crystal_nn() -> Any:
    from pymatgen.analysis.local_env import CrystalNN

    return CrystalNN()


@cache
def _order_parameters() -> dict[int, list[Any]]:
    from pymatgen.analysis.local_env import CN_OPT_PARAMS, LocalStructOrderParams

    found: dict[int, list[Any]] = {}
    for coordination, motifs in MOTIFS.items():
        known: dict[str, Any] = CN_OPT_PARAMS.get(coordination, {})
        found[coordination] = []
        for motif in motifs:
            name, *settings = known.get(motif, [motif])
            parameters = [settings[0] if settings else None]
            found[coordination].append(LocalStructOrderParams([name], parameters=parameters))
    return found


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
