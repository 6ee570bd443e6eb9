"""The site builds offline without a warning; pages are narrow, point to files that exist, and keep the house's English."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "core/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
    ROOT / "benchmarks" / "README.md",
]
COLUMNS = 110
OLD_PHRASES = (
    "imported while the first one still worked",
    "in other company than undisturbed",
    "is not judged, and counted",
    "balanced compositions are out of reach",
    "none is walked in vain",
    "cost steps that these runs did not have",
    "not the bottleneck below some hundred",
    "holds a fast share of the long ones",
    "whoever touches a parser",
    "a contradictory model cannot be asked for",
    "a name that is none",
    "the pace of late",
    "true for the first who asks",
    "the same step; said",
    "what was found, and what was changed",
    "an earlier run gave",
)
"""Sentences that read as if translated. Each was replaced by a plain one; none may come back."""


@pytest.mark.slow
def test_the_site_builds_without_warnings():
    pytest.importorskip("mkdocs")
    done = subprocess.run([sys.executable, "docs/build.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "WARNING" not in done.stderr
    pages = {file.relative_to(ROOT / "site").as_posix() for file in (ROOT / "site").rglob("*.html")}
    assert {"index.html", "guides/encoder.html", "reference/recipe.html", "reference/cli.html", "reference/api.html"} <= pages
    text = (ROOT / "site" / "reference" / "components.html").read_text(encoding="utf-8")
    assert "conditioning-cross_attention" in text
    for page in ("index.html", "reference/api.html"):
        assert '<script src="http' not in (ROOT / "site" / page).read_text(encoding="utf-8")


def test_every_figure_is_used_and_every_used_figure_exists():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for figure in (ROOT / "docs" / "figures").glob("*.svg"):
        assert os.fspath(figure.name) in text, f"{figure.name} is used nowhere"


def wide_lines(text: str) -> list[str]:
    """Lines beyond 110 columns of running text: not those of tables, of code (fenced or indented), or of links alone."""
    fenced, found = False, []
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        exempt = fenced or line.startswith(("|", "    ")) or re.fullmatch(r"(!?\[[^\]]*\]\([^)]*\)[ ·]*)+.{0,20}", line)
        if len(line) > COLUMNS and not exempt:
            found.append(line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_are_at_most_110_columns(page):
    assert wide_lines(page.read_text(encoding="utf-8")) == []


def test_a_wide_line_is_found_and_a_wide_table_is_not():
    wide = "word " * 30
    assert wide_lines(f"{wide}\n| {wide} |\n```\n{wide}\n```\n    {wide}\n{wide}") == [wide, wide]


def test_old_phrases_do_not_come_back():
    files = [*PAGES, *(file for folder in ("core", "plugins") for file in sorted((ROOT / folder).rglob("*.py")))]
    for file in files:
        text = " ".join(file.read_text(encoding="utf-8").lower().split())
        for phrase in OLD_PHRASES:
            assert phrase not in text, f"{file.relative_to(ROOT)}: '{phrase}'"


def answers(page: Path) -> list[tuple[str, str]]:
    """(question, first path) of each row of the tables of docs/start/where.md."""
    rows = [line.strip("|").split("|") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    found = [(row[0].strip(), re.search(r"`([\w./-]+)`", row[1])) for row in rows if not row[0].strip().startswith("I want")]
    return [(question, match[1]) for question, match in found if match]


def test_where_do_i_find_answers_every_question_with_a_path_that_exists():
    found = answers(ROOT / "docs" / "start" / "where.md")
    assert len(found) >= 12
    for question, path in found:
        assert (ROOT / path).exists(), f"{question}: no {path}"


def test_workflows_and_hooks_run_what_exists():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    for version in ("3.10", "3.11", "3.12", "3.13"):
        assert f'"{version}"' in workflow
        assert f"Programming Language :: Python :: {version}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert ".ci/run" in workflow
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for linter in ("ruff check", "ruff format --check", "mypy"):
        assert f".venv/bin/{linter}" in hooks
        assert f"$(BIN)/{linter}" in makefile
    assert "http" not in hooks + workflow
