"""Torch devices by name, refused with a sentence where this machine lacks them."""

from __future__ import annotations

import torch

from crystalfw.core.errors import CrystalfwError


def usable_device(name: str) -> torch.device:
    """The device, after one empty tensor was placed on it. Raises CrystalfwError where that fails."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has no error of its own for this
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise CrystalfwError(f"device {name}: not usable on this machine ({reason}); the device cpu always is") from error
    return device
