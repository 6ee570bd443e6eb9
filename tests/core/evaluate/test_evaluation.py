"""Evaluation of our samples and of anybody's files, its record, and what it does about mistakes."""

from __future__ import annotations

import csv
import json
import pickle

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.commands.evaluate import parse_metrics
from crystalfw.core.discovery import registry
from crystalfw.core.errors import DataError, PluginError
from crystalfw.core.evaluate.evaluation import CanonicalKey, evaluate
from crystalfw.core.evaluate.inputs import load_samples
from crystalfw.core.interfaces import Metric, NoOptions
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.sample.export import write_cifs
from crystalfw.core.sample.table import write_samples
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt, sample

MADE = [
    sample("a", rock_salt(), reference_id="salt"),
    sample("b", moved(rock_salt()), reference_id="salt"),
    sample("c", status="parse", reason="parse: token 3", reference_id="perovskite"),
    sample("d", perovskite(), reference_id="perovskite"),
]
REFERENCE = [rock_salt(id="salt"), perovskite(id="perovskite"), caesium_chloride(id="chloride")]


def write_table(path, crystals):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        writer.writerows([crystal.id, crystal.cif()] for crystal in crystals)
    return path


def test_a_table_of_samples_against_a_table(tmp_path):
    write_samples(MADE, tmp_path / "samples.csv")
    reference = write_table(tmp_path / "test.csv", REFERENCE)
    record = evaluate(tmp_path / "samples.csv", reference, training=reference, out=tmp_path, workers=1, quiet=True)
    assert record == json.loads((tmp_path / "metrics.json").read_text())
    assert not (tmp_path / "metrics.partial").exists()
    assert set(record["metrics"]) == {"shares", "match", "distributions"}
    chain = {link["stage"]: link["count"] for link in record["metrics"]["shares"]["result"]["chain"]}
    assert (chain["parsed"], chain["unique"], chain["novel"]) == (3, 2, 0)
    match = record["metrics"]["match"]["result"]
    assert match["loose"]["n=1"]["count"] == 1
    assert match["loose"]["n=2"]["count"] == 2
    assert record["samples"]["count"] == 4
    assert record["reference"]["count"] == 3
    assert record["metrics"]["shares"]["options"]["oxidation_set"] == "smact14"
    assert "pymatgen" in record["versions"]
    assert any("parsed: 3 of 4" in line for line in record["summary"])


def test_other_generators_by_the_same_ruler(tmp_path):
    write_samples(MADE, tmp_path / "samples.csv")
    ours = evaluate(tmp_path / "samples.csv", REFERENCE, workers=1, quiet=True)
    write_cifs(tmp_path / "samples.csv", tmp_path / "cifs")
    (tmp_path / "cifs" / "e.cif").write_text("data_broken\n")
    theirs = evaluate(tmp_path / "cifs", REFERENCE, workers=1, quiet=True)
    counts = [
        {link["stage"]: link["count"] for link in record["metrics"]["shares"]["result"]["chain"]} for record in (ours, theirs)
    ]
    assert counts[0] == counts[1]
    reasons = theirs["metrics"]["shares"]["result"]["failures"]["parsed"]
    assert sum(reasons.values()) == 1


def test_ids_can_name_the_references(tmp_path):
    table = write_table(tmp_path / "predicted.csv", [moved(rock_salt()), perovskite(id="perovskite")])
    assert [item.reference_id for item in load_samples(table)] == ["", ""]
    named = load_samples(table, match_by_id=True)
    assert named[1].reference_id == "perovskite"


def test_evaluation_goes_on_where_it_was_killed(tmp_path, monkeypatch):
    from crystalfw.core.evaluate import workbench

    write_samples(MADE, tmp_path / "samples.csv")
    whole = evaluate(tmp_path / "samples.csv", REFERENCE, workers=1, quiet=True)
    seen = []
    remember = workbench.Workbench._remember

    def until_the_fourth(self, answers):
        answers = list(answers)
        remember(self, answers)
        seen.extend(key for key, _ in answers)
        if len(seen) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(workbench.Workbench, "_remember", until_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path / "samples.csv", REFERENCE, out=tmp_path, workers=1, quiet=True)
    again = evaluate(tmp_path / "samples.csv", REFERENCE, out=tmp_path, workers=1, quiet=True)
    assert len(seen) == len(set(seen))
    assert {name: item["result"] for name, item in again["metrics"].items()} == {
        name: item["result"] for name, item in whole["metrics"].items()
    }


def test_the_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    from crystalfw.core.evaluate import workbench

    def interrupt(self, answers):
        raise KeyboardInterrupt

    monkeypatch.setattr(workbench.Workbench, "_remember", interrupt)
    write_samples(MADE, tmp_path / "samples.csv")
    assert main(["evaluate", str(tmp_path / "samples.csv"), "--workers", "1", "--metrics", "shares"]) == 1
    assert "the same command continues from there" in capsys.readouterr().err


def test_mistakes_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        evaluate(tmp_path / "nowhere.csv", quiet=True)
    with pytest.raises(DataError, match="no samples"):
        evaluate([], quiet=True)
    with pytest.raises(PluginError, match="Did you mean 'shares'"):
        evaluate(MADE, metrics=[ComponentSpec(name="share")], quiet=True)
    with pytest.raises(PluginError, match="no option called 'tolerences'"):
        evaluate(MADE, metrics=[ComponentSpec(name="shares", options={"tolerences": 1})], quiet=True)


class Failing(Metric):
    Config = NoOptions

    def __init__(self, config):
        pass

    def compute(self, samples, reference, context):
        raise DataError("needs a potential: pip install 'crystalfw[relax]'")


def test_a_metric_that_fails_does_not_take_the_others_along():
    known = registry()
    before = known.snapshot()
    known.add("metric", "failing", Failing)
    metrics = [ComponentSpec(name="failing"), ComponentSpec(name="distributions")]
    try:
        record = evaluate(MADE, REFERENCE, metrics, quiet=True, workers=1)
    finally:
        known.restore(before)
    assert record["failed"] == {"failing": "needs a potential: pip install 'crystalfw[relax]'"}
    assert record["metrics"]["distributions"]["result"]["samples"] == 3


def test_metrics_on_the_command_line():
    shares, match = parse_metrics("shares:tolerance=loose,match:n=[1, 20]:time_limit=5")
    assert (shares.name, shares.options) == ("shares", {"tolerance": "loose"})
    assert (match.name, match.options) == ("match", {"n": (1, 20), "time_limit": 5})
    with pytest.raises(DataError, match="key=value"):
        parse_metrics("shares:loose")


def test_results_carry_the_names_that_were_given_to_metrics():
    labels = ("one", "validity-b", "", "")
    record = evaluate(MADE, metrics=[ComponentSpec(name="validity", label=label) for label in labels], quiet=True, workers=1)
    assert list(record["metrics"]) == ["one", "validity-b", "validity", "validity-2"]
    assert {item["metric"] for item in record["metrics"].values()} == {"validity"}


def test_json_is_all_that_stands_on_stdout(tmp_path, capsys):
    write_samples(MADE, tmp_path / "samples.csv")
    (tmp_path / "test.csv").write_text("material_id,cif\nbroken,data_x\n")
    write_table(tmp_path / "good.csv", REFERENCE)
    with (tmp_path / "test.csv").open("a") as file:
        file.write("".join((tmp_path / "good.csv").read_text().partition("\n")[2:]))
    command = ["evaluate", str(tmp_path), "--reference", str(tmp_path / "test.csv"), "--metrics", "validity,match"]
    assert main([*command, "--json", "-o", str(tmp_path / "out"), "--workers", "1"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "1 of 4 rows rejected" in printed.err
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_key_goes_to_workers_by_name():
    key = pickle.loads(pickle.dumps(CanonicalKey("slices")))
    assert key(rock_salt()) == key(moved(rock_salt())) != ""
    assert len(pickle.dumps(key)) < 200
