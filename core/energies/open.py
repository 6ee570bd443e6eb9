"""A potential by its name: `chgnet`, `sevennet`, `ase:EMT`, `ours:runs/regress`, or a plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Potential
from crystalfw.core.recipe.options import create


def open_potential(text: str, options: Mapping[str, Any] | None = None) -> Potential:
    """The potential called NAME or NAME:ARGUMENT; the argument sets the option that the component names for it.

    Raises PluginError for an unknown name, a package that is not installed, and an argument that is missing or not taken.
    """
    name, _, argument = text.partition(":")
    entry = registry().get("potential", name)
    kind: Any = entry.load()
    settings = dict(options or {})
    if argument:
        if not kind.argument:
            raise PluginError(f"potential '{name}' takes nothing behind its name; '{text}' says {argument!r}")
        settings[kind.argument] = argument
    try:
        potential: Potential = create("potential", name, settings)
    except ImportError as error:
        hint = f" Try: pip install '{entry.extra}'." if entry.extra else ""
        raise PluginError(
            f"potential '{name}' needs the package {error.name or error}, which is not installed.{hint}"
        ) from error
    return potential


@lru_cache(maxsize=2)
def shared_potential(text: str) -> Potential:
    """`open_potential`, made once in a process, with one thread: two threads of a small crystal wait for each other."""
    import torch

    torch.set_num_threads(1)
    return open_potential(text)
