"""The files that people have: lists of documents, data frames, id_prop.csv, tables of file names, packed archives."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.data.reading import open_source, read_crystals
from crystalfw.core.errors import DataError
from crystalfw.core.records import Rejected
from crystalfw.core.system import bounded_text


def read(path):
    return list(read_crystals(path))


def documents(crystals):
    return [
        {"material_id": f"mp-{k}", "band_gap": 0.5 * k, "formula_pretty": c.formula, "structure": c.structure.as_dict()}
        for k, c in enumerate(crystals)
    ]


def columns(rows):
    return {name: {str(k): row[name] for k, row in enumerate(rows)} for name in rows[0]}


FORMS = {
    "docs.json": lambda rows: json.dumps(rows),
    "wrapped.json": lambda rows: json.dumps({"data": rows}),
    "by_id.json": lambda rows: json.dumps({f"x{k}": row for k, row in enumerate(rows)}),
    "frame_columns.json": lambda rows: json.dumps(columns(rows)),
    "frame_split.json": lambda rows: json.dumps({
        "columns": list(rows[0]), "index": list(range(len(rows))), "data": [list(row.values()) for row in rows],
    }),
    "lines.jsonl": lambda rows: "\n".join(map(json.dumps, rows)) + "\n",
    "text.json": lambda rows: json.dumps([{**row, "structure": json.dumps(row["structure"])} for row in rows]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_documents_with_structures_and_properties(name, crystals, tmp_path):
    (tmp_path / name).write_text(FORMS[name](documents(crystals)))
    found = read(tmp_path / name)
    assert [c.formula for c in found] == [c.formula for c in crystals]
    assert [c.id for c in found] == [f"mp-{k}" for k in range(len(crystals))]
    assert [c.properties["band_gap"] for c in found] == [0.5 * k for k in range(len(crystals))]


def test_a_list_and_a_mapping_of_bare_structures(crystals, tmp_path):
    plain = [c.structure.as_dict() for c in crystals]
    (tmp_path / "list.json").write_text(json.dumps(plain))
    (tmp_path / "map.json").write_text(json.dumps({f"my-{k}": s for k, s in enumerate(plain)}))
    assert [c.id for c in read(tmp_path / "list.json")] == [f"list-{k}" for k in range(1, len(crystals) + 1)]
    assert [c.id for c in read(tmp_path / "map.json")] == [f"my-{k}" for k in range(len(crystals))]


def test_jarvis_atoms(crystals, tmp_path):
    salt = crystals[0]
    atoms = {
        "lattice_mat": salt.lattice.tolist(), "coords": salt.cart_coords.tolist(), "cartesian": True,
        "elements": [site.specie.symbol for site in salt.structure],
    }  # fmt: skip
    (tmp_path / "jarvis.json").write_text(json.dumps([{"jid": "JVASP-1", "atoms": atoms, "optb88vdw_bandgap": 5.0}]))
    (found,) = read(tmp_path / "jarvis.json")
    assert (found.id, found.formula, found.properties) == ("JVASP-1", salt.formula, {"optb88vdw_bandgap": 5.0})
    assert abs(found.frac_coords - salt.frac_coords).max() < 1e-9


def test_a_broken_document_is_rejected_with_its_row(crystals, tmp_path):
    rows = documents(crystals)
    rows[1]["structure"] = {"lattice": 3, "sites": []}
    rows.append({"material_id": "none"})
    (tmp_path / "docs.json").write_text(json.dumps(rows))
    found = read(tmp_path / "docs.json")
    wrong = [item for item in found if isinstance(item, Rejected)]
    assert [item.row for item in wrong] == [2, len(rows)]
    assert "broken pymatgen JSON" in wrong[0].reason
    assert len(found) == len(rows)


def test_every_block_of_a_cif_is_a_crystal(crystals, tmp_path):
    blocks = ["data_global\n_publ 'x'\n_text\n;\ndata_inside of a text\n_atom_site_\n;\n", *(c.cif() for c in crystals)]
    (tmp_path / "export.cif").write_text("\n".join(blocks))
    (tmp_path / "one.cif").write_text("\n".join(blocks[:2]))
    assert [c.formula for c in read(tmp_path / "export.cif")] == [c.formula for c in crystals]
    assert [c.id for c in read(tmp_path / "one.cif")] == ["one"]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("ending", ["", ".cif"])
def test_id_prop_beside_the_files(header, ending, crystals, tmp_path, capsys):
    folder = tmp_path / "cgcnn"
    folder.mkdir()
    lines = ["id,my_prop"] if header else []
    for k, crystal in enumerate(crystals):
        (folder / f"c{k}.cif").write_text(crystal.cif())
        lines.append(f"c{k}{ending},{k / 4}")
    (folder / "id_prop.csv").write_text("\n".join([*lines, f"gone{ending},3"]))
    found = read(folder)
    assert [c.properties for c in found[:-1]] == [{"my_prop" if header else "target": k / 4} for k in range(len(crystals))]
    assert "no structure file: row of 'gone" in found[-1].reason
    before = open_source(folder).fingerprint()
    (folder / "id_prop.csv").write_text("\n".join(lines))
    assert open_source(folder).fingerprint() != before
    assert main(["data", "check", str(folder), "--round-trip", "0"]) == 0
    assert f"{len(crystals)} values from 0 to 0.75" in capsys.readouterr().out


def test_two_rows_of_id_prop_for_one_file(crystals, tmp_path):
    (tmp_path / "a.cif").write_text(crystals[0].cif())
    (tmp_path / "id_prop.csv").write_text("a,1\na,2\n")
    with pytest.raises(DataError, match="row 2: 'a' has a row already"):
        read(tmp_path)


def test_a_table_of_file_names(crystals, tmp_path):
    rows = [("id", "file", "my_prop")]
    for k, crystal in enumerate(crystals):
        (tmp_path / "cifs").mkdir(exist_ok=True)
        (tmp_path / "cifs" / f"{k}.cif").write_text(crystal.cif())
        rows.append((f"n{k}", f"cifs/{k}.cif", k))
    outside = tmp_path.parent / "outside.cif"
    outside.write_text(crystals[0].cif())
    rows += [("o", "../outside.cif", 9), ("p", str(outside), 9), ("q", "cifs/none.cif", 9)]
    with open(tmp_path / "props.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    found = read(tmp_path / "props.csv")
    good, bad = found[: len(crystals)], found[len(crystals) :]
    assert [(c.id, c.formula, c.properties["my_prop"]) for c in good] == [
        (f"n{k}", c.formula, k) for k, c in enumerate(crystals)
    ]
    assert [item.reason for item in bad] == [
        "file '../outside.cif' is not in the table's folder", f"file '{outside}' is not in the table's folder",
        "no structure file 'cifs/none.cif' beside the table",
    ]  # fmt: skip
    before = open_source(tmp_path / "props.csv").fingerprint()
    (tmp_path / "cifs" / "0.cif").write_text(crystals[1].cif())
    assert open_source(tmp_path / "props.csv").fingerprint() != before


@pytest.mark.parametrize("write", [json.dumps, str], ids=["json", "print of the dictionary"])
def test_a_column_called_structure(write, crystals, tmp_path):
    with open(tmp_path / "mine.csv", "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["material_id", "structure"])
        table.writerows([f"m{k}", write(c.structure.as_dict())] for k, c in enumerate(crystals))
        table.writerow(["printed", str(crystals[0].structure)])
        table.writerow(["deep", "{'a': " + "[" * 100 + "]" * 100 + "}"])
    *found, printed, deep = read(tmp_path / "mine.csv")
    assert [c.formula for c in found] == [c.formula for c in crystals]
    assert "write structure.to(fmt='cif')" in printed.reason
    assert "brackets" in deep.reason


def test_a_missing_column_names_the_option(tmp_path):
    (tmp_path / "mine.csv").write_text("material_id,geometry\na,b\n")
    with pytest.raises(DataError, match=r"data\.source=\{name: table, cif: COLUMN\}"):
        read(tmp_path / "mine.csv")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_archives(ending, layout, crystals, tmp_path):
    path, long = tmp_path / f"all{ending}", "d" * 90 + "/" + "e" * 90
    mode = {".tar": "w", ".tgz": "w:gz"}.get(ending, f"w:{ending.rsplit('.', 1)[1]}")
    with tarfile.open(path, mode, format=layout) as archive:
        for name, text in [("readme.md", "x"), *((f"{long}/{k}.cif", c.cif()) for k, c in enumerate(crystals))]:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("link.cif")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        info = tarfile.TarInfo("../up.cif")
        archive.addfile(info, io.BytesIO(b""))
    *found, up = read(path)
    assert [c.formula for c in found] == [c.formula for c in crystals]
    assert up.reason == "path leads out of the archive"


def test_damaged_tars_are_sentences(crystals, tmp_path):
    path = tmp_path / "all.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a.cif")
        info.size = len(crystals[0].cif())
        archive.addfile(info, io.BytesIO(crystals[0].cif().encode()))
    whole = path.read_bytes()
    path.write_bytes(whole[:700])
    with pytest.raises(DataError, match="it ends within a member"):
        read(path)
    path.write_bytes(whole[:10] + b"X" + whole[11:])
    with pytest.raises(DataError, match="checksum"):
        read(path)
    name = tarfile.TarInfo("x").tobuf()[:512]
    header = bytearray(name)
    header[156:157], header[124:136] = b"x", b"%011o\0" % (1 << 32)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header))
    with pytest.raises(DataError, match="a name of 4,294,967,296 bytes; refused"):
        read(path)


PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("ending", PACKERS)
def test_packed_tables_and_files(ending, rows, crystals, write_table, tmp_path):
    pack, plain = PACKERS[ending], write_table(rows)
    packed = tmp_path / f"mine.csv{ending}"
    packed.write_bytes(pack(plain.read_bytes()))
    assert read(packed) == read(plain)
    (tmp_path / f"salt.cif{ending}").write_bytes(pack(crystals[0].cif().encode()))
    (found,) = read(tmp_path / f"salt.cif{ending}")
    assert (found.id, found.formula) == ("salt", crystals[0].formula)
    packed.write_bytes(pack(plain.read_bytes())[:-30])
    with pytest.raises(DataError, match="damaged or truncated compressed file"):
        read(packed)


def test_xz_takes_no_more_memory_than_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded_text, "XZ_MEMORY", 1 << 20)
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(b"cif\n" * 10, preset=9))
    with pytest.raises(DataError, match="Memory usage limit"):
        read(tmp_path / "a.csv.xz")


def test_text_columns_that_look_like_numbers_are_named(rows, write_table, capsys):
    changed = [{**row, "my_prop": f"{k}.1 eV", "half": str(k) if k else "n/a", "label": f"{k}H"} for k, row in enumerate(rows)]
    path = write_table(changed)
    assert main(["data", "check", str(path), "--round-trip", "0"]) == 0
    out = capsys.readouterr().out
    assert "column my_prop is text (e.g. '0.1 eV' in row 1): not a property" in out
    assert "column half is text (e.g. 'n/a' in row 1): not a property" in out
    assert "note" not in out
    request = ["run", "property", f"data.path={path}", "model.encoder.columns=[my_prop]", f"data.cache={path.parent}/cache"]
    assert main([*request, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "no property column my_prop" in said
    assert "'0.1 eV' in row 1" in said


def test_counts_are_those_of_the_parts_written(rows, write_table, tmp_path, capsys):
    path = write_table(rows)
    assert main(["data", "split", str(path), "-o", str(tmp_path / "set"), "--test", "0.5", "--validation", "0"]) == 0
    said = capsys.readouterr().out
    written = {file.name.split(".")[0]: len(list(read_crystals(file))) for file in Path(tmp_path / "set").glob("*.csv.gz")}
    assert f"4 crystals: {', '.join(f'{part} {written[part]}' for part in sorted(written, key=said.rfind))}" in said
    assert main(["data", "import", str(path), "-o", str(tmp_path / "imp.txt")]) == 2
    assert "imp.txt: tables are written as .csv or .csv.gz" in capsys.readouterr().err
    assert not (tmp_path / "imp.txt").exists()
