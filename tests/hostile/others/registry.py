"""Every attack by name; how one is made and what counts as harm."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.recipe.auto_source import source_name
from crystalfw.core.recipe.options import create
from crystalfw.core.records import Rejected

ATTACKS: dict[str, Callable[[Path], None]] = {}
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>"
MAX_SECONDS = 30.0
"""CPU seconds that an attack may take."""


def attack(what: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register a function."""

    def register(function: Callable[[Path], None]) -> Callable[[Path], None]:
        ATTACKS[what] = function
        return function

    return register


def run(what: str, folder: Path) -> float:
    """One attack in an empty folder, watched for execution; its CPU seconds."""
    marker = folder / "executed"
    began = time.process_time()
    with _inside(folder):
        ATTACKS[what](folder)
    used = time.process_time() - began
    assert not marker.exists(), f"{what}: code was run"
    assert used < MAX_SECONDS, f"{what}: {used:.0f} CPU seconds"
    return used


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def refused(error: type[CrystalfwError], function: Callable[..., object], *arguments: object) -> str:
    """The sentence with which it is refused."""
    try:
        function(*arguments)
    except error as raised:
        return str(raised)
    raise AssertionError(f"{function} took it")


def read(path: Path) -> tuple[list[Crystal], list[str]]:
    """Crystals, and the reasons of what was set aside."""
    items = list(create("source", source_name(str(path)), path=str(path)).read("train"))
    return [i for i in items if isinstance(i, Crystal)], [i.reason for i in items if isinstance(i, Rejected)]
