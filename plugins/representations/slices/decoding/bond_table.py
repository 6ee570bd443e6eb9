"""Expected bond lengths from a table: elements and coordination numbers of the two atoms.

ln d = mean + a_i + a_j + b_1 (ln c_i + ln c_j) + b_2 |ln c_i - ln c_j| + r_ij, with c the number of bonds at an atom;
fitted by ridge regression, the residual r_ij of an element pair shrunk by n / (n + 4).

Shapes: Z atomic numbers (0 unused), E edges.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalfw.core.errors import DataError
from crystalfw.plugins.representations.slices.decoding.batch import GraphBatch
from crystalfw.plugins.representations.slices.text.dialects import ELEMENTS

N_ELEMENTS = len(ELEMENTS) + 1
CONTACT_FACTOR = 1.4
"""A contact without a stated length is expected to be this much longer than a bond."""
FORMAT = 1


@dataclass(frozen=True)
class BondTable:
    """The fitted coefficients."""

    mean: float
    element: Tensor
    """(Z,) a."""
    coordination: tuple[float, float]
    """b_1, b_2."""
    pair: Tensor
    """(Z, Z) r, symmetric."""

    def expected(self, batch: GraphBatch) -> Tensor:
        """(E,) expected length of every edge in angstrom, float64: the stated length if the string states one."""
        ln_c_N = batch.degree(~batch.contact).clamp_min(1).double().log()
        element, pair = self.element.to(ln_c_N.device), self.pair.to(ln_c_N.device)
        z_i, z_j = batch.numbers[batch.source], batch.numbers[batch.target]
        ln_i, ln_j = ln_c_N[batch.source], ln_c_N[batch.target]
        b_1, b_2 = self.coordination
        ln_E = self.mean + element[z_i] + element[z_j] + b_1 * (ln_i + ln_j) + b_2 * (ln_i - ln_j).abs() + pair[z_i, z_j]
        guess_E = ln_E.exp() * torch.where(batch.contact, CONTACT_FACTOR, 1.0)
        return torch.where(batch.stated > 0, batch.stated, guess_E)

    def write(self, path: Path) -> None:
        """Write as JSON, element pairs by symbol."""
        symbols = ["", *ELEMENTS]
        pairs = {f"{symbols[i]}-{symbols[j]}": round(float(self.pair[i, j]), 5) for i, j in self.pair.triu().nonzero().tolist()}
        content = {
            "format": FORMAT,
            "mean": round(self.mean, 6),
            "coordination": [round(value, 6) for value in self.coordination],
            "element": {symbols[z]: round(float(self.element[z]), 6) for z in range(1, N_ELEMENTS)},
            "pair": pairs,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> BondTable:
        """Read what `write` wrote; raises DataError for a file of another format."""
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise DataError(f"{path}: bond table of format {content.get('format')}, expected {FORMAT}; fit it again")
        number = {symbol: z for z, symbol in enumerate(ELEMENTS, start=1)}
        element = torch.zeros(N_ELEMENTS, dtype=torch.float64)
        for symbol, value in content["element"].items():
            element[number[symbol]] = value
        pair = torch.zeros(N_ELEMENTS, N_ELEMENTS, dtype=torch.float64)
        for name, value in content["pair"].items():
            i, j = (number[symbol] for symbol in name.split("-"))
            pair[i, j] = pair[j, i] = value
        b_1, b_2 = content["coordination"]
        return cls(float(content["mean"]), element, (float(b_1), float(b_2)), pair)


@dataclass(frozen=True)
class Bonds:
    """Observed bonds of many crystals: what the table is fitted to. All arrays are (E,)."""

    z_i: NDArray[np.int64]
    z_j: NDArray[np.int64]
    c_i: NDArray[np.int64]
    c_j: NDArray[np.int64]
    length: NDArray[np.float64]


def fit(bonds: Bonds, ridge: float = 2.0, shrink: float = 4.0) -> BondTable:
    """Fit the table; elements that never occur take values interpolated in the atomic number."""
    ln_d = np.log(bonds.length)
    mean = float(ln_d.mean())
    ln_i, ln_j = np.log(bonds.c_i), np.log(bonds.c_j)
    terms = np.stack([ln_i + ln_j, np.abs(ln_i - ln_j)], axis=1)
    # normal equations of [one-hot(z_i) + one-hot(z_j) | terms], built without the dense design matrix
    n_columns = N_ELEMENTS + 2
    normal, right = np.zeros((n_columns, n_columns)), np.zeros(n_columns)
    for z in (bonds.z_i, bonds.z_j):
        for z_other in (bonds.z_i, bonds.z_j):
            np.add.at(normal, (z, z_other), 1.0)
        for k in range(2):
            column = np.bincount(z, terms[:, k], N_ELEMENTS)
            normal[:N_ELEMENTS, N_ELEMENTS + k] += column
            normal[N_ELEMENTS + k, :N_ELEMENTS] += column
        right[:N_ELEMENTS] += np.bincount(z, ln_d - mean, N_ELEMENTS)
    normal[N_ELEMENTS:, N_ELEMENTS:] = terms.T @ terms
    right[N_ELEMENTS:] = terms.T @ (ln_d - mean)
    normal[np.arange(N_ELEMENTS), np.arange(N_ELEMENTS)] += ridge
    normal[np.arange(N_ELEMENTS, n_columns), np.arange(N_ELEMENTS, n_columns)] += 1e-6  # all coordinations may be equal
    solved = np.linalg.solve(normal, right)
    element, slope = solved[:N_ELEMENTS], solved[N_ELEMENTS:]
    rest = ln_d - mean - element[bonds.z_i] - element[bonds.z_j] - terms @ slope
    pair = _shrunken_means(np.minimum(bonds.z_i, bonds.z_j), np.maximum(bonds.z_i, bonds.z_j), rest, shrink)
    seen = np.unique(np.concatenate([bonds.z_i, bonds.z_j]))
    element = np.interp(np.arange(N_ELEMENTS), seen, element[seen])
    return BondTable(mean, torch.as_tensor(element), (float(slope[0]), float(slope[1])), torch.as_tensor(pair))


def _shrunken_means(
    low: NDArray[np.int64], high: NDArray[np.int64], rest: NDArray[np.float64], shrink: float
) -> NDArray[np.float64]:
    """(Z, Z) symmetric sums of the residuals of each element pair over (count + shrink)."""
    cell = low * N_ELEMENTS + high
    total = np.bincount(cell, rest, N_ELEMENTS**2)
    count = np.bincount(cell, minlength=N_ELEMENTS**2)
    upper = (total / (count + shrink)).reshape(N_ELEMENTS, N_ELEMENTS)
    return np.asarray(upper + np.triu(upper, 1).T, dtype=np.float64)
