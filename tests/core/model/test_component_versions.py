"""A component newer than the checkpoint upgrades its own options and weights; one that is older is named."""

import copy
from pathlib import Path

import pytest
import torch

from crystalfw.core.errors import CheckpointError
from crystalfw.core.model import checkpoint
from crystalfw.core.model.checkpoint_upgrades import upgrade_1_to_2
from crystalfw.core.model.component_versions import (
    component_versions,
    document_of,
    require_installed_versions,
    to_installed_versions,
)
from crystalfw.core.recipe import load_recipe
from crystalfw.core.sample.trained import Trained
from crystalfw.plugins.decoders.cross_attention_gpt import CrossAttentionGPT
from crystalfw.plugins.transforms.standardize import Standardize

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoint_1.pt"


@pytest.fixture
def old(tmp_path):
    """A checkpoint of the decoder's version 1, when its width was called `width` and its table of tokens `words`."""
    payload = checkpoint.load(GOLDEN)
    payload["model"]["decoder.words"] = payload["model"].pop("decoder.token.weight")
    payload["recipe"] = payload["recipe"].replace("    dim: 8\n    mlp_ratio", "    width: 8\n    mlp_ratio")
    assert "width: 8" in payload["recipe"]
    checkpoint.save(tmp_path / "old.pt", payload)
    return tmp_path / "old.pt"


@pytest.fixture
def renamed(monkeypatch):
    """Version 2 of the decoder, which knows what version 1 saved."""

    def upgrade(cls, version, options, state):
        assert version == "1"
        assert "name" not in options
        options["dim"] = options.pop("width")
        return options, {"token.weight": state.pop("words"), **state}

    monkeypatch.setattr(CrossAttentionGPT, "version", "2")
    monkeypatch.setattr(CrossAttentionGPT, "upgrade", classmethod(upgrade))


def test_options_and_weights_of_an_older_component_are_upgraded(old, renamed):
    trained = Trained.load(old)
    assert trained.recipe.model.decoder.options["dim"] == 8
    before = checkpoint.load(GOLDEN)["model"]["decoder.token.weight"]
    assert torch.equal(trained.generator.decoder.token.weight, before)


def test_without_an_upgrade_the_recipe_says_what_does_not_fit(old):
    with pytest.raises(CheckpointError, match="width"):
        Trained.load(old)


def test_the_payload_is_not_changed(old, renamed):
    payload = checkpoint.load(old)
    recipe, components, names = payload["recipe"], copy.deepcopy(payload["components"]), set(payload["model"])
    assert "decoder.words" not in to_installed_versions(payload, old)["model"]
    assert (payload["recipe"], payload["components"], set(payload["model"])) == (recipe, components, names)


def test_a_component_without_weights_upgrades_its_options(monkeypatch):
    def upgrade(cls, version, options, state):
        assert state == {}
        return {**options, "symprec": 0.5}, state

    monkeypatch.setattr(Standardize, "version", "1.1")
    monkeypatch.setattr(Standardize, "upgrade", classmethod(upgrade))
    found = document_of(to_installed_versions(checkpoint.load(GOLDEN), GOLDEN))["transforms"]
    assert found[0] == {"name": "standardize", "cell": "niggli", "primitive": True, "symprec": 0.5}
    assert found[1] == {"name": "normalize_positions"}


def test_a_newer_component_is_named_with_the_remedy():
    payload = checkpoint.load(GOLDEN)
    payload["components"]["model.encoder"]["version"] = "10"
    with pytest.raises(
        CheckpointError, match=r"version 10 of encoder 'equivariant'; crystalfw .* has version 1\. Install a newer"
    ):
        to_installed_versions(payload, GOLDEN)


def test_training_continues_only_with_the_versions_that_began_it(monkeypatch):
    payload = checkpoint.load(GOLDEN)
    payload["components"]["representation"]["version"] = "2"  # the golden file is older than that of slices
    require_installed_versions(payload, GOLDEN)
    monkeypatch.setattr(CrossAttentionGPT, "version", "2")
    with pytest.raises(CheckpointError, match=r"was version 1 when this training began.*model\.checkpoint"):
        require_installed_versions(payload, GOLDEN)


@pytest.mark.parametrize("stated", [None, "none", {"model.encoder": "1"}, {"model.encoder": {"name": "other", "version": "9"}}])
def test_a_strangers_list_of_components_raises_nothing_unexpected(stated):
    payload = {**checkpoint.load(GOLDEN), "components": stated}
    assert to_installed_versions(payload, GOLDEN) is payload


def test_a_version_that_is_none_is_refused():
    payload = checkpoint.load(GOLDEN)
    payload["components"]["model.encoder"]["version"] = "newest"
    with pytest.raises(CheckpointError, match="damaged"):
        to_installed_versions(payload, GOLDEN)


def test_what_is_stated_of_a_recipe():
    stated = component_versions(load_recipe("smoke"))
    assert stated["model.decoder"] == {"name": "cross_attention_gpt", "version": "1"}
    assert [place for place in stated if place.startswith("transforms")] == ["transforms.0", "transforms.1"]


def test_the_upgrade_of_format_1_is_pure_and_fills_in_what_was_not_counted():
    payload = {"recipe": "model:\n  encoder:\n    name: none\n", "state": {"step": 3, "pending": [[1.0, 2.0, 3.0, 4.0, 5.0]]}}
    before = copy.deepcopy(payload)
    upgraded = upgrade_1_to_2(payload)
    assert payload == before
    assert upgraded["components"] == {"model.encoder": {"name": "none", "version": "1"}}
    assert upgraded["state"] == {"step": 3, "pending": [[1.0, 2.0, 3.0, 4.0, 5.0, 0.0]]}
