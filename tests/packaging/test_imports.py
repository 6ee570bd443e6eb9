"""Who may import whom: core never plugins, a kind of plugin never another kind, nobody ASE (LGPL) on import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [file for folder in ("core", "plugins", "src/crystalfw") for file in sorted((ROOT / folder).glob("*.py"))]
FILES += [file for folder in ("core", "plugins") for file in sorted((ROOT / folder).glob("*/**/*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, by statement or by import_module with a literal name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which package is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def kind_folder(module: str) -> str | None:
    """`encoders` for crystalfw.plugins.encoders.layers.radial."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["crystalfw", "plugins"] and len(parts) > 2 else None


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_import_rules(file):
    relative = file.relative_to(ROOT)
    for module in imported(ast.parse(file.read_text(encoding="utf-8"))):
        assert not module.startswith(("core.", "plugins.")), f"{relative}: import crystalfw.{module}"
        if relative.parts[0] == "core":
            assert not module.startswith("crystalfw.plugins"), f"{relative}: core never imports plugins, found {module}"
        if relative.parts[0] == "plugins" and len(relative.parts) > 2:
            other = kind_folder(module)
            assert other in (None, relative.parts[1]), f"{relative}: a kind never imports another, found {module}"


def test_the_rules_see_what_they_forbid():
    """The scanner itself: statement, from-import and import_module are all seen."""
    text = "import crystalfw.plugins.a\ndef f():\n    from crystalfw.plugins import b\nimport_module('crystalfw.plugins.c')"
    assert {kind_folder(name) for name in imported(ast.parse(text))} == {"a", "b", "c"}


def test_importing_the_contracts_loads_no_optional_library():
    code = "import sys, crystalfw, crystalfw.core.interfaces, crystalfw.core.recipe; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"ase", "pymatgen", "e3nn", "torch_geometric", "pandas", "matplotlib", "numba"} & set(loaded)


def test_importing_the_package_costs_nothing():
    code = "import sys, crystalfw; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "crystalfw.core.crystal"} & set(loaded)


@pytest.mark.parametrize("name", ["core", "plugins"])
def test_the_bare_names_are_refused(name):
    done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"import crystalfw.{name}, not {name}" in done.stderr
