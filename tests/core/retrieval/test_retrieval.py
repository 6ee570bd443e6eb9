"""Retrieval for a data set: once, resumable, never from the crystal's own formula; batches and checkpoints carry it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystalfw.core.data import Loader
from crystalfw.core.data.retrieved import Told, as_templates, assemble, open_retrieved, pack
from crystalfw.core.errors import CheckpointError, DataError
from crystalfw.core.interfaces import Question
from crystalfw.core.predict.joint import Joint
from crystalfw.core.recipe import load_recipe
from crystalfw.core.run.run import run_recipe
from crystalfw.core.run.setup import assemble as assemble_run
from crystalfw.core.run.setup import launch
from crystalfw.core.sample.trained import Trained

SMALL = [
    "data.max_crystals=60", "data.workers=1", "data.max_atoms=8",
    "fit.steps=4", "fit.warmup=0", "fit.validate_every=2", "fit.batch_size=8",
    "fit.checkpoint_every=2", "fit.validation_batches=1", "model.decoder.dim=16", "model.decoder.n_layers=1", "sample.n=3",
    "model.decoder.n_heads=2", "model.conditioning.n_heads=2", "evaluate.metrics=[shares]", "fabric.accelerator=cpu",
    "retrieval.retriever={name: structure_types, members: 1, epochs: 1}", "retrieval.tune=3", "fabric.precision=32-true",
]  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    found = load_recipe("templates", [*SMALL, f"data.cache={folder / 'cache'}", f"run_dir={folder / 'runs'}"])
    return replace(found, data=replace(found.data, path=None))


@pytest.fixture(scope="module")
def run_dir(recipe):
    return run_recipe(recipe, say=lambda line: None)


def set_up(recipe):
    fabric, launched = launch(recipe, lambda line: None)
    return assemble_run(fabric, launched, lambda line: None)


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [[Told([1, 5, 2], -0.25), Told([1, 6, 7, 2], -2.0)], [], [Told([1, 9, 2], -0.5)]]
    for name, part in (("a", rows[:2]), ("b", rows[2:])):
        np.savez(tmp_path / f"{name}.npz", **pack(part))
    assemble([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "all")
    found = open_retrieved(tmp_path / "all")
    assert [found[k] for k in range(3)] == rows
    batch = found.batch(np.array([2, 0]))
    assert batch.ids.tolist() == [[1, 9, 2, -1, -1, -1, -1], [1, 5, 2, 1, 6, 7, 2]]
    assert batch.position[1].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert batch.rank[1].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert as_templates([[], []]).ids.shape == (2, 0)
    (tmp_path / "all" / "tokens.bin").write_bytes(b"damaged")
    assert open_retrieved(tmp_path / "all") is None


def test_no_string_comes_from_the_crystals_own_formula(recipe, run_dir):
    """Shown the other way round: with its own formula allowed, a known crystal finds itself."""
    setup = set_up(recipe)
    split = setup.dataset.splits["train"]
    lookup = Trained.load(run_dir).lookup
    itself = own = 0
    for k in range(len(split)):
        truth = split.ids(k).tolist()
        stored = [told.ids for told in split.retrieved[k]]
        assert stored == [told.ids for told in lookup.strings(split[k], exclude_own=True)]
        itself += truth in [told.ids for told in lookup.strings(split[k])]
        own += truth in stored
    assert itself > 0.9 * len(split) > own


def test_batches_hold_the_templates_and_it_is_done_once(recipe, run_dir, monkeypatch):
    from crystalfw.core.retrieval import prepare

    monkeypatch.setattr(prepare, "fit_retriever", lambda *args: pytest.fail("fitted again"))
    setup = set_up(recipe)
    batch = next(Loader(setup.dataset.splits["train"], setup.loader_options).batches(0))
    assert batch.crystals.templates.ids.shape[0] == batch.crystals.size
    assert bool(batch.crystals.templates.mask.any())
    memory = setup.generator.memory(batch.crystals)
    told = memory.ids >= 0
    assert int(told.sum()) == int(batch.crystals.templates.mask.sum())
    setup.generator(batch, torch.zeros(batch.crystals.size, dtype=torch.bool)).total.backward()
    assert setup.generator.decoder.copy.grade.grad.abs().sum() > 0


def test_a_run_answers_without_its_cache_and_not_without_its_library(recipe, run_dir, tmp_path):
    import shutil

    moved = tmp_path / "elsewhere"
    shutil.copytree(run_dir, moved)
    crystals = Trained.load(moved).sample(
        4, condition={"composition": "NaCl"}, constraints={"composition": "NaCl"}, failed=True
    )
    assert len(crystals) == 4
    joint = Joint.load(moved, draws=2)
    assert joint.weight == json.loads((moved / "retrieval" / "joint.json").read_text())["weight"]
    found = joint.answer(Question((11, 17), (1, 1), (1,)), 5)
    assert {one.crystal.formula for one in found} == {"NaCl"}
    weights = moved / "retrieval" / "retriever.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match="checksum is wrong"):
        Trained.load(moved)
    weights.write_bytes(whole)
    (moved / "retrieval" / "retriever.json").write_text("{}")
    with pytest.raises(DataError, match=r"damaged; train the model again"):
        Trained.load(moved)
    shutil.rmtree(moved / "retrieval")
    with pytest.raises(CheckpointError, match="move whole run folders"):
        Trained.load(moved)
