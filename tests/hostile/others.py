"""Attacks other than structure files: archives, recipes, checkpoints, strings, names, what the report shows.

Each function gets an empty folder and ends silently, or raises AssertionError where something was harmed.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import html.parser
import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from crystalfw.core import checkpoint
from crystalfw.core.commands.decode import read_strings
from crystalfw.core.conditions import parse_composition
from crystalfw.core.crystal import Crystal
from crystalfw.core.data import prepare
from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, ConditionError, CrystalfwError, DataError, RecipeError
from crystalfw.core.evaluation import evaluate
from crystalfw.core.interfaces import Rejected, Sample
from crystalfw.core.locate import source_name
from crystalfw.core.recipe import load_recipe
from crystalfw.core.report import write_report
from crystalfw.core.rowfile import RowFile
from crystalfw.core.samples import read_samples, write_cifs, write_samples
from crystalfw.core.schema import ComponentSpec, DataSection
from crystalfw.core.testing.crystals import small_crystals
from tests.hostile.corpus import table

ATTACKS: dict[str, Callable[[Path], None]] = {}
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>"
LONGEST = 30.0
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
    assert used < LONGEST, f"{what}: {used:.0f} CPU seconds"
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
    items = list(registry().create("source", source_name(str(path)), path=str(path)).read("train"))
    return [i for i in items if isinstance(i, Crystal)], [i.reason for i in items if isinstance(i, Rejected)]


# --- archives ----------------------------------------------------------------------------------------------------------


@attack("zip: paths that climb out")
def climbing(folder: Path) -> None:
    names = ["../out.cif", "a/../../out.cif", "/out.cif", "\\out.cif", "..\\out.cif", "C:\\out.cif", "C:out.cif", "good.cif"]
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    with zipfile.ZipFile(inner / "x.zip", "w") as archive:
        for name in names:
            archive.writestr(name, small_crystals()[0].cif())
    crystals, reasons = read(inner / "x.zip")
    assert len(crystals) == 1
    assert len(reasons) == 7
    assert set(reasons) == {"path leads out of the zip"}
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["x.zip"]


@attack("zip: bombs")
def bombs(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.cif", b"\0" * 15_000_000)
        archive.writestr("large.cif", b"\0" * 100_000_000)
        archive.writestr("good.cif", small_crystals()[0].cif())
    crystals, reasons = read(folder / "x.zip")
    assert len(crystals) == 1
    assert sorted(reason.split(":")[0] for reason in reasons) == ["too large", "zip bomb"]


@attack("zip: claims 200 GB")
def claims(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for k in range(100):
            archive.writestr(f"{k}.cif", b"x")
    _patch_sizes(folder / "x.zip", 2_000_000_000)
    assert "refused" in refused(DataError, read, folder / "x.zip")


@attack("zip: sizes that lie")
def lies(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", b"\0" * 100_000_000)
    _patch_sizes(folder / "x.zip", 1000)
    assert len(read(folder / "x.zip")[1]) == 1


@attack("zip: other packing methods, a locked member, a nested zip")
def methods(folder: Path) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(folder / f"{method}.zip", "w", method) as archive:
            archive.writestr("a.cif", small_crystals()[0].cif())
        assert read(folder / f"{method}.zip")[1] == ["packed with a method other than deflate"]
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.cif", "x")
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    refused(DataError, read, folder / "nested.zip")


@attack("zip: names that are no text")
def no_text(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("ééé.cif", small_crystals()[0].cif())
    content = (folder / "x.zip").read_bytes().replace("ééé.cif".encode(), b"\xff\xfe\xff\xfe\xff\xfe.cif")
    (folder / "x.zip").write_bytes(content)
    refused(DataError, read, folder / "x.zip")


@attack("gzip: a table that unpacks to one line of 300 MB")
def gzip_bomb(folder: Path) -> None:
    with gzip.open(folder / "x.csv.gz", "wb", compresslevel=6) as stream:
        stream.write(b"id,cif\n")
        for _ in range(300):
            stream.write(b"x" * 1_000_000)
    assert "a line of more than" in refused(DataError, read, folder / "x.csv.gz")


def _patch_sizes(path: Path, size: int) -> None:
    """Write another unpacked size into every entry of a zip's directory and in front of every member."""
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.find(magic)
        while at >= 0:
            struct.pack_into("<I", content, at + offset, size)
            at = content.find(magic, at + 4)
    path.write_bytes(content)


# --- recipes -----------------------------------------------------------------------------------------------------------


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


# --- checkpoints and other files of ours ---------------------------------------------------------------------------------


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


# --- strings and conditions ----------------------------------------------------------------------------------------------


@attack("strings of 10 MB to decode")
def long_strings(folder: Path) -> None:
    slices = registry().create("representation", "slices")
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


# --- names, tables, the report ---------------------------------------------------------------------------------------------


@attack("file names that are no text, or text that is code")
def names(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    good = small_crystals()[0].cif()
    for name in (b"\xff\xfe.cif", b"new\nline.cif", b"$(touch executed).cif", b"; touch executed ;.cif", b"<script>.cif"):
        (data / os.fsdecode(name)).write_text(good)
    (data / "broken.cif").write_text("data_x\n")
    (data / "broken.db").write_bytes(b"SQLite format 3\x00" + os.urandom(2000))
    os.symlink("/", data / "root.cif")
    os.mkfifo(data / "pipe.cif")
    source = registry().create("source", "files", path=str(data))
    dataset = prepare(DataSection(cache=str(folder / "cache"), workers=1), source, (), None, key="x", seed=0)
    assert len(dataset) == 5
    assert dataset.rejected.total() == 2
    assert dataset.rejected_path.read_text(encoding="utf-8").count("\n") == 3


@attack("ids that share a file name, or are a path")
def ids(folder: Path) -> None:
    salt = small_crystals()[0]
    found = ["../out", "..", "a/b", "a_b", "a b", "x" * 5000, "é" * 200, "CON", "-rf"]
    write_samples([_sample(id, salt) for id in found], folder / "samples.csv")
    assert write_cifs(folder / "samples.csv", folder / "cifs") == len(found)
    assert len(list((folder / "cifs").iterdir())) == len(found)


@attack("HTML and script in ids, conditions, reasons, columns, recipe: the report shows text")
def report(folder: Path) -> None:
    samples = [_sample(f"{SCRIPT}{k}", crystal, SCRIPT) for k, crystal in enumerate(small_crystals())]
    samples.append(Sample(id=f"failed {SCRIPT}", seed=0, string=SCRIPT, status="decode", reason=f"{SCRIPT}: x", crystal=None))
    write_samples(samples, folder / "samples.csv")
    metrics = [ComponentSpec(name=name) for name in ("shares", "match", "distributions", "validity")]
    evaluate(folder / "samples.csv", small_crystals(), metrics, out=folder, workers=1, quiet=True)
    (folder / "recipe.yaml").write_text(f"# {SCRIPT}\nname: x\n")
    (folder / "provenance.json").write_text(json.dumps({SCRIPT: SCRIPT, "versions": {"x": SCRIPT}}))
    (folder / "metrics.csv").write_text(
        f"step,loss,val_loss,{SCRIPT.replace(',', '')}\n1,2.0,2.0,1\n2,1.0,1.0,1\n".replace('"', "")
    )
    page = write_report(folder).read_text(encoding="utf-8")
    assert "alert(" in page, "the report shows no id at all"
    _Page.check(page)


class _Page(html.parser.HTMLParser):
    """Fails on any element or attribute that came out of data."""

    @classmethod
    def check(cls, page: str) -> None:
        parser = cls()
        parser.scripts = 0
        parser.feed(page)
        assert parser.scripts <= 1, "a script came out of data"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        assert tag not in ("img", "iframe", "object", "embed"), tag
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            assert not (value or "").strip().lower().startswith("javascript:"), (tag, value)


@attack("a table of samples with broken rows")
def sample_table(folder: Path) -> None:
    flat = "data_x\n" + small_crystals()[0].cif().replace("_cell_length_a", "_cell_length_a 0\n_x")
    rows = [["a", flat, "ok"], ["b", "x" * 100_000, "ok"], ["", "", ""], [SCRIPT, small_crystals()[0].cif(), SCRIPT]]
    (folder / "samples.csv").write_text(table(rows, ("id", "cif", "status")))
    found = list(read_samples(folder / "samples.csv"))
    assert [sample.crystal is None for sample in found] == [True, True, True, False]
    assert all(sample.reason for sample in found[:3])
    evaluate(folder / "samples.csv", small_crystals(), [ComponentSpec(name="shares")], out=folder, workers=1, quiet=True)


@attack("foreign crystals that are no crystals, evaluated")
def foreign(folder: Path) -> None:
    from tests.hostile.corpus import broken_files

    data = folder / "data"
    data.mkdir()
    for item in broken_files(60, seed=1, large=False):
        if item.kind != "csv":
            (data / item.name).write_bytes(item.content)
    (data / "good.cif").write_text(small_crystals()[0].cif())
    metrics = [ComponentSpec(name=name) for name in ("shares", "validity", "distributions")]
    record = evaluate(data, small_crystals(), metrics, out=folder, workers=1, quiet=True)
    assert record["failed"] == {}
    assert record["samples"]["count"] >= len(list(data.iterdir()))


def _sample(id: str, crystal: Crystal, note: str = "") -> Sample:
    return Sample(id=id, seed=0, string=note, status="ok", reason=note, crystal=crystal, condition={note: note} if note else {})
