"""How close two elements come in known crystals, so that a crystal with exchanged elements can be judged by its distances.

For each pair of elements the library gives the mean logarithm of the shortest distance and its spread. A pair that was seen
rarely is drawn towards the sum of two radii, which are fitted to all pairs by least absolute deviation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.core.library.distances import pair_distances
from crystalfw.core.library.store import Library
from crystalfw.plugins.retrievers.element_metric import MAX_Z

STEPS = 200
PRIOR = 4.0
"""Observations that the sum of radii counts for."""
WIDEST = 0.25
"""Spread of the logarithm for a pair that was never seen."""


def fit_bonds(library: Library) -> Tensor:
    """(2, Z, Z) mean and spread of the log of the shortest distance (angstrom) of every pair of elements."""
    pairs, logs = _observed(library)
    radii = _radii(pairs, logs)
    prior = np.log(radii[:, None] + radii[None])
    count, total, square = (np.zeros((MAX_Z, MAX_Z)) for _ in range(3))
    for (first, second), value in zip(pairs, logs, strict=True):
        for place in ((first, second), (second, first)) if first != second else ((first, second),):
            count[place] += 1
            total[place] += value
            square[place] += (value - prior[place]) ** 2
    mean = (total + PRIOR * prior) / (count + PRIOR)
    spread = np.sqrt((square + PRIOR * WIDEST**2) / (count + PRIOR))
    return torch.from_numpy(np.stack([mean, spread]))


def _observed(library: Library) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(P, 2) elements and (P,) log of the shortest distance, for all pairs of slots of all entries."""
    pairs, logs = [], []
    for entry in library:
        shortest = pair_distances(entry.lattice, entry.frac_coords, entry.numbers, entry.elements)
        for i, j in zip(*np.triu_indices(len(entry.elements)), strict=True):
            pairs.append((entry.elements[i], entry.elements[j]))
            logs.append(np.log(max(shortest[i, j], 0.1)))
    return np.array(pairs), np.array(logs)


def _radii(pairs: NDArray[np.int64], logs: NDArray[np.float64]) -> NDArray[np.float64]:
    log_r = torch.full((MAX_Z,), 0.4, requires_grad=True)
    where, target = torch.from_numpy(pairs), torch.from_numpy(logs).float()
    optimiser = torch.optim.Adam([log_r], lr=0.05)
    for _ in range(STEPS):
        optimiser.zero_grad()
        (log_r.exp()[where].sum(-1).log() - target).abs().mean().backward()
        optimiser.step()
    return log_r.detach().double().exp().numpy()


def strain(shortest: NDArray[np.float64], numbers: NDArray[np.int64], bonds: NDArray[np.float64]) -> tuple[float, float]:
    """How far the shortest distances (K, K) of elements (K,) are from the usual: (closest pair, mean size), in spreads."""
    mean, spread = (table[numbers[:, None], numbers[None]] for table in bonds)
    z = (np.log(np.maximum(shortest, 0.1)) - mean) / spread
    return float(np.clip(z.min(), -8, 0)), float(np.clip(np.abs(z), 0, 8).mean())
