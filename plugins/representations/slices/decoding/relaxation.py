"""Relaxing decoded crystals with the universal potential CHGNet (extra `crystalfw[relax]`); slow: seconds a crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError
from crystalfw.core.records import Decoded


class Relaxer:
    """CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)) with its own FIRE optimiser; the model is loaded once."""

    def __init__(self, *, force: float = 0.1, steps: int = 200) -> None:
        try:
            from chgnet.model import StructOptimizer
        except ImportError as error:
            raise PluginError("relaxing needs CHGNet: pip install 'crystalfw[relax]'") from error
        self.force, self.steps = force, steps
        self._optimiser: Any = StructOptimizer(use_device="cpu")

    def __call__(self, outcomes: Sequence[Decoded]) -> list[Decoded]:
        """Every crystal relaxed until no force exceeds `force` eV/angstrom; failures are returned unchanged. Quality
        gains energy_per_atom (eV) and relaxed (1, or 0 if the steps did not suffice).
        """
        return [self._relaxed(outcome) if outcome.crystal is not None else outcome for outcome in outcomes]

    def _relaxed(self, outcome: Decoded) -> Decoded:
        before = outcome.crystal
        assert before is not None
        result = self._optimiser.relax(before.structure, fmax=self.force, steps=self.steps, verbose=False)
        path = result["trajectory"]
        after = Crystal.from_structure(result["final_structure"], id=before.id, properties=before.properties)
        quality = dict(outcome.quality)
        quality["energy_per_atom"] = float(path.energies[-1]) / before.n_atoms
        quality["relaxed"] = float(len(path.energies) <= self.steps)
        return replace(outcome, crystal=after, quality=quality)
