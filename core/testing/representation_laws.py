"""The laws of representations: strings, token ids, grammar, and decoding that never raises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crystalfw.core.errors import DecodeError
from crystalfw.core.interfaces import Representation
from crystalfw.core.records import Decoded, Encoded
from crystalfw.core.testing import crystals as ops
from crystalfw.core.testing.laws import Broken, Subject, law

WALKS, MAX_LENGTH = 8, 96


def make(subject: Subject) -> Representation:
    """A fresh representation."""
    representation = subject.make()
    assert isinstance(representation, Representation)
    return representation


def strings(representation: Representation) -> list[str]:
    """The strings of the small crystals that can be encoded."""
    found = [outcome.string for outcome in representation.encode(ops.small_crystals()) if outcome.ok]
    if not found:
        raise Broken("none of rock salt, copper, perovskite and a triclinic crystal can be encoded.")
    return found


@law(
    "representation",
    "The vocabulary has distinct tokens, and pad, begin, end among them.",
    "Fix the vocabulary in the class; ids must not depend on a data set.",
)
def vocabulary(subject: Subject) -> None:  # noqa: D103
    first, second = make(subject).vocabulary, make(subject).vocabulary
    special = {first.pad, first.begin, first.end}
    if len(set(first.tokens)) != len(first.tokens) or len(special) != 3 or not special <= set(range(len(first))):
        raise Broken(f"{len(first)} tokens, {len(set(first.tokens))} distinct; pad, begin, end: {sorted(special)}.")
    if first != second:
        raise Broken("two instances have different vocabularies.")


@law(
    "representation",
    "Encoding gives one outcome per crystal, in order, and never raises for a crystal.",
    "Return Encoded(reason=...) for a crystal that has no string.",
)
def encoding(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    crystals = ops.small_crystals()
    overlapping = replace(crystals[0], frac_coords=np.zeros((2, 3)))
    flat = replace(crystals[0], lattice=np.array([[3.0, 0, 0], [0, 3.0, 0], [3.0, 3.0, 1e-9]]))
    outcomes = representation.encode([crystals[0], overlapping, flat, crystals[2]])
    if len(outcomes) != 4 or not all(
        isinstance(outcome, Encoded) and bool(outcome.string) == outcome.ok for outcome in outcomes
    ):
        raise Broken(f"for four crystals it gave {outcomes!r:.200}.")
    alone = [representation.encode([crystal])[0] for crystal in (crystals[0], crystals[2])]
    if [outcomes[0], outcomes[3]] != alone:
        raise Broken("a crystal's string depends on the others, or changes from call to call.")


@law(
    "representation",
    "tokenize and detokenize are inverse; an unknown token is a DecodeError with the reason 'parse'.",
    "Keep exactly what the string says, separators included.",
)
def tokens(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    for string in strings(representation):
        ids = representation.tokenize(string)
        if {representation.vocabulary.begin, representation.vocabulary.end, representation.vocabulary.pad} & set(ids):
            raise Broken("tokenize adds begin, end or padding.")
        framed = [representation.vocabulary.begin, *ids, representation.vocabulary.end, representation.vocabulary.pad]
        if representation.detokenize(framed) != string:
            raise Broken(f"{string!r} becomes {representation.detokenize(framed)!r}.")
    try:
        representation.tokenize("\x00 no token \x00")
    except DecodeError as error:
        if error.reason != "parse":
            raise Broken(f"an unknown token has the reason {error.reason!r}.") from error
    else:
        raise Broken("an unknown token is accepted.")


@law(
    "representation",
    "Decoding an encoded crystal gives a crystal of the same composition.",
    "A string must hold the whole cell; decode reduces nothing.",
)
def round_trip(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    crystals = ops.small_crystals()
    encoded = representation.encode(crystals)
    kept = [(crystal, outcome.string) for crystal, outcome in zip(crystals, encoded, strict=True) if outcome.ok]
    decoded = representation.decode([string for _, string in kept])
    if not any(outcome.ok for outcome in decoded):
        raise Broken(f"none decodes: {[outcome.reason for outcome in decoded]}.")
    for (crystal, _), outcome in zip(kept, decoded, strict=True):
        if outcome.crystal is not None and outcome.crystal.formula != crystal.formula:
            raise Broken(f"{crystal.formula} comes back as {outcome.crystal.formula}.")


@law(
    "representation",
    "Decoding gives one outcome per string, in order, and never raises for a string.",
    "Return Decoded(reason=...) from the documented list.",
)
def decoding(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    good = strings(representation)[0]
    broken = ["", " ", good[: len(good) // 2], good + " " + good, "\x00", "Na " * 50, good]
    outcomes = representation.decode(broken)
    if len(outcomes) != len(broken) or not all(isinstance(outcome, Decoded) for outcome in outcomes):
        raise Broken(f"for {len(broken)} strings it gave {len(outcomes)} outcomes.")
    for string, outcome in zip(broken, outcomes, strict=True):
        if outcome.ok == bool(outcome.reason):
            raise Broken(f"{string!r:.60} has a crystal: {outcome.ok}, reason: {outcome.reason!r}.")
    if outcomes[0].ok:
        raise Broken("the empty string has a crystal.")


@law(
    "representation",
    "The grammar allows every string that encode writes.",
    "Every token of the string, then end, must be in the mask.",
)
def grammar_admits(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    for string in strings(representation):
        ids = [*representation.tokenize(string), representation.vocabulary.end]
        state = representation.grammar(1, len(ids) + 1)
        for place, token in enumerate(ids):
            if not state.mask()[0, token]:
                raise Broken(f"token {place} ({representation.vocabulary.tokens[token]!r}) of {string!r} is forbidden.")
            state.advance(np.array([token]))


@law(
    "representation",
    "Walking at random inside the grammar ends within max_length, in a string that tokenizes.",
    "Keep every string completable: forbid what would need more tokens than are left.",
)
def grammar_walks(subject: Subject) -> None:  # noqa: D103
    representation, rng = make(subject), np.random.default_rng(0)
    names = representation.vocabulary
    state = representation.grammar(WALKS, MAX_LENGTH)
    written = np.full((WALKS, 1), names.begin)
    for _ in range(MAX_LENGTH - 1):
        mask_RV = state.mask()
        if not mask_RV.any(1).all():
            raise Broken(f"after {written.shape[1]} tokens a row may write nothing.")
        chosen_R = np.array([rng.choice(np.flatnonzero(mask_V)) for mask_V in mask_RV])
        state.advance(chosen_R)
        written = np.concatenate([written, chosen_R[:, None]], axis=1)
    for row in written.tolist():
        if names.end not in row:
            raise Broken(f"a walk has no end after {MAX_LENGTH} tokens.")
        string = representation.detokenize(row[: row.index(names.end)])
        if representation.tokenize(string) != row[1 : row.index(names.end)]:
            raise Broken(f"the string {string!r:.100} of a walk tokenizes differently.")


@law(
    "representation",
    "Rows of the grammar can be picked and added, independently of the others.",
    "Keep the state per row: select(rows) picks, append_rows(count) adds fresh ones.",
)
def grammar_rows(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    ids = representation.tokenize(strings(representation)[0])
    alone = representation.grammar(1, MAX_LENGTH)
    state = representation.grammar(2, MAX_LENGTH)
    fresh = alone.mask()[0].copy()
    alone.advance(np.array(ids[:1]))
    state.advance(np.array([ids[0], ids[0]]))
    state.select(np.array([1]))
    state.append_rows(1)
    if not np.array_equal(state.mask()[0], alone.mask()[0]):
        raise Broken("after select, a row's mask differs from that of the row alone.")
    if not np.array_equal(state.mask()[1], fresh):
        raise Broken("an appended row does not start as a fresh one.")


@law(
    "representation",
    "augment gives an equivalent string, the same one for the same seed.",
    "Change the spelling only: the composition and the token set stay.",
)
def augmentation(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    for string in strings(representation):
        first, second = (representation.augment(string, np.random.default_rng(5)) for _ in range(2))
        if first != second:
            raise Broken("two calls with one seed differ.")
        if len(representation.tokenize(first)) != len(representation.tokenize(string)):
            raise Broken(f"{string!r} becomes {first!r}, of another length.")


@law(
    "representation",
    "canonical_key is one for all spellings of a crystal, differs between the small crystals, and never raises.",
    "Return the canonical form of the string, or the string itself where it is none.",
)
def canonical_keys(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    keys = []
    for string in strings(representation):
        keys.append(representation.canonical_key(string))
        other = representation.augment(string, np.random.default_rng(5))
        if representation.canonical_key(other) != keys[-1]:
            raise Broken(f"{string!r:.80} and its equivalent {other!r:.80} have different keys.")
    if len(set(keys)) != len(keys):
        raise Broken("two of the small crystals have the same key.")
    try:
        representation.canonical_key("not a string of any representation")
    except Exception as error:
        raise Broken(f"for an invalid string it raises {type(error).__name__}.") from error


@law(
    "representation",
    "key is the same for every order of atoms, origin, orientation and basis of a crystal, or empty.",
    "Build it from the canonical string of the crystal; return empty text where there is no string.",
)
def keys(subject: Subject) -> None:  # noqa: D103
    representation = make(subject)
    for crystal in ops.small_crystals():
        expected = representation.key(crystal)
        for change, other in {
            "in another order of atoms": ops.permuted(crystal, 1),
            "turned": ops.rotated(crystal, ops.rotation(2)),
            "shifted": ops.translated(crystal, np.array([0.13, 0.29, 0.41])),
            "in another basis": ops.rebased(crystal),
        }.items():
            if representation.key(other) != expected:
                raise Broken(f"{crystal.id} {change} has another key.")
    apart = representation.key(replace(ops.small_crystals()[0], frac_coords=np.zeros((2, 3))))
    if not isinstance(apart, str):
        raise Broken(f"for atoms on one place it is a {type(apart).__name__}.")
