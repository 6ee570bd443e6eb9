"""Retriever and generator together: the retriever's answer stays, draws come behind or where they are trusted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.interfaces import Proposal, Question
from crystalfw.core.library.entry import slots_of
from crystalfw.core.model.assembly import build_components, build_generator
from crystalfw.core.predict.generated import Generator, condition_of
from crystalfw.core.predict.joint import AT, WEIGHTS, Candidate, Joint, best_weight, rank, unit_shares
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.options import create
from crystalfw.core.retrieval.lookup import Lookup
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.trained import Trained
from crystalfw.core.testing.retriever_laws import small_library

SMALL = [
    "model.decoder.dim=16", "model.decoder.n_layers=1", "model.decoder.n_heads=2", "model.conditioning.n_heads=2",
    "model.decoder.max_length=128", "sample.max_length=64", "sample.batch_size=8",
]  # fmt: skip
SALT = Question((19, 35), (1, 1), (1,))


@pytest.fixture(scope="module")
def trained():
    recipe = load_recipe("templates", SMALL)
    components = build_components(recipe)
    retriever = create("retriever", "structure_types", {"members": 1, "epochs": 1})
    library = small_library()
    retriever.fit(library, seed=0, say=lambda line: None)
    lookup = Lookup(retriever, library, components.representation, 3)
    return Trained(recipe, components, build_generator(recipe, components.representation), lookup=lookup)


def test_without_trust_the_retrievers_answer_stays_and_draws_come_behind(trained):
    joint = Joint(trained, "a_run", weight=0.0, draws=6)
    alone = trained.lookup.retriever.propose(SALT, 20)
    found = joint.answer(SALT, 20)
    assert [p.template for p in found[: len(alone)]] == [p.template for p in alone]
    assert [p.probability for p in found[: len(alone)]] == pytest.approx([p.probability for p in alone])
    assert all((p.template, p.source, p.probability) == ("", "a_run", 0.0) for p in found[len(alone) :])
    assert all(slots_of(p.crystal.numbers) == (SALT.elements, SALT.counts, 1) for p in found)
    representation = trained.components.representation
    keys = [representation.canonical_key(e.string) for e in representation.encode([p.crystal for p in found]) if e.ok]
    assert len(set(keys)) == len(keys)


def test_likelihoods_are_those_of_sampling(trained):
    """Written token by token with a cache, or read at once: the same probability, copying included."""
    generator = Generator(trained, "a_run", draws=4)
    settings = replace(trained.recipe.sample, n=4, candidates=4, temperature=1.0, constraints={"composition": "KBr"})
    request = Request(settings=settings, conditions=(_cell(),))
    strings = [s for s in trained.sampler.strings(request, range(4), 4) if s.finished]
    assert strings
    found = generator.likelihoods(SALT, 1, [s.string for s in strings])
    assert np.log(found) == pytest.approx([s.log_prob for s in strings], abs=1e-3)
    assert generator.likelihoods(SALT, 1, [" ".join(["Na"] * 500)]) == [0.0]


def _cell():
    return condition_of(SALT, 1)


def test_the_generator_proposes_by_itself_and_is_silent_where_it_cannot_be_asked(trained):
    generator = Generator(trained, "a_run", draws=4)
    for proposal in generator.propose(SALT, 2):
        assert proposal.source == "a_run"
        assert 0 < proposal.probability <= 1
    assert generator.propose(Question((19, 35), (1, 1), (400,)), 2) == []


def proposed(probability, units=1):
    return Proposal(_cell(), probability, template="x", source="s", group=1, units=units)


def test_units_are_shared_out_as_the_retriever_says():
    known = [proposed(0.5, 2), proposed(0.25, 1), proposed(0.15, 4), proposed(0.1, 2), proposed(0.0, 8)]
    assert unit_shares(Question((1,), (1,)), known) == pytest.approx({2: 0.6, 1: 0.25, 4: 0.15})
    assert unit_shares(Question((1,), (1,), (1,)), known) == {1: 1.0}
    assert unit_shares(Question((1,), (1,), (3,)), known) == {3: 1.0}
    assert unit_shares(Question((1,), (1,)), []) == {1: 1.0}


shares = st.floats(0, 1, allow_nan=False)
judgements = st.lists(
    st.lists(st.tuples(shares, shares, st.booleans(), st.booleans()), max_size=24), min_size=1, max_size=6
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(judgements)
def test_on_what_it_was_fitted_the_weight_never_loses_to_the_retriever(rows):
    judged = []
    for row in rows:
        row = sorted(row, key=lambda item: -item[0])
        candidates = [Candidate(proposed(p), p, q) for p, q, _, _ in row]
        judged.append((candidates, np.array([[loose, strict] for _, _, loose, strict in row], dtype=bool).reshape(-1, 2)))
    weight, tried = best_weight(judged)
    assert tried[weight].mean() >= tried[0.0].mean() - 1e-9
    assert tried[0.0].shape == (len(AT), 2)


def test_a_generator_that_is_right_is_trusted_and_one_that_is_wrong_is_not():
    right = [Candidate(proposed(0.6), 0.6, 0.0), Candidate(proposed(0.0), 0.0, 0.9)]
    assert best_weight([(right, np.array([[False, False], [True, True]]))])[0] > 0
    assert best_weight([(right, np.array([[True, True], [False, False]]))])[0] == 0
    assert rank(right, 0.5)[0] is right[1]
    assert rank(right, 0.0)[0] is right[0]
    assert min(WEIGHTS) == 0
    assert math.isclose(right[0].score(0.5), 0.3)
