"""The laws of baselines, checked on a few training crystals and questions."""

from __future__ import annotations

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.records import Sample, Wanted
from crystalfw.core.testing.laws import Broken, NotApplicable, Subject, law

_PAIRS = [(3, 9), (11, 17), (11, 35), (19, 9), (19, 17), (12, 8), (20, 8)]


def training() -> list[Crystal]:
    """Rock salts with one id each."""
    rows = 2.8 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    positions = np.array([[0.0] * 3, [0.5] * 3])
    return [
        Crystal(lattice=rows * (1 + 0.01 * k), frac_coords=positions, numbers=np.array(pair), id=f"{pair[0]}-{pair[1]}")
        for k, pair in enumerate(_PAIRS)
    ]


def wants() -> list[Wanted]:
    """KBr twice, NaCl twice, and one that asks for nothing."""
    return [
        Wanted("a-1", (19, 35), "a"), Wanted("a-2", (19, 35), "a", 1), Wanted("b-1", (11, 17), "b"),
        Wanted("b-2", (11, 17), "b", 1), Wanted("c-1"),
    ]  # fmt: skip


def made(subject: Subject, wanted: list[Wanted] | None = None) -> list[Sample]:
    """The samples of a fresh baseline."""
    return list(subject.make().samples(wants() if wanted is None else wanted, training(), seed=0, say=lambda line: None))


def _said(samples: list[Sample]) -> list[tuple[str, str, str, bytes]]:
    return [(one.id, one.status, one.string, b"" if one.crystal is None else one.crystal.numbers.tobytes()) for one in samples]


@law("baseline", "There is one sample for each that is wanted, in order, named like it.", "Use Wanted.made and Wanted.failed.")
def one_each(subject: Subject) -> None:  # noqa: D103
    expected = [(one.id, one.reference_id) for one in wants()]
    found = [(one.id, one.reference_id) for one in made(subject)]
    if found != expected:
        raise Broken(f"asked for {expected} it gives {found}.")


@law("baseline", "A sample without a crystal says why; one with a crystal is ok.", "Give a reason to Wanted.failed.")
def reasons(subject: Subject) -> None:  # noqa: D103
    odd = Wanted("odd", (8,) * 7 + (22,) * 9 + (57,) * 11 + (92,) * 2, "odd")
    for one in [*made(subject), *made(subject, [odd])]:
        if (one.crystal is None) == (one.status == "ok") or (one.crystal is None) != bool(one.reason):
            raise Broken(f"{one.id} has the status {one.status!r} and the reason {one.reason!r}.")


@law("baseline", "One that answers compositions gives the elements asked for.", "Exchange every element, or set answers False.")
def composition(subject: Subject) -> None:  # noqa: D103
    if not subject.make().answers:
        raise NotApplicable("it draws whatever it likes")
    for wanted, one in zip(wants(), made(subject), strict=True):
        if one.crystal is not None and wanted.numbers and set(one.crystal.numbers.tolist()) != set(wanted.numbers):
            raise Broken(f"asked for the elements {wanted.numbers} it gives {one.crystal.formula}.")


@law("baseline", "Equal arguments give equal samples.", "Draw from numpy.random.default_rng(seed) only.")
def determinism(subject: Subject) -> None:  # noqa: D103
    if _said(made(subject)) != _said(made(subject)):
        raise Broken("two calls differ.")


@law("baseline", "Nothing wanted gives nothing.", "Iterate over what is wanted.")
def nothing(subject: Subject) -> None:  # noqa: D103
    if made(subject, []):
        raise Broken("it gives samples that nobody asked for.")


@law("baseline", "Without the training crystals that it needs it raises DataError.", "Say needs_training, and check.")
def training_needed(subject: Subject) -> None:  # noqa: D103
    baseline = subject.make()
    try:
        list(baseline.samples(wants()[:1], [], say=lambda line: None))
    except DataError:
        return
    if baseline.needs_training:
        raise Broken("it says nothing.")
