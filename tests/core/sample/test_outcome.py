"""The closing line of a request: asked, made, lost, and why."""

from crystalfw.core.crystal import Crystal
from crystalfw.core.records import Sample
from crystalfw.core.sample.outcome import outcome_lines
from crystalfw.core.sample.table import sample_id, write_samples


def _table(path, reasons):
    cell = Crystal(lattice=[[4, 0, 0], [0, 4, 0], [0, 0, 4]], frac_coords=[[0, 0, 0]], numbers=[11])
    samples = []
    for k, reason in enumerate(reasons):
        crystal, status = (None, "decode") if reason else (cell, "ok")
        samples.append(Sample(id=sample_id(k), seed=0, string="", status=status, reason=reason, crystal=crystal))
    write_samples(samples, path)
    return path


def test_reasons_by_number_and_advice(tmp_path):
    line, advice = outcome_lines(_table(tmp_path / "s.csv", ["", *["geometry: no cell"] * 7, "parse", "parse"]))
    assert line == "10 asked, 1 crystal; 9 without: geometry 7, parse 2"
    assert advice.startswith("fewer than half became crystals")


def test_no_advice_where_half_or_all_became_crystals(tmp_path):
    assert outcome_lines(_table(tmp_path / "half.csv", ["", "parse"])) == ["2 asked, 1 crystal; 1 without: parse 1"]
    assert outcome_lines(_table(tmp_path / "all.csv", ["", ""])) == ["2 asked, 2 crystals"]
