"""The laws of retrievers, checked on a small library of binary crystals."""

from __future__ import annotations

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.library.entry import Entry, describe, slots_of
from crystalfw.core.library.store import Library
from crystalfw.core.records import Proposal, Question
from crystalfw.core.testing.laws import Broken, Subject, law

_LIGHT = [(3, 9), (3, 17), (11, 9), (11, 17), (11, 35), (19, 9), (19, 17)]
_HEAVY = [(55, 17), (55, 35), (55, 53), (81, 17), (81, 35)]


def small_library() -> Library:
    """Rock salts of light elements, caesium chlorides of heavy ones."""
    rows = 2.8 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return Library.of([*(_entry(pair, rows) for pair in _LIGHT), *(_entry(pair, 4.1 * np.eye(3)) for pair in _HEAVY)])


def _entry(pair: tuple[int, int], lattice: np.ndarray) -> Entry:
    positions = np.array([[0.0] * 3, [0.5] * 3])
    return describe(Crystal(lattice=lattice, frac_coords=positions, numbers=np.array(pair), id=f"{pair[0]}-{pair[1]}"))


def fitted(subject: Subject):  # type: ignore[no-untyped-def]
    """A fresh retriever that has learned from the small library."""
    retriever = subject.make()
    retriever.fit(small_library(), seed=0, say=lambda line: None)
    return retriever


def _known(*, exclude_own: bool = False) -> Question:
    return Question((11, 17), (1, 1), exclude_own=exclude_own)


def _said(found: list[Proposal]) -> list[tuple[float, str, bytes]]:
    return [(p.probability, p.template, p.crystal.lattice.tobytes()) for p in found]


@law("retriever", "Its proposals have the composition asked for, the likeliest first.", "Exchange every element; sort.")
def answers(subject: Subject) -> None:  # noqa: D103
    found = fitted(subject).propose(Question((19, 35), (1, 1)), 4)
    if not found or len(found) > 4:
        raise Broken(f"asked for 4 it gives {len(found)}.")
    for proposal in found:
        if slots_of(proposal.crystal.numbers)[:2] != ((19, 35), (1, 1)):
            raise Broken(f"for KBr it proposes {proposal.crystal.formula}.")
    shares = [proposal.probability for proposal in found]
    if shares != sorted(shares, reverse=True) or min(shares) < 0 or sum(shares) > 1 + 1e-6:
        raise Broken(f"the probabilities are {shares}.")


@law("retriever", "With exclude_own it never uses a crystal of the question's own formula.", "Leave these entries out.")
def own_formula(subject: Subject) -> None:  # noqa: D103
    found = fitted(subject).propose(_known(exclude_own=True), 20)
    if any(proposal.template == "11-17" for proposal in found):
        raise Broken("NaCl is proposed from the library's NaCl.")


@law("retriever", "The same question gives the same answer.", "Draw nothing; sort with a stable order.")
def determinism(subject: Subject) -> None:  # noqa: D103
    retriever = fitted(subject)
    if _said(retriever.propose(_known(), 8)) != _said(retriever.propose(_known(), 8)):
        raise Broken("two answers differ.")


@law("retriever", "Units restrict the formula units of the cell.", "Filter by question.units where it is not empty.")
def units(subject: Subject) -> None:  # noqa: D103
    if fitted(subject).propose(Question((11, 17), (1, 1), units=(7,)), 8):
        raise Broken("asked for 7 formula units it proposes a cell that no entry has.")


@law("retriever", "A composition that no entry resembles gets no answer, not an error.", "Return an empty list.")
def unknown(subject: Subject) -> None:  # noqa: D103
    if fitted(subject).propose(Question((8, 22), (7, 9)), 8):
        raise Broken("it proposes crystals of a ratio that the library lacks.")


@law("retriever", "A state_dict and attach give the same answers as fit.", "Register all that is learned; rebuild the rest.")
def state_dict(subject: Subject) -> None:  # noqa: D103
    first, second = fitted(subject), subject.make()
    second.load_weights(first.state_dict())
    second.attach(small_library())
    if _said(first.propose(_known(), 8)) != _said(second.propose(_known(), 8)):
        raise Broken("a loaded retriever answers differently.")
