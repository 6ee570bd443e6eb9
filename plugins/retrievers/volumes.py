"""Volume of a crystal after an exchange of elements: every element takes a share of the cell, learned from known crystals.

The model is V = sum over atoms of v[element] (Zen's law of additive volumes); v is fitted to log V by least absolute
deviation. What an exchange changes is the ratio of two such sums, so errors common to a structure type cancel.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from crystalfw.core.library.store import Library
from crystalfw.plugins.retrievers.element_metric import MAX_Z

STEPS = 300


def fit_volumes(library: Library) -> NDArray[np.float64]:
    """(Z,) cubic angstrom of each element; an element that no entry holds gets the median."""
    counts = np.zeros((len(library), MAX_Z), dtype=np.float32)
    volume = np.zeros(len(library))
    for row in range(len(library)):
        entry = library[row]
        np.add.at(counts[row], entry.numbers, 1.0)
        volume[row] = abs(np.linalg.det(entry.lattice))
    start = float(np.median(volume / counts.sum(1)))
    log_v = torch.full((MAX_Z,), np.log(start), requires_grad=True)
    counts_t, target = torch.from_numpy(counts), torch.from_numpy(np.log(volume)).float()
    optimiser = torch.optim.Adam([log_v], lr=0.05)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = ((counts_t @ log_v.exp()).log() - target).abs().mean()
        loss.backward()
        optimiser.step()
    return log_v.detach().double().exp().numpy()


def exchange_scale(volumes: NDArray[np.float64], old: NDArray[np.int64], new: NDArray[np.int64]) -> float:
    """Factor on the lattice vectors when atoms `old` (N,) become `new` (N,)."""
    return float((volumes[new].sum() / volumes[old].sum()) ** (1 / 3))
