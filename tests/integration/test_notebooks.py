"""The notebooks of examples/notebooks run from the first cell to the last, in an empty folder."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.discovery import registry

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"


def cells(path: Path) -> list[str]:
    """The code cells of a notebook."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["nbformat"] == 4
    return ["".join(cell["source"]) for cell in found["cells"] if cell["cell_type"] == "code"]


def execute(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last expression. Lines that begin with ! are commands."""
    lines = [f"command({line[1:]!r})" if line.startswith("!") else line for line in source.splitlines()]
    tree = ast.parse("\n".join(lines))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def command(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "crystalfw"
    assert main(arguments) in (0, 1 if arguments[:2] == ["data", "check"] else 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    if path.stem == "generate_and_judge" and registry().model("mp-property") is None:
        pytest.skip("no delivered models: pip install crystalfw-models")
    monkeypatch.chdir(tmp_path)
    before = registry().snapshot()
    names: dict[str, Any] = {"command": command, "__name__": "notebook"}
    try:
        values = [execute(source, names) for source in cells(path)]
    finally:
        registry().restore(before)
    assert values[-1] is not None, "the last cell shows something"


def test_there_is_one_for_each_task_and_none_keeps_outputs():
    paths = sorted(FOLDER.glob("*.ipynb"))
    assert len(paths) == 5
    for path in paths:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), f"{path.name}: clear the outputs"
