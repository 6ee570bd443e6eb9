"""Compiled functions: the cache on disk follows every source that holds one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from crystalfw.core.system import compiled as kernels

SOURCE = """
from crystalfw.core.system.compiled import njit

@njit(cache=True)
def twice(x):
    return 2 * x
"""


def stats_of(path, value=4):
    """Cache hits and misses of a module compiled as if in a process of its own."""
    spec = importlib.util.spec_from_file_location("compiled_here", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert repr(module.twice(value)) == repr(2 * value)
    return sum(module.twice.stats.cache_hits.values()), sum(module.twice.stats.cache_misses.values())


def test_a_change_elsewhere_makes_the_cache_stale(tmp_path, monkeypatch):
    path = tmp_path / "compiled_here.py"
    path.write_text(SOURCE)
    assert stats_of(path) == (0, 1)
    assert stats_of(path) == (1, 0)
    assert len(list(tmp_path.rglob("*.nbc"))) == 1
    monkeypatch.setattr(kernels, "sources_digest", lambda package: "another")
    assert stats_of(path) == (0, 1)
    assert len(list(tmp_path.rglob("*.nbc"))) == 1


def test_another_process_cannot_put_its_code_under_our_name(tmp_path):
    """Two processes that both found an empty index: the first enters its code last."""
    path = tmp_path / "compiled_here.py"
    path.write_text(SOURCE)
    stats_of(path)
    (index,) = tmp_path.rglob("*.nbi")
    ours = index.read_bytes()
    index.unlink()
    files = {file: file.read_bytes() for file in tmp_path.rglob("*.nbc")}
    stats_of(path, value=4.0)
    index.write_bytes(ours)
    for file, content in files.items():
        if not file.exists():
            file.write_bytes(content)
    assert stats_of(path) == (1, 0)


def test_the_index_names_only_files_that_are_there(tmp_path, monkeypatch):
    from numba.core.caching import IndexDataCacheFile

    save, seen = IndexDataCacheFile._save_index, []

    def checked(file, overloads):
        seen.append(all((tmp_path / "__pycache__" / name).is_file() for name in overloads.values()))
        save(file, overloads)

    monkeypatch.setattr(IndexDataCacheFile, "_save_index", checked)
    path = tmp_path / "compiled_here.py"
    path.write_text(SOURCE)
    stats_of(path)
    assert seen == [True]


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


NETS = """
import numpy as np
from crystalfw.plugins.representations.slices.graph.cycles import add_edge, is_three_dimensional, new_net

rng, found = np.random.default_rng(0), []
for _ in range(200):
    atoms = int(rng.integers(1, 9))
    net = new_net(atoms)
    for _ in range(int(rng.integers(1, 30))):
        found.append(int(add_edge(net, int(rng.integers(atoms)), int(rng.integers(atoms)), rng.integers(-1, 2, 3))))
    found.append(int(is_three_dimensional(net)))
print("".join(map(str, found)))
"""


@pytest.mark.slow
def test_code_from_the_cache_does_what_the_source_says(tmp_path):
    """numba 0.61 compiled this right and loaded it wrong: the second process never ended."""

    def run(**environment):
        done = subprocess.run(
            [sys.executable, "-c", NETS],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        return done.stdout

    plain = run(NUMBA_DISABLE_JIT="1")
    assert len(plain) > 1000
    assert [run(NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)] == [plain, plain]
    assert list(tmp_path.rglob("*.nbc"))
