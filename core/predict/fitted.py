"""A retriever with its library: fitted once, kept beside the library or in the user's cache, loaded at once afterwards."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Retriever
from crystalfw.core.library.build import Origin, build_library
from crystalfw.core.library.store import MANIFEST, Library
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.options import create
from crystalfw.core.system.user_cache import user_cache

DEFAULT = "structure_types"
Say = Callable[[str], None]


def cache_folder() -> Path:
    """The user's cache folder ($XDG_CACHE_HOME or ~/.cache) for libraries and fitted retrievers."""
    return user_cache()


def open_library(path: str | Path | None, *, workers: int = 0) -> Library:
    """A library's folder; or crystals in any format, made into a library in the cache; None: the embedded prototypes."""
    if path is not None and (Path(path) / MANIFEST).is_file():
        return Library.open(path)
    if path is not None and not Path(path).exists():
        raise DataError(f"{path}: no such library, file or folder")
    name = source_name(None if path is None else str(path))
    options: Mapping[str, Any] = {"max_atoms": 60, "per_prototype": 0} if path is None else {}
    source = create("source", name, options, path=None if path is None else str(path))
    parts = None if path is None else tuple(part for part in source.parts() if part not in ("val", "test")) or None
    key = hashlib.sha256(f"{source.fingerprint()} {parts}".encode()).hexdigest()[:16]
    folder = cache_folder() / f"library-{key}"
    if (folder / MANIFEST).is_file():
        return Library.open(folder)
    title = "AFLOW prototypes" if path is None else str(path)
    return build_library([Origin(source, title, parts=parts)], folder, workers=workers)


def fitted(library: Library, name: str = DEFAULT, options: Mapping[str, Any] | None = None, *, say: Say = print) -> Retriever:
    """The retriever of a library: from the cache where it was fitted before, otherwise fitted now and kept."""
    from safetensors.torch import load_file, save_file

    retriever: Retriever = create("retriever", name, options)
    wanted = json.dumps([name, asdict(retriever.config), library.manifest.digest, 1], sort_keys=True)
    path = cache_folder() / f"retriever-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.safetensors"
    if path.is_file():
        try:
            retriever.load_weights(load_file(path))
            retriever.attach(library)
            return retriever
        except Exception:  # a damaged file of the cache is made again
            say(f"{path}: damaged; fitted again")
    retriever.fit(library, say=say)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        save_file({key: value.contiguous() for key, value in retriever.state_dict().items()}, temporary)
        temporary.replace(path)
    except OSError as error:
        say(f"{path}: cannot be kept ({error.strerror}); the next prediction fits again")
    return retriever
