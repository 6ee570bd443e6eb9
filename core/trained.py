"""A trained model: from a run folder or checkpoint to crystals or predictions; it knows its own recipe.

crystals = Trained.load("runs/xattn").sample(16, condition={"band_gap": 2.0})
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystalfw.core import checkpoint
from crystalfw.core.assembly import Parts, build_generator, build_parts
from crystalfw.core.batch import CrystalBatch
from crystalfw.core.conditions import check_crystals, condition_crystal, describe, read_like
from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import CheckpointError, ConditionError, PluginError, RecipeError, Reject
from crystalfw.core.generator import Generator
from crystalfw.core.interfaces import Sample, SequenceDecoder
from crystalfw.core.recipe import load_recipe
from crystalfw.core.samples import status_of
from crystalfw.core.sampling import SampledString, sample_strings
from crystalfw.core.schema import Recipe, SampleSection

WINDOW = 256
"""Conditions that are encoded together; bounds the memory of a request of any size."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate. Sample k of the request uses condition k modulo their number and the random stream (seed, k)."""

    settings: SampleSection
    seed: int = 0
    conditions: tuple[Crystal, ...] = ()
    constraints: Mapping[str, Any] = field(default_factory=dict)


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
        """Every outcome, in the order of indices (all of 0 .. n - 1 when not given), streamed window by window."""
        if not isinstance(self.generator.decoder, SequenceDecoder):
            raise ConditionError("this model predicts properties; it does not generate crystals")
        wanted = list(range(request.settings.n) if indices is None else indices)
        for start in range(0, len(wanted), WINDOW):
            yield from self._window(request, wanted[start : start + WINDOW])

    @torch.inference_mode()
    def _window(self, request: Request, indices: list[int]) -> list[Sample]:
        conditions = [request.conditions[k % len(request.conditions)] for k in indices] if request.conditions else None
        if conditions is not None and self.generator.uses_memory:
            batch = CrystalBatch.from_crystals(conditions, dtype=torch.float32)
            if self.generator.encoder.cutoff is not None:
                batch = batch.with_edges(self.generator.encoder.cutoff)
            memory = self.generator.memory(batch.to(self.device))
        elif self.generator.uses_memory:
            blank = Crystal(lattice=np.full((3, 3), np.nan), frac_coords=np.zeros((0, 3)), numbers=np.zeros(0, dtype=np.int64))
            memory = self.generator.memory(CrystalBatch.from_crystals([blank] * len(indices), torch.float32).to(self.device))
        else:
            memory = self.generator.null_memory(len(indices))
        constraints = [self._constraints(request, conditions[k] if conditions else None) for k in range(len(indices))]
        strings = sorted(
            sample_strings(self.generator, self.parts.representation, memory, indices, request.settings,
                           seed=request.seed, constraints=constraints if any(constraints) else None),
            key=lambda string: string.index,
        )  # fmt: skip
        return self._crystals(request, strings, dict(zip(indices, conditions or [None] * len(indices), strict=True)))

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

    def _crystals(
        self, request: Request, strings: Sequence[SampledString], conditions: Mapping[int, Crystal | None]
    ) -> list[Sample]:
        requires = self.generator.encoder.requires if self.generator.uses_memory else frozenset()
        decoded = self.parts.representation.decode([string.string for string in strings])
        samples = []
        for string, outcome in zip(strings, decoded, strict=True):
            condition = conditions[string.index]
            crystal, reason = outcome.crystal, outcome.reason
            status = "ok" if crystal is not None else status_of(reason)
            if crystal is not None:
                try:
                    for transform in self.parts.finalize:
                        crystal = transform(crystal, np.random.default_rng([request.seed, string.index]))
                except Reject as error:
                    crystal, status, reason = None, "finalize", error.reason
            samples.append(Sample(
                id=f"{string.index:06d}", seed=request.seed, string=string.string, status=status,
                reason=f"{reason}: {outcome.message}" if outcome.message and status != "finalize" else reason, crystal=crystal,
                condition=describe(condition, requires) if condition is not None else {},
                reference_id=condition.id if condition is not None else "", log_prob=string.log_prob,
            ))  # fmt: skip
        return samples

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
            made_by = payload.get("provenance", "")
            raise CheckpointError(
                f"{path}: its recipe cannot be assembled here: {error}\n  It was made with: {made_by}\n"
                "  Install the missing plugin, or the crystalfw release that wrote it."
            ) from error
