"""File names, ids, tables of samples, and what the report shows of them."""

from __future__ import annotations

import html.parser
import json
import os
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.data import prepare
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.report import write_report
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import ComponentSpec, DataSection
from crystalfw.core.records import Sample
from crystalfw.core.sample.export import write_cifs
from crystalfw.core.sample.table import read_samples, write_samples
from crystalfw.core.testing.crystals import small_crystals
from tests.hostile.corpus import table
from tests.hostile.others.registry import SCRIPT, attack


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
    source = create("source", "files", path=str(data))
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
