"""YAML that explodes, runs code or refers to itself."""

from __future__ import annotations

import os
from pathlib import Path

from crystalfw.core.errors import RecipeError
from crystalfw.core.recipe import load_recipe
from tests.hostile.others.registry import attack, refused


@attack("YAML: aliases that explode")
def aliases(folder: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 40)]
    _recipe(folder, "\n".join(lines), "more than")


@attack("YAML: an alias that contains itself")
def cycle(folder: Path) -> None:
    _recipe(folder, "data: &a\n  x: *a\n", "contains itself")


@attack("YAML: Python tags")
def tags(folder: Path) -> None:
    for tag in (
        "!!python/object/apply:os.system ['touch executed']", "!!python/object/new:os.system ['touch executed']",
        "!!python/name:os.system", "!!python/module:os", "!!python/object/apply:subprocess.Popen [[touch, executed]]",
    ):  # fmt: skip
        _recipe(folder, f"name: {tag}\n", "refused")


@attack("YAML: nested deeply, a megabyte, numbers of 5,000 digits, merge keys, NUL")
def odd(folder: Path) -> None:
    _recipe(folder, "data: " + "[" * 5_000, "")
    _recipe(folder, "x: " + "y" * 2_000_000, "too many")
    _recipe(folder, f"seed: {'9' * 5000}\n", "digits")
    _recipe(folder, f"seed: -{'0' * 5000}1\n", "digits")
    _recipe(folder, "data:\n  <<: {path: x}\n", "merge")
    _recipe(folder, "data: \x00\n", "YAML")
    refused(RecipeError, load_recipe, "smoke", [f"seed={'9' * 5000}"])


@attack("YAML: a recipe that extends itself, or a file that is none")
def extends(folder: Path) -> None:
    _recipe(folder, "extends: x.yaml\n", "leads back")
    (folder / "secret").write_bytes(os.urandom(200))
    _recipe(folder, "extends: secret\n", "")


def _recipe(folder: Path, text: str, sentence: str) -> None:
    (folder / "x.yaml").write_text(text)
    assert sentence in refused(RecipeError, load_recipe, folder / "x.yaml")
