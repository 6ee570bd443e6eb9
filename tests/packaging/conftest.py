"""The wheel of this tree, built once from a copy, so that no build folder is left in the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build_wheel(tree: Path, out: Path, **environment: str) -> Path:
    """The wheel of a folder with a pyproject.toml, made in `out` without network."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(tree)]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (found,) = out.glob("*.whl")
    return found


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
    return build_wheel(source_tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def site(wheel, tmp_path_factory) -> Path:
    """A folder with the installed wheel, for PYTHONPATH; dependencies come from the environment."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Stranger:
    """A fresh environment with crystalfw installed from its wheel; dependencies are those of this environment."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
        self.python = folder / "venv" / "bin" / "python"
        self.site = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        libraries = sysconfig.get_path("purelib")
        # A path line makes the libraries importable; the editable install there stays unseen, its own hook is not run.
        (self.site / "libraries.pth").write_text(f"{libraries}\n")
        self.install(wheel)

    def install(self, wheel: Path) -> None:
        """Install a wheel without its dependencies and without network."""
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(self.site), str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str, cwd: Path | None = None, code: int = 0) -> str:
        """Run the environment's Python; returns what it prints (errors where code is not 0), fails on another exit code."""
        environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        command = [str(self.python), *arguments]
        done = subprocess.run(command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout


@pytest.fixture(scope="session")
def stranger(wheel, tmp_path_factory) -> Stranger:
    """A fresh environment as somebody else would have it; one for all, because numba compiles once in each."""
    return Stranger(tmp_path_factory.mktemp("stranger"), wheel)


@pytest.fixture
def build(tmp_path):
    """build(folder) -> the wheel of a package, built from a copy."""

    def make(package: Path) -> Path:
        copy = tmp_path / "sources" / package.name
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
        return build_wheel(copy, tmp_path / "wheels" / package.name)

    return make
