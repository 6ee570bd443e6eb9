"""Checkpoints survive what happens to files: a crash while writing, truncation, flipped bits, newer formats."""

import hashlib
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalfw.core.errors import CheckpointError
from crystalfw.core.model import checkpoint
from crystalfw.core.system import files

PAYLOAD = {"model": {"weight": torch.arange(6.0).reshape(2, 3)}, "state": {"step": 3}, "recipe": "name: x\n"}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, PAYLOAD)
    return path


def test_round_trip(saved):
    loaded = checkpoint.load(saved)
    assert loaded["state"] == {"step": 3}
    assert loaded["recipe"] == "name: x\n"
    torch.testing.assert_close(loaded["model"]["weight"], PAYLOAD["model"]["weight"])


def test_truncation_is_detected_and_the_good_one_offered(saved):
    best = saved.with_name("best.pt")
    best.write_bytes(saved.read_bytes())
    saved.write_bytes(saved.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged.*Whole checkpoints beside it: best\.pt"):
        checkpoint.load(saved)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_flipped_bit_is_detected(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "last.pt"
    checkpoint.save(path, PAYLOAD)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    # A flipped bit in the format number may read as a newer format: refused as well.
    with pytest.raises(CheckpointError):
        checkpoint.load(path)


def test_newer_format_says_so(saved):
    header, _, body = saved.read_bytes().partition(b"\n")
    magic, _, digest = header.split()
    saved.write_bytes(b" ".join([magic, b"99", digest]) + b"\n" + body)
    with pytest.raises(CheckpointError, match=r"format 99.*Install a newer crystalfw"):
        checkpoint.load(saved)


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("owned").touch, ())

    buffer = io.BytesIO()
    torch.save({"model": Evil()}, buffer)
    body = buffer.getvalue()
    path = tmp_path / "evil.pt"
    path.write_bytes(b"crystalfw-checkpoint 1 " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    with pytest.raises(CheckpointError, match="nothing of it was run"):
        checkpoint.load(path)
    assert not (tmp_path / "owned").exists()


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(saved, {"state": {"step": 4}})
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["last.pt"]


def test_find_names_what_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match="no such run folder"):
        checkpoint.find(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.find(tmp_path)
