"""Orderings of parents: how many there are is known, and a ratio that no entry has gets its answer from a relative."""

from __future__ import annotations

import numpy as np
import pytest

from crystalfw.core.interfaces import Question
from crystalfw.core.library.entry import slots_of
from crystalfw.core.recipe.options import create
from crystalfw.core.testing.retriever_laws import small_library
from crystalfw.plugins.retrievers.orderings import orderings, supercells

PRIMITIVE = 2.0 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])


@pytest.mark.parametrize(("size", "number"), [(1, 1), (2, 7), (3, 13), (4, 35)])
def test_supercells_are_as_many_as_sublattices(size, number):
    assert len(list(supercells(size))) == number  # the sum of squares of divisors' sums, OEIS A001001


def test_a_face_centred_lattice_of_two_kinds_has_two_orderings_in_two_cells():
    found = orderings(PRIMITIVE, np.zeros((1, 3)), np.array([0]), 0.5, 2)
    shapes = {round(float(np.linalg.det(one.lattice)), 6) for one in found}
    assert shapes == {2 * round(float(np.linalg.det(PRIMITIVE)), 6)}
    assert {one.first.sum() for one in found} == {1}
    assert len(found) == 7  # L1_0 in three directions, L1_1 in four


def test_equivalent_choices_are_one_ordering():
    cube = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    found = orderings(4.0 * np.eye(3), cube, np.arange(4), 0.25, 1)
    assert [one.equivalents for one in found] == [4]
    found = orderings(4.0 * np.eye(3), cube, np.arange(4), 0.5, 1)
    assert [one.equivalents for one in found] == [6]


@pytest.fixture(scope="module")
def retriever():
    made = create("retriever", "structure_types", {"epochs": 2, "members": 2})
    made.fit(small_library(), say=lambda line: None)
    return made


def test_an_unknown_ratio_is_answered_by_an_ordered_parent(retriever):
    question = Question((3, 11, 9), (1, 1, 2), units=(1,))
    found = retriever.propose(question, 10)
    assert found
    for proposal in found:
        assert slots_of(proposal.crystal.numbers) == ((3, 11, 9), (1, 1, 2), 1)
        assert proposal.evidence["relative"] == 1
    assert sum(proposal.probability for proposal in found) == pytest.approx(1, abs=1e-3)


def test_without_relatives_there_is_no_answer():
    made = create("retriever", "structure_types", {"epochs": 1, "members": 1, "relatives": False})
    made.fit(small_library(), say=lambda line: None)
    assert made.propose(Question((3, 11, 9), (1, 1, 2)), 10) == []
