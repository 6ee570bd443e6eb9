"""How laws are run: declared exceptions, the mixins, and the command."""

from __future__ import annotations

import pytest

from crystalfw.core.commands import cli
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.interfaces import Transform
from crystalfw.core.testing import TransformTests, laws_of, run_laws
from crystalfw.core.testing.laws import Subject


class Keep(Transform):
    def __init__(self, config):
        pass

    def __call__(self, crystal, rng):
        return crystal


class Nowhere(Keep):
    stage = "nowhere"


class TestKeep(TransformTests):
    """The mixin in use: one test per law."""

    component = Keep

    def test_make(self):
        assert isinstance(self.make(), Keep)


class TestNowhere(TransformTests):
    component = Nowhere
    expected_failures = {"stage": "planted"}  # noqa: RUF012


def statuses(component, expected=None):
    return {outcome.law.name: outcome.status for outcome in run_laws(Subject("transform", component), expected)}


def test_declared_exceptions():
    assert statuses(Nowhere)["stage"] == "failed"
    assert statuses(Nowhere, {"stage": "planted"})["stage"] == "expected"
    assert statuses(Keep, {"stage": "it holds"})["stage"] == "failed"
    with pytest.raises(CrystalfwError, match=r"names no law: stag\. Laws: config, determinism"):
        statuses(Keep, {"stag": "x"})


def test_every_law_says_what_it_is_and_how_to_meet_it():
    for kind in ("encoder", "conditioning", "decoder", "transform", "representation", "source", "metric"):
        laws = laws_of(kind)
        assert len(laws) >= 5
        assert len({law.name for law in laws}) == len(laws)
        assert all(law.statement.endswith(".") and law.remedy.endswith(".") for law in laws)


def test_the_command(capsys):
    assert cli.main(["check", "transform", "normalize_positions"]) == 0
    out = capsys.readouterr().out
    assert all(f" {law.name} " in out for law in laws_of("transform"))
    assert cli.main(["check", "transform", "normalize_positions", "--expect", "stage=it holds"]) == 1
    assert "BROKEN    stage" in capsys.readouterr().out
    assert cli.main(["check", "transform", "perturb", "strain=x"]) == 2
    assert cli.main(["check", "transform", "perturb", "--expect", "stage"]) == 2
