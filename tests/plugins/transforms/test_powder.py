"""Powder lines of crystals, and the same as a measurement shows them."""

import numpy as np
import pytest

from crystalfw.core.errors import ConditionError
from crystalfw.core.powder.line_table import ARRAY, LINES, WAVELENGTH, computed_lines, measured_lines
from crystalfw.core.recipe.options import create
from crystalfw.core.sample.conditions import condition_crystal
from crystalfw.core.sample.pattern_table import is_pattern_table, pattern_conditions
from crystalfw.core.testing.crystals import small_crystals

CRYSTAL = small_crystals()[0]


def disturbed(crystal, seed=0, **options):
    clean = create("transform", "powder_lines")(crystal, np.random.default_rng(0))
    return create("transform", "powder_measurement", options)(clean, np.random.default_rng(seed)).arrays[ARRAY]


QUIET = {"zero": 0, "displacement": 0, "position": 0, "texture": 0, "lost": 0, "impurity": 0}


def test_lines_are_sorted_and_padded():
    table = computed_lines(CRYSTAL)
    assert table.shape == (LINES, 3)
    real = table[np.isfinite(table[:, 0])]
    assert real[0, 1] == 1
    assert (np.diff(real[:, 1]) <= 0).all()


def test_a_quiet_measurement_changes_nothing_but_widths():
    clean = computed_lines(CRYSTAL)
    np.testing.assert_allclose(disturbed(CRYSTAL, **QUIET)[:, :2], clean[:, :2], rtol=1e-4)


def test_the_zero_shift_moves_all_lines_alike():
    def angles(table):
        return np.sort(2 * np.rad2deg(np.arcsin(WAVELENGTH / 2 / table[np.isfinite(table[:, 0]), 0].astype(float))))

    moved = angles(disturbed(CRYSTAL, **QUIET | {"zero": 0.2})) - angles(computed_lines(CRYSTAL))
    assert np.ptp(moved) < 2e-3
    assert 1e-3 < abs(moved.mean()) < 1


def test_lost_and_foreign_lines():
    clean = np.isfinite(computed_lines(CRYSTAL)[:, 0]).sum()
    assert np.isfinite(disturbed(CRYSTAL, **QUIET | {"lost": 0.3})[:, 0]).sum() < clean
    more = np.isfinite(disturbed(CRYSTAL, **QUIET | {"impurity": 1})[:, 0]).sum()
    assert min(clean, LINES) <= more <= clean + 4


@pytest.fixture
def path(tmp_path):
    """A noisy pattern of CRYSTAL, a.xy."""
    from crystalfw.core.powder.lines import powder_lines
    from crystalfw.core.powder.profile import profile
    from crystalfw.core.powder.radiation import radiation

    cu = radiation("CuKa")
    grid = np.arange(5, 90, 0.02)
    curve = profile(powder_lines(CRYSTAL, cu.mean, (5, 90)), grid, cu)
    counts = np.random.default_rng(0).poisson(5000 * curve / curve.max() + 50)
    (tmp_path / "a.xy").write_text("\n".join(f"{x:.3f} {y}" for x, y in zip(grid, counts, strict=True)))
    return tmp_path / "a.xy"


def test_a_table_of_patterns_is_conditions(path, tmp_path):
    requires = frozenset({f"arrays.{ARRAY}", "composition"})
    table = tmp_path / "asked.csv"
    table.write_text("id,pattern,formula\nfirst,a.xy,NaCl\n,a.xy,KCl\n\n")
    assert is_pattern_table(table)
    first, second = pattern_conditions(table, requires, frozenset())
    assert (first.id, second.id, sorted(second.numbers.tolist())) == ("first", "a", [17, 19])
    np.testing.assert_array_equal(first.arrays[ARRAY], measured_lines(path))
    assert len(pattern_conditions(table, requires, frozenset(), 1)) == 1
    wrong = {
        "pattern,formula\ngone.xy,NaCl\n": "row 1: .*no such file", "pattern,formula\na.xy,\n": "row 1: .*composition",
        "id,pattern,colour\nx,a.xy,3\n": "'colour'", "id,pattern,formula\n": "no pattern",
    }  # fmt: skip
    for text, words in wrong.items():
        table.write_text(text)
        with pytest.raises(ConditionError, match=words):
            pattern_conditions(table, requires, frozenset())
    table.write_text("material_id,cif,pattern\n")
    assert not is_pattern_table(table)


def test_a_measured_pattern_is_a_condition(path):
    asked = condition_crystal({"pattern": str(path)}, frozenset({f"arrays.{ARRAY}"}))
    np.testing.assert_array_equal(asked.arrays[ARRAY], measured_lines(path))
    np.testing.assert_allclose(asked.arrays[ARRAY][0, 0], computed_lines(CRYSTAL)[0, 0], rtol=2e-3)
    with pytest.raises(ConditionError, match=r"trained for the condition .pattern"):
        condition_crystal({"pattern": str(path)}, frozenset({"composition"}))
    with pytest.raises(ConditionError, match=r"--condition pattern=FILE\.xy --condition composition"):
        condition_crystal({"composition": "NaCl"}, frozenset({f"arrays.{ARRAY}", "composition"}))
