"""FSDP: weights, gradients and optimiser state are sharded over the devices, and gathered for every checkpoint.

torch's second FSDP (`fully_shard`) through Fabric's ModelParallelStrategy: unlike the first it runs on CPUs as well, so
it is tested everywhere. A checkpoint always holds full tensors under the names of the unsharded model, so that a run may
continue with another number of processes or another strategy.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import ModelParallelStrategy
from packaging.version import Version
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from crystalfw.core.errors import CrystalfwError
from crystalfw.core.model.generator import Generator

PREFIX = "generator."
"""The fit wraps the generator in a module of its own; checkpoints name parameters without it."""
CPU_SINCE = Version("2.7")
_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


def fsdp_strategy(processes: int) -> ModelParallelStrategy:
    """Shard over all processes: each of the decoder's `blocks` by itself, the rest together.

    Raises CrystalfwError on CPUs with torch 2.6, which cannot do that there.
    """
    if Version(torch.__version__) < CPU_SINCE and not torch.cuda.is_available():
        raise CrystalfwError(
            f"fabric.strategy: fsdp on CPUs needs torch {CPU_SINCE} (here: {torch.__version__}); install it, or take ddp"
        )
    return ModelParallelStrategy(parallelize_fn=_shard, data_parallel_size=processes, tensor_parallel_size=1)


def _shard(module: nn.Module, mesh: Any) -> nn.Module:
    generator = cast(Generator, module.generator)
    # Only modules that are entered through forward() can be gathered by themselves: the contract of `blocks`.
    for block in generator.decoder.blocks:
        fully_shard(block, mesh=mesh["data_parallel"])
    fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=False)
    return module


def is_sharded(fabric: Fabric) -> bool:
    """True if the strategy shards parameters."""
    return isinstance(fabric.strategy, ModelParallelStrategy)


def local(tensor: Tensor) -> Tensor:
    """This process's piece of a sharded tensor, sharing its memory; other tensors as they are."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A sharded scalar, gathered; other tensors as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_state(fabric: Fabric, generator: Generator, model: Any, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Complete weights and optimiser state on the CPU, as of an unsharded model; all ranks call it."""
    if not is_sharded(fabric):
        weights = {key: value.detach().cpu() for key, value in generator.state_dict().items()}
        return weights, optimizer.state_dict()
    inner = model._forward_module
    weights = get_model_state_dict(inner, options=_FULL)
    named = cast(dict[str, Any], get_optimizer_state_dict(inner, optimizer.optimizer, options=_FULL))
    if not fabric.is_global_zero:  # the whole state is gathered on rank 0 alone
        return {}, {}
    order = {name: k for k, name in enumerate(_names(named))}
    state = {order[name]: value for name, value in named["state"].items()}
    groups = [{**group, "params": [order[name] for name in group["params"]]} for group in named["param_groups"]]
    return {key.removeprefix(PREFIX): value for key, value in weights.items()}, {"state": state, "param_groups": groups}


def load_full_state(
    fabric: Fabric, generator: Generator, model: Any, optimizer: Any, weights: dict[str, Any], state: dict[str, Any]
) -> None:
    """Undo `full_state` on a model of any strategy."""
    if not is_sharded(fabric):
        generator.load_state_dict(weights)
        optimizer.load_state_dict(state)
        return
    inner = model._forward_module
    set_model_state_dict(inner, {PREFIX + key: value for key, value in weights.items()}, options=_FULL)
    names = _names(cast(dict[str, Any], get_optimizer_state_dict(inner, optimizer.optimizer)))
    groups = [{**group, "params": [names[k] for k in group["params"]]} for group in state["param_groups"]]
    named: dict[str, Any] = {"state": {names[k]: value for k, value in state["state"].items()}, "param_groups": groups}
    set_optimizer_state_dict(inner, optimizer.optimizer, named, options=_FULL)


def _names(named: dict[str, Any]) -> list[str]:
    """Parameter names in the order of the optimiser's groups, which is the order of its numbers when unsharded."""
    return [name for group in named["param_groups"] for name in group["params"]]


def scale_gradients(module: nn.Module, factor: Tensor) -> None:
    """Multiply every gradient in place."""
    gradients = [local(p.grad) for p in module.parameters() if p.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, factor)
