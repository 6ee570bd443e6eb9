from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.records import Rejected
from crystalfw.plugins.sources.table import Table


def read(path: Path, part: str = "train", **options: object) -> list[Crystal | Rejected]:
    return list(Table(Table.Config(**options), path=str(path)).read(part))


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_rows_become_crystals(write_table, rows, crystals, name):
    found = read(write_table(rows, name))
    assert [c.id for c in found] == ["id-0", "id-1", "id-2", "id-3"]
    for crystal, expected in zip(found, crystals, strict=True):
        assert crystal.formula == expected.formula
        assert crystal.volume == pytest.approx(expected.volume, rel=1e-6)
    np.testing.assert_array_equal([c.properties["band_gap"] for c in found], [5.0, 0.0, np.nan, 0.3])
    assert [c.properties["theoretical"] for c in found] == [1.0, 0.0, 1.0, 0.0]
    assert set(found[0].properties) == {"band_gap", "theoretical"}


def test_parquet_gives_the_same_crystals(write_table, rows, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    typed = [{**row, "band_gap": float(row["band_gap"]) if row["band_gap"] else None} for row in rows]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "table.parquet")
    for first, second in zip(read(tmp_path / "table.parquet"), read(write_table(rows)), strict=True):
        np.testing.assert_array_equal(first.frac_coords, second.frac_coords)
        np.testing.assert_equal(dict(first.properties), dict(second.properties))


def test_cdvae_folder_has_its_parts(write_table, rows, tmp_path):
    write_table(rows[:2], "set/train.csv.gz")
    write_table(rows[2:3], "set/val.csv")
    source = Table(Table.Config(), path=str(tmp_path / "set"))
    assert source.parts() == ("train", "val")
    assert [c.id for c in source.read("val")] == ["id-2"]
    fingerprint = source.fingerprint()
    write_table(rows[3:4], "set/val.csv")
    assert Table(Table.Config(), path=str(tmp_path / "set")).fingerprint() != fingerprint


def test_source_can_be_sent_to_workers(write_table, rows):
    source = pickle.loads(pickle.dumps(Table(Table.Config(), path=str(write_table(rows)))))
    records = list(source.records("train"))
    assert [source.parse(pickle.loads(pickle.dumps(record))).id for record in records] == [f"id-{k}" for k in range(4)]


BROKEN_ROWS = {
    "broken CIF": {"cif": "data_x\n_cell_length_a five\n"},
    "broken CIF.": {"cif": "<html>no crystal</html>"},
    "no structure: column 'cif' is empty": {"cif": "  "},
    "not a number: column 'band_gap' holds 'abc'": {"band_gap": "abc"},
    "not a number: column 'band_gap' holds 'inf'": {"band_gap": "inf"},
    "too large: a CIF of": {"cif": "data_x\n" + "# nothing\n" * 200_000},
}


@pytest.mark.parametrize("reason", BROKEN_ROWS)
def test_a_bad_row_is_set_aside_with_its_place(write_table, rows, reason):
    # the columns are judged by the first rows: the bad one comes after them
    many = [rows[k % 4] for k in range(1000)] if "not a number" in reason else list(rows)
    path = write_table([*many, rows[0] | BROKEN_ROWS[reason] | {"material_id": "bad-1"}])
    found = read(path)
    assert isinstance(found[-1], Rejected)
    assert found[-1].reason.startswith(reason.rstrip("."))
    assert (found[-1].file, found[-1].row, found[-1].id) == (str(path), len(many) + 1, "bad-1")
    assert all(isinstance(item, Crystal) for item in found[:-1])


def test_partial_occupancy_names_the_site(write_table, rows, crystals):
    structure = crystals[2].structure
    structure[0] = {"Sr": 0.5, "Ba": 0.5}
    from pymatgen.io.cif import CifWriter

    found = read(write_table([rows[0] | {"cif": str(CifWriter(structure))}]))
    assert found[0].reason.startswith("partial occupancy on site Sr")
    assert "crystalfw needs ordered crystals" in found[0].reason


def test_malformed_rows_are_set_aside(write_table, rows):
    path = write_table(rows)
    with open(path, "a", newline="") as stream:
        csv.writer(stream).writerow(["id-9", rows[0]["cif"]])
    found = read(path)
    assert found[-1].reason == "malformed row: 2 fields, but the header has 6 columns"
    assert found[-1].row == 5


def test_unusable_files_say_what_is_wrong(write_table, rows, tmp_path):
    path = tmp_path / "x.csv"
    with pytest.raises(DataError, match="no such file or folder"):
        read(path)
    path.write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        read(path)
    path.write_text("material_id,cif\n")
    with pytest.raises(DataError, match="the table has no rows"):
        read(path)
    path.write_text("material_id,formula\nmp-1,NaCl\n")
    with pytest.raises(DataError, match="no column 'cif'; the columns are material_id, formula"):
        read(path)
    path.write_bytes(b"cif\n\xff\xfe\x00\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read(path)
    path.write_text("cif,cif\na,b\n")
    with pytest.raises(DataError, match="occurs twice"):
        read(path)
    other = tmp_path / "x.txt"
    other.write_text("cif\n")
    with pytest.raises(DataError, match="not a table"):
        read(other)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"holds no train\.csv"):
        read(tmp_path / "folder")
    whole = write_table(rows * 50, "whole.csv.gz")
    (tmp_path / "cut.csv.gz").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(DataError, match="truncated compressed file after row"):
        read(tmp_path / "cut.csv.gz")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 this is not parquet")
    with pytest.raises(DataError, match="not a readable parquet file"):
        read(tmp_path / "no.parquet")


def test_a_quote_that_never_closes_is_an_error_not_a_full_memory(rows, tmp_path):
    path = tmp_path / "open.csv"
    path.write_text('material_id,cif\nid-0,"' + "x" * 17_000_000)
    with pytest.raises(DataError, match="broken CSV after row 0"):
        read(path)


def test_wanted_columns_must_exist(write_table, rows):
    path = write_table(rows)
    assert set(read(path, properties=("band_gap",))[0].properties) == {"band_gap"}
    with pytest.raises(DataError, match="no column hardness"):
        read(path, properties=("hardness",))
    with pytest.raises(DataError, match="no column 'key'"):
        read(path, id="key")


def test_embeddings_from_a_column(write_table, rows):
    path = write_table([row | {"vector": json.dumps([k, 0.5, -1])} for k, row in enumerate(rows)])
    found = read(path, arrays={"embedding": "vector"})
    np.testing.assert_array_equal(found[2].arrays["embedding"], np.array([2, 0.5, -1], dtype=np.float32))
    bad = write_table([*rows, rows[0]], "bad.csv")
    assert read(bad, arrays={"embedding": "note"})[0].reason.startswith("no embedding: 'embedding' is not a list of numbers")


@pytest.mark.parametrize("suffix", ["npy", "pt"])
def test_embeddings_from_a_file_beside_the_table(write_table, rows, tmp_path, suffix):
    path = write_table(rows)
    values = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    for count, name in ((4, "good"), (3, "short"), (5, "long")):
        array = np.concatenate([values, values])[:count]
        np.save(tmp_path / f"{name}.npy", array)
        torch.save(torch.from_numpy(array), tmp_path / f"{name}.pt")
    found = read(path, arrays={"e": f"good.{suffix}"})
    np.testing.assert_array_equal(found[3].arrays["e"], values[3])
    with pytest.raises(DataError, match=r"3 embeddings, but .* has more rows"):
        read(path, arrays={"e": f"short.{suffix}"})
    with pytest.raises(DataError, match=r"5 embeddings, but .* has 4 rows"):
        read(path, arrays={"e": f"long.{suffix}"})
    with pytest.raises(DataError, match="no such embedding file"):
        read(path, arrays={"e": f"none.{suffix}"})


@pytest.mark.parametrize("text", ["[0.5, -1, 2e-3]", "0.5 -1 2e-3", "0.5,-1,0.002", "[ 0.5 -1.    2e-3]"])
def test_ways_to_write_an_embedding(write_table, rows, text):
    found = read(write_table([row | {"embedding": text} for row in rows]))
    np.testing.assert_array_equal(found[0].arrays["embedding"], np.array([0.5, -1, 0.002], dtype=np.float32))


def test_embeddings_of_the_usual_name_are_found(write_table, rows, tmp_path):
    path = write_table(rows, "one/table.csv")
    before = Table(Table.Config(), path=str(path)).fingerprint()
    np.save(tmp_path / "one" / "embedding.npy", np.ones((4, 3), dtype=np.float32))
    assert read(path)[0].arrays["embedding"].shape == (3,)
    assert Table(Table.Config(), path=str(path)).fingerprint() != before
    for part in ("train", "val"):
        write_table(rows, f"set/{part}.csv")
    np.save(tmp_path / "set" / "train_embedding.npy", np.ones((4, 3), dtype=np.float32))
    with pytest.raises(DataError, match=r"val_embedding\.npy is missing"):
        read(tmp_path / "set")
    np.save(tmp_path / "set" / "val_embedding.npy", np.zeros((4, 3), dtype=np.float32))
    assert read(tmp_path / "set", "val")[3].arrays["embedding"].sum() == 0
    assert not read(tmp_path / "set", arrays={})[0].arrays


class _Evil:
    def __reduce__(self):
        return (pytest.fail, ("code in a data file was run",))


def test_code_in_embedding_files_is_not_run(write_table, rows, tmp_path):
    path = write_table(rows)
    torch.save(_Evil(), tmp_path / "evil.pt")
    np.save(tmp_path / "evil.npy", np.array([_Evil()], dtype=object), allow_pickle=True)
    for name in ("evil.pt", "evil.npy"):
        with pytest.raises(DataError, match="not a"):
            read(path, arrays={"e": name})


def test_where_reads_the_rows_that_hold_these_texts(tmp_path, crystals):
    path = tmp_path / "t.csv"
    path.write_text("id,part,cif\n" + "".join(f'{k},{"val" if k else "train"},"{crystals[0].cif()}"\n' for k in range(3)))
    chosen = Table(Table.Config(where={"part": "train"}), path=str(path))
    assert [item.id for item in chosen.read("train")] == ["0"]
    assert chosen.size("train") == 1
    whole = Table(Table.Config(), path=str(path))
    assert whole.size("train") == 3
    assert whole.fingerprint() != chosen.fingerprint()
    assert "where" not in repr(whole.config)  # it would change the fingerprint of data prepared before the option was there
    with pytest.raises(DataError, match=r"no column 'split' \(option where\)"):
        list(Table(Table.Config(where={"split": "train"}), path=str(path)).read("train"))
