"""A regressor of ours as a potential: energies only, lawful, refused where forces are needed."""

from __future__ import annotations

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.discovery import registry
from crystalfw.core.energies.open import open_potential
from crystalfw.core.errors import PluginError
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.core.testing.laws import Subject, run_laws


def test_a_regressor_is_a_potential_without_forces(command, tmp_path, capsys):
    assert main(command("fit.steps=3", "model.decoder.columns=[gap]", recipe="regress")) == 0
    run = str(tmp_path / "runs" / "regress")
    kind = registry().get("potential", "ours").load()
    outcomes = {outcome.law.name: outcome for outcome in run_laws(Subject("potential", kind, {"run": run}))}
    assert {name for name, outcome in outcomes.items() if outcome.status == "failed"} == set(), outcomes
    assert {name for name, outcome in outcomes.items() if outcome.status == "skipped"} == {"forces", "stress"}
    assert open_potential(f"ours:{run}").zero == "elements"
    small_crystals()[0].write(tmp_path / "salt.cif")
    relax = ["relax", str(tmp_path / "salt.cif"), "-o", str(tmp_path / "out"), "--potential", f"ours:{run}", "--workers", "1"]
    assert main(relax) == 2
    assert "gives energies only" in capsys.readouterr().err
    assert main([*relax, "--steps", "0"]) == 0
    assert "1 ok" in capsys.readouterr().out


def test_a_run_that_predicts_nothing_is_refused(command, tmp_path):
    assert main(command("fit.steps=1", "sample.n=1")) == 0
    with pytest.raises(PluginError, match="predicts no property"):
        open_potential(f"ours:{tmp_path / 'runs' / 'smoke'}")
