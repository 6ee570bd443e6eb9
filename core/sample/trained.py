"""A trained model: from a run folder or checkpoint to crystals or predictions; it knows its own recipe.

crystals = Trained.load("runs/xattn").sample(16, condition={"band_gap": 2.0})
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch

from crystalfw.core.batch import Memory
from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import CrystalsLike, as_crystals
from crystalfw.core.discovery import registry
from crystalfw.core.errors import (
    CheckpointError,
    ConditionError,
    CrystalfwError,
    PluginError,
    RecipeError,
    Reject,
    did_you_mean,
)
from crystalfw.core.interfaces import PropertyDecoder, SequenceDecoder
from crystalfw.core.model import checkpoint
from crystalfw.core.model.assembly import Components, build_components, build_generator
from crystalfw.core.model.calibration import Factors, conformal_factors, half_width
from crystalfw.core.model.component_versions import to_installed_versions
from crystalfw.core.model.generator import Generator
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.schema import Recipe, SampleSection
from crystalfw.core.records import Sample
from crystalfw.core.retrieval.lookup import Lookup, open_lookup
from crystalfw.core.sample.conditions import check_crystals, condition_crystal, what_to_give
from crystalfw.core.sample.drawn import Drawing
from crystalfw.core.sample.engine import in_order
from crystalfw.core.sample.ensemble import averaged
from crystalfw.core.sample.judge import NONE, Judge
from crystalfw.core.sample.pattern_table import is_pattern_table, pattern_conditions
from crystalfw.core.sample.prediction import Tally, predicted
from crystalfw.core.sample.request import Request, default_count, needed_conditions
from crystalfw.core.sample.sampler import Sampler
from crystalfw.core.system.devices import usable_device

MEMBERS = "members"
"""Key of a checkpoint with the networks of an ensemble: what each has instead of the checkpoint's own."""
RETRIEVAL = "retrieval"
"""Folder of a run with the library and the retriever of a model that reads templates."""


class Trained:
    """A generator with its representation and constraints, ready to sample or predict."""

    def __init__(
        self, recipe: Recipe, components: Components, generator: Generator, device: str = "cpu",
        *, ranges: Mapping[str, Any] | None = None, calibration: Factors | None = None, lookup: Lookup | None = None,
        columns: Mapping[str, Any] | None = None, members: Sequence[Trained] = (),
    ) -> None:  # fmt: skip
        self.recipe, self.components, self.device = recipe, components, usable_device(device)
        self.ranges = ranges or {}  # of the training data; checkpoints of earlier versions hold none
        self.calibration = calibration or {}  # of a predictor whose run had a validation part
        self.generator = generator.to(self.device).eval()
        self.lookup = lookup
        self.columns = columns or {}  # training values of what it is conditioned on (core/sample/drawn.py)
        self.sampler = Sampler(self.generator, components, self.device, lookup)
        self.members = tuple(members)  # of an ensemble of predictors, this network the first of them

    @classmethod
    def load(cls, run: str | Path, *, which: str = "best", device: str = "cpu") -> Trained:
        """From a run folder (its best or last checkpoint), a checkpoint file or the name of a delivered model.

        Raises CheckpointError.
        """
        usable_device(device)
        path = checkpoint.find(Path(run), which)
        payload = checkpoint.load(path)
        members = [cls._from_payload({**payload, **member}, path, device) for member in payload.get(MEMBERS, ())]
        return cls._from_payload(payload, path, device, members)

    @classmethod
    def _from_payload(cls, payload: dict[str, Any], path: Path, device: str, members: Sequence[Trained] = ()) -> Trained:
        """One network of a checkpoint, or with `members` the ensemble that it begins."""
        payload = to_installed_versions(payload, path)
        recipe = recipe_of(payload, path)
        components = build_components(recipe)
        generator = build_generator(recipe, components.representation)
        try:
            generator.load_state_dict(payload["model"])
        except RuntimeError as error:
            raise CheckpointError(f"{path}: its weights do not fit the model of its recipe: {error}") from error
        ranges, calibration = _provenance(payload).get("ranges"), payload.get("calibration")
        lookup = _lookup(path, recipe, components, generator)
        columns = payload.get("training_columns")
        return cls(
            recipe, components, generator, device, ranges=ranges, calibration=calibration, lookup=lookup, columns=columns,
            members=members,
        )  # fmt: skip

    @property
    def requires(self) -> frozenset[str]:
        """What the model is conditioned on; empty for an unconditional one."""
        return frozenset(self.generator.encoder.requires) if self.generator.uses_memory else frozenset()

    @property
    def optional(self) -> frozenset[str]:
        """What of `requires` may be left out."""
        return frozenset(self.generator.encoder.optional) & self.requires

    def __repr__(self) -> str:
        model = self.recipe.model
        decoder = self.generator.decoder
        does = "predicts properties" if isinstance(decoder, PropertyDecoder) else "generates crystals"
        size = sum(parameter.numel() for parameter in self.generator.parameters())
        parts = f"{model.encoder.name} > {model.conditioning.name} > {model.decoder.name}"
        return f"Trained({self.recipe.name}: {parts}, {size:,} parameters, {does})"

    # --- generation -------------------------------------------------------------------------------------------------

    @overload
    def sample(
        self, n: int | None = None, *, condition: Mapping[str, Any] | None = None, like: CrystalsLike | None = None,
        constraints: Mapping[str, Any] | None = None, seed: int = 0, failed: Literal[False] = False, **settings: Any,
    ) -> list[Crystal]: ...  # fmt: skip

    @overload
    def sample(
        self, n: int | None = None, *, condition: Mapping[str, Any] | None = None, like: CrystalsLike | None = None,
        constraints: Mapping[str, Any] | None = None, seed: int = 0, failed: Literal[True], **settings: Any,
    ) -> list[Sample]: ...  # fmt: skip

    def sample(
        self, n: int | None = None, *, condition: Mapping[str, Any] | None = None, like: CrystalsLike | None = None,
        constraints: Mapping[str, Any] | None = None, seed: int = 0, failed: bool = False, **settings: Any,
    ) -> list[Crystal] | list[Sample]:  # fmt: skip
        """Generate n crystals, each with the id of its sample; those that fail are left out. With failed=True every
        outcome instead, as a Sample: crystal or None, status, reason, id, string, condition, log_prob.

        `like`: crystals to be like, as a Crystal, pymatgen Structure, ASE Atoms, path, or a list of these.
        `settings` are keys of the recipe's sample section, e.g. temperature=0.7, or candidates=40, keep=20 for the likeliest
        distinct crystals of each condition. n: the recipe's unless given, or in a prediction what all conditions need.
        Raises ConditionError for a condition that the model was not trained with.
        """
        known = [field.name for field in fields(SampleSection)]
        for name in settings:
            if name not in known:
                raise CrystalfwError(f"sample() has no setting '{name}'. {did_you_mean(name, known, 'It takes')}")
        section = replace(self.recipe.sample, **settings)
        conditions = tuple(self.conditions(condition, like, needed_conditions(section, n)))
        section = replace(section, n=default_count(section, len(conditions)) if n is None else n)
        request = self.request(section, seed=seed, conditions=conditions, constraints=constraints or {})
        outcomes = list(self.samples(request))
        if failed:
            return outcomes
        return [replace(sample.crystal, id=sample.id) for sample in outcomes if sample.crystal is not None]

    def conditions(
        self, condition: Mapping[str, Any] | None, like: CrystalsLike | None, limit: int | None = None
    ) -> list[Crystal]:
        """The crystals to condition on, prepared as the training crystals were; empty where nothing is asked of a model that
        needs nothing.

        Of `like` at most `limit` crystals are read, the first ones.
        """
        requires = self.requires
        if condition:
            if like is not None:
                raise ConditionError("give either a condition or crystals to be like, not both")
            return [condition_crystal(condition, requires, self.optional)]
        if like is None:
            if requires > self.optional:
                raise ConditionError(what_to_give(requires))
            return []
        if isinstance(like, (str, Path)) and is_pattern_table(like):
            return pattern_conditions(Path(like), requires, self.optional, limit)
        origin = str(like) if isinstance(like, (str, Path)) else "the crystals given"
        prepared = [self.prepared(crystal, origin) for crystal in islice(as_crystals(like), limit)]
        check_crystals(prepared, requires - self.optional, origin)
        return prepared

    def request(
        self, section: SampleSection, *, seed: int, conditions: Sequence[Crystal], constraints: Mapping[str, Any] | None = None
    ) -> Request:  # fmt: skip
        """What a sample section asks of this model: `sample.drawn` fills in the conditions that are left open, `sample.judge`
        chooses among candidates. Raises ConditionError for what cannot be drawn."""
        drawing = Drawing(section.drawn, self.columns, self.requires) if section.drawn else None
        judge = Judge(section.judge, Trained.load) if section.judge not in (None, NONE) and section.is_prediction else None
        return Request(
            settings=section, seed=seed, conditions=tuple(conditions), constraints=constraints or {},
            drawing=drawing, judge=judge,
        )  # fmt: skip

    def prepared(self, crystal: Crystal, origin: str) -> Crystal:
        """The crystal as the model's training crystals were prepared. Raises ConditionError for one that cannot be used."""
        for transform in self.components.prepare:
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
        if request.settings.is_prediction:
            yield from predicted(self.sampler, request, wanted, tally or Tally())
            return
        for _, block in groupby(
            in_order(self.sampler.strings(request, wanted), wanted), key=lambda s: s.index // request.block
        ):
            yield from self.sampler.crystals(request, list(block))

    # --- prediction -------------------------------------------------------------------------------------------------

    @property
    def targets(self) -> tuple[str, ...]:
        """The property columns that it predicts; empty for a generator."""
        decoder = self.generator.decoder
        own = decoder.targets if isinstance(decoder, PropertyDecoder) else ()
        return tuple(dict.fromkeys([*own, *(name for member in self.members for name in member.targets)]))

    def predict(self, crystals: CrystalsLike, *, batch_size: int = 64) -> dict[str, np.ndarray]:
        """Property columns of N crystals, (N,) each, in the units of the training data."""
        return {name: values for name, (values, _) in self._predicted(crystals, batch_size).items()}

    def predict_with_errors(self, crystals: CrystalsLike, *, batch_size: int = 64) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Property columns of N crystals: values (N,) and half of the 90 % interval (N,), both in the column's unit.

        Of crystals like the validation part, nine in ten lie within value +- half; elsewhere more may be outside. NaN where
        the model was never calibrated.
        """
        found = self._predicted(crystals, batch_size)
        return {name: (values, half_width(self.calibration, name, scale)) for name, (values, scale) in found.items()}

    def _predicted(self, crystals: CrystalsLike, batch_size: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Column -> values (N,) and stated scales of their errors (N,); scales are 1 where the decoder states none."""
        if self.members:
            several = list(as_crystals(crystals))
            return averaged([member.predict_with_errors(several, batch_size=batch_size) for member in self.members])
        decoder = self.generator.decoder
        if not isinstance(decoder, PropertyDecoder):
            raise ConditionError("this model generates crystals; train a recipe with decoder: regressor to predict properties")
        found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {name: ([], []) for name in decoder.targets}
        for memory in self._memories(crystals, batch_size):
            with torch.inference_mode():
                columns, scales = decoder.predict(memory), decoder.spread(memory)
            for name, values in columns.items():
                found[name][0].append(values.cpu().numpy())
                found[name][1].append(scales.get(name, torch.ones_like(values)).cpu().numpy())
        none = [np.zeros(0, dtype=np.float32)]
        return {name: (np.concatenate(values or none), np.concatenate(s or none)) for name, (values, s) in found.items()}

    def calibrate(self, crystals: Sequence[Crystal]) -> Factors:
        """The factors by which the stated scales of errors hold their shares of these crystals' errors."""
        factors: Factors = {}
        for name, (values, scales) in self._predicted(crystals, 64).items():
            true = np.array([crystal.properties.get(name, np.nan) for crystal in crystals])
            if found := conformal_factors(values - true, scales.astype(np.float64)):
                factors[name] = found
        self.calibration = factors
        return factors

    def embed(self, crystals: CrystalsLike, *, batch_size: int = 64) -> np.ndarray:
        """What the encoder says of N crystals: its pooled vectors, (N, C). Raises ConditionError for a model without one."""
        return self.embed_both(crystals, batch_size=batch_size)[0]

    def embed_both(self, crystals: CrystalsLike, *, batch_size: int = 64) -> tuple[np.ndarray, list[np.ndarray]]:
        """The pooled vectors (N, C) of N crystals, and the tokens (M, C) of each: of the encoder `equivariant` one for each
        atom of the prepared crystal. Raises ConditionError for a model without an encoder."""
        if not self.generator.uses_memory:
            raise ConditionError("this model has no encoder to embed crystals with: its conditioning is none")
        pooled = [np.zeros((0, self.generator.encoder.dim), dtype=np.float32)]
        tokens: list[np.ndarray] = []
        for memory in self._memories(crystals, batch_size):
            pooled.append(memory.pooled.cpu().numpy())
            tokens += [own_MC[mask_M].cpu().numpy() for own_MC, mask_M in zip(memory.tokens, memory.mask, strict=True)]
        return np.concatenate(pooled), tokens

    def _memories(self, crystals: CrystalsLike, batch_size: int) -> Iterator[Memory]:
        """What the encoder says of crystals, batch by batch."""
        waiting = as_crystals(crystals)
        while batch := list(islice(waiting, batch_size)):
            prepared = [self.prepared(crystal, "the crystals given") for crystal in batch]
            yield self.sampler.memory(prepared)


def recipe_of(payload: Mapping[str, Any], path: Path) -> Recipe:
    """The recipe inside a checkpoint; raises CheckpointError naming the plugin that is missing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(str(payload["recipe"]))
        try:
            return load_recipe(file)
        except (RecipeError, PluginError) as error:
            raise CheckpointError(f"{path}: {_unassembled(payload, error, str(file))}") from error


def _lookup(path: Path, recipe: Recipe, components: Components, generator: Generator) -> Lookup | None:
    """The library and retriever in the run folder of a checkpoint, where the model reads templates."""
    n = generator.encoder.templates if generator.uses_memory else 0
    if not n:
        return None
    folder = path.parent.parent / RETRIEVAL
    if not folder.is_dir():
        raise CheckpointError(f"{path}: the model reads known crystals, and {folder} is missing; move whole run folders")
    return open_lookup(folder, recipe.retrieval.retriever, components.representation, n)


def _provenance(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Where the checkpoint comes from; empty where it does not say."""
    try:
        found = json.loads(str(payload["provenance"]))
    except (KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _unassembled(payload: Mapping[str, Any], error: Exception, file: str) -> str:
    """Why the recipe of a checkpoint cannot be assembled here, and what to install."""
    made_with: dict[str, str] = _provenance(payload).get("components", {})
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
