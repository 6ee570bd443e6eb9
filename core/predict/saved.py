"""A predictor in one folder: predictor.json, the weights, and its library; checksummed, loaded without fitting."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Ranker, Retriever
from crystalfw.core.library.store import Library
from crystalfw.core.predict.predictor import Predictor
from crystalfw.core.recipe.options import create
from crystalfw.core.system.files import digest, file_digest, write_atomically

FORMAT = 1
RECORD = "predictor.json"
LIBRARY = "library"


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
        options = options_of(part)
        record[kind] = {"name": names[kind], "version": part.version, "options": options, "sha256": _write(part, folder, kind)}
    if with_library:
        _copy(predictor.library, folder / LIBRARY)
    write_atomically(folder / RECORD, json.dumps(record, indent=2).encode())


def options_of(part: Retriever | Ranker) -> dict[str, Any]:
    """The options of a component as plain values."""
    config: Any = part.config
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}


def _write(part: Retriever | Ranker, folder: Path, kind: str) -> str:
    from safetensors.torch import save as as_bytes

    data = as_bytes({key: value.contiguous() for key, value in part.state_dict().items()})
    write_atomically(folder / f"{kind}.safetensors", data)
    return digest(data)


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
    retriever, ranker = _part(folder, "retriever", record), _part(folder, "ranker", record)
    retriever.attach(library)
    return Predictor(library, retriever, ranker)


def _part(folder: Path, kind: str, record: Mapping[str, Any]) -> Any:
    from safetensors.torch import load_file

    file = folder / f"{kind}.safetensors"
    try:
        said = record[kind]
        name, version, options, sha256 = said["name"], said["version"], said["options"], said["sha256"]
    except (TypeError, KeyError) as error:
        raise DataError(f"{folder / RECORD}: damaged; fit the predictor again (no {error})") from error
    if not file.is_file() or file_digest(file) != sha256:
        raise DataError(f"{file}: missing or damaged (its checksum is wrong); fit the predictor again")
    component: Any = registry().get(kind, name).load()
    weights = load_file(file)
    if version != component.version:
        options, weights = component.upgrade(version, options, weights)
    part = create(kind, name, options)
    try:
        part.load_weights(weights)
    except RuntimeError as error:  # torch's word for weights of another shape
        raise DataError(f"{file}: weights of another version of {kind} '{name}'; fit the predictor again") from error
    return part
