"""Write a new plugin package, ready to install: one component that works, its tests, the entry point.

crystalfw new plugin volume --kind encoder
cd crystalfw-volume && pip install -e . && crystalfw check encoder volume
"""

from __future__ import annotations

import argparse
import re
from datetime import date
from importlib.resources import files
from pathlib import Path
from string import Template

from crystalfw.core.commands.parser import add_out
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.registry import KINDS

_EXTRA = {"source": "    path = __file__\n"}
"""Lines that the test of a kind needs besides."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw new`."""
    parser.add_argument("what", choices=["plugin"], help="what to write")
    parser.add_argument("name", help="name of the component in recipes: lower-case letters, digits, _")
    parser.add_argument("--kind", required=True, choices=KINDS, help="kind of component")
    add_out(parser, "FOLDER", "where the package's folder is made (default: here)", old=["--into"], default=".")


def run(args: argparse.Namespace) -> int:
    """Write the package and say what to do next."""
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
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CrystalfwError(f"'{name}' cannot be a component's name: use lower-case letters, digits and '_', a letter first")
    distribution = f"crystalfw-{name.replace('_', '-')}"
    folder = into / distribution
    if folder.exists():
        raise CrystalfwError(f"{folder}: there is something already; choose another name, or another folder with -o")
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
    for target, template in {
        folder / "pyproject.toml": "pyproject.toml",
        folder / "README.md": "README.md",
        folder / "LICENSE": "LICENSE",
        source / "__init__.py": "init.py",
        source / f"{name}.py": f"{kind}.py",
        tests / f"test_{name}.py": "test.py",
    }.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        text = files("crystalfw.core.commands.scaffold").joinpath(f"{template}.txt").read_text(encoding="utf-8")
        target.write_text(Template(text).substitute(words), encoding="utf-8")
    return folder
