"""docs/guides/python.md: its snippets run in order, as written, and give what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystalfw
from tests.packaging.test_readme import blocks

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "python.md"


@pytest.mark.slow
def test_the_snippets_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(PAGE, "python"):
        exec(compile(block, PAGE.name, "exec"), names)
    salt, model, outcomes = names["salt"], names["model"], names["outcomes"]
    assert "Crystal(NaCl, 2 atoms, Fm-3m, V=44.9)" in capsys.readouterr().out
    assert (names["symbol"], names["number"]) == ("Fm-3m", 225)
    assert names["again"].formula == names["decoded"].crystal.formula == "NaCl"
    assert repr(model).startswith("Trained(smoke: equivariant > cross_attention > cross_attention_gpt, ")
    assert repr(names["regressor"]).endswith("predicts properties)")
    assert len(outcomes) == 2
    assert len({sample.id for sample in outcomes}) == 2
    assert all((sample.crystal is None) == bool(sample.status != "ok") for sample in outcomes)
    assert [crystal.id for crystal in names["crystals"]] == [s.id for s in outcomes if s.crystal is not None]
    assert np.array_equal(names["vectors"], crystalfw.embed(next(tmp_path.glob("runs/smoke-*")), [salt, names["structure"]]))
    assert names["vectors"].shape[0] == 2
    assert names["columns"]["volume_per_atom"].shape == (2,)
    assert names["figures"]["metrics"].keys() == {"shares", "validity"}
    assert not names["figures"]["failed"]
