"""Several encoders at once: their tokens side by side, each projected to one width and marked with its origin.

Shapes: B crystals, M tokens, C width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, Encoder, Memory, PluginError
from crystalfw.core.discovery import registry
from crystalfw.core.recipe.options import make_config
from crystalfw.core.recipe.schema import Bounds, ComponentSpec, Count, EncoderSpec


class Concat(Encoder):
    """The tokens of all members in one set; the pooled vector projects the members' concatenated ones."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the encoder that joins others."""

        encoders: tuple[EncoderSpec, ...]
        """The members in order, each a name or a mapping {name: ..., option: ...}, as under `encoder:` itself."""
        dim: Count = 128
        """Width of tokens and pooled vector."""
        dropout: Annotated[float, Bounds(0, 0.99)] | tuple[Annotated[float, Bounds(0, 0.99)], ...] = 0.0
        """Share of crystals for which a member is hidden in training, each member independently: one share for all, or
        a list with one for each. A member with a share above 0 may be left out when sampling."""

        def __post_init__(self) -> None:
            """Raise PluginError if no member is named, or a list of shares has another length."""
            object.__setattr__(self, "encoders", tuple(_spec(member) for member in self.encoders))
            if not self.encoders:
                raise PluginError("encoders: name at least one member, e.g. [composition, space_group]")
            if len(self.shares) != len(self.encoders):
                raise PluginError(f"dropout: {len(self.shares)} shares for {len(self.encoders)} encoders; give one for each")

        @property
        def shares(self) -> tuple[float, ...]:
            """The dropout of each member."""
            if isinstance(self.dropout, int | float):
                return (self.dropout,) * len(self.encoders)
            return tuple(self.dropout)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim, self.dropout = config.dim, config.shares
        self.members = nn.ModuleList(_make(member) for member in config.encoders)
        self.requires = frozenset().union(*(member.requires for member in self._encoders()))
        always = [member.requires for member, share in zip(self._encoders(), self.dropout, strict=True) if not share]
        self.optional = self.requires.difference(*always)
        cutoffs = [member.cutoff for member in self._encoders() if member.cutoff is not None]
        self.cutoff = max(cutoffs, default=None)
        self.templates = max(member.templates for member in self._encoders())
        widths = [member.dim for member in self._encoders()]
        self.project = nn.ModuleList(nn.Linear(width, config.dim) for width in widths)
        self.origin = nn.Parameter(torch.randn(len(widths), config.dim))
        self.pool = nn.Linear(sum(widths), config.dim)
        self.hidden = nn.ParameterList(torch.randn(width) for width in widths) if any(self.dropout) else None

    def fit_statistics(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Passed on to every member."""
        for member in self._encoders():
            member.fit_statistics(columns)

    def forward(self, batch: CrystalBatch) -> Memory:
        """Tokens (B, M, C) of the members in order, mask (B, M), pooled (B, C)."""
        memories = [member(batch) for member in self.members]
        if self.hidden is not None:
            memories = [
                _hide(memory, self._hidden_in(batch, member, share), vector_C)
                for memory, member, share, vector_C in zip(memories, self._encoders(), self.dropout, self.hidden, strict=True)
            ]
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

    def _hidden_in(self, batch: CrystalBatch, member: Encoder, share: float) -> Tensor:
        """(B,) bool: crystals that give a member nothing to read, and in training those for which it is hidden."""
        absent_B = ~torch.stack([given(batch, name) for name in sorted(member.requires)]).any(0)
        if not self.training:
            return absent_B
        return absent_B | (torch.rand(batch.size, device=absent_B.device) < share)

    def _encoders(self) -> list[Encoder]:
        return [member for member in self.members if isinstance(member, Encoder)]


def given(batch: CrystalBatch, name: str) -> Tensor:
    """(B,) bool: crystals that have what a requirement names."""
    kind, _, key = name.partition(".")
    if kind != "properties":
        return batch.n_atoms > 0
    values_B = batch.properties.get(key)
    return torch.zeros_like(batch.n_atoms, dtype=torch.bool) if values_B is None else values_B.isfinite()


def _hide(memory: Memory, hidden_B: Tensor, vector_C: Tensor) -> Memory:
    """The memory with one learned token instead of the crystal's own, for the crystals marked."""
    vector_C = vector_C.to(memory.tokens.dtype)
    first_BM = torch.zeros_like(memory.mask)
    first_BM[:, 0] = True
    return Memory(
        torch.where(hidden_B[:, None, None], vector_C, memory.tokens),
        torch.where(hidden_B[:, None], first_BM, memory.mask),
        torch.where(hidden_B[:, None], vector_C, memory.pooled),
    )


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
