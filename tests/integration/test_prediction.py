"""Prediction: the likeliest distinct candidates of each condition, the same however the work is cut."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.errors import ConditionError
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.sample.prediction import Tally
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.table import read_samples
from crystalfw.core.sample.trained import Trained

CANDIDATES, KEEP = 12, 3


@pytest.fixture(scope="module")
def finished(table, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicting")
    options = ["fit.steps=60", "fit.lr=5e-3", "sample.n=1"]
    assert main(["run", "smoke", f"data.path={table}", f"data.cache={cache}", f"run_dir={folder}", *options]) == 0
    return folder / "smoke"


@pytest.fixture(scope="module")
def like(table, tmp_path_factory):
    """Three crystals of the table."""
    path = tmp_path_factory.mktemp("like") / "three.csv"
    with table.open(newline="") as given, path.open("w", newline="") as file:
        csv.writer(file).writerows(row for number, row in enumerate(csv.reader(given)) if number < 4)
    return path


@pytest.fixture(scope="module")
def trained(finished):
    return Trained.load(finished)


def request_for(trained, like, **settings):
    section = replace(trained.recipe.sample, n=3 * KEEP, **{"candidates": CANDIDATES, "keep": KEEP, **settings})
    return Request(settings=section, conditions=tuple(trained.conditions(None, like)))


def test_the_likeliest_distinct_candidates_are_kept(trained, like):
    request, tally = request_for(trained, like), Tally()
    samples = list(trained.samples(request, tally=tally))
    assert [sample.id for sample in samples] == [f"{row:06d}" for row in range(3 * KEEP)]
    assert [sample.reference_id for sample in samples[::KEEP]] == [crystal.id for crystal in request.conditions]
    drawn = list(trained.sampler.strings(request, range(3 * CANDIDATES), CANDIDATES))
    assert (tally.conditions, tally.written) == (3, len(drawn)) == (3, 3 * CANDIDATES)
    key = trained.components.representation.canonical_key
    for number in range(3):
        own = [s for s in samples[number * KEEP : (number + 1) * KEEP] if s.status == "ok"]
        candidates = {s.string: s.log_prob for s in drawn if s.index // CANDIDATES == number}
        assert len({key(sample.string) for sample in own}) == len(own)
        assert [s.log_prob for s in own] == sorted((s.log_prob for s in own), reverse=True)
        assert all(candidates[sample.string] == sample.log_prob for sample in own)
        likeliest = max(candidates.values())
        assert samples[number * KEEP].log_prob == likeliest or samples[number * KEEP].status != "ok" or tally.failed
    assert tally.kept == sum(sample.status == "ok" for sample in samples) > 0


def test_rows_do_not_depend_on_the_batch_or_on_what_else_is_asked(trained, like):
    whole = list(trained.samples(request_for(trained, like)))
    other = request_for(trained, like, batch_size=5)
    part = list(trained.samples(other, indices=range(KEEP, 2 * KEEP)))
    assert [(s.id, s.string, s.status) for s in part] == [(s.id, s.string, s.status) for s in whole[KEEP : 2 * KEEP]]


def test_a_beam_finds_strings_at_least_as_likely_as_greedy_ones(trained, like):
    beam = list(trained.samples(request_for(trained, like, candidates=None, beam=4, keep=1)))[:3]
    greedy = list(trained.samples(request_for(trained, like, candidates=None, keep=None, temperature=0.0)))[:3]
    assert [sample.reference_id for sample in beam] == [sample.reference_id for sample in greedy]
    for found, string in zip(beam, greedy, strict=True):
        assert found.status != "ok" or string.status != "ok" or found.log_prob >= string.log_prob - 1e-4


def test_rows_that_lack_a_candidate_say_so(trained, like):
    """Far more rows than a nearly certain model has distinct strings for."""
    samples = list(trained.samples(request_for(trained, like, candidates=16, keep=16, temperature=0.05)))[:16]
    missing = [sample for sample in samples if sample.status == "repeat"]
    assert missing
    assert all(sample.crystal is None and "distinct among 16 candidates" in sample.reason for sample in missing)
    assert [sample.reference_id for sample in samples] == [samples[0].reference_id] * len(samples)


def test_the_command_predicts_and_goes_on(finished, like, tmp_path, capsys):
    out = tmp_path / "predicted" / "samples.csv"
    arguments = ["sample", str(finished), "--like", str(like), "--candidates", "6", "--keep", "2", "-o", str(out)]
    assert main(arguments) == 0
    assert "candidates of 3 conditions: 18 written" in capsys.readouterr().err
    text = out.read_bytes()
    assert len(list(read_samples(out))) == 6
    lines = text.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert main(arguments) == 0
    assert sorted(sample.id for sample in read_samples(out)) == [f"{row:06d}" for row in range(6)]
    assert main(["sample", str(finished), "--like", str(like), "--beam", "3", "-o", str(tmp_path / "b.csv")]) == 0
    assert len(list(read_samples(tmp_path / "b.csv"))) == 9


def test_the_python_way_gives_crystals(trained, like):
    crystals = trained.sample(like=like, candidates=6, keep=2)
    assert 0 < len(crystals) <= 6


def test_spellings_of_one_graph_have_one_key(trained, like):
    slices = trained.components.representation
    strings = [outcome.string for outcome in slices.encode(trained.conditions(None, like))]
    keys = {string: slices.canonical_key(string) for string in strings}
    assert len(set(keys.values())) == len(set(strings))
    for string, key in keys.items():
        assert slices.canonical_key(slices.augment(string, np.random.default_rng(1))) == key
    assert slices.canonical_key("no string at all") == "no string at all"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"candidates": 4, "beam": 4}, "not both"),
        ({"candidates": 4, "keep": 5}, "there are 4"),
        ({"keep": 5}, "candidates or beam"),
        ({"candidates": 4, "temperature": 0.0}, "same string"),
        ({"beam": 4, "guidance": 2.0}, "no guidance"),
    ],
)
def test_contradictions_are_named(settings, sentence):
    with pytest.raises(ConditionError, match=sentence):
        SampleSection(**settings)
