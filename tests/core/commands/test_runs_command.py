"""`crystalfw runs`, `crystalfw describe RUN`, -q and -v, and what is said before anything heavy is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crystalfw.core.commands.cli import main
from crystalfw.core.model import checkpoint
from crystalfw.core.model.assembly import build_components, build_generator
from crystalfw.core.model.component_versions import component_versions
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.user_cache import user_cache

COLUMNS = "model.encoder={name: properties, columns: [my_prop], dim: 8}"
SMALL = ["model.decoder.n_layers=1", "model.decoder.dim=16", "model.decoder.n_heads=2", "data.path=mine.csv"]


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """A folder of runs: one with a checkpoint, one that failed; and the link to the newest."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "mine-1"
    recipe = load_recipe("property", [*SMALL, COLUMNS, "name=mine"])
    generator = build_generator(recipe, build_components(recipe).representation)
    facts = {
        "crystals": {"train": 90, "val": 10}, "versions": {"crystalfw": "0.1.0"},
        "ranges": {"atoms": [2, 8], "properties": {"my_prop": [1.0, 18.4]}},
    }  # fmt: skip
    checkpoint.save(folder / "checkpoints" / "best.pt", {
        "recipe": expand(recipe), "model": generator.state_dict(), "components": component_versions(recipe),
        "provenance": json.dumps(facts), "state": {"step": 120, "best_loss": 1.25},
    })  # fmt: skip
    (folder / "recipe.yaml").write_text(expand(recipe))
    (folder / "metrics.csv").write_text("step,loss,val_loss\n60,3,1.5\n120,2,1.25\n")
    (tmp_path / "runs" / "other-2").mkdir()
    (tmp_path / "runs" / "other-2" / "recipe.yaml").write_text("model: {decoder: gpt}\nfit: {steps: 9}\n")
    (tmp_path / "runs" / "mine").symlink_to("mine-1")
    return tmp_path / "runs"


def test_runs_lists_what_there_is(runs, capsys):
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "mine-1", "other-2"]
    assert "120 of 3,000" in lines[1]
    assert "1.2500" in lines[1]
    assert lines[1].endswith("stopped")
    assert lines[2].endswith("failed")
    assert main(["runs", "--json"]) == 0
    (mine, _) = json.loads(capsys.readouterr().out)["runs"]
    assert (mine["data"], mine["best_validation"], mine["state"]) == ("mine.csv", 1.25, "stopped")
    assert main(["runs", "nowhere"]) == 2


@pytest.mark.parametrize("what", ["runs/mine", "runs/mine/checkpoints/best.pt"])
def test_describe_says_what_a_model_can_be_asked(runs, what, capsys):
    assert main(["describe", what]) == 0
    out = capsys.readouterr().out
    for words in ("properties > cross_attention", "mine.csv (train 90, val 10); 2 to 8 atoms per cell", "steps        120",
                  "best validation loss 1.2500", "--condition my_prop=VALUE    1 to 18.4 in training"):  # fmt: skip
        assert words in out
    assert main(["describe", what, "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["conditions"] == ["properties.my_prop"]
    assert card["properties"] == {"my_prop": [1.0, 18.4]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["describe", "runs/nope"], "neither a run folder, nor a checkpoint, nor a kind"),
        (["describe", "encoder"], "which one? Installed are composition"),
        (["describe", "encodr", "x"], "Did you mean 'encoder'?"),
        (["sample", "runs/other-2"], "holds no checkpoint"),
        (["sample", "runs/mine", "--like", "nope.cif"], "--like nope.cif: no such file"),
        (["sample", "runs/mine", "--condition", "a=1", "--like", "mine"], "not both"),
        (["sample", "runs/mine", "--temprature", "1"], "Did you mean '--temperature'?"),
        (["run", "smoke", "fit.steps=abc"], "fit.steps"),
    ],
)
def test_cheap_mistakes_are_said_without_torch(runs, arguments, said):
    """In a process of its own, in which torch cannot be imported: whoever needs it fails."""
    code = (
        f"import sys; sys.modules['torch'] = None\nfrom crystalfw.core.commands.cli import main; sys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=runs.parent)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_quiet_and_verbose(runs, capsys):
    assert main(["-v", "runs", "nowhere"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert main(["runs", "nowhere", "-q"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("chatter", "lines"), [(-1, 0), (0, 1)])
def test_a_quiet_progress_says_nothing(chatter, lines, monkeypatch, capsys):
    monkeypatch.setattr("crystalfw.core.system.progress.chatter", chatter)
    progress = Progress("x", 2)
    progress.update(2)
    progress.close()
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_one_cache_for_every_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert user_cache() == tmp_path / "xdg" / "crystalfw"
    (tmp_path / "two.csv").write_text("id,cif\n")
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        keys = ["data.max_crystals=4", "data.workers=1", "data.source={name: prototypes, per_prototype: 0}"]
        assert main(["data", "prepare", "smoke", *keys]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(str(tmp_path / "xdg" / "crystalfw" / "prepared"))
        assert os.listdir(".") == []
    assert len([path for path in (user_cache() / "prepared").iterdir() if path.is_dir()]) == 1
