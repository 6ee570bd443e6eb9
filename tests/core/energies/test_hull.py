"""Hulls of known energies, tables of them, and how a potential compares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalfw.core.crystal import Crystal
from crystalfw.core.energies.agreement import agreement, chosen
from crystalfw.core.energies.hull import Hull, depths
from crystalfw.core.energies.open import open_potential
from crystalfw.core.energies.references import Reference, read_references
from crystalfw.core.errors import DataError

CU, AU, PD = 29, 79, 46
HALF = ((CU, 0.5), (AU, 0.5))
FCC = 0.5 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])


def known(*extra):
    return [Reference("cu", ((CU, 1.0),), -1.0), Reference("au", ((AU, 1.0),), -3.0), *extra]


def test_heights_are_those_of_the_tie_line():
    hull = Hull(known())
    assert hull.height(HALF, -1.9).above == pytest.approx(0.1)
    assert hull.height(HALF, -2.2).above == pytest.approx(-0.2)
    lower = Hull(known(Reference("cuau", HALF, -2.5)))
    found = lower.height(((CU, 0.7), (AU, 0.3)), -1.9)
    assert found.above == pytest.approx(0.0)
    assert found.decomposition == "0.60 CuAu (cuau) + 0.40 Cu (cu)"


@given(st.lists(st.floats(-3, 0), min_size=1, max_size=5), st.floats(-5, 1))
def test_what_is_known_is_never_below_its_own_hull(energies, level):
    entries = known(*(Reference(f"e{k}", HALF, energy - 2) for k, energy in enumerate(energies)))
    hull = Hull(entries)
    assert all(hull.height(entry.amounts, entry.energy).above >= -1e-9 for entry in entries)
    assert hull.height(HALF, level).above == pytest.approx(level - min([-2.0, *(e - 2 for e in energies)]), abs=1e-9)


def test_an_element_without_an_energy_is_said():
    found = Hull(known()).height(((CU, 0.5), (PD, 0.5)), -1.0)
    assert found.reason == "no known energy of the element Pd"
    assert np.isnan(found.above)


def test_formation_energies_bring_their_elements():
    found = Hull([Reference("cuau", HALF, -0.1)], elements_are_zero=True).height(((CU, 0.5), (PD, 0.5)), 0.02)
    assert found.above == pytest.approx(0.02)


def test_a_compound_left_out_says_how_much_a_table_lacks():
    hull = Hull(known(Reference("cuau", HALF, -2.5), Reference("same", HALF, -2.4)))
    assert hull.left_out(Reference("cuau", HALF, -2.5)).above == pytest.approx(-0.5)
    assert depths(hull, known(Reference("cuau", HALF, -2.5))) == pytest.approx([-0.5])  # elements are not left out


def table(path, text):
    path.write_text(text)
    return path


def test_tables_by_formula_or_cif(tmp_path):
    crystal = Crystal(lattice=3.6 * FCC, frac_coords=np.zeros((1, 3)), numbers=np.array([CU]))
    cif = crystal.cif().replace('"', "'")
    one = read_references([table(tmp_path / "a.csv", f'material_id,cif,formation_energy_per_atom\nx,"{cif}",-0.25\n')])
    assert one.entries[0] == Reference("x", ((CU, 1.0),), -0.25)
    assert one.zero == "elements"
    assert one.crystals({"x"})["x"].n_atoms == 1
    two = read_references([table(tmp_path / "b.csv", "id,composition,energy_per_atom\ny,Cu2O,-4\nz,??,1\nw,Cu,nan\n")])
    assert dict(two.entries[0].amounts) == pytest.approx({CU: 2 / 3, 8: 1 / 3})
    assert two.zero == "atoms"
    assert [text.split("(")[1].split(")")[0] for text in two.skipped] == ["id z", "id w"]


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (["id,formula,energy_per_atom\na,Cu,1\n", "id,formula,energy_per_atom\na,Cu,2\n"], "the id 'a' stands in"),
        (["id,formula,energy_per_atom\na,Cu,1\n", "id,formula,formation_energy_per_atom\nb,Cu,2\n"], "mix total and formation"),
        (["id,formula\na,Cu\n"], "no column of energies"),
        (["id,energy_per_atom\na,1\n"], "says what the energies are of"),
        (["id,formula,energy_per_atom\na,Cu,none\n"], "no row has a composition and an energy"),
        (["id,formula,energy_per_atom\n"], "has no rows"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, tables, sentence):
    with pytest.raises(DataError, match=sentence):
        read_references([table(tmp_path / f"{k}.csv", text) for k, text in enumerate(tables)])


def alloys():
    """Every ordered alloy of four metals in the CuAu cell, near EMT's volumes."""
    radius = {CU: 3.6, AU: 4.06, PD: 3.9, 28: 3.5}
    for a in radius:
        yield Crystal(lattice=radius[a] * FCC, frac_coords=np.zeros((1, 3)), numbers=np.array([a]), id=f"{a}")
        for b in radius:
            for stretch in (0.98, 1.0, 1.02):
                side = stretch * (radius[a] + radius[b]) / 2 / 2**0.5
                lattice = np.diag([side, side, side * 2**0.5])
                frac = np.array([[0.0] * 3, [0.5] * 3])
                yield Crystal(lattice=lattice, frac_coords=frac, numbers=np.array([a, b]), id=f"{a}-{b}-{stretch}")


def test_a_shift_per_element_is_found_and_the_error_is_of_other_crystals(tmp_path):
    emt = open_potential("ase:EMT")
    shift, rng = {CU: 1.5, AU: -2.0, PD: 0.3, 28: 4.0}, np.random.default_rng(0)
    rows = ["id,cif,formation_energy_per_atom"]
    for crystal in alloys():
        truth = emt.evaluate([crystal])[0].energy / crystal.n_atoms - np.mean([shift[z] for z in crystal.numbers])
        cif = crystal.cif().replace('"', "'")
        rows.append(f'{crystal.id},"{cif}",{truth + rng.choice([-0.01, 0.01])}')
    references = read_references([table(tmp_path / "known.csv", "\n".join(rows) + "\n")])
    found = agreement(emt, "ase:EMT", references, {CU, AU, PD, 28}, fit=True, workers=1)
    assert found.shifts == pytest.approx(shift, abs=0.03)
    assert found.mae == pytest.approx(0.01, abs=0.005)
    assert found.compared + found.fitted <= len(rows) - 1
    assert found.comparable(HALF, 0.0) == pytest.approx(-(1.5 - 2.0) / 2, abs=0.03)
    assert np.isnan(found.comparable(((8, 1.0),), 0.0))


def test_a_table_without_crystals_is_not_compared():
    references = replace(read_like(), has_cifs=False)
    assert "no column cif" in agreement(open_potential("ase:EMT"), "ase:EMT", references, {CU}, fit=False).sentence()


def read_like():
    from crystalfw.core.energies.references import References

    return References(known(), "atoms", ())


def test_the_choice_is_the_same_every_time_and_parts_do_not_overlap():
    entries = [Reference(f"{k}", ((29 + k % 3, 0.5), (40, 0.5)), -1.0) for k in range(300)]
    first, second = (chosen(entries, frozenset({29, 40}), True, np.random.default_rng(0)) for _ in range(2))
    assert first == second
    compared, fitted = first
    assert len(compared) <= 200
    assert not set(compared) & set(fitted)
