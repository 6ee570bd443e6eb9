"""The wheel holds the tree, file by file, and works without the tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def files_below(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def in_clean_process(site: Path, tmp_path: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_tree_is_in_the_wheel_and_nothing_else(wheel, source_tree):
    expected = {f"crystalfw/{name}" for name in files_below(source_tree / "src" / "crystalfw")}
    for folder in ("core", "plugins", "recipes"):
        expected |= {f"crystalfw/{folder}/{name}" for name in files_below(source_tree / folder)}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert found - expected == set()
    assert expected - found == set()


def test_the_installed_wheel_finds_its_own_plugins_and_recipes(site, tmp_path):
    assert str(site) in in_clean_process(site, tmp_path, "-c", "import crystalfw.core; print(crystalfw.core.__file__)")
    found = json.loads(in_clean_process(site, tmp_path, "-m", "crystalfw", "plugins", "--json"))
    assert len(found["components"]) == len({(c["kind"], c["name"]) for c in found["components"]}) > 20
    expanded = in_clean_process(site, tmp_path, "-m", "crystalfw", "run", "smoke", "--print")
    assert "name: smoke" in expanded


@pytest.mark.slow
def test_a_type_checker_sees_the_installed_types(site, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(
        "import numpy as np\n"
        "from crystalfw import Crystal\n"
        "from crystalfw.core import Transform\n"
        "class Mine(Transform):\n"
        "    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:\n"
        "        reveal_type(crystal.n_atoms)\n"
        "        return crystal.no_such_name\n"
    )
    (tmp_path / "mypy.ini").write_text("[mypy]\nfollow_imports = silent\nignore_missing_imports = true\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "user.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(site)}, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("user.py:6: note: Revealed type is") and line.endswith('int"') for line in lines)
    assert any("user.py:7" in line and 'has no attribute "no_such_name"' in line for line in lines)
    assert "Found 1 error" in done.stdout, done.stdout
