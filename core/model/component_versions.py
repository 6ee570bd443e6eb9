"""The version of each component in a checkpoint, and the upgrade to the installed versions.

A checkpoint of format 2 holds `components`: the place in the recipe (`model.encoder`, `transforms.0`) -> name and version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, PluginError
from crystalfw.core.interfaces import Component, Weights
from crystalfw.core.recipe.document import Dumper, Mistakes, parse
from crystalfw.core.recipe.expand import recipe_to_dict
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.registry import Entry

PLACES = {
    "data.source": "source", "representation": "representation", "transforms": "transform", "finalize": "transform",
    "model.encoder": "encoder", "model.conditioning": "conditioning", "model.decoder": "decoder",
}  # fmt: skip
"""Where components stand in a recipe, and their kinds."""
OWN_KEYS = ("name", "override")
"""Keys of a component's section that are not options."""


def sections(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(place, kind, section) of every component in an expanded recipe that is given as a mapping."""
    for place, kind in PLACES.items():
        found: Any = recipe
        for key in place.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        listed = [(f"{place}.{k}", item) for k, item in enumerate(found)] if isinstance(found, list) else [(place, found)]
        yield from ((where, kind, item) for where, item in listed if isinstance(item, dict) and "name" in item)


def component_versions(recipe: Recipe) -> dict[str, dict[str, str]]:
    """What a checkpoint stores about the components of its recipe: place -> name and version."""
    return {
        place: {"name": section["name"], "version": _entry(kind, section).load().version}  # type: ignore[attr-defined]
        for place, kind, section in sections(recipe_to_dict(recipe))
        if section["name"] != "auto"
    }


def document_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a checkpoint as a mapping; empty if the text cannot be parsed (reading it as a recipe later gives
    the reason)."""
    try:
        plain = parse(str(payload.get("recipe", "")), "recipe").plain()
    except Mistakes:
        return {}
    return plain if isinstance(plain, dict) else {}


def to_installed_versions(payload: dict[str, Any], path: Path) -> dict[str, Any]:
    """The payload with options and weights of older component versions upgraded by the components themselves.

    Raises CheckpointError if a component of the checkpoint is newer than the installed one. A component that is not
    installed is left as it is; assembling the recipe reports it.
    """
    document = document_of(payload)
    outdated = list(_outdated(payload, document, path))
    if not outdated:
        return payload
    model = dict(payload["model"])
    for place, kind, section, component, version in outdated:
        prefix = f"{kind}." if place.startswith("model.") else None
        options = {key: value for key, value in section.items() if key not in OWN_KEYS}
        options, weights = component.upgrade(version, options, _taken(model, prefix))
        kept = {key: section[key] for key in OWN_KEYS if key in section}
        section.clear()
        section.update({**kept, **options})
        model |= {f"{prefix}{name}": value for name, value in weights.items()} if prefix else {}
    text = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
    return {**payload, "recipe": text, "model": model}


def require_installed_versions(payload: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError if a component has another version than when the training began: its optimiser state and
    the run's recipe.yaml belong to that version."""
    for _, kind, section, component, version in _outdated(payload, document_of(payload), path):
        raise CheckpointError(
            f"{path}: {kind} '{section['name']}' was version {version} when this training began and is version "
            f"{component.version} now. Begin a new run from these weights with model.checkpoint: {path}, "
            "or install the release that the training began with"
        )


def _outdated(
    payload: Mapping[str, Any], document: Mapping[str, Any], path: Path
) -> Iterator[tuple[str, str, dict[str, Any], type[Component], str]]:
    """(place, kind, section, installed component, version in the checkpoint) of every component that is older there."""
    stated = payload.get("components")
    for place, kind, section in sections(document):
        found = _older(path, stated.get(place) if isinstance(stated, Mapping) else None, kind, section)
        if found is not None:
            yield place, kind, section, *found


def _older(path: Path, stated: Any, kind: str, section: Mapping[str, Any]) -> tuple[type[Component], str] | None:
    """The installed component and the version stated in the checkpoint where that one is older, else None."""
    if not isinstance(stated, Mapping) or stated.get("name") != section["name"]:
        return None
    try:
        entry = _entry(kind, section)
        component = entry.load()
    except PluginError:
        return None
    assert issubclass(component, Component)
    version = str(stated.get("version"))
    try:
        installed, written = Version(component.version), Version(version)
    except InvalidVersion as error:
        raise CheckpointError(f"{path}: {kind} '{section['name']}': {error} (checkpoint or plugin is damaged)") from error
    if written > installed:
        raise CheckpointError(
            f"{path}: made with version {version} of {kind} '{section['name']}'; {entry.origin} has version "
            f"{component.version}. Install a newer {entry.origin.distribution}"
        )
    return (component, version) if written < installed else None


def _entry(kind: str, section: Mapping[str, Any]) -> Entry:
    return registry().get(kind, str(section["name"]), override=section.get("override"))


def _taken(model: dict[str, Any], prefix: str | None) -> Weights:
    """The entries of one component, taken out of the model's state_dict; their names without the prefix."""
    own = [key for key in model if prefix is not None and key.startswith(prefix)]
    return {key[len(prefix or "") :]: model.pop(key) for key in own}
