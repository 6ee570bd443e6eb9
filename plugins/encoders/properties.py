"""The properties encoder: named scalar columns, one token each; any subset of them may be given.

Shapes: B crystals, M columns, F value features, C width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, DataError, Encoder, Memory, PluginError
from crystalfw.core.recipe.schema import Bounds, Count

CENTRES = 16
"""Gaussians over -3 to 3 standard deviations that resolve a value; beyond them only the value itself tells."""


class Properties(Encoder):
    """Each column standardised, spread over bells, and embedded by a small network of its own.

    A missing value (NaN, or a column that the batch lacks) is a learned token of its column. In training, columns are
    dropped at random, so that the model can be asked with any subset of them.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the properties encoder."""

        columns: tuple[str, ...]
        """Property columns, e.g. [formation_energy_per_atom, band_gap]."""
        dim: Count = 128
        """Width of tokens and pooled vector."""
        dropout: Annotated[float, Bounds(0, 0.99)] = 0.1
        """Share of values replaced by the missing token in training, each column independently."""

        def __post_init__(self) -> None:
            """Raise PluginError if no column is named, or one twice."""
            object.__setattr__(self, "columns", tuple(self.columns))
            if not self.columns or len(set(self.columns)) < len(self.columns):
                raise PluginError(f"columns: name the property columns, each once; got {list(self.columns)}")

    mean: Tensor
    std: Tensor
    centres: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.columns, self.dim, self.dropout = config.columns, config.dim, config.dropout
        self.requires = frozenset(f"properties.{name}" for name in config.columns)
        n_columns, n_features = len(config.columns), CENTRES + 1
        self.register_buffer("mean", torch.zeros(n_columns))
        self.register_buffer("std", torch.ones(n_columns))
        self.register_buffer("centres", torch.linspace(-3, 3, CENTRES), persistent=False)
        self.hidden = nn.Parameter(torch.randn(n_columns, n_features, config.dim) / n_features**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(n_columns, config.dim))
        self.out = nn.Parameter(torch.randn(n_columns, config.dim, config.dim) / config.dim**0.5)
        self.column = nn.Parameter(torch.randn(n_columns, config.dim))
        self.missing = nn.Parameter(torch.randn(n_columns, config.dim))

    def fit_statistics(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Mean and standard deviation of every column. Raises DataError for a column that is absent or empty."""
        for index, name in enumerate(self.columns):
            if name not in columns:
                known = ", ".join(sorted(columns)) or "none"
                raise DataError(f"encoder 'properties': the data has no column '{name}'; numeric columns: {known}")
            values = np.asarray(columns[name], dtype=np.float64)
            values = values[np.isfinite(values)]
            if not len(values):
                raise DataError(f"encoder 'properties': column '{name}' has no value in the training part")
            self.mean[index] = float(values.mean())
            # a constant column has no spread; its value becomes zero
            self.std[index] = float(values.std()) or 1.0

    def forward(self, batch: CrystalBatch) -> Memory:
        """Tokens (B, M, C) in the order of the columns, mask all True, pooled (B, C) their mean."""
        values_BM = self._values(batch)
        given_BM = values_BM.isfinite()
        if self.training and self.dropout:
            given_BM = given_BM & (torch.rand(given_BM.shape, device=given_BM.device) >= self.dropout)
        scaled_BM = torch.where(given_BM, (values_BM - self.mean) / self.std, 0.0)
        width = 6 / (CENTRES - 1)
        bells_BMF = torch.exp(-0.5 * ((scaled_BM[..., None] - self.centres) / width) ** 2)
        features_BMF = torch.cat([scaled_BM[..., None], bells_BMF], dim=2)
        hidden_BMC = nn.functional.silu(torch.einsum("bmf,mfc->bmc", features_BMF, self.hidden) + self.hidden_bias)
        known_BMC = torch.einsum("bmc,mcd->bmd", hidden_BMC, self.out) + self.column
        tokens_BMC = torch.where(given_BM[..., None], known_BMC, self.missing.to(known_BMC.dtype))
        return Memory(tokens_BMC, torch.ones_like(given_BM), tokens_BMC.mean(1))

    def _values(self, batch: CrystalBatch) -> Tensor:
        absent_B = torch.full((batch.size,), float("nan"), device=self.mean.device)
        return torch.stack([batch.properties.get(name, absent_B).to(self.mean) for name in self.columns], dim=1)
