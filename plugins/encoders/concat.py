"""Several encoders at once: their tokens side by side, each projected to one width and marked with its origin.

Shapes: B crystals, M tokens, C width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from crystalfw.core import CrystalBatch, Encoder, Memory, PluginError
from crystalfw.core.discovery import registry
from crystalfw.core.recipe.options import make_config
from crystalfw.core.recipe.schema import ComponentSpec, Count, EncoderSpec


class Concat(Encoder):
    """The tokens of all members in one set; the pooled vector projects the members' concatenated ones."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the encoder that joins others."""

        encoders: tuple[EncoderSpec, ...]
        """The members in order, each a name or a mapping {name: ..., option: ...}, as under `encoder:` itself."""
        dim: Count = 128
        """Width of tokens and pooled vector."""

        def __post_init__(self) -> None:
            """Raise PluginError if no member is named."""
            object.__setattr__(self, "encoders", tuple(_spec(member) for member in self.encoders))
            if not self.encoders:
                raise PluginError("encoders: name at least one member, e.g. [composition, space_group]")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim = config.dim
        self.members = nn.ModuleList(_make(member) for member in config.encoders)
        self.requires = frozenset().union(*(member.requires for member in self._encoders()))
        cutoffs = [member.cutoff for member in self._encoders() if member.cutoff is not None]
        self.cutoff = max(cutoffs, default=None)
        self.templates = max(member.templates for member in self._encoders())
        widths = [member.dim for member in self._encoders()]
        self.project = nn.ModuleList(nn.Linear(width, config.dim) for width in widths)
        self.origin = nn.Parameter(torch.randn(len(widths), config.dim))
        self.pool = nn.Linear(sum(widths), config.dim)

    def fit_statistics(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Passed on to every member."""
        for member in self._encoders():
            member.fit_statistics(columns)

    def forward(self, batch: CrystalBatch) -> Memory:
        """Tokens (B, M, C) of the members in order, mask (B, M), pooled (B, C)."""
        memories = [member(batch) for member in self.members]
        tokens_BMC = torch.cat(
            [
                project(memory.tokens) + origin_C
                for project, memory, origin_C in zip(self.project, memories, self.origin, strict=True)
            ],
            dim=1,
        )
        mask_BM = torch.cat([memory.mask for memory in memories], dim=1)
        told = any(memory.ids is not None for memory in memories)
        ids_BM = torch.cat([memory.named() for memory in memories], dim=1) if told else None
        return Memory(tokens_BMC, mask_BM, self.pool(torch.cat([memory.pooled for memory in memories], dim=1)), ids_BM)

    def _encoders(self) -> list[Encoder]:
        return [member for member in self.members if isinstance(member, Encoder)]


def _spec(member: Any) -> ComponentSpec:
    """A member as a recipe names it, or in Python: a name, or a mapping with `name` and options."""
    if isinstance(member, ComponentSpec):
        return member
    options = {"name": member} if isinstance(member, str) else dict(member)
    if not isinstance(options.get("name"), str):
        raise PluginError(f"encoders: a member is a name or a mapping with 'name' and options, not {member!r}")
    name, override = options.pop("name"), options.pop("override", None)
    return ComponentSpec(name=name, options=options, override=override)


def _make(spec: ComponentSpec) -> Encoder:
    """One member through the registry, like a recipe's encoder."""
    component = registry().get("encoder", spec.name, override=spec.override).load()
    encoder = component(make_config(component, dict(spec.options), f"encoder 'concat', member '{spec.name}'"))
    assert isinstance(encoder, Encoder), f"{spec.name} is registered as an encoder and is none"
    return encoder
