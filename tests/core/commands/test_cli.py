"""The command line as users meet it: exit codes, sentences instead of tracebacks, quick help."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import pytest

from crystalfw.core.commands import cli
from crystalfw.core.commands.sample import read_conditions, same_request
from crystalfw.core.errors import ConditionError, CrystalfwError, Interrupted
from crystalfw.core.recipe.field_docs import field_docs
from crystalfw.core.recipe.installed import installed_recipes
from crystalfw.core.recipe.schema import FitSection, Recipe
from crystalfw.core.registry import KINDS


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_help_imports_no_torch_and_is_quick():
    code = "import sys; from crystalfw.core.commands.cli import main"
    code += "; main(['--help']); main(['run', '--help']); main(['sample', '--help'])"
    code += "; heavy = {'torch', 'numpy', 'pymatgen'} & set(sys.modules); print(heavy); sys.exit(bool(heavy))"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    assert time.perf_counter() - start < 5  # generous: the law is that nothing heavy is imported


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_has_help_with_a_first_sentence(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"usage: crystalfw {command}")


def test_overview_and_version(capsys):
    assert run(capsys)[0] == 2
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in cli.COMMANDS)
    assert run(capsys, "--version")[1].startswith("crystalfw 0.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "crystalfw has no command 'rnu'. Did you mean 'run'?"),
        (["qqqqqqqq"], "crystalfw has no command 'qqqqqqqq'. Commands: run, "),
        (["run"], "which recipe? Give a file, or one of:"),
        (["run", "nowhere.yaml"], "nowhere.yaml: no such recipe"),
        (["run", "xatn"], "xatn: no such recipe.\n  Did you mean 'xattn'?"),
        (["ablate", "reconstrction"], "no such grid file. Did you mean 'reconstruction'?"),
        (["run", "smoke", "fabric.accelerator=nothing", "--dry-run"], "section fabric (accelerator=nothing, devices=1"),
        (["run", "smoke", "fabric.strategy=ddpp", "--dry-run"], "cannot be met here: You selected an invalid strategy name"),
        (["run", "--resume", "nowhere"], "nowhere: no such run folder"),
        (["run", "--resume", ".", "fit.steps=3"], "--resume takes the recipe from the run folder"),
        (["describe", "encoder", "equivarient"], "Did you mean 'equivariant'"),
        (["describe", "encodr", "x"], "no kind of component called 'encodr'"),
        (["describe", "encodr", "x"], "Did you mean 'encoder'?"),
        (["sample", "nowhere", "--n", "0"], "--n: expected an integer of at least 1, got 0"),
        (["sample", "nowhere", "--temperature", "-1"], "--temperature: expected a number of at least 0, got -1"),
        (["sample", "nowhere"], "nowhere: there is no such run folder or checkpoint"),
        (["sample", ".", "--condition", "band_gap"], "write NAME=VALUE"),
        (["sample", ".", "--checkpoint", "previos"], "Did you mean 'previous'?"),
        (["sample", ".", "--temprature", "1"], "there is no option '--temprature'. Did you mean '--temperature'?"),
        (["run", "smoke", "--dry-rn"], "crystalfw run: there is no option '--dry-rn'. Did you mean '--dry-run'?"),
        (["encode", "x.csv", "--outt", "y.csv"], "there is no option '--outt'. Did you mean '--out'?"),
        (["encode", "x.csv"], "crystalfw encode: give -o/--out\n  crystalfw encode --help"),
        (["ablate"], "which grid? Give a file, or one of: augmentation, "),
        (["data", "prepare"], "crystalfw data prepare: give RECIPE\n"),
        (["data", "chek", "x"], "Did you mean 'check'?"),
        (["data", "import", "prototypes"], "crystalfw data import: say with -o where to write"),
        (["data", "check", "prototypes", "fit.steps=3"], "takes the recipe keys data.source, data.max_atoms, representation"),
        (["data", "check", "prototypes", "data.max_atoms=x"], "override data.max_atoms=x: expected an integer"),
        (["data", "check", "prototypes", "more"], "more: give one path"),
        (["codec", "fit"], "crystalfw codec fit: give --data, -o/--out"),
        (["--print-completion"], "takes one shell"),
        (["--print-completion", "bsh"], "no scripts are made for the shell 'bsh'. Did you mean 'bash'?"),
    ],
)
def test_user_errors_are_sentences_with_exit_code_2(capsys, arguments, sentence):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Interrupted("stopped; crystalfw run --resume x goes on"), 1, "goes on"),
        (KeyboardInterrupt(), 1, "interrupted"),
        (OSError(28, "No space left on device", "runs/x"), 1, "runs/x: No space left on device"),
        (CrystalfwError("wrong"), 2, "wrong"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_exit_codes(capfd, monkeypatch, error, code, sentence):
    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("crystalfw.core.commands.plugins.run", fail)
    monkeypatch.setattr(cli.os, "dup2", lambda *fds: None)
    assert cli.main(["plugins"]) == code
    assert sentence in capfd.readouterr().err


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("crystalfw.core.commands.plugins.run", lambda args: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["plugins"])


def test_plugins_lists_every_kind(capsys):
    code, out, _ = run(capsys, "plugins", "--json")
    assert code == 0
    found = json.loads(out)
    assert {component["kind"] for component in found["components"]} == set(KINDS)
    assert not found["failures"]
    code, out, _ = run(capsys, "plugins", "decoder")
    assert {line.split()[1] for line in out.splitlines()} >= {"gpt", "cross_attention_gpt", "regressor"}


def every_component() -> list[tuple[str, str]]:
    from crystalfw.core.discovery import registry

    return [(entry.kind, entry.name) for entry in registry().entries() if entry.origin.distribution == "crystalfw"]


@pytest.mark.parametrize(("kind", "name"), every_component())
def test_every_built_in_describes_itself(capsys, kind, name):
    """Each loads, has documentation, and a sentence under every option."""
    from crystalfw.core.discovery import registry

    component = registry().get(kind, name).load()
    code, out, _ = run(capsys, "describe", kind, name)
    assert code == 0
    assert out.startswith(f"{kind} {name}  (crystalfw ")
    assert component.__doc__
    missing = [option.name for option in field_docs(component.Config) if not option.sentence]
    assert not missing, f"{kind} '{name}': no sentence under {missing}"


def test_every_key_of_the_recipe_is_documented():
    sections = [
        Recipe,
        *(getattr(Recipe(), name).__class__ for name in ("data", "model", "fit", "sample", "evaluate", "fabric")),
    ]
    for section in sections:
        for option in field_docs(section):
            assert option.sentence, f"{section.__name__}.{option.name}"
    assert {option.name: option.type for option in field_docs(FitSection)}["steps"] == "an integer of at least 1"


@pytest.mark.parametrize("name", installed_recipes())
def test_every_recipe_is_valid_short_and_commented(capsys, name):
    code, out, err = run(capsys, "run", name, "--print")
    assert code == 0, err
    assert f"\nname: {name.rpartition('/')[2]}\n" in out
    text = installed_recipes()[name].read_text()
    assert text.startswith("# ")
    assert len(text.splitlines()) < 60


def test_options_and_overrides_come_in_any_order(capsys):
    for arguments in (
        ["smoke", "--print", "fit.steps=3"],
        ["--print", "smoke", "fit.steps=3"],
        ["smoke", "fit.steps=3", "--print"],
    ):
        code, out, _ = run(capsys, "run", *arguments)
        assert code == 0
        assert "steps: 3\n" in out


def test_conditions():
    assert read_conditions(["band_gap=2.0", "composition=SrTiO3"]) == {"band_gap": 2.0, "composition": "SrTiO3"}
    with pytest.raises(ConditionError, match="'a' is given twice"):
        read_conditions(["a=1", "a=2"])


def test_tables_of_different_requests_never_mix(tmp_path):
    table = tmp_path / "new" / "samples.csv"
    same_request(table, {"seed": 0, "temperature": 1.0})
    table.write_text("id\n")
    same_request(table, {"seed": 0, "temperature": 1.0})
    with pytest.raises(CrystalfwError, match="made with another temperature; choose another file with -o"):
        same_request(table, {"seed": 0, "temperature": 0.5})
    (tmp_path / "theirs.csv").write_text("id\n")
    with pytest.raises(CrystalfwError, match="did not write"):
        same_request(tmp_path / "theirs.csv", {})


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_knows_commands_and_options(capsys, shell):
    code, out, _ = run(capsys, "--print-completion", shell)
    assert code == 0
    assert all(name in out for name in cli.COMMANDS)
    assert all(option in out for option in ("--temperature", "--dry-run", "--round-trip", "--checkpoint"))
    assert "--run-dir" not in out  # older spellings are accepted, not offered


def test_without_shtab_a_sentence_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, out, err = run(capsys, "--print-completion", "bash")
    assert (code, out) == (2, "")
    assert "pip install 'crystalfw[completion]'" in err


@pytest.mark.parametrize(
    ("older", "arguments"),
    [
        (["run", "smoke", "--run-dir", "x"], ["run", "smoke", "-o", "x"]),
        (["new", "plugin", "a", "--kind", "encoder", "--into", "x"], ["new", "plugin", "a", "--kind", "encoder", "-o", "x"]),
        (["codec", "--data", "a", "--out", "x"], ["codec", "fit", "--data", "a", "-o", "x"]),
    ],
)
def test_older_spellings_mean_the_same(older, arguments):
    assert vars(cli.make_parser(older[0]).parse(older[1:])) == vars(cli.make_parser(arguments[0]).parse(arguments[1:]))


@pytest.mark.parametrize(("kind", "name"), every_component())
def test_the_description_as_json(capsys, kind, name):
    code, out, _ = run(capsys, "describe", kind, name, "--json")
    assert code == 0
    found = json.loads(out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))
    assert (found["kind"], found["name"]) == (kind, name)
    assert set(found) == {"kind", "name", "origin", "class", "documentation", "facts", "options"}
    assert all(set(option) == {"name", "type", "default", "required", "sentence"} for option in found["options"])


def test_doctor_as_json(capsys):
    code, out, _ = run(capsys, "doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"facts", "not_loaded", "checks"}
    assert "a bfloat16 product is" in found["facts"]["precision"]
    assert found["checks"]["self-test strings"]["passed"] is True


def test_doctor_reports_without_needing_any_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "doctor")
    assert code == 0, out
    for label in ("crystalfw", "torch", "devices", "precision", "cache", "self-test strings", "self-test network"):
        assert f"\n{label}" in f"\n{out}"
    assert list(tmp_path.iterdir()) == []
