"""A property predictor: an MLP on the pooled memory, for the same encoders, data and training as the generators.

Shapes: B crystals, C encoder width, Y target columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from crystalfw.core.batch import Memory, TrainBatch
from crystalfw.core.errors import DataError, PluginError
from crystalfw.core.interfaces import Ports, PropertyDecoder
from crystalfw.core.records import Loss, Vocabulary

_WIDEST = 8.0
"""Largest logarithm, up or down, of an error's scale in standard deviations of its target."""
_LOSSES: dict[str, Callable[..., Tensor]] = {"l1": functional.l1_loss, "huber": functional.huber_loss}


class Regressor(PropertyDecoder):
    """Named columns from the pooled vector; targets standardised, missing ones left out."""

    ports = frozenset({"none"})
    loss_unit = "standard deviations"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the regressor."""

        columns: tuple[str, ...] = ()
        """Property columns to predict; a column of the data must exist for each."""
        hidden: int = 128
        """Width of the hidden layers."""
        n_hidden: int = 2
        """Hidden layers."""
        dropout: float = 0.0
        """Share of hidden activations dropped in training."""
        loss: str = "l1"
        """`l1`, or `huber` (quadratic below one standard deviation)."""
        spread: bool = False
        """`true`: a second MLP says how large the error of each crystal is likely to be; the values are trained as without."""

    def __init__(self, config: Config, *, encoder_dim: int, vocabulary: Vocabulary | None = None) -> None:
        super().__init__()
        if not config.columns or isinstance(config.columns, str):
            raise PluginError("regressor: columns must list at least one property column, e.g. columns: [band_gap]")
        if config.loss not in _LOSSES:
            raise PluginError(f"regressor: loss {config.loss!r} must be one of {', '.join(_LOSSES)}")
        self.config, self.targets, self.dim = config, tuple(config.columns), encoder_dim
        widths = [encoder_dim, *[config.hidden] * config.n_hidden]
        hidden = [
            layer
            for w_in, w_out in pairwise(widths)
            for layer in (nn.Linear(w_in, w_out), nn.SiLU(), nn.Dropout(config.dropout))
        ]
        self.mlp = nn.Sequential(nn.LayerNorm(encoder_dim), *hidden, nn.Linear(widths[-1], len(self.targets)))
        self.log_spread = _log_spread(encoder_dim, config.hidden, len(self.targets)) if config.spread else None
        self.mean_Y: Tensor
        self.std_Y: Tensor
        self.register_buffer("mean_Y", torch.zeros(len(self.targets)))
        self.register_buffer("std_Y", torch.ones(len(self.targets)))

    def fit_statistics(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Keep mean and standard deviation of each target over the train part; raises DataError for an empty column."""
        for y, name in enumerate(self.targets):
            values = np.asarray(columns.get(name, ()), dtype=np.float64)
            values = values[np.isfinite(values)]
            if not len(values):
                raise DataError(f"regressor: the column '{name}' has no value in the train part")
            self.mean_Y[y] = float(values.mean())
            # The mean predicts a constant column; any scale is right.
            self.std_Y[y] = float(values.std()) or 1.0

    def predict(self, memory: Memory) -> dict[str, Tensor]:
        """Each target (B,) in its column's unit."""
        values_BY = self.mlp(memory.pooled) * self.std_Y + self.mean_Y  # float32 or better: that of the statistics
        return dict(zip(self.targets, values_BY.unbind(1), strict=True))

    def spread(self, memory: Memory) -> dict[str, Tensor]:
        """Scale of each target's error (B,) in its column's unit, positive; {} without the option `spread`."""
        if self.log_spread is None:
            return {}
        scale_BY = self.log_spread(memory.pooled).clamp(-_WIDEST, _WIDEST).exp() * self.std_Y
        return dict(zip(self.targets, scale_BY.unbind(1), strict=True))

    def loss(self, batch: TrainBatch, memory: Memory, ports: Ports) -> Loss:
        """Sum over the targets that are known, in standard deviations; parts `mae.COLUMN` in the column's unit.

        In training, the spread adds its own term, which neither the encoder nor the values see.
        """
        known = batch.crystals.properties
        missing = [name for name in self.targets if name not in known]
        if missing:
            raise DataError(f"regressor: the data has no column {', '.join(missing)}; there are {', '.join(known) or 'none'}")
        target_BY = torch.stack([known[name] for name in self.targets], dim=1).float()
        mask_BY = target_BY.isfinite()
        # A missing target is replaced before the loss: zero times NaN would be NaN in the gradient.
        target_BY = torch.where(mask_BY, (target_BY - self.mean_Y) / self.std_Y, 0.0)
        output_BY = self.mlp(memory.pooled).float()
        losses_BY = _LOSSES[self.config.loss](output_BY, target_BY, reduction="none") * mask_BY
        off_BY = (output_BY - target_BY).abs().detach()
        if self.training and self.log_spread is not None:
            losses_BY = losses_BY + self._likelihood(memory.pooled.detach(), off_BY) * mask_BY
        errors_BY = off_BY * mask_BY * self.std_Y
        parts = {f"mae.{name}": (errors_BY[:, y].sum(), mask_BY[:, y].sum()) for y, name in enumerate(self.targets)}
        return Loss(losses_BY.sum(), mask_BY.sum(), parts)

    def _likelihood(self, pooled_BC: Tensor, off_BY: Tensor) -> Tensor:
        """(B, Y) negative logarithm of the Laplace density of errors `off_BY`, without its constant."""
        assert self.log_spread is not None
        log_BY = self.log_spread(pooled_BC).float().clamp(-_WIDEST, _WIDEST)
        return off_BY * (-log_BY).exp() + log_BY


def _log_spread(width: int, hidden: int, n_targets: int) -> nn.Sequential:
    """The network that says the logarithm of the errors' scale, in standard deviations of the target."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, n_targets))
