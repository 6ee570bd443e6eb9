"""Pre-training: what is hidden, that it can be restored, and that the encoder moves into other models."""

import numpy as np
import pytest
import torch

from crystalfw.core.batch import CrystalBatch, TrainBatch, edge_vectors
from crystalfw.core.commands.cli import main
from crystalfw.core.errors import PluginError
from crystalfw.core.model import checkpoint
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.plugins.decoders.denoiser import UNKNOWN, Denoiser

ENCODER = "{name: equivariant, dim: 16, lmax: 1, multiplicities: [8, 4], layers: 1, n_radial: 4, radial_hidden: 8, cutoff: 4.0}"


def make(**options):
    return Denoiser(Denoiser.Config(**options), encoder_dim=16)


def batch_of(crystals, index=None):
    batch = CrystalBatch.from_crystals(crystals, dtype=torch.float64)
    return TrainBatch(batch, None, torch.arange(len(crystals)) if index is None else index)


def test_what_is_hidden_is_kept_and_depends_on_the_crystal_only():
    many = small_crystals() * 100
    given = batch_of(many)
    seen = make(displacement=0.2, masked=0.3).eval().hide(given)
    lost = seen.hidden["lost"]
    assert torch.equal(seen.crystals.numbers == UNKNOWN, lost)
    assert torch.equal(seen.hidden["numbers"], given.crystals.numbers)
    assert torch.equal(seen.crystals.numbers[~lost], given.crystals.numbers[~lost])
    per_crystal = torch.zeros(len(many)).index_add(0, given.crystals.crystal_index, lost.float())
    assert per_crystal.min() >= 1
    moved = (seen.crystals.frac_coords - given.crystals.frac_coords)[:, None] @ given.crystals.lattice[
        given.crystals.crystal_index
    ]
    assert moved.std().item() == pytest.approx(0.2, rel=0.05)
    alone = make(displacement=0.2, masked=0.3).eval().hide(batch_of(many[2:3], torch.tensor([2])))
    torch.testing.assert_close(alone.crystals.frac_coords, seen.crystals.frac_coords[3:8])


def test_in_training_the_step_decides():
    model, given = make().train(), batch_of(small_crystals())
    coords = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        coords.append(model.hide(given).crystals.frac_coords)
    assert torch.equal(coords[0], coords[1])
    assert not torch.equal(coords[0], coords[2])


def test_the_target_is_the_change_of_the_distance():
    """A decoder that says nothing has the noise itself as error; images of one atom keep their distances."""
    model = make(displacement=0.05).eval().double()
    torch.nn.init.zeros_(model.distance[-1].weight)
    torch.nn.init.zeros_(model.distance[-1].bias)
    given = batch_of(small_crystals())
    seen = model.hide(given)
    errors, crystal = model._distance_errors(
        seen.crystals, seen.hidden["frac_coords"], torch.zeros(12, 16, dtype=torch.float64)
    )
    assert (errors[crystal == 1] < 1e-8).all()  # copper: one atom
    before = edge_vectors(given.crystals, seen.crystals.edges).norm(dim=1)
    after = edge_vectors(seen.crystals, seen.crystals.edges).norm(dim=1)
    expected = ((after - before) / 0.05)[after <= 4.0] ** 2
    np.testing.assert_allclose(errors.detach().numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)


def test_mistakes_are_named(capsys):
    with pytest.raises(PluginError, match="nothing to restore"):
        Denoiser.Config(displacement=0.0, masked=0.0)
    assert main(["run", "pretrain", "model.encoder=composition", "--dry-run"]) == 2
    assert "one token per atom" in capsys.readouterr().err


def encoder_of(run, which="last"):
    weights = checkpoint.load(checkpoint.find(run, which))["model"]
    return {name: value for name, value in weights.items() if name.startswith("encoder.")}


def test_a_pretrained_encoder_is_loaded_frozen_or_fine_tuned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["data.max_crystals=64", "data.max_atoms=12", "data.workers=1", f"model.encoder={ENCODER}", f"run_dir={tmp_path}"]
    fit = ["fit.steps=80", "fit.lr=5e-3", "fit.batch_size=8", "fit.log_every=5", "fit.validate_every=40", "fit.warmup=5"]
    assert main(["run", "pretrain", *data, *fit]) == 0
    log = read_metrics(tmp_path / "pretrain" / "metrics.csv")
    assert np.mean(log["loss"][-4:]) < 0.8 * log["loss"][0]
    known = [value for value in log["val_element_accuracy"] if value == value]
    assert 0 <= known[-1] <= 1
    pretrained = encoder_of(tmp_path / "pretrain", "best")
    generator = [
        *data, "fit.steps=3", "fit.batch_size=8", "sample.n=1", "evaluate.metrics=[]", "model.decoder.dim=16",
        "model.decoder.n_layers=1", "model.encoder_checkpoint=pretrain",
    ]  # fmt: skip
    assert main(["run", "xattn", *generator, "name=frozen", "model.freeze_encoder=true"]) == 0
    assert main(["run", "xattn", *generator, "name=tuned"]) == 0
    frozen, tuned = encoder_of(tmp_path / "frozen"), encoder_of(tmp_path / "tuned")
    assert frozen.keys() == tuned.keys() == pretrained.keys()
    assert all(torch.equal(frozen[name], value) for name, value in pretrained.items())
    changed = [name for name, value in pretrained.items() if not torch.equal(tuned[name], value)]
    assert changed
    assert all(torch.allclose(tuned[name], pretrained[name], atol=0.02) for name in changed)
