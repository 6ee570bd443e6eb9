"""Metrics that need a trained model: embedding fidelity and conditional error, with tiny real models."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.errors import DataError
from crystalfw.plugins.metrics.conditional import Conditional
from crystalfw.plugins.metrics.fidelity import Fidelity
from tests.plugins.metrics.crystals import moved, rock_salt, sample

SALTS = [rock_salt(4.5 + 0.1 * k, ((3, 11, 19, 37)[k % 4], (9, 17, 35)[k % 3]), id=f"salt-{k}") for k in range(36)]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained")
    with (path / "salts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "size"])
        writer.writerows([crystal.id, crystal.cif(), round(4.5 + 0.1 * k, 3)] for k, crystal in enumerate(SALTS))
    common = [f"data.path={path / 'salts.csv'}", f"data.cache={path / 'cache'}", f"run_dir={path}", "fabric.accelerator=cpu"]
    assert main(["run", "smoke", *common, "sample.n=2"]) == 0
    tiny = ["model.encoder.dim=16", "model.encoder.multiplicities=[8, 4]", "model.encoder.lmax=1", "model.encoder.layers=1"]
    steps = ["fit.steps=30", "fit.batch_size=8", "fit.warmup=2", "fit.validate_every=30", "model.decoder.columns=[size]"]
    assert main(["run", "regress", *common, *tiny, *steps, "data.workers=1", "data.test=0.3"]) == 0
    return path


def test_a_moved_crystal_has_the_same_embedding(folder, context):
    samples = [sample(str(k), moved(crystal, k), reference_id=crystal.id) for k, crystal in enumerate(SALTS[:8])]
    samples.append(sample("8", status="parse", reference_id="salt-8"))
    metric = Fidelity(Fidelity.Config(model=str(folder / "smoke")))
    result = metric.compute(samples, SALTS, context)
    assert result["cosine"] == pytest.approx(1, abs=1e-5)
    assert result["rank_median"] == 1
    assert result["retrieved_first"]["of"] == 9
    assert result["embedded"] == {"samples": 8, "reference": 36}
    others = [replace(item, crystal=moved(SALTS[-1 - k], k)) for k, item in enumerate(samples[:8])]
    worse = metric.compute(others, SALTS, context)
    assert worse["cosine"] < result["cosine"]
    assert worse["rank_median"] > 1


def test_the_samples_own_string_is_exact(folder, context):
    from crystalfw.core.sample.trained import Trained

    trained = Trained.load(folder / "smoke")
    prepared = trained.conditions(None, SALTS[:3])
    strings = [encoded.string for encoded in trained.components.representation.encode(prepared)]
    samples = [
        replace(sample(str(k), crystal, reference_id=crystal.id), string=string)
        for k, (crystal, string) in enumerate(zip(SALTS, [*strings[:2], "Na"], strict=False))
    ]
    result = Fidelity(Fidelity.Config(model=str(folder / "smoke"))).compute(samples, SALTS, context)
    assert (result["exact_string"]["count"], result["exact_string"]["of"]) == (2, 3)
    assert dict(result["outcomes"]["exact_string"].items()) == {"0": 1.0, "1": 1.0, "2": 0.0}


def test_conditional_error_stands_beside_the_predictors_own(folder, context):
    own = json.loads((folder / "regress" / "metrics.json").read_text())["prediction"]["size"]["mae"]
    samples = [replace(sample(str(k), crystal), condition={"size": 4.5 + 0.1 * k}) for k, crystal in enumerate(SALTS)]
    samples.append(replace(sample("x", status="parse"), condition={"size": 5.0}))
    result = Conditional(Conditional.Config(predictor=str(folder / "regress"))).compute(samples, [], context)
    column = result["columns"]["size"]
    assert column["predictor_test_error"]["mae"] == own
    assert column["tolerance"] == own
    assert column["hit"]["of"] == 37
    pairs = result["parity"]["size"]
    assert column["mae"] == pytest.approx(np.mean(np.abs(np.subtract(pairs["target"], pairs["obtained"]))))
    assert column["mae_by_chance"] > 0
    hits = dict(result["outcomes"]["columns.size.hit"].items())
    assert (sum(hits.values()), len(hits), hits["x"]) == (column["hit"]["count"], 37, 0.0)


def test_what_is_missing_is_said(folder, context):
    with pytest.raises(DataError, match="reference_id"):
        Fidelity(Fidelity.Config(model=str(folder / "smoke"))).compute([sample("0", SALTS[0])], SALTS, context)
    with pytest.raises(DataError, match="no sample was asked"):
        Conditional(Conditional.Config()).compute([sample("0", SALTS[0])], [], context)


def test_compositions_need_no_predictor(context):
    samples = [
        replace(sample("0", rock_salt()), condition={"composition": "NaCl", "spacegroup.number": 225}),
        replace(sample("1", rock_salt()), condition={"composition": {"K": 1, "Cl": 1}, "spacegroup.number": 221}),
        replace(sample("2", status="parse"), condition={"composition": "NaCl", "spacegroup.number": 225}),
    ]
    result = Conditional(Conditional.Config()).compute(samples, [], context)
    assert dict(result["outcomes"]["columns.composition.hit"].items()) == {"0": 1.0, "1": 0.0, "2": 0.0}
    columns = result["columns"]
    assert (columns["composition"]["hit"]["count"], columns["composition"]["hit"]["of"]) == (1, 3)
    assert (columns["space_group"]["hit"]["count"], columns["space_group"]["hit"]["of"]) == (1, 3)
