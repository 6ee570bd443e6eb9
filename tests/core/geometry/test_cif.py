"""The fast way of reading CIF gives the same crystal as pymatgen, to the last digit, or leaves the text to it."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.io.cif import CifWriter

from crystalfw.core.crystal import Crystal, lattice_from_parameters
from crystalfw.core.errors import DataError
from crystalfw.core.geometry import cif as module
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.testing.crystals import small_crystals


def must_agree(text: str, *, fast: bool) -> None:
    plain = module._plain(text, "", {})
    assert (plain is not None) == fast
    found, expected = crystal_from_cif(text), Crystal.from_cif(text)
    np.testing.assert_array_equal(found.lattice, expected.lattice)
    np.testing.assert_array_equal(found.frac_coords, expected.frac_coords)
    np.testing.assert_array_equal(found.numbers, expected.numbers)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_random_crystals(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    grid = rng.choice(np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3), count, replace=False)
    # special positions (thirds among them), outside of the cell, and general ones
    frac = grid / 6 + rng.choice([0.0, 0.03], (count, 3)) * rng.random((count, 3)) + rng.integers(-1, 2, (count, 3))
    lattice = lattice_from_parameters(rng.uniform(3, 12, 3), rng.uniform(60, 115, 3))
    numbers = rng.choice([1, 3, 8, 9, 17, 22, 26, 38, 57, 82, 92], count)
    must_agree(Crystal(lattice=lattice, frac_coords=frac, numbers=numbers).cif(), fast=True)


@pytest.mark.parametrize("crystal", small_crystals(), ids=lambda crystal: crystal.id)
def test_small_crystals(crystal):
    must_agree(crystal.cif(), fast=True)


def variants() -> dict[str, str]:
    crystal = small_crystals()[2]
    text = crystal.cif()
    coinciding = replace(crystal, frac_coords=crystal.frac_coords + np.array([[0, 0, 0]] * 4 + [[0.5, 0, 1.5e-4]]))
    noble = replace(crystal, numbers=np.array([2, 2, 8, 8, 8]))
    return {
        "symmetry": str(CifWriter(crystal.structure, symprec=0.01)),
        "charges": text.replace("  Sr  Sr0", "  Sr2+  Sr0"),
        "uncertainty": text.replace("3.90500000", "3.90500000(12)", 1),
        "comment": "# by hand\n" + text,
        "other_order_of_tags": text.replace("_symmetry_Int_Tables_number   1\n", ""),
        "coinciding_sites": coinciding.cif(),
        "windows_line_ends": text.replace("\n", "\r\n"),
        "noble_gas": noble.cif(),
    }


NOT_PLAIN = [
    "symmetry", "charges", "uncertainty", "comment", "other_order_of_tags", "coinciding_sites", "windows_line_ends",
    "noble_gas",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # pymatgen calling spglib
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_pymatgen(name):
    must_agree(variants()[name], fast=False)


@pytest.mark.parametrize("change", ["x, y, -z", "0.5000000x", "occupancy"])
def test_nothing_unusual_is_read_as_plain(change):
    text = small_crystals()[2].cif()
    broken = {
        "x, y, -z": text.replace("x, y, z", "x, y, -z"),
        "0.5000000x": text.replace("0.50000000", "0.5000000x", 1),
        "occupancy": text.replace("0.00000000  1\n", "0.00000000  0.5\n", 1),
    }[change]
    assert broken != text
    assert module._plain(broken, "", {}) is None


def test_partial_occupancy_is_refused():
    text = small_crystals()[2].cif().replace("0.00000000  1\n", "0.00000000  0.5\n", 1)
    with pytest.raises(DataError, match="partial occupancy"):
        crystal_from_cif(text)


@pytest.mark.parametrize("filler", [" ", "x", "1", "\n", " 1", "' ", "Na1 "])
def test_long_nonsense_takes_no_time(filler):
    """No catastrophic backtracking: a megabyte is refused or handed on at once."""
    import time

    text = small_crystals()[0].cif()
    for place in ("_chemical_formula_sum", "_cell_length_a", "  Na  Na0", "data_"):
        at = text.index(place) + len(place)
        began = time.process_time()
        module._plain(text[:at] + filler * (800_000 // len(filler)) + text[at:], "", {})
        assert time.process_time() - began < 1.0
    with pytest.raises(DataError, match="too large"):
        crystal_from_cif(text + filler * 1_000_000)


DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real tables beside the repository")
def test_real_tables():
    csv.field_size_limit(10_000_000)
    for path in sorted(DATA.glob("*/val.csv.gz")):
        with gzip.open(path, "rt", newline="") as stream:
            for row in islice(csv.DictReader(stream), 0, None, 150):
                must_agree(row["cif"], fast=True)
