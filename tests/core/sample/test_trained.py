"""Trained in Python: its line, what goes in, what comes out."""

from __future__ import annotations

import numpy as np
import pytest

import crystalfw
from crystalfw.core.errors import ConditionError, DataError, RecipeError
from crystalfw.core.model.assembly import build_components, build_generator
from crystalfw.core.recipe import load_recipe
from crystalfw.core.sample.trained import Trained


def untrained(*overrides: str) -> Trained:
    recipe = load_recipe("smoke", ["sample.max_length=12", *overrides])
    components = build_components(recipe)
    return Trained(recipe, components, build_generator(recipe, components.representation))


@pytest.fixture(scope="module")
def model() -> Trained:
    return untrained()


def test_one_line(model):
    assert repr(model).startswith("Trained(smoke: equivariant > cross_attention > cross_attention_gpt, ")
    assert repr(model).endswith(" parameters, generates crystals)")


def test_like_takes_one_crystal_of_any_kind_and_failed_ones_are_returned(model, rock_salt, tmp_path):
    path = rock_salt.write(tmp_path / "salt.cif")
    found = [model.sample(3, like=like, failed=True) for like in (rock_salt, [rock_salt], rock_salt.structure, str(path))]
    assert [sample.id for sample in found[0]] == [sample.id for sample in found[1]]
    assert all(len(outcomes) == 3 for outcomes in found)
    for sample in found[0]:
        assert sample.id
        assert sample.condition
        assert (sample.crystal is None) == (sample.status != "ok")
        assert bool(sample.reason) or sample.status == "ok"
    made = [sample.id for sample in found[0] if sample.crystal is not None]
    assert [crystal.id for crystal in model.sample(3, like=rock_salt)] == made
    with pytest.raises(DataError, match="dict is no crystal"):
        model.sample(1, like=[{}])


def test_embed(model, rock_salt):
    one = model.embed(rock_salt)
    assert one.shape == (1, model.generator.encoder.dim)
    three = model.embed([rock_salt, rock_salt.structure, rock_salt], batch_size=2)
    np.testing.assert_allclose(three, np.repeat(one, 3, axis=0), rtol=1e-4, atol=1e-5)
    assert model.embed([]).shape == (0, model.generator.encoder.dim)
    assert np.array_equal(crystalfw.embed(model, rock_salt), one)


def test_embed_and_predict_say_what_the_model_is_not_for(model, rock_salt):
    unconditional = untrained("model.encoder=none", "model.conditioning=none", "model.decoder=gpt")
    with pytest.raises(ConditionError, match="no encoder to embed"):
        unconditional.embed(rock_salt)
    with pytest.raises(ConditionError, match="this model generates crystals"):
        model.predict(rock_salt)


def test_train_checks_every_override_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as error:
        crystalfw.train("smoke", fit={"stepz": 1}, sample={"n": "many"})
    assert "stepz" in str(error.value)
    assert "sample.n" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_encode_and_decode(rock_salt):
    good, bad = crystalfw.decode([crystalfw.encode(rock_salt)[0].string, "no string"])
    assert good.crystal is not None
    assert good.crystal.formula == "NaCl"
    assert bad.reason
    assert crystalfw.slices.encode(rock_salt.structure) == crystalfw.encode([rock_salt])[0].string
    with pytest.raises(DataError, match="one crystal is needed here, not several"):
        crystalfw.slices.encode([rock_salt, rock_salt])


def test_nothing_asked_of_a_model_whose_conditions_are_optional():
    members = "model.encoder={name: concat, dropout: 0.5, dim: 16, encoders: [composition, space_group]}"
    optional = untrained(members, "model.decoder.n_layers=1", "model.decoder.dim=32")
    assert len(optional.sample(4, failed=True, max_length=40)) == 4
    asked = optional.sample(2, condition={"space_group": 225}, failed=True, max_length=40)
    assert [sample.condition for sample in asked] == [{"spacegroup.number": 225.0}] * 2
    with pytest.raises(ConditionError, match="not trained for the condition 'band_gap'"):
        optional.sample(1, condition={"band_gap": 1.0})
    with pytest.raises(ConditionError, match="composition"):
        untrained("model.encoder=composition").sample(1)
