"""A trained model: from a run folder or checkpoint to crystals or predictions; it knows its own recipe.

crystals = Trained.load("runs/xattn").sample(16, condition={"band_gap": 2.0})
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystalfw.core import checkpoint
from crystalfw.core.assembly import Parts, build_generator, build_parts
from crystalfw.core.batch import CrystalBatch, Memory
from crystalfw.core.conditions import check_crystals, condition_crystal, describe, read_like
from crystalfw.core.crystal import Crystal
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, ConditionError, PluginError, RecipeError, Reject
from crystalfw.core.generator import Generator
from crystalfw.core.interfaces import Decoded, Sample, SequenceDecoder
from crystalfw.core.recipe import load_recipe
from crystalfw.core.samples import status_of
from crystalfw.core.sampling import SampledString, sample_strings
from crystalfw.core.schema import Recipe, SampleSection

DECODE_BLOCK = 64
"""Strings are decoded in blocks of so many consecutive indices."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate. Sample k of the request uses condition k modulo their number and the random stream (seed, k)."""

    settings: SampleSection
    seed: int = 0
    conditions: tuple[Crystal, ...] = ()
    constraints: Mapping[str, Any] = field(default_factory=dict)

    def condition(self, index: int) -> Crystal | None:
        """The condition of sample `index`; None for an unconditional request."""
        return self.conditions[index % len(self.conditions)] if self.conditions else None


def sample_id(index: int) -> str:
    """The id of sample `index` in samples.csv."""
    return f"{index:06d}"


def _in_order(strings: Iterable[SampledString], wanted: Sequence[int]) -> Iterator[SampledString]:
    """Strings come as they finish; hand them on in the order of `wanted`. Rows enter in order, so few wait."""
    waiting: dict[int, SampledString] = {}
    position = 0
    for string in strings:
        waiting[string.index] = string
        while position < len(wanted) and wanted[position] in waiting:
            yield waiting.pop(wanted[position])
            position += 1


def _blocks(strings: Iterable[SampledString]) -> Iterator[list[SampledString]]:
    for _, block in groupby(strings, key=lambda string: string.index // DECODE_BLOCK):
        yield list(block)


class Trained:
    """A generator with its representation and constraints, ready to sample or predict."""

    def __init__(self, recipe: Recipe, parts: Parts, generator: Generator, device: str = "cpu") -> None:
        self.recipe, self.parts, self.device = recipe, parts, torch.device(device)
        self.generator = generator.to(self.device).eval()

    @classmethod
    def load(cls, run: str | Path, *, which: str = "best", device: str = "cpu") -> Trained:
        """From a run folder (its best or last checkpoint) or a checkpoint file. Raises CheckpointError."""
        path = checkpoint.find(Path(run), which)
        payload = checkpoint.load(path)
        recipe = recipe_of(payload, path)
        parts = build_parts(recipe)
        generator = build_generator(recipe, parts.representation)
        try:
            generator.load_state_dict(payload["model"])
        except RuntimeError as error:
            raise CheckpointError(f"{path}: its weights do not fit the model of its recipe: {error}") from error
        return cls(recipe, parts, generator, device)

    # --- generation -------------------------------------------------------------------------------------------------

    def sample(
        self, n: int, *, condition: Mapping[str, Any] | None = None, like: str | Path | Sequence[Crystal] | None = None,
        constraints: Mapping[str, Any] | None = None, seed: int = 0, **settings: Any,
    ) -> list[Crystal]:  # fmt: skip
        """Generate n crystals; those that fail are left out (use `samples` for every outcome).

        `settings` are keys of the recipe's sample section, e.g. temperature=0.7. Raises ConditionError for a condition
        that the model was not trained with.
        """
        section = replace(self.recipe.sample, n=n, **settings)
        conditions = tuple(self.conditions(condition, like))
        request = Request(settings=section, seed=seed, conditions=conditions, constraints=constraints or {})
        return [sample.crystal for sample in self.samples(request) if sample.crystal is not None]

    def conditions(self, condition: Mapping[str, Any] | None, like: str | Path | Sequence[Crystal] | None) -> list[Crystal]:
        """The crystals to condition on, prepared as the training crystals were; empty for an unconditional model."""
        requires = self.generator.encoder.requires if self.generator.uses_memory else frozenset()
        if condition:
            if like is not None:
                raise ConditionError("give either --condition or --like, not both")
            return [condition_crystal(condition, requires)]
        if like is None:
            if requires:
                raise ConditionError(f"the model needs a condition: {', '.join(sorted(requires))}; give --condition or --like")
            return []
        origin = str(like) if isinstance(like, (str, Path)) else "the crystals given"
        crystals = read_like(like) if isinstance(like, (str, Path)) else list(like)
        prepared = [self._prepared(crystal, origin) for crystal in crystals]
        check_crystals(prepared, requires, origin)
        return prepared

    def _prepared(self, crystal: Crystal, origin: str) -> Crystal:
        for transform in self.parts.prepare:
            try:
                crystal = transform(crystal, np.random.default_rng(0))
            except Reject as error:
                raise ConditionError(f"{origin}: {crystal.id or 'a crystal'} cannot be used: {error.reason}") from error
        return crystal

    def samples(self, request: Request, *, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """Every outcome, in ascending order of `indices` (0 ... n - 1 when not given), streamed.

        Strings are decoded in blocks of DECODE_BLOCK consecutive indices, so that a result never depends on what else
        was asked for: give whole blocks to get the same bits again.
        """
        decoder = self.generator.decoder
        if not isinstance(decoder, SequenceDecoder):
            raise ConditionError("this model predicts properties; it does not generate crystals")
        wanted = sorted(range(request.settings.n) if indices is None else indices)
        strings = sample_strings(
            decoder, self.generator.conditioning, self.parts.representation, indices=wanted, settings=request.settings,
            seed=request.seed, memory_for=lambda numbers: self._memory(request, numbers),
            null_memory=self._null_memory(), constraints_for=self._constraints_for(request),
        )  # fmt: skip
        for block in _blocks(_in_order(strings, wanted)):
            yield from self._crystals(request, block)

    @torch.inference_mode()
    def _memory(self, request: Request, indices: Sequence[int]) -> Memory:
        blank = Crystal(lattice=np.full((3, 3), np.nan), frac_coords=np.zeros((0, 3)), numbers=np.zeros(0, dtype=np.int64))
        crystals = [request.condition(k) or blank for k in indices]
        batch = CrystalBatch.from_crystals(crystals, dtype=torch.float32)
        if self.generator.encoder.cutoff is not None:
            batch = batch.with_edges(self.generator.encoder.cutoff)
        return self.generator.memory(batch.to(self.device))

    def _null_memory(self) -> Memory | None:
        """The unconditional side of guidance; None where the model was trained without it."""
        with torch.inference_mode():
            return self.generator.null_memory(1) if self.generator.condition_dropout else None

    def _constraints_for(self, request: Request) -> Callable[[Sequence[int]], list[Mapping[str, Any]]] | None:
        if not request.settings.constraints and not request.constraints:
            return None
        return lambda indices: [self._constraints(request, request.condition(k)) for k in indices]

    def _constraints(self, request: Request, condition: Crystal | None) -> Mapping[str, Any]:
        constraints = {**request.settings.constraints, **request.constraints}
        if constraints.get("composition") == "from_condition":
            if condition is None or not condition.n_atoms:
                raise ConditionError("constraints.composition: from_condition needs a condition that has a composition")
            from pymatgen.core import Element

            counts: dict[str, int] = {}
            for number in condition.numbers.tolist():
                symbol = Element.from_Z(number).symbol
                counts[symbol] = counts.get(symbol, 0) + 1
            constraints["composition"] = counts
        return constraints

    def _crystals(self, request: Request, strings: Sequence[SampledString]) -> list[Sample]:
        decoded = self.parts.representation.decode([string.string for string in strings])
        return [self._sample(request, string, outcome) for string, outcome in zip(strings, decoded, strict=True)]

    def _sample(self, request: Request, string: SampledString, outcome: Decoded) -> Sample:
        requires = self.generator.encoder.requires if self.generator.uses_memory else frozenset()
        condition = request.condition(string.index)
        crystal, status = outcome.crystal, "ok"
        reason = ": ".join(filter(None, (outcome.reason, outcome.message)))
        if crystal is None:
            status = status_of(outcome.reason) if string.finished else "parse"
        else:
            try:
                for transform in self.parts.finalize:
                    crystal = transform(crystal, np.random.default_rng([request.seed, string.index]))
            except Reject as error:
                crystal, status, reason = None, "finalize", error.reason
        return Sample(
            id=sample_id(string.index), seed=request.seed, string=string.string, status=status, reason=reason, crystal=crystal,
            condition=describe(condition, requires) if condition is not None else {},
            reference_id=condition.id if condition is not None else "", log_prob=string.log_prob,
        )  # fmt: skip

    # --- prediction -------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def predict(self, crystals: Sequence[Crystal], *, batch_size: int = 64) -> dict[str, np.ndarray]:
        """Property columns of crystals, (len(crystals),) each, in the units of the training data."""
        predict = getattr(self.generator.decoder, "predict", None)
        if predict is None:
            raise ConditionError("this model generates crystals; train a recipe with decoder: regressor to predict properties")
        found: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(crystals), batch_size):
            prepared = [self._prepared(c, "the crystals given") for c in crystals[start : start + batch_size]]
            batch = CrystalBatch.from_crystals(prepared, dtype=torch.float32)
            if self.generator.encoder.cutoff is not None:
                batch = batch.with_edges(self.generator.encoder.cutoff)
            for name, values in predict(self.generator.memory(batch.to(self.device))).items():
                found.setdefault(name, []).append(values.cpu().numpy())
        return {name: np.concatenate(values) for name, values in found.items()}


def recipe_of(payload: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe inside a checkpoint; raises CheckpointError naming the plugin that is missing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(str(payload["recipe"]))
        try:
            return load_recipe(file)
        except (RecipeError, PluginError) as error:
            raise CheckpointError(f"{path}: {_unassembled(payload, error, str(file))}") from error


def _unassembled(payload: Mapping[str, Any], error: Exception, file: str) -> str:
    """Why the recipe of a checkpoint cannot be assembled here, and what to install."""
    try:
        made_with = json.loads(str(payload["provenance"]))["components"]
    except (KeyError, ValueError):
        made_with = {}
    offered = {f"{entry.kind} {entry.name}" for entry in registry().entries()}
    missing: dict[str, list[str]] = {}
    for component, origin in made_with.items():
        if component not in offered:
            missing.setdefault(origin, []).append(component)
    if missing:
        listing = "; ".join(f"{origin} ({', '.join(components)})" for origin, components in missing.items())
        return f"it needs components that are not installed here.\n  Install {listing}."
    reason = str(error).replace(f"{file}:", "its recipe, line ")
    return f"its recipe cannot be assembled here.\n{reason}\n  Install the crystalfw release that wrote it."
