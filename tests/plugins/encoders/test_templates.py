"""The templates encoder: what it says of each token, what it pools, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystalfw.core import CrystalBatch, DataError
from crystalfw.core.data.retrieved import Told, as_templates
from crystalfw.core.recipe.options import create
from crystalfw.core.retrieval.lookup import numbers_only

SALT = [Told([1, 50, 60, 2], -0.1), Told([1, 60, 50, 50, 2], -3.0)]


def encoder(**options):
    torch.manual_seed(0)
    return create("encoder", "templates", {"dim": 16, "vocabulary": 80, **options}).eval()


def batch(*rows):
    crystals = CrystalBatch.from_crystals([numbers_only(np.array([11, 17]))] * len(rows))
    return replace(crystals, templates=as_templates(rows))


def test_the_memory_spells_the_strings_behind_one_token_of_its_own():
    memory = encoder()(batch(SALT, []))
    assert memory.ids.tolist() == [[-1, 1, 50, 60, 2, 1, 60, 50, 50, 2], [-1] * 10]
    assert memory.mask.tolist() == [[True] * 10, [True] + [False] * 9]
    assert torch.equal(memory.pooled[1], memory.tokens[1, 0])


def test_rank_probability_place_and_the_token_before_are_part_of_a_token():
    module = encoder(templates=2)
    found = batch([SALT[1], SALT[1]])
    tokens = module(found).tokens[0]
    assert not torch.allclose(tokens[1], tokens[6], atol=1e-4)  # the same token of the next rank
    assert not torch.allclose(tokens[3], tokens[4], atol=1e-4)  # 50 after 60, and 50 after 50
    likelier = batch([Told(SALT[1].ids, -0.5), SALT[1]])
    assert not torch.allclose(module(likelier).tokens[0, 1], tokens[1], atol=1e-4)


def test_the_pooled_vector_trusts_probable_strings():
    module = encoder()
    alone = module(batch([Told(SALT[0].ids, 0.0)])).pooled
    sure = module(batch([Told(SALT[0].ids, 0.0), Told(SALT[1].ids, -30.0)])).pooled
    unsure = module(batch([Told(SALT[0].ids, -0.7), Told(SALT[1].ids, -0.7)])).pooled
    assert torch.allclose(sure, alone, atol=1e-5)
    assert not torch.allclose(unsure, alone, atol=1e-2)


def test_concat_says_the_ids_of_its_members_at_their_places():
    module = create("encoder", "concat", {"dim": 16, "encoders": ["composition", {"name": "templates", "vocabulary": 80}]})
    assert module.templates == 3
    memory = module(batch(SALT))
    assert memory.ids.tolist() == [[-1, -1, -1, 1, 50, 60, 2, 1, 60, 50, 50, 2]]


def test_sentences_for_what_it_cannot_read():
    with pytest.raises(DataError, match="raise its option vocabulary"):
        encoder()(batch([Told([1, 90, 2], -1.0)]))
    with pytest.raises(DataError, match="no templates"):
        encoder()(CrystalBatch.from_crystals([numbers_only(np.array([11]))]))
