"""Comparisons that say how large the difference is, and what every trained part must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crystalfw.core.testing.laws import Broken

TOLERANCE = 1e-6
"""Largest relative difference in float64: far above rounding, far below any real dependence."""


def must_agree(found: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise Broken where two tensors differ by more than rounding, or than `tolerance` (relative)."""
    if found.shape != expected.shape:
        raise Broken(f"{what} has shape {tuple(found.shape)} instead of {tuple(expected.shape)}.")
    difference = relative_difference(found, expected)
    if not difference <= tolerance:
        raise Broken(f"{what} differs by {difference:.2g} (relative).")


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference divided by the largest magnitude, at least 1e-3; NaN where either is not finite."""
    if found.numel() == 0:
        return 0.0
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-3))


def must_be_same_set(found_NC: Tensor, expected_NC: Tensor, what: str, *, count: bool = True) -> None:
    """Raise Broken where two sets of vectors differ, whatever their order; `count` also compares how many there are."""
    if count and len(found_NC) != len(expected_NC):
        raise Broken(f"{what}: {len(found_NC)} tokens instead of {len(expected_NC)}.")
    found_NC, expected_NC = found_NC.detach(), expected_NC.detach()
    scale = expected_NC.abs().max().clamp_min(1e-3)
    distances = (found_NC[:, None] - expected_NC[None]).abs().amax(-1) / scale
    worst = float(torch.maximum(distances.amin(0).max(), distances.amin(1).max()))
    if not worst <= TOLERANCE:
        raise Broken(f"{what}: some token has no counterpart closer than {worst:.2g} (relative).")


def must_be_finite(tensor: Tensor, what: str) -> None:
    """Raise Broken for NaN or infinity."""
    if not bool(torch.isfinite(tensor).all()):
        raise Broken(f"{what} is not finite.")


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Give every parameter a random value, so that nothing is hidden by a start at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.3 * noise / max(1, parameter.shape[-1] if parameter.ndim > 1 else 1) ** 0.5)


def seeded(make: Callable[[], Any], seed: int = 0) -> Any:
    """What `make` gives under a seed, in float64 and evaluation mode; the global stream is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double().eval()


def check_gradients(module: nn.Module, scalar: Tensor) -> None:
    """Raise Broken where a gradient is not finite, or no parameter gets any."""
    parameters = dict(module.named_parameters())
    trained = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    if not trained:
        return
    if not scalar.requires_grad:
        raise Broken("the output does not depend on any parameter.")
    gradients = torch.autograd.grad(scalar, list(trained.values()), allow_unused=True)
    for name, gradient in zip(trained, gradients, strict=True):
        if gradient is not None:
            must_be_finite(gradient, f"the gradient of {name}")
    if all(gradient is None or not bool(gradient.any()) for gradient in gradients):
        raise Broken("every gradient is zero.")


def check_state_dict(make: Callable[[int], Any], output: Callable[[Any], Tensor]) -> None:
    """Raise Broken where loading a state_dict into an instance of another seed gives another output."""
    first, second = make(0), make(1)
    randomise(first)
    second.load_state_dict(first.state_dict())
    must_agree(output(second), output(first), "the output after loading the state_dict")
