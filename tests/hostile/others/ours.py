"""Checkpoints, embeddings, request notes, strings and compositions of a stranger."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import torch

from crystalfw.core.commands.decode import read_strings
from crystalfw.core.errors import CheckpointError, ConditionError, DataError
from crystalfw.core.model import checkpoint
from crystalfw.core.recipe.options import create
from crystalfw.core.sample.conditions import parse_composition
from crystalfw.core.system.resumable_csv import RowFile
from crystalfw.core.testing.crystals import small_crystals
from tests.hostile.corpus import table
from tests.hostile.others.registry import SCRIPT, attack, read, refused


class _Code:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("executed", "w"))


@attack("checkpoint: pickled code")
def pickled_code(folder: Path) -> None:
    for content in ({"model": _Code()}, _Code(), [_Code()]):
        stream = io.BytesIO()
        torch.save(content, stream)
        _checkpoint(folder, stream.getvalue())
        _checkpoint(folder, pickle.dumps(content, protocol=2))


@attack("checkpoint: rubbish with a right checksum")
def rubbish(folder: Path) -> None:
    stream = io.BytesIO()
    torch.save({"model": {"a": torch.zeros(3)}}, stream)
    whole = stream.getvalue()
    for body in (b"", b"x", whole[:-40], whole[: len(whole) // 2], b"\x80\x02}q\x00.", b"PK\x05\x06" + bytes(18)):
        _checkpoint(folder, body)
    stream = io.BytesIO()
    torch.save([1], stream)
    _checkpoint(folder, stream.getvalue())
    _checkpoint(folder, whole, b"9" * 5000)
    _checkpoint(folder, whole, b"0")


@attack("checkpoint: 400 MB packed into half a megabyte")
def packed(folder: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        small = io.BytesIO()
        torch.save({"model": torch.zeros(4)}, small)
        for member in zipfile.ZipFile(small).infolist():
            archive.writestr(member.filename, zipfile.ZipFile(small).read(member))
        with archive.open("archive/data/9", "w", force_zip64=True) as zeros:
            for _ in range(400):
                zeros.write(bytes(1_000_000))
    _checkpoint(folder, stream.getvalue())


def _checkpoint(folder: Path, body: bytes, version: bytes = b"1") -> None:
    path = folder / "x.pt"
    path.write_bytes(b"%s %s %s\n" % (checkpoint.MAGIC, version, hashlib.sha256(body).hexdigest().encode()) + body)
    refused(CheckpointError, checkpoint.load, path)


@attack("embeddings: pickled code in .npy and .pt")
def embeddings(folder: Path) -> None:
    import numpy as np

    (folder / "x.csv").write_text(table([["a", small_crystals()[0].cif(), "1"]]))
    for suffix in ("npy", "pt"):
        path = folder / f"embedding.{suffix}"
        if suffix == "npy":
            np.save(path, np.array([_Code()], dtype=object), allow_pickle=True)
        else:
            torch.save(_Code(), path)
        refused(DataError, read, folder / "x.csv")
        path.unlink()


@attack("row file: a request that is none")
def requests(folder: Path) -> None:
    for content in (b"[]", b"1", b"\xff\xfe", b"[" * 100_000, b""):
        (folder / "x.csv").write_text("a,b\n1,2\n")
        (folder / "x.csv.request.json").write_bytes(content)
        refused(DataError, RowFile, folder / "x.csv", ("a", "b"), {})


@attack("strings of 10 MB to decode")
def long_strings(folder: Path) -> None:
    slices = create("representation", "slices")
    salt = slices.encode(small_crystals()[:1])[0].string
    strings = [
        "Na " * 3_000_000,
        salt * 200_000,
        "0 1 o o o " * 1_000_000,
        "x" * 10_000_000,
        "é\x00" * 3_000_000,
        salt + " " * 10_000_000,
    ]
    for outcome in slices.decode(strings[:5]):
        assert not outcome.ok
        assert outcome.reason
    slices.decode(strings[5:])
    (folder / "x.txt").write_text("\n".join(strings))
    assert len(list(read_strings(folder / "x.txt", "slices"))) == len(strings)


@attack("compositions of a billion atoms")
def compositions(folder: Path) -> None:
    del folder
    for text in ("Si1000000000", "Si1e9", "(" * 5000 + "Si" + ")9" * 5000, "Si" * 100_000, "x" * 100_000, SCRIPT, "", "Si0.5"):
        refused(ConditionError, parse_composition, text)
