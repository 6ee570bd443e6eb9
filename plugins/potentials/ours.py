"""A model of ours that predicts an energy per atom: `ours:runs/regress_formation_energy`. Energies only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Potential, SinglePoint
from crystalfw.core.sample.trained import Trained


class Ours(Potential):
    """An encoder with a regressor, trained by `crystalfw run`; it has no forces, so nothing can be relaxed with it."""

    argument = "run"
    has_forces = False
    elements = frozenset(range(1, 119))

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        run: str
        """Run folder or checkpoint of a model with a regressor."""
        column: str = ""
        """The predicted column, in eV per atom; may be left out where there is one."""
        zero: str = "elements"
        """What has no energy: `elements` for a formation energy, `atoms` for a total energy."""

    def __init__(self, config: Config) -> None:
        self._model = Trained.load(config.run)
        targets = self._model.targets
        if not targets:
            raise PluginError(f"potential 'ours': {config.run} predicts no property; give the run of a regressor")
        self._column = config.column or (targets[0] if len(targets) == 1 else "")
        if self._column not in targets:
            raise PluginError(f"potential 'ours': {config.run} predicts {', '.join(targets)}; choose one as `column`")
        self.zero, self.corrections = config.zero, "as in its training data"
        self.label = f"{self._column} of {Path(config.run).name}"

    def evaluate(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
        """Predictions per atom times the number of atoms."""
        if not crystals:
            return []  # a model makes no batch of nothing
        found = self._model.predict(list(crystals))[self._column]
        return [SinglePoint(float(value) * crystal.n_atoms) for value, crystal in zip(found, crystals, strict=True)]
