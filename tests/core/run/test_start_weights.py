"""Training from another model's weights: all of them, one part, or whatever fits, with a list of what is new."""

import csv

import pytest
import torch

from crystalfw.core.errors import CheckpointError
from crystalfw.core.model import checkpoint
from crystalfw.core.model.assembly import build_components, build_generator
from crystalfw.core.model.component_versions import component_versions
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.run.start_weights import start_weights, write_starts

SMALL = ["model.decoder.n_layers=1", "model.decoder.dim=16", "model.decoder.n_heads=2", "data.max_atoms=12"]
OWN = ["model.encoder={name: properties, columns: [my_prop], dim: 8}"]


def made(name, *overrides):
    recipe = load_recipe(name, [*SMALL, *overrides])
    components = build_components(recipe)
    return recipe, components, build_generator(recipe, components.representation)


def saved(folder, name, *overrides):
    recipe, _, generator = made(name, *overrides)
    payload = {"recipe": expand(recipe), "model": generator.state_dict(), "components": component_versions(recipe)}
    checkpoint.save(folder / f"{name}.pt", payload)
    return folder / f"{name}.pt", generator


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("run"), "unconditional")


def test_an_own_property_on_top_of_an_unconditional_model(unconditional, tmp_path):
    """The reproduction of a user: pre-train without a condition, fine-tune with a column of one's own table."""
    path, before = unconditional
    recipe, components, generator = made("finetune", *OWN, f"model.checkpoint={path}")
    encoder = {name: value.clone() for name, value in generator.encoder.state_dict().items()}
    said = []
    starts = start_weights(recipe, components, generator, said.append)
    for name, value in before.decoder.state_dict().items():
        torch.testing.assert_close(generator.decoder.state_dict()[name], value)
    for name, value in encoder.items():
        torch.testing.assert_close(generator.encoder.state_dict()[name], value)
    assert any(line.startswith("decoder: ") and str(path) in line for line in said)
    assert "encoder: new (encoder is properties here, none there)" in said
    write_starts(starts, tmp_path)
    rows = list(csv.DictReader((tmp_path / "start_weights.csv").read_text().splitlines()))
    assert {row["tensor"] for row in rows} == set(generator.state_dict())
    assert {bool(row["from"]) for row in rows if row["tensor"].startswith("decoder.")} == {True}
    assert all(bool(row["from"]) != bool(row["new_because"]) for row in rows)


def test_weights_that_do_not_fit_are_a_sentence_not_a_dump(unconditional):
    path, _ = unconditional
    recipe, components, generator = made("finetune", *OWN, f"model.checkpoint={path}", "model.load=exact")
    with pytest.raises(CheckpointError) as caught:
        start_weights(recipe, components, generator, print)
    text = str(caught.value)
    assert "model.encoder.name is properties here, none there" in text
    assert "model.load=fitting" in text
    assert len(text) < 600


def test_another_width_is_named(unconditional):
    path, _ = unconditional
    recipe, components, generator = made("unconditional", "model.decoder.dim=32", f"model.checkpoint={path}")
    with pytest.raises(CheckpointError, match=r"decoder\.dim is 32 here, 16 there"):
        start_weights(recipe, components, generator, print)


def test_nothing_fits(unconditional):
    path, _ = unconditional
    wide = ["model.decoder.dim=32", "model.decoder.n_layers=1", *OWN]
    recipe, components, generator = made("finetune", *wide, f"model.checkpoint={path}", "model.decoder.max_length=77")
    fits = [name for name, value in generator.state_dict().items() if name in unconditional[1].state_dict()
            and unconditional[1].state_dict()[name].shape == value.shape and name.startswith("decoder")]  # fmt: skip
    if fits:  # a bias or two may have the same shape: then those are loaded and listed
        assert {s.tensor for s in start_weights(recipe, components, generator, print) if s.origin} == set(fits)
    else:
        with pytest.raises(CheckpointError, match="none of its weights fits"):
            start_weights(recipe, components, generator, print)


def test_columns_of_another_meaning_are_never_loaded(tmp_path):
    """Two columns of the same number fit in shape; their statistics and weights mean something else."""
    path, _ = saved(tmp_path, "finetune", "model.encoder={name: properties, columns: [band_gap], dim: 8}")
    recipe, components, generator = made("finetune", *OWN, f"model.checkpoint={path}")
    encoder = {name: value.clone() for name, value in generator.encoder.state_dict().items()}
    starts = start_weights(recipe, components, generator, print)
    reasons = {start.reason for start in starts if start.tensor.startswith("encoder.")}
    assert reasons == {"columns are my_prop here, band_gap there"}
    for name, value in encoder.items():
        torch.testing.assert_close(generator.encoder.state_dict()[name], value)
    assert all(start.origin for start in starts if start.tensor.startswith(("decoder.", "conditioning.")))


@pytest.mark.parametrize("part", ["encoder", "conditioning", "decoder"])
def test_one_part_alone(part, tmp_path):
    path, before = saved(tmp_path, "finetune", *OWN, "model.checkpoint=null")
    recipe, components, generator = made("finetune", *OWN, f"model.{part}_checkpoint={path}", "model.checkpoint=null")
    untouched = {name: value.clone() for name, value in generator.state_dict().items()}
    with torch.no_grad():
        for weights in before.state_dict().values():
            weights.add_(1.0)  # nothing of the file may be shared with the model in memory
    starts = start_weights(recipe, components, generator, print)
    assert {start.tensor.split(".")[0] for start in starts} <= {part, "null_C"}
    stored = checkpoint.load(path)["model"]
    for name, value in generator.state_dict().items():
        mine = name.startswith(f"{part}.") or (part == "encoder" and name == "null_C")
        torch.testing.assert_close(value, stored[name] if mine else untouched[name])
