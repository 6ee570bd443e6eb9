"""What crystalfw needs: licences, imports, and a wheel that two people build alike."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.packaging.conftest import ROOT, build_wheel

COPYLEFT = {"ase", "bibtexparser", "phonopy", "pyxtal"}
"""Modules under the GPL family that are near enough to be imported by mistake."""


@pytest.fixture(scope="module")
def licences():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_copyleft_without_an_extra(licences):
    rows = licences.table(licences.closure("crystalfw"))
    assert len(rows) > 20
    assert licences.refused(rows) == []


def test_what_is_refused(licences):
    rows = [
        (name, "1", "", verdict)
        for name, verdict in (("ase", "strong"), ("nvidia-x", "unknown"), ("b", "weak"), ("c", "strong"))
    ]
    assert [row[0] for row in licences.refused(rows)] == ["c"]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("MIT", "permissive"), ("LGPL-2.1-or-later", "strong"), ("GPL-3.0 OR MIT", "permissive"),
        ("LGPLv3 or BSD", "permissive"), ("LGPLv3 or later", "strong"),
        ("MIT AND GPL-3.0", "strong"), ("MPL-2.0 AND MIT", "weak"), ("see file", "unknown"),
        ("GNU Lesser General Public License v2 (LGPLv2)", "strong"),
    ],
)  # fmt: skip
def test_what_a_licence_means(licences, text, verdict):
    assert licences.verdict(text) == verdict


def eager(tree: ast.Module) -> set[str]:
    """Top names of modules that a file imports when it is imported: not in functions, not for type checkers."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        waiting += list(ast.iter_child_nodes(node))
    return found


def test_copyleft_is_imported_only_where_it_is_asked_for():
    files = [file for folder in ("core", "plugins", "src") for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    for file in files:
        assert not eager(ast.parse(file.read_text(encoding="utf-8"))) & COPYLEFT, file


def test_the_scanner_sees_what_it_forbids():
    assert eager(ast.parse("try:\n    import ase.io\nexcept ImportError: pass")) == {"ase"}
    assert eager(ast.parse("def f():\n    import ase")) == set()


_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from crystalfw.core.discovery import registry
from crystalfw.core.recipe.options import create
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.interfaces import Sample
from crystalfw.core.testing.crystals import small_crystals
crystals = small_crystals()
samples = [Sample(id=c.id, seed=0, string="", status="ok", reason="", crystal=c) for c in crystals]
assert not evaluate(samples, crystals, workers=1, quiet=True)["failed"]
assert all(item.ok for item in create("representation", "slices").encode(crystals))
"""


@pytest.mark.slow
def test_the_work_is_done_where_copyleft_libraries_are_absent(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _WITHOUT.format(modules=COPYLEFT)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_builds_give_the_same_bytes(source_tree, tmp_path):
    """Another folder, other times of files; the date comes from SOURCE_DATE_EPOCH."""
    other = tmp_path / "elsewhere"
    shutil.copytree(source_tree, other, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    for file in other.rglob("*"):
        os.utime(file, (time.time() - 1e6, time.time() - 1e6))
    wheels = [
        build_wheel(tree, tmp_path / str(k), SOURCE_DATE_EPOCH="1700000000").read_bytes()
        for k, tree in enumerate((source_tree, other))
    ]
    assert wheels[0] == wheels[1]


def test_doctor_names_what_is_out_of_bounds(monkeypatch):
    from crystalfw.core.commands import doctor

    assert "within their bounds" in doctor._check_requirements()
    monkeypatch.setattr(doctor, "_version", lambda name: {"numpy": "1.0", "torch": "not installed"}.get(name, "999"))
    with pytest.raises(AssertionError, match=r"numpy.*\(here: 1.0\)"):
        doctor._check_requirements()
