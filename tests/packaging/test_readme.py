"""What README.md says is true: its plugin runs, its recipe loads, its commands parse, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from crystalfw.core import CrystalBatch
from crystalfw.core.commands import cli
from crystalfw.core.discovery import Plugins
from crystalfw.core.errors import RecipeError
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.options import create
from crystalfw.core.registry import Origin
from crystalfw.core.testing.crystals import small_crystals

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "core" / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    lines = [(page.name, line) for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()]
    return [(name, line.split("#")[0].strip()) for name, line in lines if line.startswith("crystalfw ")]


def test_the_plugin_of_the_readme_runs(tmp_path, monkeypatch):
    (text,) = (block for block in blocks(ROOT / "README.md", "python") if "class Volume" in block)
    (tmp_path / "my_package.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_package  # type: ignore[import-not-found]

    plugins = Plugins()
    plugins.register(my_package, Origin("my-package", "1"))
    encoder = create("encoder", "volume", among=plugins.registry)
    memory = encoder(CrystalBatch.from_crystals(small_crystals()[:2], torch.float32))
    assert memory.tokens.shape == (2, 1, encoder.dim)
    assert memory.mask.all()
    assert len([line for line in text.split("@hookimpl")[0].splitlines()[3:] if line.strip()]) <= 15
    del sys.modules["my_package"]


def test_the_recipe_of_the_readme_loads(tmp_path):
    (text,) = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "mine.yaml").write_text(text)
    assert load_recipe(tmp_path / "mine.yaml").model.decoder.name == "cross_attention_gpt"


def test_the_mistakes_of_the_readme_are_what_is_printed(tmp_path):
    (text,) = blocks(ROOT / "README.md", "yaml")
    wrong = text.replace("conditioning: cross_attention ", "conditioning: cross_atention ").replace("steps: 5000", "step: 5000")
    (tmp_path / "mine.yaml").write_text(wrong)
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "mine.yaml")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in str(caught.value).replace(f"{tmp_path}/", "").splitlines():
        assert f"    {line}\n" in readme


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_of_the_docs_parse(page, line):
    command, *arguments = shlex.split(line)[1:]
    parsed = cli.make_parser(command).parse(arguments)
    if (
        command == "run"
        and not parsed.resume
        and not parsed.recipe.startswith(("runs/", "mine"))
        and page != "plugin_tutorial.md"
    ):
        load_recipe(parsed.recipe, parsed.overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name}: no {target}"
