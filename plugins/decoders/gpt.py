"""The plain GPT: conditioning enters at the input or as a prefix, never inside the blocks."""

from __future__ import annotations

from crystalfw.plugins.decoders.backbone import Backbone


class GPT(Backbone):
    """A causal transformer; with `additive` conditioning it reads token + position + projected embedding."""

    ports = frozenset({"none", "input", "prefix"})
