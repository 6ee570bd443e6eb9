"""A registry of small real components for tests of the recipe, independent of the built-ins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Component, NoOptions
from crystalfw.core.recipe.schema import Bounds, EncoderSpec
from crystalfw.core.registry import Origin, Registry


class Graph(Component):
    """A stand-in with every type of option that components use."""

    @dataclass(frozen=True, kw_only=True)
    class Inner:
        width: int = 8
        """Width."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lmax: Annotated[int, Bounds(0, 4)] = 2
        """Highest degree."""
        cutoff: float = 5.0
        """Radius in angstrom."""
        shape: tuple[int, int, int] = (1, 2, 3)
        columns: tuple[str, ...] = ()
        mode: Literal["mean", "sum"] = "mean"
        limits: dict[str, float] = field(default_factory=dict)
        top: int | None = None
        names: frozenset[str] = frozenset()
        inner: Graph.Inner = field(default_factory=lambda: Graph.Inner())

        def __post_init__(self) -> None:
            if self.cutoff <= 0:
                raise ValueError(f"cutoff must be positive, got {self.cutoff}")

    def __init__(self, config: Config) -> None:
        self.config = config


class Several(Component):
    """Holds other components, as the encoder `concat` does."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        encoders: tuple[EncoderSpec, ...]


class Plain(Component):
    """No options."""

    Config = NoOptions


@pytest.fixture(scope="session")
def small_registry() -> Registry:
    """Stand-ins for every name that a recipe's defaults mention, and `graph`, `several`."""
    registry = Registry()
    registry.registering(Origin("crystalfw", "0.1.0"))
    registry.add("encoder", "graph", Graph)
    registry.add("encoder", "several", Several)
    defaults = {
        "encoder": ["none"], "conditioning": ["none", "additive", "cross_attention"], "decoder": ["gpt"],
        "transform": ["standardize", "normalize_positions", "finalize"], "representation": ["slices"],
        "retriever": ["structure_types"],
        "source": ["prototypes", "table", "files"], "metric": ["shares", "match", "distributions"],
    }  # fmt: skip
    for kind, names in defaults.items():
        for name in names:
            registry.add(kind, name, Plain)
    registry.registering(Origin("crystalfw-film", "0.2.0"))
    registry.add("conditioning", "film", Plain)
    return registry


@pytest.fixture
def rock_salt() -> Crystal:
    """NaCl, primitive cell."""
    rows = 2.82 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return Crystal(lattice=rows, frac_coords=np.array([[0.0] * 3, [0.5] * 3]), numbers=np.array([11, 17]))
