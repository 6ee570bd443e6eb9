"""A trained model: from a run folder or checkpoint to crystals or predictions; it knows its own recipe.

crystals = Trained.load("runs/xattn").sample(16, condition={"band_gap": 2.0})
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
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
from crystalfw.core.prediction import Tally, predicted
from crystalfw.core.recipe import load_recipe
from crystalfw.core.samples import sample_id, status_of
from crystalfw.core.sampling import SampledString, in_order, sample_strings
from crystalfw.core.schema import Recipe, SampleSection

DECODE_BLOCK = 64
"""Strings are decoded in blocks of so many consecutive indices."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate. Sample k of the request uses condition k modulo their number and the random stream (seed, k).

    In a prediction (core/prediction.py) every condition has `settings.rows_per_condition` samples, one after the other.
    """

    settings: SampleSection
    seed: int = 0
    conditions: tuple[Crystal, ...] = ()
    constraints: Mapping[str, Any] = field(default_factory=dict)

    def condition(self, index: int) -> Crystal | None:
        """The condition of sample `index`; None for an unconditional request."""
        return self.numbered_condition(index // self.settings.rows_per_condition)

    @property
    def block(self) -> int:
        """So many consecutive samples are decoded together."""
        return self.settings.rows_per_condition if self.settings.predicts else DECODE_BLOCK

    def numbered_condition(self, number: int) -> Crystal | None:
        """Condition `number`, from the first again after the last; None for an unconditional request."""
        return self.conditions[number % len(self.conditions)] if self.conditions else None


def rows(settings: SampleSection, conditions: int) -> int:
    """How many samples a request has that does not say: in a prediction all that its conditions need."""
    return settings.rows_per_condition * max(1, conditions) if settings.predicts else settings.n


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
        self, n: int | None = None, *, condition: Mapping[str, Any] | None = None,
        like: str | Path | Sequence[Crystal] | None = None,
        constraints: Mapping[str, Any] | None = None, seed: int = 0, **settings: Any,
    ) -> list[Crystal]:  # fmt: skip
        """Generate n crystals; those that fail are left out (use `samples` for every outcome).

        `settings` are keys of the recipe's sample section, e.g. temperature=0.7, or candidates=40, keep=20 for the likeliest
        distinct crystals of each condition. n: the recipe's unless given, or in a prediction what all conditions need.
        Raises ConditionError for a condition that the model was not trained with.
        """
        section = replace(self.recipe.sample, **settings)
        conditions = tuple(self.conditions(condition, like))
        section = replace(section, n=rows(section, len(conditions)) if n is None else n)
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

    def samples(
        self, request: Request, *, indices: Sequence[int] | None = None, tally: Tally | None = None
    ) -> Iterator[Sample]:
        """Every outcome, in ascending order of `indices` (0 ... n - 1 when not given), streamed.

        Strings are decoded in blocks of `request.block` consecutive indices, so that a result never depends on what else
        was asked for: give whole blocks to get the same bits again. `tally` counts the candidates of a prediction.
        """
        if not isinstance(self.generator.decoder, SequenceDecoder):
            raise ConditionError("this model predicts properties; it does not generate crystals")
        wanted = sorted(range(request.settings.n) if indices is None else indices)
        if request.settings.predicts:
            yield from predicted(self, request, wanted, tally or Tally())
            return
        for _, block in groupby(in_order(self.strings(request, wanted), wanted), key=lambda s: s.index // request.block):
            yield from self.crystals(request, list(block))

    def strings(self, request: Request, indices: Sequence[int], each: int = 1) -> Iterator[SampledString]:
        """The strings of these random streams as they finish; condition c has the streams c * each ... (c + 1) * each - 1."""
        decoder = self.generator.decoder
        assert isinstance(decoder, SequenceDecoder)

        def memory_for(streams: Sequence[int]) -> Memory:
            first = streams[0] // each
            numbers = range(first, streams[-1] // each + 1)
            memory = self.memory([request.numbered_condition(number) for number in numbers])
            return memory.select(torch.tensor([stream // each - first for stream in streams], device=self.device))

        @cache
        def constraint(number: int) -> Mapping[str, Any]:
            return self.constraint(request, request.numbered_condition(number))

        return sample_strings(
            decoder, self.generator.conditioning, self.parts.representation, indices=indices,
            settings=replace(request.settings, n=-(-request.settings.n // request.settings.rows_per_condition) * each),
            seed=request.seed,
            memory_for=memory_for, null_memory=self._null_memory(),
            constraints_for=lambda streams: [constraint(stream // each) for stream in streams],
        )  # fmt: skip

    @torch.inference_mode()
    def memory(self, conditions: Sequence[Crystal | None]) -> Memory:
        """What the decoder sees of conditions; None stands for none."""
        blank = Crystal(lattice=np.full((3, 3), np.nan), frac_coords=np.zeros((0, 3)), numbers=np.zeros(0, dtype=np.int64))
        batch = CrystalBatch.from_crystals([crystal or blank for crystal in conditions], dtype=torch.float32)
        if self.generator.encoder.cutoff is not None:
            batch = batch.with_edges(self.generator.encoder.cutoff)
        return self.generator.memory(batch.to(self.device))

    def _null_memory(self) -> Memory | None:
        """The unconditional side of guidance; None where the model was trained without it."""
        with torch.inference_mode():
            return self.generator.null_memory(1) if self.generator.condition_dropout else None

    def constraint(self, request: Request, condition: Crystal | None) -> Mapping[str, Any]:
        """The hard conditions of a sample with this condition. Raises ConditionError where it lacks what they need."""
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

    def crystals(self, request: Request, strings: Sequence[SampledString]) -> list[Sample]:
        """The outcome of each string: decoded, then finalized."""
        decoded = self.parts.representation.decode([string.string for string in strings])
        return [self._sample(request, string, outcome) for string, outcome in zip(strings, decoded, strict=True)]

    def _sample(self, request: Request, string: SampledString, outcome: Decoded) -> Sample:
        crystal = outcome.crystal
        reason = ": ".join(filter(None, (outcome.reason, outcome.message)))
        if crystal is None:
            return self.failure(request, string, status_of(outcome.reason) if string.finished else "parse", reason)
        try:
            for transform in self.parts.finalize:
                crystal = transform(crystal, np.random.default_rng([request.seed, string.index]))
        except Reject as error:
            return self.failure(request, string, "finalize", error.reason)
        return replace(self.failure(request, string, "ok", reason), crystal=crystal)

    def failure(self, request: Request, string: SampledString, status: str, reason: str) -> Sample:
        """The row of a string that gave no crystal."""
        requires = self.generator.encoder.requires if self.generator.uses_memory else frozenset()
        condition = request.condition(string.index)
        return Sample(
            id=sample_id(string.index), seed=request.seed, string=string.string, status=status, reason=reason, crystal=None,
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
