"""Every wrong input gets its own sentence and exit code 2; nothing is left half done."""

import csv

import pytest
from pymatgen.core import Lattice, Structure

from crystalfw.core.commands.cli import main
from crystalfw.core.model import checkpoint

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def table_of(path, rows, header=("material_id", "cif")):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def fails(capsys, arguments, *sentences):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    for sentence in sentences:
        assert sentence in captured.err, captured.err
    return captured.err


@pytest.fixture
def run(tmp_path):
    def arguments(path, *overrides, recipe="smoke"):
        folders = [f"data.cache={tmp_path / 'cache'}", f"run_dir={tmp_path / 'runs'}"]
        return ["run", str(recipe), *([f"data.path={path}"] if path else []), *folders, *overrides]

    return arguments


def test_missing_file(capsys, run, tmp_path):
    fails(capsys, run(tmp_path / "nothing.csv"), "nothing.csv")


def test_empty_file(capsys, run, tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    fails(capsys, run(path), "empty.csv")


def test_table_without_cif(capsys, run, tmp_path):
    fails(capsys, run(table_of(tmp_path / "t.csv", [["a", "1.0"]], ("id", "gap"))), "t.csv", "cif", "gap")


def test_broken_cif(capsys, run, tmp_path):
    fails(capsys, run(table_of(tmp_path / "t.csv", [["mp-1", "data_x\n_cell_length_a oops"]])), "t.csv", "row 1", "mp-1", "CIF")


def test_disordered_crystal(capsys, run, tmp_path):
    alloy = Structure(Lattice.cubic(3.0), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]).to(fmt="cif")
    fails(capsys, run(table_of(tmp_path / "t.csv", [["mp-2", alloy]])), "row 1", "partial occupancy", "ordered")


def test_too_large_crystal(capsys, run, tmp_path):
    path = table_of(tmp_path / "t.csv", [["mp-3", (SALT * (2, 2, 2)).to(fmt="cif")]])
    fails(capsys, run(path, "transforms=[normalize_positions]"), "mp-3", "(data.max_atoms): 64")


def test_yaml_syntax(capsys, run, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("fit:\n  steps: [1\nmodel: {}\n")
    fails(capsys, run(None, recipe=recipe), "mine.yaml:")


def test_three_mistakes_three_lines(capsys, run, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model:\n  conditioning: cross_atention\n  decoder: gpt\nfit:\n  step: 3\n  lr: fast\n")
    error = fails(capsys, run(None, recipe=recipe), "mine.yaml:2", "mine.yaml:5", "mine.yaml:6", "3 mistakes; nothing was run.")
    assert "'cross_attention'" in error
    assert "'steps'" in error


def test_parts_that_do_not_fit(capsys, run, table):
    fails(capsys, run(table, "model.decoder=gpt"), "port", "cross_attention_gpt", "additive")


def test_missing_column(capsys, run, table):
    fails(capsys, run(table, "data.columns=[band_gap]"), "band_gap", "gap")


@pytest.fixture(scope="module")
def unconditional(table, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unconditional")
    options = ["model.encoder=none", "model.conditioning=none", "model.condition_dropout=0", "fit.steps=2", "sample.n=1"]
    assert main(["run", "smoke", f"data.path={table}", f"data.cache={cache}", f"run_dir={folder}", *options]) == 0
    return folder / "smoke"


def test_a_condition_the_model_does_not_know(capsys, unconditional):
    fails(capsys, ["sample", str(unconditional), "--n", "1", "--condition", "band_gap=2"], "band_gap", "unconditional")


def test_truncated_checkpoint(capsys, unconditional, tmp_path):
    whole = checkpoint.find(unconditional, "best").read_bytes()
    broken = tmp_path / "last.pt"
    broken.write_bytes(whole[: len(whole) // 2])
    fails(capsys, ["sample", str(broken), "--n", "1"], "last.pt", "damaged")


def test_checkpoint_of_a_newer_format(capsys, unconditional, tmp_path):
    header, _, body = checkpoint.find(unconditional, "best").read_bytes().partition(b"\n")
    newer = tmp_path / "newer.pt"
    newer.write_bytes(header.replace(b"checkpoint 2 ", b"checkpoint 7 ") + b"\n" + body)
    fails(capsys, ["sample", str(newer), "--n", "1"], "format 7", "Install a newer crystalfw")


def test_no_such_run(capsys, tmp_path):
    fails(capsys, ["sample", str(tmp_path / "runs" / "none")], "no such run folder")


def test_misspelt_command(capsys):
    fails(capsys, ["smaple"], "sample")
