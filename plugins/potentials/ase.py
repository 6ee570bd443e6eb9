"""Any calculator of ASE by its name, `ase:EMT`, or by its place, `ase:mace.calculators:MACECalculator`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Potential, SinglePoint
from crystalfw.plugins.potentials.single_points import single_points

_SHORT = {"lennardjones": "lj", "effectivemediumtheory": "emt", "morsepotential": "morse"}


class Ase(Potential):
    """A calculator of the Atomic Simulation Environment, or of a package that offers one.

    Source: Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017).
    """

    argument = "calculator"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        calculator: str
        """Name as ASE lists it (EMT, LennardJones, Morse, ...), or MODULE:CLASS."""
        parameters: dict[str, float | int | str | bool] = field(default_factory=dict)
        """Arguments of the calculator."""

    def __init__(self, config: Config) -> None:
        import ase
        from ase.calculators.calculator import BaseCalculator

        made = _calculator_class(config.calculator)
        try:
            self._calculator: Any = made(**config.parameters)
        except Exception as error:
            raise PluginError(f"potential 'ase:{config.calculator}' cannot be made: {type(error).__name__}: {error}") from error
        if not isinstance(self._calculator, BaseCalculator):
            raise PluginError(f"potential 'ase:{config.calculator}': {made.__name__} is not a calculator of ASE")
        offered = self._calculator.implemented_properties
        self.has_forces = "forces" in offered and "stress" in offered
        self.elements = _elements(self._calculator)
        self.label = f"{made.__name__} (ASE {ase.__version__})"

    def evaluate(self, crystals: Sequence[Crystal]) -> list[SinglePoint]:
        """One crystal after the other."""
        return single_points(self._calculator, crystals)


def _calculator_class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        if attribute:
            return getattr(import_module(module), attribute)
        from ase.calculators.calculator import get_calculator_class

        return get_calculator_class(_SHORT.get(name.lower(), name.lower()))
    except (ImportError, AttributeError, KeyError) as error:
        raise PluginError(
            f"potential 'ase:{name}': ASE has no calculator called {name!r} ({error}). Give a name such as EMT, "
            "LennardJones or Morse, or MODULE:CLASS of a package that is installed"
        ) from error


def _elements(calculator: Any) -> frozenset[int]:
    """EMT has a table of elements; of other calculators nothing is known before they are asked."""
    from ase.calculators.emt import EMT, parameters
    from ase.data import atomic_numbers

    if isinstance(calculator, EMT):
        return frozenset(atomic_numbers[symbol] for symbol in parameters)
    return frozenset(range(1, 119))
