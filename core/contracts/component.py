"""What every kind of component shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The Config of a component without options."""


class Component:
    """What all kinds share: a name in the registry (the key it was registered under), typed options, a version."""

    Config: ClassVar[type] = NoOptions
    config: Any = NoOptions()
    """The Config that the constructor was given; core assigns it after construction where the class does not."""
    version: ClassVar[str] = "1"
    """Raise it ("2", "2.1") when options or weights that an older release saved no longer fit; checkpoints store it."""

    @classmethod
    def upgrade(cls, version: str, options: dict[str, Any], state: Weights) -> tuple[dict[str, Any], Weights]:
        """Options and weights (its own state_dict; empty where it has none) of a checkpoint that an older `version` of this
        component wrote, as this version reads them. Core calls it for older versions only; the default changes nothing."""
        return options, state
