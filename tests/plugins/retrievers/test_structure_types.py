"""The retriever: its own formula is never its answer in training, order does not matter, the same question the same answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.matcher import matcher
from crystalfw.core.interfaces import Question, Retriever
from crystalfw.core.library import Library
from crystalfw.core.library.entry import describe
from crystalfw.core.predict.question import question_of
from crystalfw.core.recipe.options import create
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.plugins.retrievers.element_metric import ElementMetric
from crystalfw.plugins.retrievers.families import Families, Family, exchanges_of

SALTS = [(3, 9), (3, 17), (11, 9), (11, 17), (11, 35), (19, 9), (19, 17), (19, 35)]
HEAVY = [(55, 17), (55, 35), (55, 53), (81, 17), (81, 35)]


def binary(pair: tuple[int, int], kind: str) -> Crystal:
    cubic = kind == "CsCl"
    lattice = 4.1 * np.eye(3) if cubic else 2.8 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice=lattice, frac_coords=np.array([[0.0] * 3, [0.5] * 3]), numbers=np.array(pair), id=f"{kind}-{pair}")


@pytest.fixture(scope="module")
def library() -> Library:
    """Light alkali halides as rock salt, heavy ones as caesium chloride; one perovskite."""
    crystals = [binary(pair, "NaCl") for pair in SALTS] + [binary(pair, "CsCl") for pair in HEAVY]
    return Library.of([describe(crystal) for crystal in [*crystals, small_crystals()[2]]])


@pytest.fixture(scope="module")
def retriever(library) -> Retriever:
    made: Retriever = create("retriever", "structure_types", {"epochs": 20, "members": 2})
    made.fit(library, say=lambda line: None)
    return made


def test_exchanges_keep_the_counts():
    assert exchanges_of((1, 1, 3)).tolist() == [[0, 1, 2], [1, 0, 2]]
    assert len(exchanges_of((1, 1, 1, 1))) == 24


def test_a_type_does_not_depend_on_the_elements(library):
    family = Families(library)[(1, 1)]
    assert len(family.units) == 2
    assert {int(t) for t in family.types[: len(SALTS)].ravel()} == {0}


@pytest.mark.parametrize(("formula", "kind"), [("LiBr", "NaCl"), ("TlI", "CsCl")])
def test_learns_which_elements_take_which_type(retriever, formula, kind):
    found = retriever.propose(question_of(formula), 5)
    assert found[0].template.startswith(kind)
    assert found[0].probability > 0.5
    assert sum(proposal.probability for proposal in found) == pytest.approx(1, abs=1e-3)


def test_a_known_formula_is_answered_by_itself_unless_it_is_left_out(retriever):
    question = question_of("NaCl")
    assert retriever.propose(question, 1)[0].template == "NaCl-(11, 17)"
    others = retriever.propose(replace(question, exclude_own=True), 5)
    assert others
    assert all(proposal.template != "NaCl-(11, 17)" for proposal in others)


def test_the_crystal_has_the_elements_asked_for_and_the_type(retriever):
    proposal = retriever.propose(question_of("LiBr"), 1)[0]
    assert proposal.crystal.formula == "LiBr"
    assert matcher("strict").fit(proposal.crystal.structure, binary((3, 35), "NaCl").structure)


def test_order_of_elements_does_not_matter_and_answers_repeat(retriever):
    first, second = (retriever.propose(question_of(text), 5) for text in ("RbCl", "ClRb"))
    assert [(p.probability, p.template) for p in first] == [(p.probability, p.template) for p in second]
    np.testing.assert_array_equal(first[0].crystal.lattice, second[0].crystal.lattice)


def test_units_restrict_the_cell(retriever):
    assert retriever.propose(question_of("NaCl", atoms=2), 5)
    assert retriever.propose(question_of("NaCl", atoms=8), 5) == []


def test_no_type_no_answer(retriever):
    assert retriever.propose(Question((8, 22), (7, 9)), 5) == []


def test_the_same_seed_gives_the_same_weights(library, retriever):
    again: Retriever = create("retriever", "structure_types", {"epochs": 20, "members": 2})
    again.fit(library, say=lambda line: None)
    for name, value in retriever.state_dict().items():
        assert value.equal(again.state_dict()[name]), name


def test_a_formula_left_out_is_answered_by_a_metric_that_never_asked_for_it(retriever, library):
    question = question_of("NaCl")
    share = retriever._share(question.elements, question.counts)
    assert not retriever._asked(share)(question.counts, np.array([question.elements]))[0]
    assert retriever._asked(1 - share)(question.counts, np.array([question.elements]))[0]
    assert retriever._metrics(replace(question, exclude_own=True)) == [retriever.metrics[share]]


def test_a_type_that_no_other_formula_has_is_never_found(retriever, library):
    wanted = next(entry for entry in library if entry.counts == (1, 1, 3))
    question = Question(wanted.elements, wanted.counts, exclude_own=True)
    assert retriever.propose(question, 20) == []


@pytest.mark.parametrize("counts", [(1, 2, 4), (1, 1, 3), (1, 1, 1, 1)])
def test_the_cost_is_the_sum_over_slots_of_every_exchange(counts):
    rng, ways = np.random.default_rng(0), exchanges_of(counts)
    known, asked = rng.integers(1, 90, (5, len(counts))), rng.integers(1, 90, (3, len(counts)))
    types = np.zeros((5, len(ways)), dtype=np.int64)
    family = Family(counts, np.arange(5), known, ways, types, np.ones(1, dtype=np.int64))
    torch.manual_seed(0)
    metric = ElementMetric(8)
    with torch.no_grad():
        metric.log_scale[:] = torch.tensor([0.3, -0.4])
        found = metric(family, torch.from_numpy(asked)).numpy()
        (first, second), scale = metric.distances().numpy(), 3 * metric.log_scale.exp().numpy()
    for q, m, x in np.ndindex(found.shape):
        old, new = known[m], asked[q][ways[x]]
        cost = scale[0] * (family.share * first[old, new]).sum() + scale[1] * second[old, new].mean()
        assert found[q, m, x] == pytest.approx(-cost, rel=1e-4)
