"""The search: candidates -> scanned, fitted, ranked by how well they explain a pattern and how likely they were before it.

Every candidate's cell is scanned; the most promising are refined. The rank is by

    score = prior * log(probability) - misfit_weight * misfit - missed * log(1.02 - explained) - free * coefficients

with weights set by hand (benchmarks/powder.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.errors import DataError
from crystalfw.core.powder.cell_fit import Fitted, fit_cell, scan_cells
from crystalfw.core.powder.cell_model import CellModel, cell_model
from crystalfw.core.powder.target import Target
from crystalfw.core.records import Proposal

FloatArray = NDArray[np.float64]

REFINED = 40
"""Candidates refined after the scan."""
AGAIN, THOROUGH = 8, 4.0
"""The best of these are scanned again, so many times as densely: a template of low symmetry may be far from its cell."""


@dataclass(frozen=True)
class Weights:
    """How the evidence adds up to a score."""

    prior: float = 0.5
    misfit: float = 12.0
    missed: float = 1.0
    """On the logarithm of the share of measured intensity that is not explained."""
    free: float = 0.1
    """Against each free coefficient of the cell: a lattice of low symmetry fits anything."""
    scan: float = 25.0
    """On the cosine of the scan, which chooses what is refined."""


@dataclass(frozen=True, eq=False)
class Answer:
    """One candidate with its fit."""

    proposal: Proposal
    fit: Fitted
    cosine: float
    """Of the scan."""
    free: int
    """Free coefficients of its cell."""
    explained: float
    """Share of the measured net intensity, noise left out, below its curve."""
    score: float
    probability: float = 0.0
    """Among the candidates; what was not proposed is not considered."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What a search found."""

    target: Target
    answers: list[Answer]
    """The best first."""
    proposed: int
    refused: int = 0
    """Candidates without a pattern (no scattering factors, a broken cell)."""
    notes: list[str] = field(default_factory=list)


def search(
    target: Target,
    proposals: Sequence[Proposal],
    *,
    weights: Weights | None = None,
    refined: int = REFINED,
    again: int = AGAIN,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Solution:
    """Scan all proposals, refine the best, rank them. The same input gives the same answer."""
    weights = weights or Weights()
    models, refused = _models(target, proposals)
    scanned = []
    for number, (proposal, model) in enumerate(models):
        starts = scan_cells(model, target)
        report(number + 1, len(models))
        if starts:
            first = _first_score(proposal, starts[0][0], len(model.start), weights)
            scanned.append((first, proposal, model, starts))
    scanned.sort(key=lambda one: -one[0])
    answers: list[tuple[Answer, CellModel]] = []
    for _, proposal, model, starts in scanned[:refined]:
        fit = fit_cell(model, target, [p for _, p in starts], finished=1)
        if fit is not None:
            answers.append((_answer(target, proposal, model, fit, starts[0][0], weights), model))
    answers.sort(key=lambda pair: -pair[0].score)
    best = [_improved(target, answer, model, weights) for answer, model in answers[:again]]
    final = sorted([*best, *(answer for answer, _ in answers[again:])], key=lambda answer: -answer.score)
    return Solution(target, _with_probabilities(final), len(proposals), refused)


def _improved(target: Target, answer: Answer, model: CellModel, weights: Weights) -> Answer:
    """The answer, or a better one from a denser scan; a cell with one free coefficient was scanned densely at once."""
    if len(model.start) == 1:
        return answer
    starts = scan_cells(model, target, seed=1, thorough=THOROUGH)
    fit = fit_cell(model, target, [p for _, p in starts]) if starts else None
    if fit is None or fit.misfit >= answer.fit.misfit:
        return answer
    return _answer(target, answer.proposal, model, fit, starts[0][0], weights)


def _models(target: Target, proposals: Iterable[Proposal]) -> tuple[list[tuple[Proposal, CellModel]], int]:
    found, refused = [], 0
    for proposal in proposals:
        try:
            model = cell_model(proposal.crystal, target.q_max)
        except (DataError, np.linalg.LinAlgError):
            refused += 1
            continue
        if len(model.power):
            found.append((proposal, model))
        else:
            refused += 1
    return found, refused


def _first_score(proposal: Proposal, cosine: float, free: int, weights: Weights) -> float:
    return weights.prior * float(np.log(max(proposal.probability, 1e-9))) + weights.scan * cosine - weights.free * free


def _answer(target: Target, proposal: Proposal, model: CellModel, fit: Fitted, cosine: float, weights: Weights) -> Answer:
    explained = explained_by(target, fit.curve)
    score = (
        weights.prior * np.log(max(proposal.probability, 1e-9))
        - weights.misfit * fit.misfit
        - weights.missed * np.log(1.02 - explained)
        - weights.free * len(model.start)
    )
    return Answer(proposal, fit, cosine, len(model.start), explained, float(score))


def explained_by(target: Target, curve: FloatArray) -> float:
    """Share of the measured net intensity, noise left out, that lies below a curve (X,)."""
    net = np.maximum(target.net - target.noise, 0)
    return float(np.minimum(net, curve).sum() / max(net.sum(), 1e-12))


def _with_probabilities(answers: list[Answer]) -> list[Answer]:
    if not answers:
        return []
    scores = np.array([answer.score for answer in answers])
    p = np.exp(scores - scores.max())
    p /= p.sum()
    return [replace(answer, probability=float(share)) for answer, share in zip(answers, p, strict=True)]
