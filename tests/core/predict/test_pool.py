"""The pool: what one proposer says twice adds up, what two say counts once, and others may fill it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Proposal, Question
from crystalfw.core.library import Library
from crystalfw.core.predict.pool import gather
from crystalfw.core.predict.predictor import Predictor
from crystalfw.core.recipe.options import create
from crystalfw.core.testing.crystals import rotated, rotation, supercell
from crystalfw.core.testing.retriever_laws import small_library

SALT = Question((11, 17), (1, 1))


def crystal(kind: str) -> Crystal:
    lattice = 4.1 * np.eye(3) if kind == "CsCl" else 2.8 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice=lattice, frac_coords=np.array([[0.0] * 3, [0.5] * 3]), numbers=np.array([11, 17]))


class Says:
    """A proposer with fixed answers."""

    def __init__(self, name: str, *answers: tuple[Crystal, float]) -> None:
        self.answers = [Proposal(made, share, "", name, 225, 1) for made, share in answers]

    def propose(self, question, n):
        return self.answers[:n]


def test_duplicates_of_one_proposer_add_up():
    twice = supercell(rotated(crystal("NaCl"), rotation(3)), (1, 2, 1))
    found = gather([Says("a", (crystal("NaCl"), 0.4), (crystal("CsCl"), 0.3), (twice, 0.2))], SALT, 10)
    assert [p.probability for p in found] == pytest.approx([0.6, 0.3])


def test_what_two_proposers_say_counts_once_and_the_first_stays():
    found = gather([Says("a", (crystal("NaCl"), 0.4)), Says("b", (crystal("NaCl"), 0.7), (crystal("CsCl"), 0.1))], SALT, 10)
    assert [(p.source, p.probability) for p in found] == [("a", 0.7), ("b", 0.1)]


def test_other_volumes_are_the_same_crystal():
    larger = replace(crystal("NaCl"), lattice=1.2 * crystal("NaCl").lattice)
    assert len(gather([Says("a", (crystal("NaCl"), 0.4), (larger, 0.2))], SALT, 10)) == 1


def test_two_orders_of_the_same_sites_are_two_candidates():
    sites = np.array([[0, 0, k / 4] for k in range(4)])
    ordered = [
        Crystal(lattice=np.diag([3.0, 3.0, 12.0]), frac_coords=sites, numbers=np.array(numbers))
        for numbers in ([11, 17, 11, 17], [11, 11, 17, 17])
    ]
    assert len(gather([Says("a", (ordered[0], 0.4), (ordered[1], 0.2))], SALT, 10)) == 2


def test_a_generator_fills_the_pool_of_a_predictor():
    library: Library = small_library()
    retriever = create("retriever", "structure_types", {"epochs": 1, "members": 1})
    retriever.fit(library, say=lambda line: None)
    mine = replace(crystal("NaCl"), frac_coords=np.array([[0.0] * 3, [0.3] * 3]))
    predictor = Predictor(library, retriever, create("ranker", "as_proposed"), [Says("mine", (mine, 0.9))])
    found = predictor.answer(SALT, 5)
    assert "model mine" in [proposal.origin for proposal in found]
    assert len(found) > 1
    assert all(proposal.why for proposal in found)
