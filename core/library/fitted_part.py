"""What was fitted on a library, in a file beside it: a component's weights, and a record that says whose they are.

The record of a part: name, version and options of the component, and the checksum of its weights.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from crystalfw.core.discovery import registry
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Ranker, Retriever
from crystalfw.core.recipe.options import construct, make_config
from crystalfw.core.system.files import digest, file_digest, write_atomically

Part = Retriever | Ranker


def weights_name(kind: str) -> str:
    """The file that holds the weights of a part."""
    return f"{kind}.safetensors"


def options_of(part: Part) -> dict[str, Any]:
    """The options of a component as plain values."""
    config: Any = part.config
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}


def write_part(part: Part, folder: Path, kind: str, name: str) -> dict[str, Any]:
    """Write the weights of a part registered as `name`; returns its record. Raises OSError where it cannot be written."""
    from safetensors.torch import save as as_bytes

    data = as_bytes({key: value.contiguous() for key, value in part.state_dict().items()})
    write_atomically(folder / weights_name(kind), data)
    return {"name": name, "version": part.version, "options": options_of(part), "sha256": digest(data)}


def read_part(folder: Path, kind: str, said: Any, *, remedy: str, override: str | None = None) -> Any:
    """The part of which `said` is the record. Raises DataError, ending in `remedy`: missing, damaged, another version.

    Weights of an older version of the component pass through its `upgrade`. `override`: the distribution that decides
    between components of one name.
    """
    from safetensors.torch import load_file

    file = folder / weights_name(kind)
    try:
        name, version, options, sha256 = said["name"], said["version"], said["options"], said["sha256"]
    except (TypeError, KeyError) as error:
        raise DataError(f"{folder}: the record of its {kind} is damaged; {remedy} (no {error})") from error
    if not file.is_file() or file_digest(file) != sha256:
        raise DataError(f"{file}: missing or damaged (its checksum is wrong); {remedy}")
    component: Any = registry().get(kind, name, override=override).load()
    weights = load_file(file)
    if version != component.version:
        options, weights = component.upgrade(version, options, weights)
    part = construct(component, make_config(component, options, f"{kind} '{name}'"))
    try:
        part.load_weights(weights)
    except RuntimeError as error:  # torch's word for weights of another shape
        raise DataError(f"{file}: weights of another version of {kind} '{name}'; {remedy}") from error
    return part
