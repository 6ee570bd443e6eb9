"""A predictor for a library: fitted once, kept in the user's cache, loaded at once afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Ranker, Retriever
from crystalfw.core.library.build import Origin, build_library
from crystalfw.core.library.fitted_part import options_of
from crystalfw.core.library.store import MANIFEST, Library
from crystalfw.core.predict.delivered import library_place
from crystalfw.core.predict.examples import judged_questions
from crystalfw.core.predict.predictor import Predictor
from crystalfw.core.predict.saved import is_saved, load, save
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.options import create
from crystalfw.core.system.user_cache import user_cache

RETRIEVER, RANKER = "structure_types", "learned"
Say = Callable[[str], None]


def cache_folder() -> Path:
    """The user's cache folder ($XDG_CACHE_HOME or ~/.cache) for libraries and fitted predictors."""
    return user_cache()


def open_predictor(
    path: str | Path | None, retriever: str = RETRIEVER, ranker: str = RANKER, *, workers: int = 0, say: Say = print
) -> Predictor:
    """The predictor of a saved folder or delivered model; or of a library or crystals in any format, fitted where it was not
    before. Without a path that of an installed model; where there is none, or for `prototypes`, of the embedded prototypes."""
    path = library_place(path)
    if path is not None and is_saved(Path(path)):
        return load(Path(path))
    return fitted(open_library(path, workers=workers), retriever, ranker, say=say)


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
    key = hashlib.sha256(f"{source.fingerprint()} {parts} 2".encode()).hexdigest()[:16]
    folder = cache_folder() / f"library-{key}"
    if (folder / MANIFEST).is_file():
        return Library.open(folder)
    title = "AFLOW prototypes" if path is None else str(path)
    return build_library([Origin(source, title, parts=parts)], folder, workers=workers)


def fit_predictor(library: Library, retriever: Retriever, ranker: Ranker, *, seed: int = 0, say: Say = print) -> Predictor:
    """Fit a retriever on a library, then a ranker on the retriever's answers for entries whose own formula it may not use."""
    retriever.fit(library, seed=seed, say=say)
    predictor = Predictor(library, retriever, ranker)
    ranker.fit(judged_questions(predictor, seed=seed, say=say), seed=seed, say=say)
    return predictor


def fitted(library: Library, retriever: str = RETRIEVER, ranker: str = RANKER, *, say: Say = print) -> Predictor:
    """The predictor of a library: from the cache where it was fitted before, otherwise fitted now and kept."""
    parts = create("retriever", retriever), create("ranker", ranker)
    said = [[name, part.version, options_of(part)] for name, part in zip((retriever, ranker), parts, strict=True)]
    wanted = json.dumps([said, library.manifest.digest, 2], sort_keys=True)
    folder = cache_folder() / f"predictor-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    if is_saved(folder):
        try:
            return load(folder, library)
        except DataError as error:  # a damaged file of the cache is made again
            say(f"{error}; fitted again")
    predictor = fit_predictor(library, *parts, say=say)
    try:
        save(predictor, folder, {"retriever": retriever, "ranker": ranker}, with_library=False)
    except OSError as error:
        say(f"{folder}: cannot be kept ({error.strerror}); the next prediction fits again")
    return predictor
