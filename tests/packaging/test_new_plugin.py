"""`crystalfw new plugin` writes packages that work untouched, for every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crystalfw.core.commands import cli
from crystalfw.core.registry import KINDS

TEMPLATE = Path(__file__).parents[2] / "examples" / "crystalfw-plugin-template"


def names_below(folder: Path) -> set[str]:
    return {
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file() and "__pycache__" not in str(file)
    }


def test_every_kind_passes_its_own_tests_untouched(tmp_path, capsys):
    for kind in KINDS:
        assert cli.main(["new", "plugin", f"my_{kind}", "--kind", kind, "--into", str(tmp_path)]) == 0
    assert "crystalfw check encoder my_encoder" in capsys.readouterr().out
    packages = sorted(tmp_path.iterdir())
    assert [package.name for package in packages] == sorted(f"crystalfw-my-{kind}" for kind in KINDS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(package / "src") for package in packages)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        *(str(p / "tests") for p in packages),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def test_the_layout_is_that_of_the_template(tmp_path):
    cli.main(["new", "plugin", "schnet", "--kind", "encoder", "--into", str(tmp_path)])
    written = names_below(tmp_path / "crystalfw-schnet")
    theirs = {name.replace("crystalfw_template", "crystalfw_schnet") for name in names_below(TEMPLATE)}
    assert written - {"tests/test_schnet.py"} <= theirs


@pytest.mark.parametrize(("name", "sentence"), [("My-Encoder", "cannot be a component's name"), ("2d", "a letter first")])
def test_bad_names(tmp_path, capsys, name, sentence):
    assert cli.main(["new", "plugin", name, "--kind", "encoder", "--into", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path, capsys):
    arguments = ["new", "plugin", "volume", "--kind", "encoder", "--into", str(tmp_path)]
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 2
    assert "there is something already" in capsys.readouterr().err


@pytest.mark.slow
def test_from_nothing_to_a_trained_run(stranger, build):
    """new, install, check, train: what docs/guides promise."""
    stranger.run("-m", "crystalfw", "new", "plugin", "volume", "--kind", "encoder")
    stranger.install(build(stranger.folder / "crystalfw-volume"))
    assert "0 broken" in stranger.run("-m", "crystalfw", "check", "encoder", "volume")
    out = stranger.run("-m", "crystalfw", "run", "smoke", "model.encoder=volume", "fit.steps=2", "sample.n=1")
    assert "fit: done at step 2" in out
