"""The contract's defaults, and the sentences for what it no longer takes by chance."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from crystalfw import slices
from crystalfw.core.data.executor import window
from crystalfw.core.errors import PluginError
from crystalfw.core.interfaces import Decoder, NoOptions, PropertyDecoder, Transform
from crystalfw.core.recipe.options import construct
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.plugins.decoders.gpt import GPT
from crystalfw.plugins.decoders.regressor import Regressor
from crystalfw.plugins.representations.slices.slices import Slices
from tests.core.testing.test_other_laws import Letters


class Plain(Decoder):
    def loss(self, batch, memory, ports):
        raise NotImplementedError


class Stacked(Plain):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])


def test_a_decoder_that_predicts_is_a_property_decoder():
    with pytest.raises(PluginError, match=r"class Guess has a method `predict`.*subclass crystalfw\.core\.PropertyDecoder"):
        type("Guess", (Plain,), {"predict": lambda self, memory: {}})
    assert issubclass(Regressor, PropertyDecoder)
    assert not issubclass(GPT, PropertyDecoder)


def test_blocks_are_empty_or_those_assigned():
    assert list(Plain().blocks) == []
    assert len(list(Stacked().blocks)) == 1
    assert list(Stacked().state_dict()) == ["blocks.0.weight", "blocks.0.bias"]


def test_config_is_kept_by_core_where_the_class_does_not():
    class Keep(Transform):
        def __init__(self, config):
            pass

        def __call__(self, crystal, rng):
            return crystal

    options = NoOptions()
    assert construct(Keep, options).config is options
    assert Keep(options).config == NoOptions()


def test_a_representation_without_fitted_parts_says_so():
    with pytest.raises(PluginError, match="Letters has no parts that are fitted"):
        Letters.fit([], [], Path(), steps=1, seed=0, data=[], say=print)


def test_the_key_of_slices_is_the_plain_string_or_empty():
    metric = Slices(Slices.Config(dialect="metric", max_atoms=8))
    for crystal in small_crystals():
        assert metric.key(crystal) == slices.key(crystal) != ""
    assert metric.key(replace(small_crystals()[0], frac_coords=np.zeros((2, 3)))) == ""
    assert Letters(None).key(small_crystals()[0]) == ""


def test_the_width_of_an_executor_is_used_where_it_has_one():
    class Wide(ThreadPoolExecutor):
        width = 25

    with ThreadPoolExecutor(1) as narrow, Wide(1) as wide:
        assert (window(narrow, 1), window(wide, 1)) == (4, 100)
