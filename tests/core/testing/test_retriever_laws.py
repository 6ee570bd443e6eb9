"""The laws of retrievers: each catches what was broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from crystalfw.core.interfaces import Proposal, Question, Retriever
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version


class Same(Retriever):
    """Every entry of the ratio, equally likely, with a learned number that orders nothing."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.register_buffer("learned", torch.zeros(1))
        self.library: Any = None

    def fit(self, library: Any, *, seed: int = 0, say: Callable[[str], None] = print) -> None:
        self.learned += 1
        self.attach(library)

    def attach(self, library: Any) -> None:
        self.library = library

    def propose(self, question: Question, n: int) -> list[Proposal]:
        found = [
            self.proposal(question, row, entry)
            for row, entry in enumerate(self.library)
            if entry.counts == question.counts
            and (not question.units or entry.units in question.units)
            and not (question.exclude_own and entry.elements == question.elements)
        ]
        return [replace(proposal, probability=0.5 ** (k + 1)) for k, proposal in enumerate(found[:n])]

    def proposal(self, question: Question, row: int, entry: Any) -> Proposal:
        to = dict(zip(entry.elements, question.elements, strict=True))
        crystal = replace(entry.crystal(), numbers=np.array([to[int(number)] for number in entry.numbers]))
        return Proposal(crystal, 0.0, entry.id, self.library.source(row), entry.group, entry.units)


class KeepsElements(Same):
    def proposal(self, question, row, entry):
        return replace(super().proposal(question, row, entry), crystal=entry.crystal())


class UpsideDown(Same):
    def propose(self, question, n):
        return super().propose(question, n)[::-1]


class Copies(Same):
    def propose(self, question, n):
        return super().propose(replace(question, exclude_own=False), n)


class Draws(Same):
    def propose(self, question, n):
        return [replace(proposal, template=str(np.random.default_rng().random())) for proposal in super().propose(question, n)]


class AnyCell(Same):
    def propose(self, question, n):
        return super().propose(replace(question, units=()), n)


class Raises(Same):
    def propose(self, question, n):
        found = super().propose(question, n)
        if not found and not question.units:
            return [self.proposal(Question((11, 17), (1, 1)), 0, self.library[0])]
        return found


class Forgets(Same):
    def __init__(self, config):
        super().__init__(config)
        self.fitted = False

    def fit(self, library, *, seed=0, say=print):
        super().fit(library)
        self.fitted = True

    def propose(self, question, n):
        return super().propose(question, n) if self.fitted else []


BUGS: dict[str, dict[str, list[type]]] = {
    "retriever": {
        "answers": [KeepsElements, UpsideDown],
        "own_formula": [Copies],
        "determinism": [Draws],
        "units": [AnyCell],
        "unknown": [Raises],
        "state_dict": [Forgets],
        "config": [other_config(Same)],
        "version": [unordered_version(Same)],
    }
}
LAWS = laws_of("retriever")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_sound_retriever_passes(law):
    assert law.violation(Subject("retriever", Same)) is None


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS["retriever"][law.name]:
        message = law.violation(Subject("retriever", bug))
        assert message is not None, f"{bug.__name__} passes"
        assert message.startswith(law.statement)
