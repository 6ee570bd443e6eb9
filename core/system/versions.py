"""Versions of the libraries that results depend on."""

from __future__ import annotations

import platform
from importlib import metadata

LIBRARIES = ("crystalfw", "torch", "e3nn", "torch-geometric", "lightning-fabric", "pymatgen", "spglib", "numpy", "smact")


def versions() -> dict[str, str]:
    """Installed versions of Python and of what results depend on; libraries that are absent are left out."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
