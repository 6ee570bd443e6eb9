"""Where a result comes from: versions, components with their distributions, machine in terms of cores, seeds."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.recipe.schema import ComponentSpec, Recipe
from crystalfw.core.system.versions import versions


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
