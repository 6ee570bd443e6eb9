"""crystalfw: conditional crystal generation from components that a recipe names.

    import crystalfw
    encoder = crystalfw.create("encoder", "equivariant", lmax=2)
    crystals = crystalfw.load("runs/xattn").sample(16, condition={"band_gap": 2.0})

Everything is loaded on first use; importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal as Crystal
    from crystalfw.core.errors import CrystalfwError as CrystalfwError

__all__ = ["Crystal", "CrystalfwError", "create", "load", "slices"]


def create(kind: str, name: str, **options: Any) -> Any:
    """An instance of a registered component, e.g. create("encoder", "equivariant", lmax=2).

    Raises PluginError for an unknown kind, name or option.
    """
    from crystalfw.core.recipe.options import create as make

    return make(kind, name, options)


def load(run: str) -> Any:
    """A trained model from a run folder or checkpoint file: `.sample(n, condition=...)` gives crystals.

    Raises CheckpointError where it is damaged or of a newer format.
    """
    from crystalfw.core.sample.trained import Trained

    return Trained.load(run)


def __getattr__(name: str) -> Any:
    if name == "slices":
        from importlib import import_module

        return import_module("crystalfw.plugins.representations.slices")
    if name in ("Crystal", "CrystalfwError"):
        from importlib import import_module

        return getattr(import_module(f"crystalfw.core.{'crystal' if name == 'Crystal' else 'errors'}"), name)
    raise AttributeError(f"module 'crystalfw' has no attribute {name!r}")
