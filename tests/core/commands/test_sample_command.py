"""`crystalfw sample`: formula units, and a folder of its own for each request."""

import pytest

from crystalfw.core.commands import sample
from crystalfw.core.commands.cli import make_parser
from crystalfw.core.errors import ConditionError, CrystalfwError
from crystalfw.core.recipe.options import create
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.records import Sample
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.table import sample_id, write_samples
from crystalfw.core.sample.until import sample_until
from crystalfw.core.testing.crystals import small_crystals


def _folder(tmp_path, *words):
    return sample._default_out(make_parser("sample").parse_args([str(tmp_path), *words])).parent.name


def test_changed_settings_are_in_the_name_of_the_folder(tmp_path):
    plain = _folder(tmp_path, "--condition", "gap=2")
    assert plain == "gap=2_seed0"
    assert _folder(tmp_path, "--condition", "gap=2", "--batch-size", "3", "--n", "5") == plain
    others = [["--temperature", "0.5"], ["--temperature", "0.7"], ["--composition-exact"], ["--formula-units", "1,2"]]
    names = {_folder(tmp_path, "--condition", "gap=2", *words) for words in [*others, ["--checkpoint", "last"]]}
    assert len({plain, *names}) == 6
    assert _folder(tmp_path, "--drawn", "space_group") == "drawnspace_group_seed0"


def test_formula_units_multiply_the_composition():
    found = sample.cells({"composition": "LiFePO4", "gap": 1.0}, [1, 4])
    assert [cell["composition"] for cell in found] == [{"Li": k, "Fe": k, "P": k, "O": 4 * k} for k in (1, 4)]
    assert all(cell["gap"] == 1.0 for cell in found)
    with pytest.raises(ConditionError, match="needs a composition"):
        sample.cells({"gap": 1.0}, [2])


def test_formula_units_are_whole_numbers(tmp_path, capsys):
    with pytest.raises((SystemExit, CrystalfwError)) as stopped:
        make_parser("sample").parse_args([str(tmp_path), "--formula-units", "0,2"])
    assert "1,2,4" in capsys.readouterr().err + str(stopped.value)


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        (["allowed_elements=No, O"], {"allowed_elements": ["No", "O"]}),
        (["n_atoms=[4, 12]", "charge_balanced=true"], {"n_atoms": [4, 12], "charge_balanced": True}),
    ],
)
def test_constraints(pairs, found):
    assert sample.read_constraints(pairs) == found


@pytest.mark.parametrize("pair", ["n_atoms", "=3", "n_atoms=", "n_atoms=[4"])
def test_constraints_that_cannot_be_read(pair):
    with pytest.raises(ConditionError, match="--constraint"):
        sample.read_constraints([pair])


def test_a_range_is_spread_evenly():
    found = sample.spread(sample.read_conditions(["gap=2..4", "composition=NaCl"]))
    assert [one["gap"] for one in found] == [2 + k / 4 for k in range(9)]
    assert {one["composition"] for one in found} == {"NaCl"}
    assert sample.spread({"gap": 2.0}) == [{"gap": 2.0}]
    for wrong in ("gap=2..x", "gap=4..2"):
        with pytest.raises(ConditionError, match=r"LOW\.\.HIGH|smaller one"):
            sample.read_conditions([wrong])


def test_until_asks_for_more_and_gives_up(tmp_path):
    """Every fifth try is a crystal, and they repeat after three: two are found in time, four never are."""
    pool = small_crystals()[:3]
    representation = create("representation", "slices")

    def made(request):
        outcomes = []
        for k in range(request.settings.n):
            crystal = pool[k // 5 % 3] if k % 5 == 0 else None
            status = "ok" if crystal is not None else "decode"
            outcomes.append(Sample(id=sample_id(k), seed=0, string="", status=status, reason="", crystal=crystal))
        (tmp_path / "out.csv").unlink(missing_ok=True)
        write_samples(outcomes, tmp_path / "out.csv")

    request = Request(settings=SampleSection(n=1))
    assert sample_until(2, request, tmp_path / "out.csv", representation, made).startswith("3 distinct crystals (2 wanted)")
    said = sample_until(4, request, tmp_path / "out.csv", representation, made)
    assert said == "3 distinct crystals of the 4 wanted; gave up after 80 tries"
