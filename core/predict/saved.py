"""A predictor in one folder: predictor.json, the weights, and its library; checksummed, loaded without fitting."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Ranker, Retriever
from crystalfw.core.library.fitted_part import read_part, write_part
from crystalfw.core.library.store import Library
from crystalfw.core.predict.predictor import Predictor
from crystalfw.core.system.files import write_atomically

FORMAT = 1
RECORD = "predictor.json"
LIBRARY = "library"
KINDS = "retriever", "ranker"


def is_saved(folder: Path) -> bool:
    """True for a folder that `save` wrote."""
    return (folder / RECORD).is_file()


def save(predictor: Predictor, folder: Path, names: Mapping[str, str], *, with_library: bool = True) -> None:
    """Write a predictor whose retriever and ranker are registered as `names`; the record comes last.

    Without the library the folder names it by its digest, and `load` has to be given it. Raises OSError where the folder
    cannot be written, and DataError where the library was never written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Retriever | Ranker] = {"retriever": predictor.retriever, "ranker": predictor.ranker}
    record: dict[str, Any] = {"format": FORMAT, "library": predictor.library.manifest.digest}
    for kind, part in parts.items():
        record[kind] = write_part(part, folder, kind, names[kind])
    if with_library:
        _copy(predictor.library, folder / LIBRARY)
    write_atomically(folder / RECORD, json.dumps(record, indent=2).encode())


def _copy(library: Library, folder: Path) -> None:
    if library.folder is None:
        raise DataError("a library in memory cannot be saved with a predictor; build it in a folder first")
    if library.folder.resolve() != folder.resolve():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(library.folder, folder)


def load(folder: Path, library: Library | None = None) -> Predictor:
    """The predictor of a folder, with its own library or the one given. Raises DataError: missing, damaged, not its library."""
    path = folder / RECORD
    if not path.is_file():
        raise DataError(f"{folder}: no predictor there; make one with: crystalfw library fit LIBRARY -o {folder}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        wanted, version = record["library"], record["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged; fit the predictor again ({error})") from error
    if version != FORMAT:
        raise DataError(f"{path}: a predictor of format {version}; this crystalfw reads format {FORMAT}: fit it again")
    library = library or Library.open(folder / LIBRARY)
    if library.manifest.digest != wanted:
        raise DataError(
            f"{folder}: fitted on another library; its digest is {wanted[:16]}..., not {library.manifest.digest[:16]}..."
        )
    retriever, ranker = (read_part(folder, kind, record.get(kind), remedy="fit the predictor again") for kind in KINDS)
    retriever.attach(library)
    return Predictor(library, retriever, ranker)
