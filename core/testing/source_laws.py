"""The laws of sources: a fixed order, typed errors, and a fingerprint that keys the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.records import Rejected
from crystalfw.core.testing.laws import Broken, NotApplicable, Subject, law

SOME = 32


def make(subject: Subject, path: str | None = None) -> Source:
    """A fresh source on the subject's path, or on another."""
    source = subject.make(path=subject.path if path is None else path)
    assert isinstance(source, Source)
    return source


def head(source: Source) -> list[Crystal | Rejected]:
    """The first items of its first part."""
    return list(islice(source.read(source.parts()[0]), SOME))


@law("source", "Its parts are among train, val, test, with train first.", "Return ('train',) where there is no split.")
def parts(subject: Subject) -> None:  # noqa: D103
    found = make(subject).parts()
    if not isinstance(found, Sequence) or not found or found[0] != "train" or set(found) - {"train", "val", "test"}:
        raise Broken(f"they are {found!r}.")


@law(
    "source",
    "It yields crystals, and Rejected with file and reason for what cannot be used.",
    "Yield Rejected(file, row, id, reason) instead of raising or skipping.",
)
def items(subject: Subject) -> None:  # noqa: D103
    found = head(make(subject))
    if not any(isinstance(item, Crystal) for item in found):
        raise Broken(f"among the first {len(found)} items there is no crystal.")
    for item in found:
        if isinstance(item, Rejected) and not (item.reason and item.file):
            raise Broken(f"a row is rejected without file or reason: {item}.")
        if not isinstance(item, (Crystal, Rejected)):
            raise Broken(f"it yields a {type(item).__name__}.")


@law("source", "Reading twice gives the same items in the same order.", "Sort directory listings; draw from a fixed seed.")
def order(subject: Subject) -> None:  # noqa: D103
    for first, second in zip(head(make(subject)), head(make(subject)), strict=True):
        if type(first) is not type(second) or first.id != second.id:
            raise Broken(f"{first.id!r} comes second time as {second.id!r}.")
        if isinstance(first, Crystal) and isinstance(second, Crystal) and not np.array_equal(first.lattice, second.lattice):
            raise Broken(f"{first.id!r} has another lattice the second time.")


@law(
    "source",
    "The fingerprint stays while nothing changes, and depends on the options and the file.",
    "Hash the content of the file and the config.",
)
def fingerprint(subject: Subject) -> None:  # noqa: D103
    first, second = make(subject).fingerprint(), make(subject).fingerprint()
    if not first or not isinstance(first, str):
        raise Broken(f"it is {first!r}.")
    if first != second:
        raise Broken("two instances on the same file have different ones.")


@law("source", "A file that does not exist is a DataError that names it.", "Check in the constructor or in parts().")
def missing_file(subject: Subject) -> None:  # noqa: D103
    if subject.path is None:
        raise NotApplicable("checked without a file")
    absent = f"{subject.path}.does-not-exist"
    try:
        head(make(replace(subject), absent))
    except DataError as error:
        if "does-not-exist" not in str(error):
            raise Broken(f"the message does not name the file: {error}.") from error
    else:
        raise Broken("it was read without an error.")
