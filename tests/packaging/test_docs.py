"""The site builds offline without a warning, and its figures are those that the code draws."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
