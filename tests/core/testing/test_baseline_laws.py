"""The laws of baselines: each catches what was broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Baseline
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject
from tests.core.testing.planted import other_config, unordered_version


class Sound(Baseline):
    """The first training crystal with the elements that were asked for."""

    answers = True

    def __init__(self, config: object) -> None:
        pass

    def samples(self, wanted, train, *, seed=0, say=print):
        if not train:
            raise DataError("give training crystals")
        for one in wanted:
            if len(one.numbers) == 2:
                yield one.made(replace(train[0], numbers=np.array(one.numbers)))
            else:
                yield one.failed("no pair of elements")


class GivesTwo(Sound):
    def samples(self, wanted, train, *, seed=0, say=print):
        for one in super().samples(wanted, train):
            yield one
            yield one


class SaysNothing(Sound):
    def samples(self, wanted, train, *, seed=0, say=print):
        for one in super().samples(wanted, train):
            yield replace(one, reason="")


class KeepsElements(Sound):
    def samples(self, wanted, train, *, seed=0, say=print):
        for one in wanted:
            yield one.made(train[0])


class Dice(Sound):
    answers = False

    def samples(self, wanted, train, *, seed=0, say=print):
        for one in wanted:
            yield one.made(train[0], str(np.random.default_rng().random()))


class Eager(Sound):
    def samples(self, wanted, train, *, seed=0, say=print):
        yield from super().samples(wanted, train)
        if not wanted:
            yield next(super().samples(wanted or [self._one()], train))

    @staticmethod
    def _one():
        from crystalfw.core.records import Wanted

        return Wanted("x")


class MakesDo(Sound):
    def samples(self, wanted, train, *, seed=0, say=print):
        return super().samples(wanted, train) if train else iter([one.failed("nothing there") for one in wanted])


BUGS: dict[str, dict[str, list[type]]] = {
    "baseline": {
        "one_each": [GivesTwo],
        "reasons": [SaysNothing],
        "composition": [KeepsElements],
        "determinism": [Dice],
        "nothing": [Eager],
        "training_needed": [MakesDo],
        "config": [other_config(Sound)],
        "version": [unordered_version(Sound)],
    }
}
LAWS = laws_of("baseline")


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_sound_baseline_passes(law):
    assert law.violation(Subject("baseline", Sound)) is None


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_planted_bugs_are_caught(law):
    for bug in BUGS["baseline"][law.name]:
        message = law.violation(Subject("baseline", bug))
        assert message is not None, f"{bug.__name__} passes"
        assert message.startswith(law.statement)
