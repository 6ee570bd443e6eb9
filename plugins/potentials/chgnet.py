"""CHGNet, with the weights that lie in its wheel (extra `crystalfw[relax]`).

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Potential, SinglePoint

_NOT_IN_ITS_DATA = {84, 85, 86, 87, 88}
"""Po, At, Rn, Fr, Ra: it has embeddings for them, but the Materials Project trajectories of its training have none."""
_BATCH = 8


class Chgnet(Potential):
    """CHGNet: energies as the Materials Project corrects them (GGA, GGA+U)."""

    argument = "model"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        model: str = "0.3.0"
        """Which of its weights: 0.3.0, 0.2.0, or r2scan."""

    def __init__(self, config: Config) -> None:
        from chgnet.model import CHGNet

        try:
            with redirect_stdout(StringIO()):  # it greets, whatever `verbose` says
                self._model: Any = CHGNet.load(model_name=config.model, use_device="cpu", verbose=False)
        except ValueError as error:
            raise PluginError(
                f"potential 'chgnet': no weights called {config.model!r}; there are 0.3.0, 0.2.0, r2scan"
            ) from error
        self._model.requires_grad_(False)
        self._model.eval()
        self.elements = frozenset(range(1, 95)) - _NOT_IN_ITS_DATA
        self.label = f"CHGNet {config.model} (chgnet {version('chgnet')})"
        self.corrections = "none (r2SCAN)" if config.model == "r2scan" else "MaterialsProject2020"

    def evaluate(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
        """Forces and stress by one backward pass for up to eight crystals; the library's own prediction keeps the graph of
        the gradients for training and takes 2.5 times as long."""
        found: list[SinglePoint] = []
        for start in range(0, len(crystals), _BATCH):
            found += self._batch(crystals[start : start + _BATCH])
        return found

    def _batch(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
        import torch
        from chgnet.model.model import BatchedGraph

        model = self._model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graphs = [model.graph_converter(crystal.structure) for crystal in crystals]
        batch = BatchedGraph.from_graphs(
            graphs,
            bond_basis_expansion=model.bond_basis_expansion,
            angle_basis_expansion=model.angle_basis_expansion,
            compute_stress=True,
        )
        counts = torch.tensor([crystal.n_atoms for crystal in crystals])
        per_atom = model._compute(batch)["e"]
        gradients = torch.autograd.grad((per_atom * counts).sum(), [*batch.atom_positions, *batch.strains])
        energies = (per_atom.detach() + model.composition_model(graphs).detach()).double() * counts
        return [
            SinglePoint(float(energy), -_array(by_position), _array(by_strain) / crystal.volume)
            for energy, by_position, by_strain, crystal in zip(
                energies, gradients[: len(crystals)], gradients[len(crystals) :], crystals, strict=True
            )
        ]


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.numpy(), dtype=np.float64)
