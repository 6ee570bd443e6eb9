"""Compiled functions: the cache on disk follows every source that holds one."""

from __future__ import annotations

import importlib.util

import pytest

from crystalfw.core import kernels

SOURCE = """
from crystalfw.core.kernels import njit

@njit(cache=True)
def twice(x):
    return 2 * x
"""


def stats_of(path):
    """Cache hits and misses of a module compiled as if in a process of its own."""
    spec = importlib.util.spec_from_file_location("compiled_here", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.twice(4) == 8
    return sum(module.twice.stats.cache_hits.values()), sum(module.twice.stats.cache_misses.values())


def test_a_change_elsewhere_makes_the_cache_stale(tmp_path, monkeypatch):
    path = tmp_path / "compiled_here.py"
    path.write_text(SOURCE)
    assert stats_of(path) == (0, 1)
    assert stats_of(path) == (1, 0)
    monkeypatch.setattr(kernels, "sources_digest", lambda package: "another")
    assert stats_of(path) == (0, 1)


@pytest.mark.parametrize(("name", "changes"), [("plugins/a.py", True), ("core/b.py", False)])
def test_the_digest_is_of_sources_with_compiled_functions(tmp_path, name, changes):
    for folder in ("core", "plugins"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plugins" / "a.py").write_text("@njit(cache=True)\n")
    (tmp_path / "core" / "b.py").write_text("x = 1\n")
    before = kernels.sources_digest(tmp_path)
    (tmp_path / name).write_text((tmp_path / name).read_text() + "# edited\n")
    kernels.sources_digest.cache_clear()
    assert (kernels.sources_digest(tmp_path) != before) is changes
