"""200 truncations and 200 flipped bits each: never read as good, always named; the good checkpoint beside is offered."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from crystalfw.core.data.block import load_block
from crystalfw.core.data.store import Dataset, open_dataset
from crystalfw.core.errors import CheckpointError
from crystalfw.core.model import checkpoint

from .stages import newest

TRIES = 200


def places(content: bytes, kind: str, first: int = 120):
    """Damaged copies: cut at a random length, or one bit turned; every tenth within the first bytes, where headers are."""
    draws = random.Random(kind)
    for number in range(TRIES):
        place = draws.randrange(min(first, len(content)) if number % 10 == 0 else len(content))
        if kind == "truncated":
            yield content[:place]
        else:
            yield content[:place] + bytes([content[place] ^ 1 << draws.randrange(8)]) + content[place + 1 :]


@pytest.fixture(scope="module")
def run(bench, warm, tmp_path_factory):
    out = tmp_path_factory.mktemp("damage")
    warm.run([*bench.fit(out), "sample.n=1", "evaluate.metrics=[]"])
    return newest(out)


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_checkpoints(run, tmp_path, kind):
    folder = tmp_path / "run" / "checkpoints"
    shutil.copytree(run / "checkpoints", folder)
    path = folder / "last.pt"
    for damaged in places(path.read_bytes(), kind):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value)
        assert "best.pt, previous.pt" in str(caught.value)
        assert "--checkpoint previous" in str(caught.value)


def test_the_checkpoint_that_is_offered_gives_the_undisturbed_result(run, warm, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    for name in ("samples.csv", "metrics.csv"):
        (copied / name).unlink()
    path = copied / "checkpoints" / "last.pt"
    path.write_bytes(path.read_bytes()[:-1])
    refused = warm.start(["run", "--resume", str(copied)])
    assert refused.wait() == 2
    assert f"crystalfw run --resume {copied} --checkpoint previous" in refused.output
    warm.run(["run", "--resume", str(copied), "--checkpoint", "previous"])
    one, two = (checkpoint.load(folder / "checkpoints" / "last.pt") for folder in (run, copied))
    assert one["state"]["step"] == two["state"]["step"]
    assert all(value.equal(two["model"][name]) for name, value in one["model"].items())


@pytest.fixture(scope="module")
def store(bench) -> Path:
    return next(path for path in (bench.cache / "prepared").iterdir() if (path / "manifest.json").exists())


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_prepared_data(store, tmp_path, kind):
    """A random file of the cache each time, by size and by turns."""
    folder = tmp_path / "store"
    shutil.copytree(store, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    whole = {path: path.read_bytes() for path in files}
    damages = {path: places(content, kind) for path, content in whole.items()}
    assert isinstance(open_dataset(folder), Dataset)
    for number in range(TRIES):
        path = files[number % len(files)]
        path.write_bytes(next(damages[path]))
        said = open_dataset(folder)
        assert isinstance(said, str), f"damage in {path.name} was not seen"
        assert str(folder) in said
        path.write_bytes(whole[path])


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_shards(warm, bench, tmp_path, kind):
    """A shard is made again where it is damaged; a bit that no content hangs on (a date in a zip header) may pass."""
    from crystalfw.core.crystal import Crystal
    from crystalfw.core.data.block import make_block, save_block

    crystal = Crystal(lattice=3.0 * np.eye(3), frac_coords=np.zeros((1, 3)), numbers=np.array([11]), properties={"gap": 1.0})
    path = tmp_path / "shard.npz"
    block = make_block(
        crystals=[crystal] * 5, parts=[0] * 5, rows=list(range(5)), tokens=[], neighbours=[], rejected=[], records=5
    )
    save_block(block, path)
    for damaged in places(path.read_bytes(), kind):
        path.write_bytes(damaged)
        found = load_block(path)
        if found is not None:
            assert found.records == 5
            assert all(np.array_equal(values, found.fields[name]) for name, values in block.fields.items())


def test_a_damaged_cache_is_said_and_made_again(warm, bench, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(bench.cache, cache)
    path = next(cache.rglob("lattice.npy"))
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    command = [*bench.fit(tmp_path), f"data.cache={cache}", "fit.steps=1", "sample.n=1", "evaluate.metrics=[]"]
    assert f"{path.name} is damaged; preparing again" in warm.run(command)
    assert path.read_bytes() == before
