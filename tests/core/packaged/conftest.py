"""A small trained run, and a delivered model made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystalfw.core.discovery import registry
from crystalfw.core.recipe import load_recipe
from crystalfw.core.registry import Origin
from crystalfw.core.run.export import export_model
from crystalfw.core.run.run import run_recipe

SMALL = (
    "data.max_crystals=64",
    "model.encoder={name: equivariant, dim: 16, multiplicities: [8, 4], lmax: 1, layers: 1, cutoff: 3.5}",
    "model.decoder={name: regressor, columns: [volume_per_atom, electronegativity_difference], hidden: 16, spread: true}",
    "fit.steps=30", "fit.batch_size=16", "fit.warmup=3", "fit.validate_every=10", "fit.checkpoint_every=10", "data.workers=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def predictor_run(tmp_path_factory) -> Path:
    """The folder of a run that predicts two columns of the embedded crystals."""
    folder = tmp_path_factory.mktemp("predictor")
    places = [f"run_dir={folder}/runs", f"data.cache={folder}/cache", "fabric.precision=32-true"]
    recipe = load_recipe("regress", [*SMALL, *places])
    run_dir = run_recipe(recipe, say=lambda _: None)
    assert run_dir is not None
    return run_dir


@pytest.fixture
def delivered(predictor_run, tmp_path, monkeypatch) -> Path:
    """The folder of a model called `small`, delivered by an installed package `small_models`."""
    folder = tmp_path / "site" / "small_models" / "small"
    export_model(predictor_run, folder, name="small", stated={"answers": "volume per atom"})
    (folder.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    known = registry()
    before = known.snapshot()
    known.registering(Origin("small-models", "1.2"))
    known.add_model("small", "small_models:small")
    yield folder
    known.restore(before)
