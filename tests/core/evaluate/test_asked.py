"""What was asked beside what came out: the crystals asked for are kept, verdicts say why, lost samples have an example."""

from __future__ import annotations

import pytest

from crystalfw.core.evaluate.asked import MOST, read_asked, write_asked
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.report import write_report
from crystalfw.core.evaluate.report.asked import answers
from crystalfw.core.evaluate.report.run_files import RunFiles
from crystalfw.core.evaluate.report.samples import find, pick
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.sample.table import write_samples
from crystalfw.plugins.metrics.match import verdict
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample


def test_the_crystals_that_samples_name_are_kept(tmp_path):
    known = [rock_salt(id=f"k{n}") for n in range(MOST + 5)]
    named = [sample(str(n), reference_id=f"k{n}", status="graph", reason="graph") for n in range(MOST + 5)]
    write_asked(tmp_path / "asked.csv", [*named, sample("x"), sample("y", reference_id="nowhere")], known[:3], known[3:])
    found = read_asked(tmp_path / "asked.csv")
    assert list(found) == [f"k{n}" for n in range(MOST)]
    assert found["k0"].formula == "NaCl"
    met = {str(MOST + 2): {"good": True, "text": "match"}, str(MOST + 3): {"good": False, "text": "no match"}}
    write_asked(tmp_path / "met.csv", named, known, verdicts=met)
    assert list(read_asked(tmp_path / "met.csv")) == [*(f"k{n}" for n in range(MOST)), f"k{MOST + 2}"]
    write_asked(tmp_path / "none.csv", [sample("x")], known)
    assert read_asked(tmp_path / "none.csv") == {}


def test_the_sample_that_matches_is_the_one_shown(tmp_path):
    made = [sample("a", perovskite(), reference_id="s"), sample("b", rock_salt(), reference_id="s"), sample("c", rock_salt())]
    write_samples(made, tmp_path / "samples.csv")
    verdicts = {"a": {"good": False, "text": "no match: x"}, "b": {"good": True, "text": "match"}}
    (answer,) = answers(tmp_path / "samples.csv", {"s": rock_salt(id="s")}, verdicts)
    assert (answer.sample.id, answer.count, answer.good, answer.judged) == ("b", 2, 1, 2)
    assert answer.reference is not None
    assert find(tmp_path / "samples.csv", ["c", "nowhere"]).keys() == {"c"}
    assert [item.id for item in pick(tmp_path / "samples.csv", preferred=["c"], count=2)] == ["c", "a"]


def test_requests_that_were_met_are_shown_behind_the_first(tmp_path):
    write_samples([sample(str(n), rock_salt(), reference_id=f"k{n}") for n in range(9)], tmp_path / "samples.csv")
    met = {str(n): {"good": n > 5, "text": ""} for n in range(9)}
    shown = [item.request[1] for item in answers(tmp_path / "samples.csv", {}, met, 2, [("", "k4")])]
    assert shown == ["k0", "k1", "k4", "k6", "k7"]


@pytest.mark.parametrize(("crystal", "good", "words"), [
    (moved(rock_salt()), True, "match (loose and strict): RMSE"),
    (perovskite(), False, "no match: SrTiO3 instead of NaCl"),
    (rock_salt(8.0), False, "Å³ per atom"),
])  # fmt: skip
def test_verdicts_say_why(crystal, good, words):
    rms = dict.fromkeys(("loose", "strict"), 0.02 if good else float("nan"))
    said = verdict(crystal, rock_salt(), rms)
    assert said["good"] is good
    assert words in said["text"]


def test_an_evaluation_of_files_misses_nothing_and_draws_what_was_lost(tmp_path):
    """Not a run: no word on the recipe that is not there; one lost crystal is drawn with its reason."""
    (tmp_path / "others").mkdir()
    for name, crystal in (("a", rock_salt()), ("b", rock_salt()), ("c", caesium_chloride())):
        (tmp_path / "others" / f"{name}.cif").write_text(crystal.cif())
    out = tmp_path / "out"
    evaluate(tmp_path / "others", [rock_salt()], (ComponentSpec(name="shares"),), out=out, workers=1, quiet=True)
    content = write_report(out, samples=tmp_path / "others").read_text(encoding="utf-8")
    assert "is not in this folder" not in content
    assert "<h1>Evaluation of others</h1>" in content
    assert "crystalfw evaluation report" in content
    assert "not unique: equals an earlier sample" in content
    assert content.count('class="crystal"') > 3


def test_requests_reach_the_page(tmp_path):
    made = [
        sample("a", moved(rock_salt()), reference_id="salt"), sample("b", perovskite(), reference_id="cscl"),
        sample("c", status="graph", reason="graph: not periodic", reference_id="sto"),
    ]  # fmt: skip
    write_samples(made, tmp_path / "samples.csv")
    reference = [rock_salt(id="salt"), caesium_chloride(id="cscl"), perovskite(id="sto")]
    evaluate(tmp_path / "samples.csv", reference, (ComponentSpec(name="match"),), out=tmp_path, workers=1, quiet=True)
    content = write_report(tmp_path).read_text(encoding="utf-8")
    section = content[content.index('id="answers"') : content.index("Match with the reference")]
    assert section.count('class="pair"') == 3
    for words in ("✓ match (loose and strict)", "✗ no match", "SrTiO3 instead of CsCl", "✗ no crystal", "not periodic"):
        assert words in section


def test_verdicts_of_a_damaged_file_are_left_out():
    told = {"a": {"good": 1, "text": "match"}, "b": {"good": True}, "c": 3}
    results = {"x": {"result": {"verdicts": 5, "y": 1}}, "y": {"result": {"verdicts": told}}}
    assert RunFiles(name="run", metrics={"metrics": results}).verdicts == {"a": {"good": True, "text": "match"}}
