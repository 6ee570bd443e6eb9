"""Which kernel computes the convolution: by name, or by what was measured to be fastest where the data is."""

from __future__ import annotations

from torch import nn

from crystalfw.core import PluginError
from crystalfw.plugins.encoders.convolution.paths import Paths

KERNELS = ("auto", "e3nn", "torch")


def choose_kernel(device: str) -> str:
    """The kernel that `auto` takes on a type of device; measured in benchmarks/encoder.py."""
    return "torch"


def make_kernel(name: str, paths: Paths) -> nn.Module:
    """A kernel for these paths; raises PluginError for an unknown name."""
    if name == "e3nn":
        from crystalfw.plugins.encoders.convolution.reference import Reference

        return Reference(paths)
    if name in ("torch", "auto"):
        from crystalfw.plugins.encoders.convolution.channel_last import ChannelLast

        return ChannelLast(paths)
    raise PluginError(f"no convolution kernel called '{name}'; there are {', '.join(KERNELS)}")
