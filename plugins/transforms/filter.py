"""Reject crystals outside of bounds, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError, PluginError, Reject
from crystalfw.core.geometry.lattice import shortest_distance
from crystalfw.core.interfaces import Transform


class Filter(Transform):
    """Passes a crystal unchanged or raises Reject, naming the bound and the value."""

    commutes_with_rotation: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `filter`; bounds are inclusive."""

        min_atoms: int = 1
        """Minimum number of atoms per cell."""
        max_atoms: int | None = None
        """Maximum number of atoms per cell."""
        max_elements: int | None = None
        """Maximum number of different elements."""
        elements: tuple[str, ...] = ()
        """Only these elements, e.g. [Sr, Ti, O]; empty allows all."""
        exclude: tuple[str, ...] = ()
        """None of these elements."""
        min_distance: float = 0.0
        """Shortest distance between atoms, angstrom."""
        max_length: float | None = None
        """Longest lattice vector, angstrom."""
        volume_per_atom: tuple[float, float] | None = None
        """Smallest and largest volume per atom, cubic angstrom."""
        properties: Mapping[str, Sequence[float]] = field(default_factory=dict)
        """Smallest and largest value of named columns, e.g. {band_gap: [0.1, 5]}; a missing value is rejected too."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._allowed, self._excluded = _numbers(config.elements), _numbers(config.exclude)
        for name, bounds in config.properties.items():
            if len(bounds) != 2:
                raise PluginError(f"filter: properties.{name} needs two numbers, smallest and largest; got {list(bounds)}")

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal itself; raises Reject if it is out of bounds."""
        self._check_composition(crystal)
        self._check_geometry(crystal)
        for name, (low, high) in self.config.properties.items():
            value = crystal.properties.get(name, float("nan"))
            if not low <= value <= high:
                raise Reject(f"{name} outside of {low:g}-{high:g}: {value:g}")
        return crystal

    def _check_composition(self, crystal: Crystal) -> None:
        config, present = self.config, set(crystal.numbers.tolist())
        if crystal.n_atoms < config.min_atoms:
            raise Reject(f"fewer than {config.min_atoms} atoms: {crystal.n_atoms}")
        if config.max_atoms is not None and crystal.n_atoms > config.max_atoms:
            raise Reject(f"more than {config.max_atoms} atoms: {crystal.n_atoms}")
        if config.max_elements is not None and len(present) > config.max_elements:
            raise Reject(f"more than {config.max_elements} elements: {len(present)}")
        foreign = present & self._excluded | (present - self._allowed if self._allowed else set())
        if foreign:
            raise Reject(f"element not wanted: {', '.join(_symbol(number) for number in sorted(foreign))}")

    def _check_geometry(self, crystal: Crystal) -> None:
        config = self.config
        longest = float(np.linalg.norm(crystal.lattice, axis=1).max())
        if config.max_length is not None and longest > config.max_length:
            raise Reject(f"lattice vector longer than {config.max_length:g} angstrom: {longest:.2f}")
        if config.volume_per_atom is not None:
            low, high = config.volume_per_atom
            volume = crystal.volume / max(1, crystal.n_atoms)
            if not low <= volume <= high:
                raise Reject(f"volume per atom outside of {low:g}-{high:g} cubic angstrom: {volume:.2f}")
        if config.min_distance > 0:
            require_distance(crystal, config.min_distance)


def require_distance(crystal: Crystal, least: float) -> None:
    """Raise Reject if two atoms are closer than `least` angstrom, periodic images included, or the cell is flat."""
    try:
        distance = shortest_distance(crystal.lattice, crystal.frac_coords)
    except DataError as error:
        raise Reject(f"flat cell: {error}") from error
    if distance < least:
        raise Reject(f"atoms closer than {least:g} angstrom: {distance:.3f}")


def _numbers(symbols: Sequence[str]) -> set[int]:
    from pymatgen.core import Element

    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise PluginError(f"filter: {symbol!r} is not an element; write symbols such as Na or O")
    return {int(Element(symbol).Z) for symbol in symbols}


def _symbol(number: int) -> str:
    from pymatgen.core import Element

    return str(Element.from_Z(number).symbol)
