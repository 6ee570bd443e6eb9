"""`crystalfw encode` and `crystalfw decode`: every row of the input has its row, and a cut file is completed."""

from __future__ import annotations

import csv
import gzip
import os
import signal
from pathlib import Path

import pytest

from crystalfw.core.commands._rows import run_rows
from crystalfw.core.commands.cli import main
from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import Interrupted
from crystalfw.core.system.resumable_csv import RowFile
from crystalfw.core.testing.crystals import small_crystals


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def crystals_csv(tmp_path: Path, library: dict[str, Crystal]) -> Path:
    path = tmp_path / "crystals.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        for repeat in range(30):
            writer.writerows([f"{name}-{repeat}", crystal.cif()] for name, crystal in library.items())
        writer.writerow(["broken", "no cif at all"])
    return path


def test_encode_then_decode(tmp_path: Path, crystals_csv: Path, library: dict[str, Crystal]) -> None:
    strings, decoded, cifs = tmp_path / "strings.csv", tmp_path / "decoded.csv", tmp_path / "cifs"
    assert main(["encode", str(crystals_csv), "-o", str(strings), "--workers", "1"]) == 0
    found = rows(strings)
    assert list(found[0]) == ["id", "slices", "n_atoms", "status", "reason"]
    assert len(found) == 30 * len(library) + 1
    assert {row["status"] for row in found[:-1]} == {"ok"}
    assert found[-1]["id"] == "broken"
    assert (found[-1]["status"], found[-1]["slices"]) == ("unreadable", "")
    assert found[-1]["reason"]
    assert [row["n_atoms"] for row in found[: len(library)]] == [str(c.n_atoms) for c in library.values()]

    few = tmp_path / "few.csv"
    few.write_text(
        "".join(strings.read_text().splitlines(keepends=True)[: len(library) + 1]) + "bad,Na Cl 0 5 ooo,2,ok,\nnone,,,x,\n"
    )
    assert main(["decode", str(few), "-o", str(decoded), "--cif-dir", str(cifs), "--workers", "1"]) == 0
    outcome = rows(decoded)
    assert list(outcome[0]) == ["id", "status", "reason", "residual", "cif"]
    assert [row["status"] for row in outcome] == ["ok"] * len(library) + ["parse", "empty"]
    assert "names atom 5 of 2" in outcome[-2]["reason"]
    assert len(list(cifs.iterdir())) == len(library)
    for row in outcome[: len(library)]:
        assert Crystal.from_cif(row["cif"]).n_atoms == library[row["id"].rsplit("-", 1)[0]].n_atoms
        assert float(row["residual"]) < 0.5


def test_a_cut_file_is_completed_and_a_finished_one_kept(tmp_path: Path, crystals_csv: Path) -> None:
    whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    for path in (whole, cut):
        assert main(["encode", str(crystals_csv), "-o", str(path), "--workers", "1"]) == 0
    text = whole.read_bytes()
    for size in (len(text), len(text) * 2 // 3, len(text) // 2 + 7, 40, 10, 0):
        cut.write_bytes(text[:size])
        assert main(["encode", str(crystals_csv), "-o", str(cut), "--workers", "1"]) == 0
        assert cut.read_bytes() == text


def test_tables_never_mix(tmp_path: Path, crystals_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    assert main(["encode", str(crystals_csv), "-o", str(out), "--workers", "1"]) == 0
    assert main(["encode", str(crystals_csv), "-o", str(out), "--dialect", "metric"]) == 2
    assert "made with another options" in capsys.readouterr().err
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("a,b\n1,2\n")
    assert main(["encode", str(crystals_csv), "-o", str(foreign)]) == 2
    assert foreign.read_text() == "a,b\n1,2\n"


def test_a_signal_ends_the_work_after_the_rows_at_hand(tmp_path: Path) -> None:
    def work(number: int) -> list[list[str]]:
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return [[str(number), "ok"]]

    path = tmp_path / "rows.csv"
    with RowFile(path, ("number", "status"), {}) as out, pytest.raises(Interrupted, match="SIGTERM after 4 rows"):
        run_rows("test", out, work, ((k,) for k in range(9)), status=1, workers=1)
    with RowFile(path, ("number", "status"), {}) as out:
        assert out.done == 4
        counts = run_rows("test", out, work, ((k,) for k in range(out.done, 9)), status=1, workers=1)
    assert counts == {"ok": 5}
    assert [row["number"] for row in rows(path)] == [str(k) for k in range(9)]


def test_strings_from_text_and_gzip(tmp_path: Path) -> None:
    string = "C C 0 1 ooo 0 1 +oo 0 1 o+o 0 1 oo+"
    text, packed = tmp_path / "published.sli", tmp_path / "strings.csv.gz"
    text.write_text(f"{string}\nC C 0 1 o o o 0 1 + o o 0 1 o + o 0 1 o o +\nnonsense\n")
    with gzip.open(packed, "wt", newline="") as file:
        file.write(f"id,text\nx,{string}\n")
    assert main(["decode", str(text), "-o", str(tmp_path / "a.csv"), "--workers", "1"]) == 0
    assert [row["status"] for row in rows(tmp_path / "a.csv")] == ["ok", "ok", "parse"]
    assert main(["decode", str(packed), "-o", str(tmp_path / "b.csv"), "--column", "text", "--workers", "1"]) == 0
    assert [(row["id"], row["status"]) for row in rows(tmp_path / "b.csv")] == [("x", "ok")]


def test_wrong_requests_say_what_is_wrong(tmp_path: Path, crystals_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.csv")
    assert main(["encode", str(crystals_csv), "-o", out, "--dialect", "exact"]) == 2
    assert "plain, rigid, metric" in capsys.readouterr().err
    assert main(["encode", str(tmp_path / "nowhere.csv"), "-o", out]) == 2
    assert main(["encode", str(crystals_csv), "-o", out, "--part", "test"]) == 2
    assert "--part test: the input has train" in capsys.readouterr().err
    assert main(["decode", str(crystals_csv), "-o", out]) == 2
    assert "no column 'slices'; there are material_id, cif" in capsys.readouterr().err


def test_an_absurd_id_is_cut_where_the_row_says_why(tmp_path):
    with open(tmp_path / "long.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "cif"), ("x" * 5000, small_crystals()[0].cif())])
    assert main(["encode", str(tmp_path / "long.csv"), "-o", str(tmp_path / "out.csv"), "--workers", "1"]) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        ((id, _, _, status, reason),) = list(csv.reader(file))[1:]
    assert (id, status, reason) == ("x" * 1000, "unreadable", "absurd id: 5,000 characters")
