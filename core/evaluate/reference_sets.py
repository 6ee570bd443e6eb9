"""Sets of crystals by name: `--reference mp_20` means a folder or file of that name on the search path, or an installed set.

Searched in this order: the path itself; the folders given with --reference-path; those of the environment variable
CRYSTALFW_REFERENCES (separated like PATH); `reference-sets/` in the user's cache; a registered source of that name that
needs no file, such as `prototypes`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import open_source
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.recipe.auto_source import TABLES
from crystalfw.core.recipe.options import create

VARIABLE = "CRYSTALFW_REFERENCES"


def find_set(name: str, folders: Sequence[str | Path] = ()) -> Path | Source:
    """The path of a set, or the source of an installed one. Raises DataError with the places searched and the remedy."""
    given = Path(name)
    if given.exists():
        return given
    places = list(search_path(folders))
    if given.name == name:
        for place in places:
            for found in (place / name, *(place / f"{name}{suffix}" for suffix in TABLES)):
                if found.exists():
                    return found
        if (installed := _installed(name)) is not None:
            return installed
    elif given.suffix or given.is_absolute():
        raise DataError(f"{name}: no such file or folder")
    raise DataError(_unknown(name, places))


def search_path(folders: Sequence[str | Path] = ()) -> Iterator[Path]:
    """The folders in which sets are looked for."""
    yield from map(Path, folders)
    yield from (Path(folder).expanduser() for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder)
    yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "crystalfw" / "reference-sets"


def has_train(found: Path | Source) -> bool:
    """True where a set has a train part beside its test part: novelty and baselines then take it."""
    if isinstance(found, Path) and found.is_file():
        return False
    try:
        source = open_source(found) if isinstance(found, Path) else found
        return {"train", "test"} <= set(source.parts())
    except CrystalfwError:
        return False


def content_digest(crystals: Iterable[Crystal]) -> str:
    """SHA-256 of the geometries in their order, whatever file they come from."""
    digest = hashlib.sha256()
    for crystal in crystals:
        for array in (crystal.lattice, crystal.frac_coords, crystal.numbers):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _installed(name: str) -> Source | None:
    if all(entry.name != name for entry in registry().entries("source")):
        return None
    try:
        source: Source = create("source", name, path=None)
    except CrystalfwError:  # it reads files
        return None
    return source


def _unknown(name: str, places: Sequence[Path]) -> str:
    known = sorted({item.name for place in places if place.is_dir() for item in place.iterdir() if item.is_dir()})
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else f" There are {', '.join(known)}." if known else ""
    return (
        f"{name}: no file, folder or reference set of this name.{hint} Looked in {', '.join(map(str, places))}. "
        f"Give a path, or the folder that holds the set with --reference-path FOLDER (or {VARIABLE}=FOLDER)"
    )
