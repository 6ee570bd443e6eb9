"""Embedding fidelity: how close is a sample, encoded again, to the embedding that it was made from?

For samples of a model whose encoder reads geometry: cosine similarity between the pooled embeddings of sample and source
crystal, the source's rank among all reference crystals by that similarity (1 is best), and how often the sample's string
is exactly the source's. Match rates against the source are the metric `match`. Baseline: other reference crystals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal, FloatArray
from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.interfaces import Metric, Sample
from crystalfw.plugins.metrics.geometry import share

_BATCH = 64


class Fidelity(Metric):
    """Cosine similarity, retrieval rank and exact-string rate against the source crystal."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        model: str | None = None
        """Run folder whose encoder embeds; the samples' own run folder where not given."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: Mapping[str, Any]) -> dict[str, Any]:
        """Raises DataError where samples name no reference crystal, or where there is no model with a geometry encoder."""
        position = {crystal.id: index for index, crystal in enumerate(reference) if crystal.id}
        asked = [sample for sample in samples if sample.reference_id in position]
        if not asked:
            raise DataError("fidelity: no sample names a reference crystal (column reference_id)")
        trained = self._model(context)
        made = [sample for sample in asked if sample.crystal is not None]
        theirs, usable = _embed(trained, reference)
        ours, _ = _embed(trained, [sample.crystal for sample in made if sample.crystal is not None])
        sources = np.array([position[sample.reference_id] for sample in made], dtype=np.int64)
        similarity = ours @ theirs.T
        own = similarity[np.arange(len(made)), sources]
        ranks = 1 + (np.where(usable, similarity, -np.inf) > own[:, None]).sum(axis=1)
        exact = self._exact(trained, asked, reference, position)
        found = np.isfinite(own)
        result: dict[str, Any] = {
            "cosine": _mean(own[found]),
            "cosine_of_other_crystals": _mean(similarity[:, usable][found].mean(axis=1)) if found.any() else None,
            "rank_median": float(np.median(ranks[found])) if found.any() else None,
            "rank_mean_reciprocal": _mean(1 / ranks[found]),
            "retrieved_first": share(int((ranks[found] == 1).sum()), len(asked)),
            "retrieved_in_ten": share(int((ranks[found] <= 10).sum()), len(asked)),
            "exact_string": share(sum(exact.values()), len(asked)),
            "embedded": {"samples": int(found.sum()), "reference": int(usable.sum())},
            "protocol": {"model": str(self.config.model or context.get("run_dir")), "denominator": "samples with a source"},
        }
        cosines = {sample.id: float(value) for sample, value in zip(made, own, strict=True) if np.isfinite(value)}
        first = {sample.id: bool(rank == 1) for sample, rank, known in zip(made, ranks, found, strict=True) if known}
        result["outcomes"] = {
            "cosine": cosines,
            "exact_string": {id: float(same) for id, same in exact.items()},
            "retrieved_first": {sample.id: float(first.get(sample.id, False)) for sample in asked},
        }
        result["summary"] = [f"fidelity: cosine {result['cosine'] or 0:.4f}, source first for {share_text(result)}"]
        return result

    def _model(self, context: Mapping[str, Any]) -> Any:
        from crystalfw.core.trained import Trained

        folder = self.config.model or context.get("run_dir")
        if folder is None:
            raise DataError("fidelity: needs a trained model; set the option model to its run folder")
        trained = Trained.load(folder)
        if "geometry" not in trained.generator.encoder.requires:
            raise DataError(f"fidelity: the encoder of {folder} does not read geometry; there is nothing to embed again")
        return trained

    def _exact(
        self, trained: Any, asked: Sequence[Sample], reference: Sequence[Crystal], position: Mapping[str, int]
    ) -> dict[str, bool]:
        """Sample id -> is its string the source's?"""
        sources = [_prepared(trained, reference[position[sample.reference_id]]) for sample in asked]
        known = [(sample, source) for sample, source in zip(asked, sources, strict=True) if source is not None]
        encoded = trained.parts.representation.encode([source for _, source in known])
        same = {sample.id: one.ok and one.string == sample.string for one, (sample, _) in zip(encoded, known, strict=True)}
        return {sample.id: same.get(sample.id, False) for sample in asked}


def _embed(trained: Any, crystals: Sequence[Crystal]) -> tuple[FloatArray, Any]:
    """Unit embeddings (S, C), NaN where a crystal cannot be encoded, and which ones could (S,)."""
    import torch

    from crystalfw.core.batch import CrystalBatch

    encoder = trained.generator.encoder
    known = {index: found for index, crystal in enumerate(crystals) if (found := _prepared(trained, crystal)) is not None}
    positions = list(known)
    vectors = np.full((len(crystals), encoder.dim), np.nan)
    with torch.inference_mode():
        for start in range(0, len(positions), _BATCH):
            rows = positions[start : start + _BATCH]
            batch = CrystalBatch.from_crystals([known[row] for row in rows], torch.float32)
            if encoder.cutoff is not None:
                batch = batch.with_edges(encoder.cutoff)
            pooled = encoder(batch.to(trained.device)).pooled.cpu().numpy().astype(np.float64)
            vectors[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True).clip(1e-12)
    return vectors, np.isfinite(vectors).all(axis=1)


def _prepared(trained: Any, crystal: Crystal) -> Crystal | None:
    """The crystal after the run's own preparation; None where that rejects it."""
    try:
        found: list[Crystal] = trained.conditions(None, [crystal])
    except CrystalfwError:
        return None
    return found[0]


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def share_text(result: Mapping[str, Any]) -> str:
    """`12 of 40`."""
    figures = result["retrieved_first"]
    return f"{figures['count']} of {figures['of']}"
