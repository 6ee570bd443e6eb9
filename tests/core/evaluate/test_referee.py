"""Several generators and baselines judged together: names, pairs, verdicts, sets by name, and what is said about mistakes."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.commands.evaluate import parse_components
from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.evaluate.contenders import named, wanted_like
from crystalfw.core.evaluate.protocols import find_protocol
from crystalfw.core.evaluate.reference_sets import content_digest, find_set, has_train
from crystalfw.core.evaluate.statistics import decision, difference_of_samples
from crystalfw.core.sample.table import write_samples
from crystalfw.core.testing.baseline_laws import training
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample

REFERENCE = [rock_salt(id="salt"), perovskite(id="perovskite"), caesium_chloride(id="chloride")]
GOOD = [sample(f"a{k}", moved(crystal), reference_id=crystal.id) for k, crystal in enumerate(REFERENCE)]
BAD = [sample(f"a{k}", status="parse", reason="parse: x", reference_id=crystal.id) for k, crystal in enumerate(REFERENCE)]


def write_table(path, crystals):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows([crystal.id, crystal.cif()] for crystal in crystals)
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a set called `tiny`, and two tables of samples."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "sets" / "tiny").mkdir(parents=True)
    write_table(tmp_path / "sets" / "tiny" / "test.csv", REFERENCE)
    write_table(tmp_path / "sets" / "tiny" / "train.csv", training())
    for name, samples in (("good", GOOD), ("bad", BAD)):
        (tmp_path / name).mkdir()
        write_samples(samples, tmp_path / name / "samples.csv")
    return tmp_path


def evaluate(place, *arguments):
    tables = [text if "=" in text or text.startswith("-") else str(place / text) for text in arguments[:1]]
    return main(["evaluate", *tables, *arguments[1:], "--reference-path", str(place / "sets"), "--workers", "1"])


def test_one_page_with_baselines(place, capsys):
    out = place / "out"
    asked = ("good", "--reference", "tiny", "--baselines", "random,nearest", "--metrics", "match,shares", "-o", str(out))
    assert evaluate(place, *asked) == 0
    record = json.loads((out / "metrics.json").read_text())
    compared = record["comparison"]
    assert list(compared["generators"]) == ["good", "baseline random", "baseline nearest"]
    assert compared["figures"]["match.loose.n=1"]["good"]["value"] == 1.0
    assert compared["figures"]["match.loose.n=1"]["baseline random"]["value"] < 1.0
    assert {row["method"] for row in compared["differences"]} == {"paired"}
    assert record["reference"]["from"].startswith("tiny (")
    assert record["reference"]["sha256"] == content_digest(REFERENCE) or len(record["reference"]["sha256"]) == 64
    page = (out / "report.html").read_text()
    assert "What the samples say" in page
    assert "baseline nearest" in page
    assert "match at n = 1, loose, beside good" in capsys.readouterr().out
    with open(out / "baseline-random" / "samples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reference_id"] for row in rows] == ["salt", "perovskite", "chloride"]
    assert all(float(row["cpu_s"]) >= 0 for row in rows)
    made = (out / "baseline-random" / "made.json").stat().st_mtime_ns
    assert evaluate(place, *asked) == 0
    assert (out / "baseline-random" / "made.json").stat().st_mtime_ns == made, "the same request makes no baseline twice"


def test_two_tables_are_compared_in_pairs(place):
    out = place / "out"
    bad = f"worse={place / 'bad'}"
    assert evaluate(place, "good", bad, "--reference", "tiny", "--metrics", "match,shares", "-o", str(out)) == 0
    rows = json.loads((out / "metrics.json").read_text())["comparison"]["differences"]
    (match,) = [row for row in rows if row["measure"] == "match.loose.n=1"]
    assert (match["generator"], match["difference"], match["word"]) == ("worse", -1.0, "worse")
    assert re.search(r"worse is worse than good, by at least 1 \(.*3 questions\)", match["verdict"])


def refused(place, capsys, *arguments):
    assert evaluate(place, *arguments) == 2
    return capsys.readouterr().err


def test_two_tables_of_one_name_are_told_apart(place, capsys):
    (place / "other").mkdir()
    (place / "other" / "good").mkdir()
    write_samples(GOOD, place / "other" / "good" / "samples.csv")
    said = refused(place, capsys, "good", str(place / "other" / "good"), "--reference", "tiny")
    assert "both are called 'good'; give names: first=" in said
    names = [item.name for item in named([f"x={place / 'good'}", str(place / "other" / "good")])]
    assert names == ["x", "good"]


def test_unknown_names_come_with_the_remedy(place, capsys):
    assert "Did you mean 'tiny'?" in (said := refused(place, capsys, "good", "--reference", "tinny"))
    assert "--reference-path FOLDER" in said
    assert "Did you mean 'diffcsp'?" in refused(place, capsys, "good", "--protocol", "difcsp")
    assert "Did you mean 'nearest'" in refused(place, capsys, "good", "--reference", "tiny", "--baselines", "neerest")
    assert "leave out --metrics" in refused(place, capsys, "good", "--protocol", "lemat", "--metrics", "match")


def test_a_baseline_without_training_crystals_is_a_sentence(place, capsys):
    reference = str(write_table(place / "alone.csv", REFERENCE))
    said = refused(place, capsys, "good", "--reference", reference, "--baselines", "random", "-o", str(place / "o"))
    assert "baseline 'random' works with training crystals and there are none: give them with --train PATH" in said


def test_no_overlap_is_a_sentence(place, capsys):
    reference = str(write_table(place / "alone.csv", training()))
    bad = f"worse={place / 'bad'}"
    said = refused(place, capsys, "good", bad, "--reference", reference, "-o", str(place / "o"))
    assert "name 3 reference crystals and none of them is in the reference" in said


def test_a_set_is_found_by_variable_and_may_be_installed(place, monkeypatch):
    with pytest.raises(DataError, match=r"Looked in .*reference-sets"):
        find_set("tiny")
    monkeypatch.setenv("CRYSTALFW_REFERENCES", str(place / "sets"))
    assert find_set("tiny") == place / "sets" / "tiny"
    assert has_train(find_set("tiny"))
    assert not has_train(find_set("prototypes"))
    with pytest.raises(DataError, match="no such file"):
        find_set("data/nothing.csv")


def test_wants_hold_the_question_and_not_the_answer():
    wanted = wanted_like([*GOOD, sample("b", rock_salt()), sample("c", status="parse", reason="x")], REFERENCE)
    assert wanted[1].numbers == tuple(sorted(perovskite().numbers.tolist()))
    assert (wanted[3].reference_id, wanted[3].numbers) == ("", tuple(sorted(rock_salt().numbers.tolist())))
    assert wanted[4].numbers == ()
    twice = wanted_like([*GOOD, *GOOD], REFERENCE)
    assert [one.rank for one in twice] == [0, 0, 0, 1, 1, 1]


def test_every_protocol_says_what_differs_and_names_metrics_that_are_there():
    from crystalfw.core.recipe.installed import installed_protocols, installed_recipes
    from crystalfw.core.recipe.options import checked

    assert set(installed_protocols()) == {"cdvae", "diffcsp", "mattergen", "lemat"}
    assert not set(installed_protocols()) & set(installed_recipes())
    for name in installed_protocols():
        protocol = find_protocol(name)
        assert protocol.differs
        assert all(checked("metric", spec).config is not None for spec in protocol.metrics)


def test_the_protocol_stands_in_the_report(place):
    out = place / "out"
    assert evaluate(place, "good", "--reference", "tiny", "--protocol", "mattergen", "-o", str(out)) == 0
    record = json.loads((out / "metrics.json").read_text())
    assert set(record["metrics"]) == {"shares", "novelty", "novelty_steps"}
    assert record["protocol"]["name"] == "mattergen"
    assert "what differs from the original" in (out / "report.html").read_text()


def test_a_torn_protocol_file_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("source: me\nmetrics: [match]\n")
    with pytest.raises(DataError, match=r"mine.yaml: a protocol is a mapping with the keys source, metrics, differs"):
        find_protocol(str(tmp_path / "mine.yaml"))


def test_differences_of_samples():
    rng = np.random.default_rng(0)
    theirs = (rng.random(400) < 0.5).astype(float)
    ours = np.clip(theirs + (rng.random(400) < 0.1), 0, 1)
    paired = difference_of_samples(1, "m", ours, theirs, paired=True)
    alone = difference_of_samples(1, "m", ours, theirs, paired=False)
    assert paired.mean == pytest.approx(alone.mean)
    assert paired.strict_high - paired.strict_low < alone.strict_high - alone.strict_low
    assert decision(paired, "higher") == "better"
    assert decision(paired, "lower") == "worse"
    held_to = difference_of_samples(1, "m", ours, theirs, paired=True, comparisons=20)
    assert held_to.strict_low < paired.strict_low
    assert (held_to.low, held_to.high) == (paired.low, paired.high)


def test_lemat_out_and_in(place):
    table = place / "lemat.csv"
    out = str(place / "o")
    assert evaluate(place, "good", "--reference", "tiny", "--metrics", "validity", "--lemat", str(table), "-o", out) == 0
    header = table.read_text().splitlines()[0]
    assert header == "material_id,structure"
    assert main(["evaluate", str(table), "--metrics", "validity", "-o", str(place / "p"), "--workers", "1"]) == 0
    record = json.loads((place / "p" / "metrics.json").read_text())
    assert record["samples"]["count"] == 3


def test_options_of_baselines():
    (spec,) = parse_components("exchange:free=true", "--baselines")
    assert (spec.name, dict(spec.options)) == ("exchange", {"free": True})
    with pytest.raises(CrystalfwError, match="--baselines nearest:x: write options as NAME:key=value"):
        parse_components("nearest:x", "--baselines")
