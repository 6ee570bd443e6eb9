"""`crystalfw relax`: table, ranks, resumption to the same bytes, sentences for what is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.commands import cli
from crystalfw.core.testing.crystals import small_crystals


def copper(a, id, number=29):
    crystal = small_crystals()[1]
    return replace(crystal, lattice=crystal.lattice * a / 3.61, numbers=np.array([number]), id=id)


@pytest.fixture
def folder(tmp_path):
    crystals = [copper(3.7, "cu-a"), copper(3.5, "cu-b"), copper(4.1, "al", 13), replace(small_crystals()[0], id="salt")]
    for crystal in crystals:
        crystal.write(tmp_path / "crystals" / f"{crystal.id}.cif")
    return tmp_path / "crystals"


def rows(path):
    with open(path, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def relax(*arguments):
    return cli.main(["relax", *map(str, arguments)])


def test_relax_ranks_names_duplicates_and_counts_what_failed(folder, tmp_path, capsys):
    out = tmp_path / "relaxed"
    assert relax(folder, "-o", out, "--potential", "ase:EMT", "--workers", 2, "--trajectory") == 0
    table, ranks = rows(out / "relaxed.csv"), rows(out / "ranked.csv")
    assert table["salt"]["status"] == "element"
    assert table["salt"]["reason"].endswith("does not know Na, Cl")
    assert float(table["cu-a"]["energy_per_atom"]) < float(table["cu-a"]["energy_before"])
    assert table["cu-a"]["space_group"] == "225"
    assert sorted([ranks["cu-a"]["duplicate_of"], ranks["cu-b"]["duplicate_of"]])[0] == ""
    assert {ranks["cu-a"]["rank"], ranks["cu-b"]["rank"]} == {"1", ""}
    assert {path.stem for path in (out / "cifs").iterdir()} == {"cu-a", "cu-b", "al"}
    assert "energy=" in (out / "trajectories" / "cu-a.extxyz").read_text()
    assert "3 ok, 1 element" in capsys.readouterr().out
    # a table of ours: it can be judged, and relaxed again
    assert relax(out / "relaxed.csv", "-o", tmp_path / "again", "--potential", "ase:EMT", "--workers", 1) == 0
    assert rows(tmp_path / "again" / "relaxed.csv")["salt"]["status"] == "element"


def test_what_relaxes_to_a_known_crystal_is_not_new(tmp_path, capsys):
    """The folder of `relax` is judged as it stands: the samples as made, and whether they are new after relaxation."""
    known, made = copper(3.6, "known"), copper(3.61, "made")
    # far from the known crystal in shape, but it relaxes to it
    made = replace(made, lattice=made.lattice @ np.diag([1.0, 1.0, 1.35]))
    known.write(tmp_path / "train" / "known.cif")
    made.write(tmp_path / "made" / "made.cif")
    assert relax(tmp_path / "made", "-o", tmp_path / "relaxed", "--potential", "ase:EMT", "--workers", 1) == 0
    (row,) = rows(tmp_path / "relaxed" / "samples.csv").values()
    assert row["cif"] != row["relaxed_cif"]
    assert float(row["energy_per_atom"]) < 0.01
    command = ["evaluate", tmp_path / "relaxed" / "samples.csv", "--reference", tmp_path / "train", "--json",
               "--metrics", "novelty_steps", "-o", tmp_path / "judged", "--workers", 1]  # fmt: skip
    capsys.readouterr()
    assert cli.main([*map(str, command)]) == 0
    alone = json.loads(capsys.readouterr().out)["metrics"]["novelty_steps"]["result"]["alone"]
    assert (alone["new_by_matcher"]["count"], alone["new_after_relaxation"]["count"]) == (1, 0)


def test_samples_that_were_not_relaxed_are_not_replaced(folder, capsys):
    (folder / "samples.csv").write_text("id,status,reason,cif\n")
    assert relax(folder / "cu-a.cif", "-o", folder, "--potential", "ase:EMT") == 2
    assert "give another folder with -o" in capsys.readouterr().err
    assert (folder / "samples.csv").read_text() == "id,status,reason,cif\n"


def test_a_torn_table_is_continued_to_the_same_bytes(folder, tmp_path):
    command = [folder, "-o", tmp_path / "out", "--potential", "ase:EMT", "--workers", 1]
    assert relax(*command) == 0
    table = tmp_path / "out" / "relaxed.csv"
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert relax(*command) == 0
    assert table.read_bytes() == whole


def test_a_signal_stops_between_crystals_and_the_command_continues(tmp_path):
    for k in range(30):
        copper(3.4 + 0.02 * k, f"cu{k:02d}").write(tmp_path / "many" / f"cu{k:02d}.cif")
    (tmp_path / "slow_calculator.py").write_text(
        "import time\nfrom ase.calculators.emt import EMT\n\n\nclass Slow(EMT):\n"
        "    def calculate(self, *args, **kwargs):\n        time.sleep(0.15)\n        super().calculate(*args, **kwargs)\n"
    )
    command = [sys.executable, "-m", "crystalfw", "relax", "many", "-o", "out", "--potential", "ase:slow_calculator:Slow"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    started = subprocess.Popen([*command, "--workers", "1"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    table = tmp_path / "out" / "relaxed.csv"
    while not (table.exists() and table.read_bytes().count(b"\nloop_") > 4):
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    _, said = started.communicate(timeout=30)
    assert started.returncode == 1
    assert "the same command continues" in said
    done = len(rows(table))
    assert 0 < done < 30


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--potential", "nosuch"], "no potential called 'nosuch'"),
        (["--potential", "ase:EMT", "--fmax", "0"], "--fmax above 0"),
        (["--potential", "ase:EMT", "--steps", "-1"], "must be 0 or more"),
    ],
)
def test_what_is_wrong_is_a_sentence(folder, tmp_path, capsys, arguments, sentence):
    assert relax(folder, "-o", tmp_path / "out", *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_tables_with_the_same_ids(folder, tmp_path, capsys):
    copper(3.6, "cu-a").write(tmp_path / "more" / "cu-a.cif")
    assert relax(folder, tmp_path / "more", "-o", tmp_path / "out", "--potential", "ase:EMT") == 2
    said = capsys.readouterr().err
    assert "two crystals have the id 'cu-a'" in said
    assert "more" in said


def test_another_request_does_not_mix_into_a_table(folder, tmp_path, capsys):
    assert relax(folder, "-o", tmp_path / "out", "--potential", "ase:EMT", "--workers", 1) == 0
    assert relax(folder, "-o", tmp_path / "out", "--potential", "ase:EMT", "--workers", 1, "--fmax", 0.01) == 2
    assert "made with another settings" in capsys.readouterr().err
