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

from crystalfw.core.crystal import Crystal, FloatArray, IntArray
from crystalfw.core.data.executor import chunks
from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.evaluate.per_sample import PerSample, crystal_of, ids, source_positions
from crystalfw.core.interfaces import Metric, MetricContext
from crystalfw.core.presentation import Figure, short
from crystalfw.core.records import Sample
from crystalfw.plugins.metrics.shared.geometry import share

_BATCH = 64
_BLOCK = 512


class Fidelity(Metric):
    """Cosine similarity, retrieval rank and exact-string rate against the source crystal."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options."""

        model: str | None = None
        """Run folder whose encoder embeds; the samples' own run folder where not given."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def compute(self, samples: Sequence[Sample], reference: Sequence[Crystal], context: MetricContext) -> dict[str, Any]:
        """Raises DataError where samples name no reference crystal, or where there is no model with a geometry encoder."""
        bench = context.bench
        sources_S = source_positions(bench, samples, reference)
        asked = np.flatnonzero(sources_S >= 0)
        if not len(asked):
            raise DataError("fidelity: no sample names a reference crystal (column reference_id)")
        trained, names = self._model(context), ids(bench, samples)
        theirs = np.concatenate(
            [_embed(trained, block) for block in chunks(bench.track("fidelity: reference", reference), _BLOCK)]
        )
        retrieval, exact = _Retrieval(theirs, len(samples)), np.full(len(samples), np.nan)
        split = np.array_split(asked, range(_BLOCK, len(asked), _BLOCK))
        for places in bench.track(f"fidelity: blocks of {_BLOCK} samples", split, len(split)):
            block = [samples[k] for k in places.tolist()]
            exact[places] = _exact(trained, block, [reference[k] for k in sources_S[places].tolist()])
            has_crystal = np.array([sample.crystal is not None for sample in block])
            made = places[has_crystal]
            retrieval.add(made, _embed(trained, [crystal_of(block[k]) for k in np.flatnonzero(has_crystal)]), sources_S[made])
        cosine_S, rank_S = retrieval.cosine, retrieval.rank
        own, ranks = cosine_S[np.isfinite(cosine_S)], rank_S[np.isfinite(cosine_S)]
        result: dict[str, Any] = {
            "cosine": _mean(own),
            "cosine_of_other_crystals": _mean(retrieval.others[np.isfinite(cosine_S)]),
            "rank_median": float(np.median(ranks)) if len(ranks) else None,
            "rank_mean_reciprocal": _mean(1 / ranks),
            "retrieved_first": share(int((ranks == 1).sum()), len(asked)),
            "retrieved_in_ten": share(int((ranks <= 10).sum()), len(asked)),
            "exact_string": share(int(np.nansum(exact)), len(asked)),
            "embedded": {"samples": len(own), "reference": int(retrieval.usable.sum())},
            "protocol": {"model": str(self.config.model or context.run_dir), "denominator": "samples with a source"},
        }
        first = np.where(sources_S >= 0, np.nan_to_num(rank_S, nan=0.0) == 1, np.nan)
        outcomes = {"cosine": cosine_S, "exact_string": exact, "retrieved_first": first}
        result["outcomes"] = {name: PerSample(names, values) for name, values in outcomes.items()}
        result["summary"] = [f"fidelity: cosine {result['cosine'] or 0:.4f}, source first for {share_text(result)}"]
        return result

    @classmethod
    def headline(cls, result: Mapping[str, Any]) -> Sequence[Figure]:
        """Similarity with the source, and how often the source is the nearest crystal."""
        others = f"other crystals: {short(result['cosine_of_other_crystals'])}"
        return [
            Figure("cosine", "cosine similarity with the source", result["cosine"], better="higher", note=others),
            Figure.of_share("retrieved_first", "samples nearest to their source", result["retrieved_first"]),
        ]

    def _model(self, context: MetricContext) -> Any:
        from crystalfw.core.sample.trained import Trained

        folder = self.config.model or context.run_dir
        if folder is None:
            raise DataError("fidelity: needs a trained model; set the option model to its run folder")
        trained = Trained.load(folder)
        if "geometry" not in trained.generator.encoder.requires:
            raise DataError(f"fidelity: the encoder of {folder} does not read geometry; there is nothing to embed again")
        return trained


class _Retrieval:
    """Where the source of each sample stands among all reference crystals; samples come block by block."""

    def __init__(self, reference_RC: FloatArray, count: int) -> None:
        self._reference = reference_RC
        self.usable = np.isfinite(reference_RC).all(axis=1)
        self.cosine, self.rank, self.others = np.full((3, count), np.nan)
        """(S,) similarity to the source, the source's rank, mean similarity to all reference crystals."""

    def add(self, places: IntArray, embeddings: FloatArray, sources: IntArray) -> None:
        """Embeddings (K, C) of the samples at `places`, whose sources are the reference crystals at `sources`."""
        similarity = embeddings @ self._reference.T
        own = similarity[np.arange(len(places)), sources]
        found = np.isfinite(own)
        ranks = 1 + (np.where(self.usable, similarity, -np.inf) > own[:, None]).sum(axis=1)
        self.cosine[places], self.rank[places] = own, np.where(found, ranks, np.nan)
        self.others[places[found]] = similarity[found][:, self.usable].mean(axis=1)


def _exact(trained: Any, samples: Sequence[Sample], sources: Sequence[Crystal]) -> list[bool]:
    """Is the string of each sample its source's?"""
    prepared = [_prepared(trained, source) for source in sources]
    encoded = iter(trained.components.representation.encode([source for source in prepared if source is not None]))
    strings = [None if source is None else next(encoded) for source in prepared]
    return [one is not None and one.ok and one.string == sample.string for one, sample in zip(strings, samples, strict=True)]


def _embed(trained: Any, crystals: Sequence[Crystal]) -> FloatArray:
    """Unit embeddings (S, C), NaN where a crystal cannot be encoded."""
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
    return vectors


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
