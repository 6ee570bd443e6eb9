"""Discovery: real distributions laid on the path; a broken one is named and harms nobody."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from crystalfw.core.discovery import GROUP, Plugins, installed
from crystalfw.core.registry import Origin

GOOD = """
from crystalfw.core import Transform, hookimpl

class Keep(Transform):
    "Keeps the crystal."
    def __init__(self, config): pass
    def __call__(self, crystal, rng): return crystal

@hookimpl
def crystalfw_register(registry):
    registry.add("transform", "{name}", Keep, summary="keeps")

{more}
"""


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """distribution(name, module text): an installed distribution with one entry point of our group."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, text: str, version: str = "0.3.1") -> Origin:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return Origin(name, version)

    return make


def load() -> Plugins:
    plugins = Plugins()
    plugins.load(installed())
    return plugins


def good(name: str = "keep", more: str = "") -> str:
    return GOOD.format(name=name, more=more)


def test_an_installed_distribution_is_found_with_its_version(distribution):
    origin = distribution("cfw-good", good())
    assert load().registry.get("transform", "keep").origin == origin


def test_ours_come_through_the_same_door():
    assert ("crystalfw", "crystalfw") in [(origin.distribution, point.name) for origin, point in installed()]
    kinds = {entry.kind for entry in load().registry.entries() if entry.origin.distribution == "crystalfw"}
    assert kinds == {
        "encoder",
        "conditioning",
        "decoder",
        "transform",
        "representation",
        "source",
        "metric",
        "retriever",
        "baseline",
    }


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (good(more="CRYSTALFW_INTERFACE = 99"), "made for interface version 99"),
        (good(more="@hookimpl\ndef step_ended(step, metrics): pass"), "step_ended"),
        (good(more="@hookimpl\ndef step_end(step, loss): pass"), "loss"),
        (good().replace("keeps\")", "keeps\")\n    raise RuntimeError('half way')"), "RuntimeError: half way"),
        (good().replace('"transform"', '"trnsform"'), "kinds are encoder, conditioning"),
    ],
)  # fmt: skip
def test_a_broken_distribution_is_named_and_affects_nothing_else(distribution, text, cause):
    broken = distribution("cfw-broken", text)
    distribution("cfw-good", good("fine"))
    registry = load().registry
    assert list(registry.failures) == [broken]
    assert cause in registry.failures[broken]
    assert registry.get("transform", "fine").load().__name__ == "Keep"
    assert {entry.origin.distribution for entry in registry.entries()} == {"crystalfw", "cfw-good"}


def test_two_that_claim_one_name_are_both_named(distribution):
    distribution("cfw-one", good())
    distribution("cfw-two", good())
    registry = load().registry
    with pytest.raises(Exception, match=r"offered by cfw-one 0\.3\.1 and cfw-two 0\.3\.1"):
        registry.get("transform", "keep")
    assert registry.get("transform", "keep", override="cfw_two").origin.distribution == "cfw-two"


def test_a_hook_that_raises_is_reported_once_and_the_others_are_called(distribution):
    hook = "SEEN = []\n@hookimpl\ndef step_end(step):\n    SEEN.append(step)\n"
    distribution("cfw-bad", good("bad", hook + "    raise ValueError('no disk')"))
    distribution("cfw-good", good("fine", hook))
    plugins = load()
    with pytest.warns(RuntimeWarning, match=r"cfw-bad 0\.3\.1: its hook step_end raised ValueError: no disk"):
        plugins.notify("step_end", step=1, metrics={})
    plugins.notify("step_end", step=2, metrics={})
    assert (sys.modules["cfw_bad"].SEEN, sys.modules["cfw_good"].SEEN) == ([1], [1, 2])


def test_finding_imports_nothing(distribution):
    distribution("cfw-good", good())
    assert any(origin.distribution == "cfw-good" for origin, _ in installed())
    assert "cfw_good" not in sys.modules


def test_the_command_lists_plugins_and_failures(distribution, tmp_path):
    distribution("cfw-good", good())
    distribution("cfw-broken", "import no_such_library")
    command = [sys.executable, "-m", "crystalfw", "plugins", "transform", "--json"]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert {"kind": "transform", "name": "keep", "origin": "cfw-good 0.3.1", "summary": "keeps"} in found["components"]
    assert [failure["origin"] for failure in found["failures"]] == ["cfw-broken 0.3.1"]
