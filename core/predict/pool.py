"""The pool of candidates: what several proposers say, duplicates merged.

Two crystals of one composition are duplicates where their distances agree, pair by pair of elements (library/distances.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.interfaces import Proposal, Proposer, Question
from crystalfw.core.library.distances import DUPLICATE, arrangement


def gather(proposers: Sequence[Proposer], question: Question, n: int) -> list[Proposal]:
    """At most n distinct candidates of each proposer, the likeliest first.

    Duplicates of one proposer add up, since each says that the crystal is this one. Between proposers the larger
    probability counts, and the first proposer's crystal stays.
    """
    merged: list[Proposal] = []
    shapes: list[NDArray[np.float32]] = []
    for proposer in proposers:
        before = len(merged)
        added: dict[int, float] = {}
        for proposal in proposer.propose(question, n):
            shape = fingerprint(proposal, question)
            place = next((k for k, known in enumerate(shapes) if np.abs(known - shape).max() < DUPLICATE), None)
            if place is None:
                added[len(merged)] = proposal.probability
                merged.append(replace(proposal, shape=shape))
                shapes.append(shape)
            else:
                added[place] = added.get(place, 0.0) + proposal.probability
        for place, probability in added.items():
            larger = probability if place >= before else max(probability, merged[place].probability)
            merged[place] = replace(merged[place], probability=larger)
    return sorted(merged, key=lambda proposal: -proposal.probability)


def fingerprint(proposal: Proposal, question: Question) -> NDArray[np.float32]:
    """(K, K, NEIGHBOURS) of a proposal, its slots in the question's order."""
    crystal = proposal.crystal
    return arrangement(crystal.lattice, crystal.frac_coords, crystal.numbers, question.elements)
