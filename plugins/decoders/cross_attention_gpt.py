"""The GPT with a port in every block, between self-attention and MLP, where cross-attention reads the memory."""

from __future__ import annotations

from crystalfw.plugins.decoders.backbone import Backbone


class CrossAttentionGPT(Backbone):
    """The plain GPT's backbone and options; conditioning may also enter in every layer."""

    ports = frozenset({"none", "input", "prefix", "layer"})
