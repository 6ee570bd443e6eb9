"""A table that grows is read once: what was added, never what was known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from crystalfw.core.errors import DataError
from crystalfw.core.sample.table import COLUMNS
from crystalfw.core.serve import tables
from crystalfw.core.serve.tables import Tables


def append(path: Path, *rows: tuple[str, str], torn: str = "") -> None:
    """Rows of (id, status), those that are ok with a CIF of two lines; `torn` is what a kill left of a further row."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        for id, status in rows:
            cif = "data_x\n_cell 1\n" if status == "ok" else ""
            writer.writerow({"id": id, "slices": "Na Cl", "status": status, "space_group": "225",
                             "cif": cif, "reason": "" if status == "ok" else f"{status}: bad"})  # fmt: skip
        file.write(torn)


def test_only_what_is_new_is_read(tmp_path, monkeypatch):
    path, known, read = tmp_path / "samples.csv", Tables(), []
    original = tables.rows_with_ends

    def watched(table, start=0):
        for fields in original(table, start):
            read.append(fields[0][0])
            yield fields

    monkeypatch.setattr(tables, "rows_with_ends", watched)
    append(path, ("0", "ok"), ("1", "parse"), ("2", "ok"))
    first = known.rows(path, 0, 10, crystals_only=True)
    assert [row["id"] for row in first["rows"]] == ["0", "2"]
    assert first["rows"][0]["group"] == "Fm-3m (225)"
    read.clear()
    append(path, ("3", "ok"))
    second = known.rows(path, 2, 10, crystals_only=True)
    assert [row["id"] for row in second["rows"]] == ["3"]
    assert set(read) == {"3"}
    assert second["total"] == 3
    assert second["counts"] == {"ok": 3, "parse": 1}
    assert second["funnel"] == [["samples", 4], ["strings that parse", 3], ["three-dimensional nets", 3],
                                ["crystals found", 3], ["accepted", 3]]  # fmt: skip
    assert second["reasons"] == [["parse: bad", 1]]


def test_a_torn_row_counts_once_it_is_whole(tmp_path):
    path, known = tmp_path / "samples.csv", Tables()
    append(path, ("0", "ok"), torn='1,,,Na,ok,,,,"data_y\n')
    assert known.rows(path, 0, 10, crystals_only=True)["total"] == 1
    with path.open("a") as file:
        file.write('_cell 2\n",,\n')
    assert known.rows(path, 0, 10, crystals_only=True)["total"] == 2


def test_a_table_begun_anew_is_read_anew(tmp_path):
    path, known = tmp_path / "samples.csv", Tables()
    append(path, ("0", "ok"), ("1", "ok"))
    assert known.rows(path, 0, 10, crystals_only=True)["total"] == 2
    path.unlink()
    assert known.rows(path, 0, 10, crystals_only=True)["total"] == 0
    append(path, ("5", "ok"))
    assert [row["id"] for row in known.rows(path, 0, 10, crystals_only=True)["rows"]] == ["5"]


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'cif'"):
        Tables().rows(path, 0, 10, crystals_only=False)
