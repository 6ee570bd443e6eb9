"""docs/project/planted_bugs.md lists every law with the bugs that its test plants, and nothing else."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from crystalfw.core.registry import KINDS
from crystalfw.core.testing import laws_of

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "project" / "planted_bugs.md"


def planted() -> set[tuple[str, str, str]]:
    found = set()
    shared = ("other", "metric", "retriever", "ranker", "potential", "baseline")
    for stem in ("encoder", "conditioning", "decoder", *shared):
        spec = importlib.util.spec_from_file_location(f"planted_{stem}", HERE / f"test_{stem}_laws.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for kind, bugs in module.BUGS.items() if stem in shared else [(stem, module.BUGS)]:
            for law, classes in bugs.items():
                found |= {(kind, law, bug.__name__) for bug in (classes if isinstance(classes, list) else [classes])}
    return found


def test_the_table_is_complete():
    rows = set(re.findall(r"^\| (\w+) \| `(\w+)` \| `(\w+)` \| yes \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert rows == planted()
    assert {(kind, law.name) for kind in KINDS for law in laws_of(kind)} == {(kind, law) for kind, law, _ in rows}
