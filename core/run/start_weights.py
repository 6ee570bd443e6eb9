"""Weights of other runs that training starts from: the same model, some of its parts, or whatever fits (transfer).

The recipe says it under `model`: `checkpoint` for all parts, `encoder_checkpoint`, `conditioning_checkpoint` and
`decoder_checkpoint` for one part, and `load`: `exact`, or `fitting` for a model that differs from the other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from crystalfw.core.errors import CheckpointError
from crystalfw.core.interfaces import PropertyDecoder, Representation
from crystalfw.core.model import checkpoint
from crystalfw.core.model.assembly import Components
from crystalfw.core.model.component_versions import to_installed_versions
from crystalfw.core.model.generator import Generator
from crystalfw.core.recipe import recipe_to_dict
from crystalfw.core.recipe.options import build
from crystalfw.core.recipe.schema import ModelSection, Recipe
from crystalfw.core.sample.trained import recipe_of
from crystalfw.core.system.files import write_text_atomically
from crystalfw.core.system.progress import Say
from crystalfw.core.system.wording import counted

PARTS = ("encoder", "conditioning", "decoder")
NULL = "null_C"
"""The learned null condition stands beside the parts; it goes with the encoder, whose width it has."""
LISTING = "start_weights.csv"


@dataclass(frozen=True)
class Start:
    """What became of one tensor of the new model."""

    tensor: str
    size: int
    origin: str
    """Run that its values come from; empty for a new one."""
    reason: str = ""
    """Why it is new."""


def start_weights(recipe: Recipe, components: Components, generator: Generator, say: Say) -> list[Start]:
    """Load the weights that the recipe names; returns what became of every tensor, empty where it names none.

    Raises CheckpointError where weights do not fit, or with `load: fitting` where none does.
    """
    model = recipe.model
    asked: list[tuple[Path, tuple[str, ...]]] = [(Path(run), PARTS) for run in (model.checkpoint,) if run]
    asked += [(Path(run), (part,)) for part in PARTS if (run := getattr(model, f"{part}_checkpoint"))]
    found: dict[str, Start] = {}
    for run, parts in asked:
        for start in _Loading(run, recipe, components, generator).take(parts):
            found[start.tensor] = start
    for line in summary(list(found.values()), model):
        say(line)
    return list(found.values())


class _Loading:
    """One run whose weights are wanted, compared with the new model."""

    def __init__(self, run: Path, recipe: Recipe, components: Components, generator: Generator) -> None:
        self.run, self.recipe, self.components, self.generator = run, recipe, components, generator
        path = checkpoint.find(run, "best")
        self.payload = to_installed_versions(checkpoint.load(path), path)
        self.path = path
        self.weights: Mapping[str, Tensor] = self.payload["model"]

    def take(self, parts: tuple[str, ...]) -> list[Start]:
        """Load these parts and return what became of their tensors."""
        if "decoder" in parts:
            self._check_strings()
        if self.recipe.model.load == "fitting":
            return self._fitting(parts)
        own = {name: value for name, value in self.generator.state_dict().items() if _part(name) in parts}
        there = {name: value for name, value in self.weights.items() if _part(name) in parts}
        different = sorted(
            name for name in {*own, *there} if name not in own or name not in there or own[name].shape != there[name].shape
        )
        if different:
            raise CheckpointError(self._misfit(different))
        self._load(there)
        return [Start(name, value.numel(), str(self.run)) for name, value in own.items()]

    def _fitting(self, parts: tuple[str, ...]) -> list[Start]:
        changed = self._other_meaning(parts)
        starts: list[Start] = []
        taken: dict[str, Tensor] = {}
        for name, value in self.generator.state_dict().items():
            part = _part(name)
            if part not in parts:
                continue
            reason = changed.get(part) or self._why_new(name, value)
            if not reason:
                taken[name] = self.weights[name]
            starts.append(Start(name, value.numel(), "" if reason else str(self.run), reason))
        if not any(_part(name) in PARTS and name != NULL for name in taken):
            raise CheckpointError(
                f"{self.run}: none of its weights fits this recipe's section model. {self._first_difference(starts[0].tensor)}"
            )
        self._load(taken)
        return starts

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        try:
            self.generator.load_state_dict(dict(weights), strict=False)
        except RuntimeError as error:
            raise CheckpointError(f"{self.run}: {' '.join(str(error).split())[:300]}") from error

    def _why_new(self, name: str, value: Tensor) -> str:
        if name not in self.weights:
            return "not there"
        before = self.weights[name].shape
        return "" if before == value.shape else f"shape {_shape(value.shape)} here, {_shape(before)} there"

    def _check_strings(self) -> None:
        if not self.generator.decoder.needs_tokens:
            return
        there: Representation = build("representation", recipe_of(self.payload, self.path).representation)
        if there.vocabulary != self.components.representation.vocabulary:
            raise CheckpointError(
                f"{self.run}: its strings have another vocabulary than this recipe's (section representation)"
            )

    def _other_meaning(self, parts: tuple[str, ...]) -> dict[str, str]:
        """Parts whose tensors may fit in shape and mean something else: another component, or other columns."""
        before = recipe_of(self.payload, self.path).model
        found: dict[str, str] = {}
        for part in parts:
            old, new = getattr(before, part), getattr(self.recipe.model, part)
            columns = [_columns(spec.options) for spec in (new, old)]
            if part != "decoder" and old.name != new.name:
                found[part] = f"{part} is {new.name} here, {old.name} there"
            elif columns[0] != columns[1] and (part == "encoder" or isinstance(self.generator.decoder, PropertyDecoder)):
                found[part] = f"columns are {_listed(columns[0])} here, {_listed(columns[1])} there"
        return found

    def _misfit(self, different: list[str]) -> str:
        count = f"{counted(len(different), 'tensor')} of other names or shapes"
        return (
            f"{self.run}: its weights do not fit this recipe's section model: {count}. "
            f"{self._first_difference(different[0])}\n  To start from the weights that fit: model.load=fitting"
        )

    def _first_difference(self, tensor: str) -> str:
        """The keys of section model in which both recipes differ; without any, the first tensor."""
        here = dict(_flat(recipe_to_dict(self.recipe)["model"]))
        there = dict(_flat(recipe_to_dict(recipe_of(self.payload, self.path))["model"]))
        starts = ("load", "freeze_encoder", "condition_dropout", "checkpoint", *(f"{part}_checkpoint" for part in PARTS))
        keys = [key for key in here if key not in starts and key in there and here[key] != there[key]]
        keys += [key for key in {**here, **there} if (key in here) != (key in there) and key not in starts]
        if not keys:
            return f"The first is {tensor}."
        shown = [f"model.{key} is {here.get(key, 'absent')} here, {there.get(key, 'absent')} there" for key in keys[:4]]
        return "; ".join(shown) + (f"; and {len(keys) - 4} more keys." if len(keys) > 4 else ".")


def summary(starts: list[Start], model: ModelSection) -> list[str]:
    """One line for each part: how many weights were loaded, how many are new and why."""
    lines = []
    for part in PARTS:
        own = [start for start in starts if _part(start.tensor) == part]
        if not own:
            continue
        loaded = sum(start.size for start in own if start.origin)
        runs = ", ".join(sorted({start.origin for start in own if start.origin}))
        line = f"{part}: {loaded:,} of {sum(start.size for start in own):,} weights from {runs}" if runs else f"{part}: new"
        reasons = sorted({start.reason for start in own if start.reason})
        shown = "; ".join(reasons[:2]) + (f"; and {len(reasons) - 2} more reasons" if len(reasons) > 2 else "")
        lines.append(line + (f" ({shown})" if shown else ""))
    if any(not start.origin for start in starts):
        lines.append(f"  {LISTING} in the run folder lists every tensor")
    return lines


def write_starts(starts: list[Start], run_dir: Path) -> None:
    """The listing beside the recipe: tensor, number of weights, where from, why new."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["tensor", "weights", "from", "new_because"])
    writer.writerows([start.tensor, start.size, start.origin, start.reason] for start in starts)
    write_text_atomically(run_dir / LISTING, text.getvalue())


def _part(name: str) -> str:
    first = name.split(".", 1)[0]
    return "encoder" if first == NULL else first


def _columns(options: Mapping[str, Any]) -> list[str]:
    found = options.get("columns", ())
    return [found] if isinstance(found, str) else [str(name) for name in found or ()]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
