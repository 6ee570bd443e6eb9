"""The registry: kind and name -> component, with the distribution it comes from; loaded when first asked for."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from crystalfw.core.errors import PluginError

KINDS = (
    "encoder", "conditioning", "decoder", "transform", "representation", "source", "metric", "retriever", "ranker", "potential",
    "baseline",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """The distribution that registered a component."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


def canonical(distribution: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503): a folder name has `_` where the name has `-`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclass(frozen=True)
class Entry:
    """A registered component: where its class is, who registered it, what it does in a sentence."""

    kind: str
    name: str
    target: str | type
    origin: Origin
    summary: str = ""
    extra: str = ""

    def load(self) -> type:
        """Import the class; raises PluginError with distribution, version, cause and remedy."""
        if isinstance(self.target, type):
            return self.target
        module_name, _, attribute = self.target.partition(":")
        try:
            component = getattr(import_module(module_name), attribute)
        except Exception as error:
            hint = f" Try: pip install '{self.extra}'." if self.extra else ""
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.origin} cannot be loaded from {self.target}: "
                f"{type(error).__name__}: {error}.{hint}"
            ) from error
        if not inspect.isclass(component):
            raise PluginError(f"{self.kind} '{self.name}' of {self.origin}: {self.target} is not a class")
        return component


@dataclass(frozen=True)
class ModelEntry:
    """A trained model that a distribution delivers: the name it is asked for by, and the folder that holds it."""

    name: str
    resource: str
    """`package:folder`, the folder inside the import package."""
    origin: Origin

    def folder(self) -> Path:
        """Where the model lies; nothing of it is read. Raises PluginError where the package has no such folder."""
        package, _, inside = self.resource.partition(":")
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            folder = Path(place) / inside
            if folder.is_dir():
                return folder
        raise PluginError(f"model '{self.name}' of {self.origin}: there is no folder {self.resource}; install it again")


Snapshot: TypeAlias = tuple[dict[tuple[str, str], list[Entry]], dict[str, list[ModelEntry]]]


class Registry:
    """All components that installed distributions offer. A duplicate name is kept as a conflict, never overwritten."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        self._models: dict[str, list[ModelEntry]] = {}
        self._origin = Origin("(this program)", "")
        self.failures: dict[Origin, str] = {}
        """Distributions whose plugin could not be loaded, with the cause."""

    def registering(self, origin: Origin) -> None:
        """Say on whose behalf the following `add` calls are made."""
        self._origin = origin

    def fail(self, origin: Origin, cause: str) -> None:
        """Record that a distribution's plugin could not be loaded."""
        before = self.failures.get(origin)
        self.failures[origin] = cause if before is None else f"{before}; {cause}"

    def snapshot(self) -> Snapshot:
        """Entries and models as they are now, for `restore`."""
        return ({key: list(found) for key, found in self._entries.items()}, {k: list(v) for k, v in self._models.items()})

    def restore(self, before: Snapshot) -> None:
        """Take back what was added since the snapshot."""
        self._entries, self._models = before

    def add(self, kind: str, name: str, target: str | type, *, summary: str = "", extra: str = "") -> None:
        """Offer a component. `target` is `module:Class` or a class; `extra` what to install if its import fails."""
        if kind not in KINDS:
            raise PluginError(f"{self._origin} registers '{name}' as a {kind!r}; kinds are {', '.join(KINDS)}")
        self._entries.setdefault((kind, name), []).append(Entry(kind, name, target, self._origin, summary, extra))

    def add_model(self, name: str, resource: str) -> None:
        """Deliver a trained model under `name`. `resource` is `package:folder`, a folder as `crystalfw export` writes it; it
        is not read before the model is asked for."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or name == "check":
            raise PluginError(
                f"{self._origin} delivers a model called {name!r}: lower-case letters, digits, '-', '_', '.', not 'check'"
            )
        self._models.setdefault(name, []).append(ModelEntry(name, resource, self._origin))

    def models(self) -> Iterator[ModelEntry]:
        """All delivered models in the order of their names."""
        for name in sorted(self._models):
            yield from self._models[name]

    def model(self, name: str) -> ModelEntry | None:
        """The delivered model called `name`, or None. Raises PluginError where two distributions deliver it."""
        found = self._models.get(name, [])
        if len(found) > 1:
            owners = " and ".join(str(entry.origin) for entry in found)
            raise PluginError(f"model '{name}' is delivered by {owners}; uninstall one, or give the folder of its files")
        return found[0] if found else None

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """All entries, of one kind or of all, in the order of kinds and names."""
        for key in sorted(self._entries, key=lambda key: (KINDS.index(key[0]), key[1])):
            if kind in (None, key[0]):
                yield from self._entries[key]

    def get(self, kind: str, name: str, *, override: str | None = None) -> Entry:
        """The entry called `name`; `override` names the distribution that decides between duplicates."""
        found = self._entries.get((kind, name), [])
        if override is not None:
            found = [entry for entry in found if entry.origin.distribution == canonical(override)]
        if not found:
            raise PluginError(self._unknown(kind, name, override))
        if len(found) > 1:
            owners = " and ".join(str(entry.origin) for entry in found)
            raise PluginError(
                f"{kind} '{name}' is offered by {owners}. Decide in the recipe with "
                f"override: {found[0].origin.distribution}, or uninstall one."
            )
        return found[0]

    def _unknown(self, kind: str, name: str, override: str | None) -> str:
        offered = {entry.name: entry for entry in self.entries(kind)}
        near = difflib.get_close_matches(name, offered, n=1, cutoff=0.6)
        message = f"no {kind} called '{name}'" + (f" from {override}" if override else "") + "."
        if near:
            message += f" Did you mean '{near[0]}' ({offered[near[0]].origin})?"
        by_origin: dict[str, list[str]] = {}
        for entry in offered.values():
            if entry.name not in near:
                by_origin.setdefault(str(entry.origin), []).append(entry.name)
        if by_origin:
            listing = "; ".join(f"{', '.join(names)} ({origin})" for origin, names in by_origin.items())
            message += f" {'Others' if near else 'There are'}: {listing}."
        for origin, cause in self.failures.items():
            message += f" Not loaded: {origin} ({cause})."
        return message
