"""Where a result comes from: versions, components with their distributions, machine in terms of cores, seeds."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.schema import ComponentSpec, Recipe

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


def components(recipe: Recipe) -> dict[str, str]:
    """Each named component of the recipe with the distribution that provides it."""
    model = recipe.model
    named: list[tuple[str, ComponentSpec]] = [
        ("representation", recipe.representation),
        ("encoder", model.encoder),
        ("conditioning", model.conditioning),
        ("decoder", model.decoder),
        *(("transform", item) for item in (*recipe.transforms, *recipe.finalize)),
    ]
    return {f"{kind} {spec.name}": str(registry().get(kind, spec.name, override=spec.override).origin) for kind, spec in named}


def provenance(recipe: Recipe, **facts: Any) -> dict[str, Any]:
    """A JSON-ready record; `facts` adds what the caller knows (data counts, world size, ...)."""
    return {
        "versions": versions(),
        "components": components(recipe),
        "seed": recipe.seed,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "arguments": sys.argv[1:],
        **facts,
    }
