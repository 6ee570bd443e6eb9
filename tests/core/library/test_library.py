"""A library: entries that say the same whatever the cell, files that are checked, builds that continue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.library import Library, build
from crystalfw.core.library.build import Origin, build_library
from crystalfw.core.library.distances import pair_distances
from crystalfw.core.library.entry import describe
from crystalfw.core.library.wyckoff import canonical_letters
from crystalfw.core.recipe.options import create
from crystalfw.core.testing.crystals import permuted, rebased, rotated, rotation, small_crystals, supercell, translated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CIF files of small crystals."""
    place = tmp_path / "cifs"
    place.mkdir()
    for crystal in small_crystals():
        (place / f"{crystal.id}.cif").write_text(crystal.cif())
    return place


def origins(folder: Path) -> list[Origin]:
    return [Origin(create("source", "files", path=str(folder)), "mine", "CC0")]


def equivalents(crystal: Crystal) -> Iterator[Crystal]:
    yield rotated(crystal, rotation(3, improper=True))
    yield permuted(crystal, 1)
    yield rebased(crystal)
    yield supercell(crystal, (2, 1, 1))
    yield translated(crystal, np.array([0.25, 0.5, 0.125]))


@pytest.mark.parametrize("crystal", small_crystals()[:3], ids=lambda crystal: crystal.id)
def test_the_type_depends_on_the_crystal_alone(crystal):
    known = describe(crystal)
    name = (known.group, known.units, canonical_letters(known.group, known.letters))
    for other in map(describe, equivalents(crystal)):
        assert (other.group, other.units, canonical_letters(other.group, other.letters)) == name
        assert (other.elements, other.counts) == (known.elements, known.counts)


def test_exchanged_origins_are_one_spelling():
    assert canonical_letters(221, ("b", "a", "d")) == canonical_letters(221, ("a", "b", "c"))
    assert canonical_letters(221, ("b", "a", "c")) != canonical_letters(221, ("a", "b", "c"))


def test_entries_come_back_as_they_were(folder, tmp_path):
    built = build_library(origins(folder), tmp_path / "x.library", workers=1)
    assert len(built) == 4
    by_id = {entry.id: entry for entry in Library.open(tmp_path / "x.library")}
    for crystal in small_crystals():
        entry, wanted = by_id[crystal.id], describe(crystal)
        assert (entry.elements, entry.counts, entry.group, entry.letters) == (
            wanted.elements, wanted.counts, wanted.group, wanted.letters,
        )  # fmt: skip
        assert abs(entry.crystal().volume) == pytest.approx(abs(wanted.crystal().volume), rel=1e-4)
    assert built.manifest.sources == [{"name": "mine", "licence": "CC0"}]


def test_one_entry_for_each_formula_and_type(folder, tmp_path):
    (folder / "again.cif").write_text(supercell(small_crystals()[0], (1, 2, 1)).cif())
    (folder / "broken.cif").write_text("no crystal")
    library = build_library(origins(folder), tmp_path / "x.library", workers=1)
    assert (len(library), library.manifest.read) == (4, 6)
    assert sum(library.manifest.rejected.values()) == 1


def test_a_killed_build_continues_and_gives_the_same_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "CHUNK", 1)
    whole = build_library(origins(folder), tmp_path / "whole", workers=1).manifest.digest
    calls = []

    def fails(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    original = build.described
    monkeypatch.setattr(build, "described", fails)
    with pytest.raises(KeyboardInterrupt):
        build_library(origins(folder), tmp_path / "cut", workers=1)
    monkeypatch.setattr(build, "described", original)
    assert build_library(origins(folder), tmp_path / "cut", workers=1).manifest.digest == whole
    assert not (tmp_path / "cut" / ".partial").exists()


def test_a_damaged_or_missing_library_is_a_sentence(folder, tmp_path):
    place = tmp_path / "x.library"
    with pytest.raises(DataError, match="crystalfw library build"):
        Library.open(place)
    build_library(origins(folder), place, workers=1)
    file = place / "coordinates.bin"
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match="checksum is wrong"):
        Library.open(place)
    with pytest.raises(DataError, match="a library already"):
        build_library(origins(folder), place, workers=1)


def test_nothing_to_read_is_an_error(tmp_path):
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "a.cif").write_text("nothing")
    with pytest.raises(DataError, match="no crystal of 1 rows"):
        build_library(origins(tmp_path / "cifs"), tmp_path / "x", workers=1)


def test_a_library_keeps_geometry_to_a_thousandth_of_an_angstrom():
    library = Library.of([describe(crystal) for crystal in small_crystals()])
    for entry, crystal in zip(library, small_crystals(), strict=True):
        wanted = describe(crystal)
        arguments = [(e.lattice, e.frac_coords, e.numbers, e.elements) for e in (entry, wanted)]
        first, second = (pair_distances(*one) for one in arguments)
        assert np.abs(first - second).max() < 2e-3


def test_a_left_handed_cell_keeps_its_hand():
    """Three atoms on a screw: the triple product of their places is the same whatever the hand of the cell."""
    lattice, places = np.diag([4.0, 5.0, 6.0]), np.array([[0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3], [0, 0, 0]])
    crystal = Crystal(lattice=lattice, frac_coords=places, numbers=np.array([3, 9, 11, 17]))
    entry = replace(describe(crystal), lattice=lattice, frac_coords=places, numbers=np.array([3, 9, 11, 17]))
    turned = replace(entry, lattice=lattice[[1, 0, 2]], frac_coords=places[:, [1, 0, 2]])
    assert triple_product(Library.of([entry])[0]) == pytest.approx(triple_product(entry), rel=1e-3)
    assert triple_product(Library.of([turned])[0]) == pytest.approx(triple_product(entry), rel=1e-3)


def triple_product(entry) -> float:
    vectors = entry.frac_coords[:3] - entry.frac_coords[3]
    return float(np.linalg.det((vectors - np.round(vectors)) @ entry.lattice))


def test_entries_of_a_ratio_are_found_without_reading_all():
    entries = [describe(crystal) for crystal in small_crystals()]
    library = Library.of(entries)
    for counts in {entry.counts for entry in entries}:
        assert library.rows_of(counts) == [k for k, entry in enumerate(entries) if entry.counts == counts]
    assert library.ratios() == {c: len(library.rows_of(c)) for c in {entry.counts for entry in entries}}
    assert library.rows_of((5, 7)) == []
