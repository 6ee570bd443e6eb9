"""Write a new plugin package, ready to install: one component that works, its tests, the entry point.

crystalfw new plugin volume --kind encoder
cd crystalfw-volume && pip install -e . && crystalfw check encoder volume
crystalfw new plugin alloys --kind model      a package for trained models; filled by crystalfw export
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path
from string import Template

from crystalfw.core.commands.parser import add_out
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.registry import KINDS

MODEL_KIND = "model"
_EXTRA = {"source": "    path = __file__\n"}
"""Lines that the test of a kind needs besides."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw new`."""
    parser.add_argument("what", choices=["plugin"], help="what to write")
    parser.add_argument("name", help="name of the component in recipes: lower-case letters, digits, _")
    parser.add_argument("--kind", required=True, choices=(*KINDS, MODEL_KIND), help="kind of component, or `model`")
    add_out(parser, "FOLDER", "where the package's folder is made (default: here)", old=["--into"], default=".")


def run(args: argparse.Namespace) -> int:
    """Write the package and say what to do next."""
    if args.kind == MODEL_KIND:
        _check_name(args.name)
        folder = Path(args.out) / f"crystalfw-{args.name.replace('_', '-')}"
        _refuse_existing(folder)
        write_model_package(folder)
        print(f"{folder} is written. Next:\n  crystalfw export RUN -o {folder}\n  crystalfw models check {folder}")
        return 0
    folder = write_package(args.name, args.kind, Path(args.out))
    print(f"{folder} is written. Next:")
    print(f"  pip install -e '{folder}[test]'")
    print(f"  crystalfw check {args.kind} {args.name}")
    print(f"  edit {folder}/src/{package_of(args.name)}/{args.name}.py")
    return 0


def package_of(name: str) -> str:
    """The import name of the package that holds a component."""
    return f"crystalfw_{name}"


def write_package(name: str, kind: str, into: Path) -> Path:
    """Write the package below `into`; raises CrystalfwError for a bad name or a folder that exists."""
    _check_name(name)
    distribution = f"crystalfw-{name.replace('_', '-')}"
    folder = into / distribution
    _refuse_existing(folder)
    words = {
        "name": name,
        "kind": kind,
        "distribution": distribution,
        "package": package_of(name),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "mixin": f"{kind.capitalize()}Tests",
        "extra": _EXTRA.get(kind, ""),
        "year": str(date.today().year),
    }
    source, tests = folder / "src" / words["package"], folder / "tests"
    _fill(
        {
            folder / "pyproject.toml": "pyproject.toml",
            folder / "README.md": "README.md",
            folder / "LICENSE": "LICENSE",
            source / "__init__.py": "init.py",
            source / f"{name}.py": f"{kind}.py",
            tests / f"test_{name}.py": "test.py",
        },
        words,
    )
    return folder


def write_model_package(folder: Path) -> Path:
    """A package for delivered models in `folder`, unless it is there already; returns the folder that the models' folders go
    into. Raises CrystalfwError for a folder of something else, or whose name cannot name a package."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")
    package = name if name.startswith("crystalfw") else f"crystalfw_{name}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        raise CrystalfwError(f"{folder}: its name becomes the package's; use letters, digits and '-'")
    source = folder / "src" / package
    if (folder / "pyproject.toml").is_file():
        found = sorted(folder.glob("src/*/__init__.py"))
        if len(found) != 1 or "add_model" not in found[0].read_text(encoding="utf-8"):
            raise CrystalfwError(f"{folder}: a package of something else than models; choose another folder with -o")
        return found[0].parent
    if folder.exists() and any(folder.iterdir()):
        raise CrystalfwError(f"{folder}: there is something already; choose another folder with -o")
    distribution = package.replace("_", "-")
    words = {"distribution": distribution, "package": package, "year": str(date.today().year)}
    _fill(
        {
            folder / "pyproject.toml": "model_pyproject.toml",
            folder / "README.md": "model_README.md",
            folder / "LICENSE": "LICENSE",
            source / "__init__.py": "model_init.py",
            folder / "tests" / "test_models.py": "model_test.py",
        },
        words,
    )
    return source


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CrystalfwError(f"'{name}' cannot be a component's name: use lower-case letters, digits and '_', a letter first")


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise CrystalfwError(f"{folder}: there is something already; choose another name, or another folder with -o")


def _fill(templates: Mapping[Path, str], words: Mapping[str, str]) -> None:
    """Write each file from its template."""
    for target, template in templates.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        text = files("crystalfw.core.commands.scaffold").joinpath(f"{template}.txt").read_text(encoding="utf-8")
        target.write_text(Template(text).substitute(words), encoding="utf-8")
