"""Selects the kernel of the convolution: by name, or `auto`, the one measured to be fastest on the device of the data.

On a CPU that is the loops compiled by numba (benchmarks/encoder.md); they are compiled once per machine and choice of
multiplicities, and cached on disk. On other devices, and for features without such loops, it is plain torch.
"""

from __future__ import annotations

import logging
from functools import cache

from e3nn import o3
from torch import Tensor, nn

from crystalfw.core import PluginError
from crystalfw.plugins.encoders.convolution.channel_last import ChannelLast
from crystalfw.plugins.encoders.convolution.pairs import Pairs
from crystalfw.plugins.encoders.convolution.paths import Paths

KERNELS = ("auto", "e3nn", "torch", "jit")
log = logging.getLogger(__name__)


class Auto(nn.Module):
    """Decides on the first batch, since a module does not know the device that it will be moved to."""

    def __init__(self, paths: Paths, irreps: o3.Irreps) -> None:
        super().__init__()
        self.anywhere = ChannelLast(paths)
        self.on_cpu = _jit(paths, irreps)

    def forward(self, x_NX: Tensor, y_PS: Tensor, w_QW: Tensor, pairs: Pairs) -> Tensor:
        """Messages (N, O)."""
        kernel = self.on_cpu if self.on_cpu is not None and x_NX.device.type == "cpu" else self.anywhere
        _say(kernel.__class__.__name__, x_NX.device.type)
        messages_NO: Tensor = kernel(x_NX, y_PS, w_QW, pairs)
        return messages_NO


def make_kernel(name: str, paths: Paths, irreps: o3.Irreps | None = None) -> nn.Module:
    """A kernel for these paths; raises PluginError for an unknown name, or if the machine cannot run it.

    `irreps`: the features of the whole network, so that its layers can share one compilation.
    """
    irreps = paths.source.irreps if irreps is None else irreps
    if name == "auto":
        return Auto(paths, irreps)
    if name == "torch":
        return ChannelLast(paths)
    if name == "e3nn":
        from crystalfw.plugins.encoders.convolution.reference import Reference

        return Reference(paths)
    if name == "jit":
        kernel_or_none = _jit(paths, irreps)
        if kernel_or_none is None:
            raise PluginError(f"kernel: 'jit' needs numba and degrees of at most 3; these are {paths.source.irreps}")
        return kernel_or_none
    raise PluginError(f"kernel: none is called '{name}'; there are {', '.join(KERNELS)}")


def _jit(paths: Paths, irreps: o3.Irreps) -> nn.Module | None:
    try:
        from crystalfw.plugins.encoders.convolution.jit import Jit, jit_can
    except ImportError as error:
        log.warning("numba cannot be imported (%s): the convolution runs in plain torch", error)
        return None
    return Jit(paths, irreps) if jit_can(irreps) else None


@cache
def _say(kernel: str, device: str) -> None:
    log.info("convolution on %s: kernel %s", device, kernel.lower())
