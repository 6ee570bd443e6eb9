"""Fitting the decoder's parts."""

import csv

import numpy as np
import pytest
import torch

from crystalfw.core import Crystal
from crystalfw.core.errors import CheckpointError, DataError
from crystalfw.plugins.representations.slices.decoding.bond_table import fit as fit_table
from crystalfw.plugins.representations.slices.decoding.decoder import FITTED, fitted
from crystalfw.plugins.representations.slices.learning.examples import (
    BOND,
    Example,
    Style,
    composition_fold,
    observed_bonds,
    written,
)
from crystalfw.plugins.representations.slices.learning.fit import fit_codec
from crystalfw.plugins.representations.slices.learning.training import Schedule, Trainer


def rock_salt(a: float, b: int, c: int) -> Crystal:
    face = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystal(lattice=a * face, frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array([b, c]))


def cesium_chloride(a: float, b: int, c: int) -> Crystal:
    return Crystal(lattice=a * np.eye(3), frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array([b, c]))


METALS, ANIONS = (3, 11, 12, 19, 20, 37), (8, 9, 16, 17, 35)
CRYSTALS = [make(4.5 + 0.05 * z**0.5, z, x) for z in METALS for x in ANIONS for make in (rock_salt, cesium_chloride)]


def test_examples_hold_the_truth():
    example = Example.from_crystal(CRYSTALS[0])
    vector = (example.frac[example.j] + example.shifts - example.frac[example.i]) @ example.lattice
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), example.length, atol=1e-6)
    assert (example.kind == BOND).sum() == 6
    assert composition_fold(np.array([8, 8, 22])) == composition_fold(np.array([8, 22, 8, 8, 8, 22]))


def test_written_strings_say_what_their_style_says():
    example, rng = Example.from_crystal(CRYSTALS[1]), np.random.default_rng(0)
    plain = written(example, Style("plain", 1.0), rng)
    assert (plain.length < 0).all()
    metric = written(example, Style("metric", 1.0), rng)
    assert (metric.length >= 0).all()
    wrong = written(example, Style("metric", 1.0, error=10.0, wrong=1.0), rng)
    assert (wrong.length != metric.length).any()


def test_a_training_that_was_stopped_goes_the_same_way(tmp_path):
    examples = [Example.from_crystal(crystal) for crystal in CRYSTALS]
    tables = [fit_table(observed_bonds(examples))] * 5
    schedule = Schedule(steps=8, batch=6)
    whole = Trainer(schedule)
    whole.run(examples, tables, lambda *_: None)

    def stop(trainer, loss, error):
        trainer.save(tmp_path / "half.ckpt")
        if trainer.steps >= 4:
            raise KeyboardInterrupt

    half = Trainer(schedule)
    with pytest.raises(KeyboardInterrupt):
        half.run(examples, tables, stop)
    resumed = Trainer(schedule)
    resumed.load(tmp_path / "half.ckpt")
    resumed.run(examples, tables, lambda *_: None)
    for first, second in zip(whole.net.parameters(), resumed.net.parameters(), strict=True):
        torch.testing.assert_close(first, second)
    with pytest.raises(CheckpointError, match="delete it"):
        Trainer(Schedule(steps=9)).load(tmp_path / "half.ckpt")


def test_training_learns():
    examples = [Example.from_crystal(crystal) for crystal in CRYSTALS]
    tables = [fit_table(observed_bonds(examples))] * 5
    seen: list[float] = []
    trainer = Trainer(Schedule(steps=60, batch=10))
    trainer.run(examples, tables, lambda _, loss, error: seen.append(loss))
    assert np.mean(seen[-5:]) < np.mean(seen[:5]) - 0.3


def test_the_command_fits_from_a_folder(tmp_path, capsys):
    from crystalfw.core.commands import codec_fit

    data = tmp_path / "salts"
    data.mkdir()
    for part, crystals in (("train", CRYSTALS), ("val", CRYSTALS[:4])):
        with (data / f"{part}.csv").open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["material_id", "cif"])
            for number, crystal in enumerate(crystals):
                rows.writerow([f"x-{number}", crystal.structure.to(fmt="cif")])
            if part == "train":
                rows.writerow(["broken", "data_nothing"])
    import argparse

    parser = argparse.ArgumentParser()
    codec_fit.add_arguments(parser)
    args = parser.parse_args(["--data", str(data), "--out", str(tmp_path / "out"), "--steps", "3"])
    assert codec_fit.run(args) == 0
    printed = capsys.readouterr()
    assert "plain: strict" in printed.out
    assert "1 rows left out: broken CIF" in printed.err
    parts = fitted(tmp_path / "out")
    assert parts.net is not None
    args.data = [str(tmp_path)]
    with pytest.raises(DataError, match="holds none of"):
        codec_fit.run(args)


def test_too_few_crystals_are_refused(tmp_path):
    with pytest.raises(DataError, match="too few"):
        fit_codec(CRYSTALS[:1], [], tmp_path, steps=1)


def test_the_shipped_parts_are_small():
    assert sum(path.stat().st_size for path in FITTED.iterdir() if path.is_file()) < 3_000_000
