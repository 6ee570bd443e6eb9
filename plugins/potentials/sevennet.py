"""SevenNet-0, with the weights that lie in its wheel (extra `crystalfw[sevennet]`).

Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Potential, SinglePoint
from crystalfw.plugins.potentials.single_points import single_points


class Sevennet(Potential):
    """SevenNet-0: energies of the Materials Project's calculations without corrections."""

    argument = "model"
    corrections = "none"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        model: str = "7net-0"
        """Which weights: 7net-0, the only ones in the wheel, or a checkpoint file."""

    def __init__(self, config: Config) -> None:
        from sevenn.calculator import SevenNetCalculator

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._calculator: Any = SevenNetCalculator(config.model, device="cpu")
        self.elements = frozenset(int(number) for number in self._calculator.type_map)
        name = "SevenNet-0" if config.model == "7net-0" else f"SevenNet {config.model}"
        self.label = f"{name} (sevenn {version('sevenn')})"

    def evaluate(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
        """One crystal after the other: batches of small crystals are 1.3 times as fast on a CPU, but change the last bits."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return single_points(self._calculator, crystals)
