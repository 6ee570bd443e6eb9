"""Protocols of the field by name: which metrics with which options, and what differs from the original.

`crystalfw evaluate samples.csv --protocol diffcsp` takes the metrics from recipes/protocols/diffcsp.yaml, or from a file of
one's own, and prints the differences with the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalfw.core.errors import DataError, did_you_mean
from crystalfw.core.recipe.document import Mistakes, read_document
from crystalfw.core.recipe.installed import installed_protocols
from crystalfw.core.recipe.schema import ComponentSpec

_KEYS = ("source", "metrics", "differs")


@dataclass(frozen=True)
class Protocol:
    """A published way to judge samples."""

    name: str
    source: str
    """The paper and code that define it."""
    metrics: tuple[ComponentSpec, ...]
    differs: tuple[str, ...]
    """What is not as in the original, in sentences."""

    def record(self) -> dict[str, Any]:
        """As metrics.json keeps it."""
        return {"name": self.name, "source": self.source, "differs": list(self.differs)}


def find_protocol(name: str) -> Protocol:
    """The protocol called `name`, or of a YAML file; raises DataError with those that there are, or with the mistake."""
    installed = installed_protocols()
    path = Path(name) if Path(name).is_file() else installed.get(name)
    if path is None:
        raise DataError(f"--protocol {name}: there is no such protocol. {did_you_mean(name, installed, 'Protocols')}")
    try:
        content = read_document(path, str(path)).plain()
    except Mistakes as error:
        raise DataError("; ".join(f"{where}: {what}" for where, what in error.found)) from error
    if not isinstance(content, Mapping) or set(content) != set(_KEYS):
        raise DataError(f"{path}: a protocol is a mapping with the keys {', '.join(_KEYS)}")
    metrics = tuple(_spec(item, path) for item in content["metrics"])
    return Protocol(path.stem, str(content["source"]), metrics, tuple(map(str, content["differs"])))


def _spec(item: Any, path: Path) -> ComponentSpec:
    options = {"name": item} if isinstance(item, str) else dict(item) if isinstance(item, Mapping) else {}
    if "name" not in options:
        raise DataError(f"{path}: metrics: each is a name, or a mapping with `name` and options")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items() if key != "name"}
    return ComponentSpec(name=str(options["name"]), options=plain, where=str(path))
