"""The wheel of this tree, built once from a copy, so that no build folder is left in the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory) -> Path:
    """A copy of what the wheel is made from, without caches and without the links that only type checkers use."""
    copy = tmp_path_factory.mktemp("tree")
    junk = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".cache")
    for folder in ("core", "plugins", "recipes"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=junk)
    shutil.copytree(ROOT / "src", copy / "src", symlinks=True, ignore=junk)
    for link in ("core", "plugins"):
        (copy / "src" / "crystalfw" / link).unlink(missing_ok=True)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy / file)
    return copy


@pytest.fixture(scope="session")
def wheel(source_tree, tmp_path_factory) -> Path:
    """The built wheel; needs no network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(out),
        str(source_tree),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (found,) = out.glob("crystalfw-*.whl")
    return found


@pytest.fixture(scope="session")
def site(wheel, tmp_path_factory) -> Path:
    """A folder with the installed wheel, for PYTHONPATH; dependencies come from the environment."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder
