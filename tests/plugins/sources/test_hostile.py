"""Mutated files: each is a crystal or a reason, never a crash, never a hang; what comes through is sound or rejected."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import check_sound
from crystalfw.core.errors import DataError, Reject
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.plugins.sources.reading.formats import parse_text, split_text

PIECES = [
    "", " ", "\n", "0", "-1", "nan", "inf", "1e308", "-1e308", "1e-308", "999999999", "'", '"', ";", "loop_", "_cell_length_a",
    "data_", "?", ".", "(3)", "\t", "é", "\x00", "{", "[", "}", ",", "X", "Og", "H", "D", "x, y, z", "-x, -y, z+1/2", "0.5",
    "#",     "_symmetry_space_group_name_H-M 'F m -3 m'\n", "_space_group_symop_operation_xyz", "null",
    "true", '"@module": "os"',
]  # fmt: skip


def texts() -> dict[str, str]:
    from pymatgen.io.vasp import Poscar

    crystal = small_crystals()[3]
    lattice = " ".join(repr(float(x)) for x in crystal.lattice.ravel())
    frames = [str(crystal.n_atoms), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 energy=-1.0']
    frames += [f"Fe {x} {y} {z}" for x, y, z in crystal.cart_coords.tolist()]
    return {
        "cif": crystal.cif(),
        "poscar": str(Poscar(crystal.structure)),
        "json": json.dumps(crystal.structure.as_dict()),
        "extxyz": "\n".join(frames) + "\n",
    }


def survive(kind: str, text: str) -> None:
    for _, piece in split_text(kind, text):
        try:
            crystal = parse_text(kind, piece, "x")
            assert isinstance(crystal, Crystal)
            check_sound(crystal, max_atoms=1000)
        except (DataError, Reject):
            continue


@pytest.mark.parametrize("kind", ["cif", "poscar", "json", "extxyz"])
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutated_text(kind, data):
    text = texts()[kind]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 0, 1, 1, 5, 40, 400]))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[start + length :]
    survive(kind, text)


@pytest.mark.parametrize("kind", ["cif", "poscar", "json", "extxyz"])
@given(text=st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text(kind, text):
    survive(kind, text)


@pytest.mark.parametrize("kind", ["cif", "poscar", "json", "extxyz"])
def test_a_million_atoms_are_refused_at_once(kind):
    atom = {"cif": "  Na  Na0  1  0.1 0.1 0.1  1\n", "poscar": "0.1 0.1 0.1\n", "extxyz": "Na 0.1 0.1 0.1\n", "json": ""}[kind]
    text = texts()[kind] + atom * 1_000_000
    if kind == "json":
        structure = json.loads(texts()["json"])
        text = json.dumps(structure | {"sites": structure["sites"] * 5_000})
    elif kind == "extxyz":
        text = "1000000\n" + texts()["extxyz"].split("\n")[1] + "\n" + atom * 1_000_000
    began = time.process_time()
    pieces = list(split_text(kind, text))
    with pytest.raises(DataError):
        parse_text(kind, pieces[0][1], "x")
    assert time.process_time() - began < 10


def test_modules_named_in_json_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('a module named in a data file was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    structure = json.loads(texts()["json"])
    named = {"@module": "evil_module", "@class": "Evil", "data": {}}
    structure["sites"][0]["properties"] = {"x": named}
    structure["properties"] = {"y": named}
    assert parse_text("json", json.dumps(structure | named), "x").n_atoms == 4


def test_disordered_json_names_the_site():
    structure = json.loads(texts()["json"])
    structure["sites"][2]["species"] = [{"element": "S", "occu": 0.5}, {"element": "Se", "occu": 0.5}]
    with pytest.raises(DataError, match=r"partial occupancy on site S \(S 0.5, Se 0.5\)"):
        parse_text("json", json.dumps(structure), "x")


@pytest.mark.parametrize("seed", range(3))
def test_binary_noise(seed):
    noise = np.random.default_rng(seed).integers(0, 256, 5000, dtype=np.uint8).tobytes().decode("latin-1")
    for kind in ("cif", "poscar", "json", "extxyz"):
        survive(kind, noise)
