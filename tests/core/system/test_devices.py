"""A device that the machine lacks is refused with a sentence."""

import pytest
import torch

from crystalfw.core.errors import CrystalfwError
from crystalfw.core.system.devices import usable_device


def test_devices():
    assert usable_device("cpu") == torch.device("cpu")
    for name in ("cuda:99", "nonsense"):
        with pytest.raises(CrystalfwError, match=f"device {name}: not usable on this machine .*; the device cpu always is"):
            usable_device(name)
