from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.records import Rejected
from crystalfw.plugins.sources.files import Files


def read(path: Path, part: str = "train", **options: object) -> list[Crystal | Rejected]:
    return list(Files(Files.Config(**options), path=str(path)).read(part))


def extxyz(crystal: Crystal, extra: str = "energy=-1.5 stable=T name=x") -> str:
    from pymatgen.core import Element

    lattice = " ".join(repr(float(x)) for x in crystal.lattice.ravel())
    lines = [str(crystal.n_atoms), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T" {extra}']
    for number, position in zip(crystal.numbers, crystal.cart_coords, strict=True):
        lines.append(" ".join([Element.from_Z(int(number)).symbol, *(repr(float(x)) for x in position)]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path, crystals) -> Path:
    from pymatgen.io.vasp import Poscar

    root = tmp_path / "structures"
    (root / "deep").mkdir(parents=True)
    (root / "a.cif").write_text(crystals[0].cif())
    (root / "deep" / "POSCAR_b").write_text(str(Poscar(crystals[1].structure)))
    (root / "c.json").write_text(json.dumps(crystals[2].structure.as_dict()))
    (root / "d.extxyz").write_text(extxyz(crystals[3]) + extxyz(crystals[0]))
    (root / "notes.txt").write_text("not a structure")
    (root / ".hidden.cif").write_text("not a structure")
    return root


def check(found: list[Crystal | Rejected], crystals: list[Crystal]) -> None:
    assert [type(item).__name__ for item in found] == ["Crystal"] * 5
    # order of names: a, c, d (two frames), deep/POSCAR_b
    for item, expected in zip(found, [crystals[0], crystals[2], crystals[3], crystals[0], crystals[1]], strict=True):
        assert item.formula == expected.formula
        assert item.volume == pytest.approx(expected.volume, rel=1e-5)
    assert found[2].properties == {"energy": -1.5, "stable": 1.0}
    assert [item.id for item in found] == ["a", "c", "d-1", "d-2", "POSCAR_b"]


def test_a_folder_of_formats(folder, crystals):
    check(read(folder), crystals)


def test_a_zip_of_formats(folder, crystals, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    check(read(tmp_path / "all.zip"), crystals)


def test_parts_from_sub_folders(tmp_path, crystals):
    for part, crystal in zip(("train", "test"), crystals, strict=False):
        (tmp_path / part).mkdir()
        (tmp_path / part / "x.cif").write_text(crystal.cif())
    source = Files(Files.Config(), path=str(tmp_path))
    assert source.parts() == ("train", "test")
    assert [c.formula for c in source.read("test")] == [crystals[1].formula]
    before = source.fingerprint()
    (tmp_path / "test" / "x.cif").rename(tmp_path / "test" / "y.cif")
    assert source.fingerprint() != before


def test_ase_database(tmp_path, crystals):
    ase_db = pytest.importorskip("ase.db")
    with ase_db.connect(str(tmp_path / "set.db")) as database:
        for crystal in crystals:
            database.write(crystal.atoms, key_value_pairs={"gap": 1.5, "material_id": f"m-{crystal.id}"})
    found = read(tmp_path / "set.db")
    assert [c.id for c in found] == [f"m-{c.id}" for c in crystals]
    assert found[0].properties["gap"] == 1.5
    np.testing.assert_allclose(found[3].lattice, crystals[3].lattice)


BAD_FILES = {
    "x.cif": (b"data_\n", "broken CIF"),
    "POSCAR": (b"one line\n", "broken POSCAR"),
    "y.json": (b'{"lattice": 3, "sites": []}', "broken pymatgen JSON"),
    "dict.json": (b'{"a": 1}', "not a pymatgen structure"),
    "deep.json": (b"[" * 100_000, "broken JSON"),
    "z.extxyz": (b"2\nno lattice\nNa 0 0 0\nCl 1 1 1\n", "broken extxyz: no Lattice"),
    "short.extxyz": (b"5\nx\nNa 0 0 0\n", "broken extxyz: the number of atoms"),
    "million.extxyz": (b"1000000\nx\n", "broken extxyz: the number of atoms"),
    "flat.extxyz": (b'1\nLattice="1 0 0 0 1 0 1 1 0"\nNa 0 0 0\n', "flat cell"),
    "nan.extxyz": (b'1\nLattice="nan 0 0 0 1 0 0 0 1"\nNa 0 0 0\n', "flat cell"),
    "element.extxyz": (b'1\nLattice="3 0 0 0 3 0 0 0 3"\nXq 0 0 0\n', "no such element"),
    "binary.cif": (b"\xff\xfe\x00\x01", "not text"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_set_aside_with_its_name(tmp_path, crystals, name):
    content, reason = BAD_FILES[name]
    (tmp_path / "0.cif").write_text(crystals[0].cif())
    (tmp_path / name).write_bytes(content)
    good, bad = sorted(read(tmp_path), key=lambda item: isinstance(item, Rejected))
    assert isinstance(good, Crystal)
    assert isinstance(bad, Rejected)
    assert bad.reason.startswith(reason)
    assert Path(bad.file).name == name


def test_unusable_paths_say_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match="no structure file"):
        read(tmp_path)
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(DataError, match="unknown format"):
        read(tmp_path / "x.docx")
    (tmp_path / "empty.cif").write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        read(tmp_path / "empty.cif")
    (tmp_path / "x.zip").write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match="not a readable zip"):
        read(tmp_path / "x.zip")
    (tmp_path / "x.db").write_bytes(b"SQLite format 3\0 and then nothing")
    with pytest.raises(DataError, match="not a readable ASE database"):
        read(tmp_path / "x.db")


def test_large_files_are_not_read(tmp_path, crystals):
    (tmp_path / "big.cif").write_text(crystals[0].cif() + "# " + "x" * 2_000_000)
    assert read(tmp_path, max_file_mb=1.0)[0].reason.startswith("too large")


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_paths_that_climb_out_of_a_zip_are_set_aside(tmp_path, crystals):
    content = crystals[0].cif().encode()
    names = ["../evil.cif", "/etc/evil.cif", "a/../../evil.cif", "C:/evil.cif", "..\\evil.cif", "good.cif"]
    found = read(make_zip(tmp_path / "x.zip", dict.fromkeys(names, content)))
    assert sorted(item.reason for item in found if isinstance(item, Rejected)) == ["path leads out of the zip"] * 5
    assert [item.id for item in found if isinstance(item, Crystal)] == ["good"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


def test_zip_bombs_are_refused_unread(tmp_path, crystals):
    bomb = make_zip(tmp_path / "bomb.zip", {"a.cif": b"0" * 15_000_000, "good.cif": crystals[0].cif().encode()})
    found = read(bomb)
    assert found[0].reason.startswith("zip bomb")
    assert isinstance(found[1], Crystal)
    with pytest.raises(DataError, match="refused"):
        read(bomb, max_zip_gb=0.01)


def test_a_member_that_lies_about_its_size_is_bounded(tmp_path):
    """The directory says 1000 bytes; the stream holds 15 MB."""
    path = make_zip(tmp_path / "lie.zip", {"a.cif": b"0" * 15_000_000})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 1000)
    path.write_bytes(bytes(data))
    found = read(path, max_file_mb=1.0)
    assert isinstance(found[0], Rejected)


def test_links_are_not_followed(tmp_path, crystals):
    (tmp_path / "outside.cif").write_text(crystals[0].cif())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "own.cif").write_text(crystals[1].cif())
    (tmp_path / "in" / "link.cif").symlink_to(tmp_path / "outside.cif")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert [c.id for c in read(tmp_path / "in")] == ["own"]
