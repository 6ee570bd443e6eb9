"""Precomputed embeddings in a file beside a table: .npy (memory-mapped) or .pt (tensors only, no code is run)."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError


class Embedding:
    """One array (K,) or token set (M, K) per row of a table."""

    def __init__(self, path: Path, values: NDArray[np.generic]) -> None:
        if values.ndim not in (2, 3) or not np.issubdtype(values.dtype, np.floating):
            raise DataError(f"{path}: embeddings must be floating-point numbers of shape (rows, K) or (rows, M, K)")
        self.path, self._values = path, values

    def row(self, number: int, table: Path) -> NDArray[np.float32]:
        """The embedding of row `number`, counted from 1; raises DataError if the file is too short."""
        if number > len(self._values):
            raise DataError(f"{self.path}: {len(self._values)} embeddings, but {table} has more rows")
        return np.array(self._values[number - 1], dtype=np.float32)

    def check_length(self, rows: int, table: Path) -> None:
        """Raise DataError if there are more embeddings than rows: they then belong to another table."""
        if len(self._values) != rows:
            raise DataError(f"{self.path}: {len(self._values)} embeddings, but {table} has {rows} rows")


def open_embedding(path: Path) -> Embedding:
    """Open a .npy or .pt file; raises DataError for anything that is not one plain array."""
    if not path.is_file():
        raise DataError(f"{path}: no such embedding file")
    if path.suffix == ".npy":
        try:
            return Embedding(path, np.load(path, mmap_mode="r", allow_pickle=False))
        except (ValueError, OSError, EOFError) as error:
            raise DataError(f"{path}: not a plain .npy array: {error}") from error
    import torch

    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a file of plain tensors (nothing else is loaded)") from error
    if not isinstance(values, torch.Tensor):
        raise DataError(f"{path}: holds a {type(values).__name__}; it must hold one tensor (rows, K) or (rows, M, K)")
    return Embedding(path, values.detach().float().numpy())
