"""The laws of transforms, representations and sources: each catches what was broken on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError, DecodeError
from crystalfw.core.interfaces import GrammarState, Representation, Source, Transform
from crystalfw.core.records import Decoded, Encoded, Rejected, Vocabulary
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.crystals import small_crystals
from crystalfw.core.testing.laws import NotApplicable, Subject
from tests.core.testing.planted import other_config, unordered_version

# --- transforms ----------------------------------------------------------------------------------------------------


class Shift(Transform):
    commutes_with_rotation = True
    keeps_edges = True

    def __init__(self, config):
        self.calls = 0

    def __call__(self, crystal, rng):
        return dataclasses.replace(crystal, frac_coords=crystal.frac_coords + rng.random(3))


class NoStage(Shift):
    stage = "later"


class Flattens(Shift):
    def __call__(self, crystal, rng):
        return dataclasses.replace(crystal, lattice=crystal.lattice * [1, 1, 0])


class LosesProperties(Shift):
    def __call__(self, crystal, rng):
        return Crystal(lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=crystal.numbers, id=crystal.id)


class GlobalRandom(Shift):
    def __call__(self, crystal, rng):
        return dataclasses.replace(crystal, frac_coords=crystal.frac_coords + np.random.random(3))


class Remembers(Shift):
    def __call__(self, crystal, rng):
        self.calls += 1
        return dataclasses.replace(crystal, frac_coords=crystal.frac_coords + 0.1 * self.calls)


class InPlace(Shift):
    def __call__(self, crystal, rng):
        crystal.frac_coords[:] += 0.1
        return dataclasses.replace(crystal)


class AlongX(Shift):
    def __call__(self, crystal, rng):
        return dataclasses.replace(crystal, lattice=crystal.lattice * [1.1, 1, 1])


class Stretches(Shift):
    def __call__(self, crystal, rng):
        return dataclasses.replace(crystal, lattice=1.2 * crystal.lattice)


class Wrapped(Shift):
    """Distances stay, the cells that neighbours stand in do not."""

    def __call__(self, crystal, rng):
        return dataclasses.replace(crystal, frac_coords=crystal.frac_coords % 1.0)


class Lambda(Shift):
    def __init__(self, config):
        self.function = lambda x: x


# --- representations: composition strings --------------------------------------------------------------------------


class State(GrammarState):
    def __init__(self, rows, max_length):
        self.left, self.done = np.full(rows, max_length - 1), np.zeros(rows, dtype=bool)
        self.max_length = max_length

    def mask(self):
        allowed = np.zeros((len(self.left), 7), dtype=bool)
        allowed[:, 2:] = True
        allowed[self.left <= 1, 3:] = False
        allowed[self.left == self.max_length - 1, 2] = False
        allowed[self.done] = np.arange(7) == 0
        return allowed

    def advance(self, ids):
        self.left, self.done = self.left - 1, self.done | (ids == 2)

    def select(self, rows):
        self.left, self.done = self.left[rows], self.done[rows]

    def append_rows(self, count, constraints=None):
        self.left = np.concatenate([self.left, np.full(count, self.max_length - 1)])
        self.done = np.concatenate([self.done, np.zeros(count, dtype=bool)])


class Letters(Representation):
    """A crystal as its elements, for crystals of Na, Cl, Cu only; decodes to a cell that is always the same."""

    names = {"Na": 11, "Cl": 17, "Cu": 29, "K": 19}  # noqa: RUF012

    def __init__(self, config):
        self.vocabulary = Vocabulary(tokens=("<pad>", "<begin>", "<end>", *self.names))

    def encode(self, crystals):
        inverse = {number: name for name, number in self.names.items()}
        return [
            Encoded(string=" ".join(inverse[n] for n in c.numbers.tolist())) if set(c.numbers.tolist()) <= set(inverse)
            else Encoded(reason="element") for c in crystals
        ]  # fmt: skip

    def decode(self, strings):
        return [self.one(string) for string in strings]

    def one(self, string):
        names = string.split()
        if not names or not set(names) <= set(self.names) or len(names) > 20:
            return Decoded(reason="parse")
        frac = np.arange(len(names))[:, None] / len(names) * np.ones(3)
        return Decoded(
            crystal=Crystal(lattice=9 * np.eye(3), frac_coords=frac, numbers=np.array([self.names[n] for n in names]))
        )

    def tokenize(self, string):
        try:
            return [self.vocabulary.tokens.index(name) for name in string.split()]
        except ValueError as error:
            raise DecodeError("parse", str(error)) from error

    def detokenize(self, ids):
        return " ".join(self.vocabulary.tokens[i] for i in ids if i > 2)

    def grammar(self, rows, max_length, constraints=None):
        return State(rows, max_length)


class TwiceTheSame(Letters):
    def __init__(self, config):
        self.vocabulary = Vocabulary(tokens=("<pad>", "<begin>", "<end>", "Na", "Cl", "Cu", "Na"))


class RaisesOnElement(Letters):
    def encode(self, crystals):
        outcomes = super().encode(crystals)
        assert all(outcome.ok for outcome in outcomes)
        return outcomes


class AddsBegin(Letters):
    def tokenize(self, string):
        return [1, *super().tokenize(string)]


class AcceptsAnything(Letters):
    def tokenize(self, string):
        return [self.vocabulary.tokens.index(name) for name in string.split() if name in self.names]


class Reduces(Letters):
    def one(self, string):
        return super().one(" ".join(["Na"] * len(string.split())))


class RaisesOnString(Letters):
    def one(self, string):
        return super().one("Na" if string else string.split()[0])


class ForbidsCopper(Letters):
    class Broken(State):
        def mask(self):
            allowed = super().mask()
            allowed[:, 5] = False
            return allowed

    def grammar(self, rows, max_length, constraints=None):
        return self.Broken(rows, max_length)


class NeverEnds(Letters):
    class Broken(State):
        def mask(self):
            allowed = super().mask()
            allowed[:, 2] = self.left < -3
            allowed[self.left <= 1, 3:] = True
            return allowed

    def grammar(self, rows, max_length, constraints=None):
        return self.Broken(rows, max_length)


class SelectsNothing(Letters):
    class Broken(State):
        def select(self, rows):
            self.left, self.done = self.left[: len(rows)] * 0 + self.max_length - 1, self.done[: len(rows)]

    def grammar(self, rows, max_length, constraints=None):
        return self.Broken(rows, max_length)


class AugmentsAway(Letters):
    def augment(self, string, rng):
        return string.split()[0] if len(string.split()) > 1 else string


class OneKey(Letters):
    def canonical_key(self, string):
        return "the same"


class InOrder(Letters):
    def key(self, crystal):
        return str(crystal.numbers.tolist())


class Few(Source):
    def __init__(self, config, *, path):
        self.path = path
        if path is not None and path.endswith("does-not-exist"):
            raise DataError(f"{path}: no such file")

    def parts(self):
        return ("train",)

    def read(self, part):
        yield from small_crystals()
        yield Rejected("few", 4, "x", "no lattice")

    def fingerprint(self):
        return "few-1"


class WrongPart(Few):
    def parts(self):
        return ("training",)


class YieldsNone(Few):
    def read(self, part):
        yield from small_crystals()
        yield None


class Shuffles(Few):
    count = 0

    def read(self, part):
        type(self).count += 1
        yield from small_crystals()[:: 1 if self.count % 2 else -1]


class Clock(Few):
    count = 0

    def fingerprint(self):
        type(self).count += 1
        return str(self.count)


class Opens(Few):
    def __init__(self, config, *, path):
        self.path = path

    def read(self, part):
        with open(self.path or __file__):
            yield from small_crystals()


BUGS = {
    "transform": {
        "stage": [NoStage],
        "validity": [Flattens, LosesProperties],
        "determinism": [GlobalRandom],
        "no_memory": [Remembers],
        "input_untouched": [InPlace],
        "rotation": [AlongX],
        "edges": [Stretches, Wrapped],
        "pickling": [Lambda],
    },
    "representation": {
        "vocabulary": [TwiceTheSame],
        "encoding": [RaisesOnElement],
        "tokens": [AddsBegin, AcceptsAnything],
        "round_trip": [Reduces],
        "decoding": [RaisesOnString],
        "grammar_admits": [ForbidsCopper],
        "grammar_walks": [NeverEnds],
        "grammar_rows": [SelectsNothing],
        "augmentation": [AugmentsAway],
        "canonical_keys": [OneKey],
        "keys": [InOrder],
    },
    "source": {
        "parts": [WrongPart],
        "items": [YieldsNone],
        "order": [Shuffles],
        "fingerprint": [Clock],
        "missing_file": [Opens],
    },
}
SOUND = {"transform": Shift, "representation": Letters, "source": Few}
for name, sound in SOUND.items():
    BUGS[name] |= {"config": [other_config(sound)], "version": [unordered_version(sound)]}
CASES = [(kind, law) for kind in BUGS for law in laws_of(kind)]


@pytest.mark.parametrize(("kind", "law"), CASES, ids=lambda value: getattr(value, "name", value))
def test_a_sound_component_passes(kind, law):
    assert law.violation(Subject(kind, SOUND[kind], path=__file__)) is None


@pytest.mark.parametrize(("kind", "law"), CASES, ids=lambda value: getattr(value, "name", value))
def test_the_planted_bugs_are_caught(kind, law):
    for bug in BUGS[kind][law.name]:
        message = law.violation(Subject(kind, bug, path=__file__))
        assert message is not None, f"{bug.__name__} passes"
        assert (message[: len(law.statement)], message[-len(law.remedy) :]) == (law.statement, law.remedy)


def test_what_does_not_apply_is_skipped():
    (law,) = (law for law in laws_of("source") if law.name == "missing_file")
    with pytest.raises(NotApplicable):
        law.violation(Subject("source", Few))
