"""The laws of transforms, checked on small crystals. A crystal may be rejected (Reject); then there is nothing to compare."""

from __future__ import annotations

import pickle

import numpy as np

from crystalfw.core.batch import CrystalBatch
from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import Reject
from crystalfw.core.interfaces import Transform
from crystalfw.core.testing import crystals as ops
from crystalfw.core.testing.laws import Broken, NotApplicable, Subject, law


def make(subject: Subject) -> Transform:
    """A fresh transform."""
    transform = subject.make()
    assert isinstance(transform, Transform)
    return transform


def apply(transform: Transform, crystal: Crystal, seed: int = 0) -> Crystal | None:
    """The result under a seed, None where the crystal is rejected."""
    try:
        return transform(crystal, np.random.default_rng(seed))
    except Reject:
        return None


def inputs() -> list[Crystal]:
    """The small crystals with a property and an embedding, and one with atoms outside of the cell."""
    found = [*ops.small_crystals(), ops.rewrapped(ops.small_crystals()[3])]
    return [
        Crystal(lattice=c.lattice, frac_coords=c.frac_coords, numbers=c.numbers, id=f"crystal-{i}",
                properties={"a": 1.5}, arrays={"e": np.ones(3, dtype=np.float32)}) for i, c in enumerate(found)
    ]  # fmt: skip


def _difference(first: Crystal, second: Crystal) -> str:
    """What differs between two crystals, bit by bit; empty where nothing does."""
    for name in ("lattice", "frac_coords", "numbers"):
        if not np.array_equal(getattr(first, name), getattr(second, name)):
            return f"{name} of {first.id} differs."
    return "" if dict(first.properties) == dict(second.properties) else f"properties of {first.id} differ."


@law("transform", "`stage` is prepare, train or finalize.", "See crystalfw.core.interfaces.Transform.")
def stage(subject: Subject) -> None:  # noqa: D103
    if make(subject).stage not in ("prepare", "train", "finalize"):
        raise Broken(f"it is {make(subject).stage!r}.")


@law(
    "transform",
    "The result is a valid crystal: finite, with volume, at least one atom, the id of the input.",
    "Use dataclasses.replace(crystal, ...); raise Reject(reason) for what cannot be used.",
)
def validity(subject: Subject) -> None:  # noqa: D103
    for crystal in inputs():
        result = apply(make(subject), crystal)
        if result is None:
            continue
        if not isinstance(result, Crystal):
            raise Broken(f"it returned a {type(result).__name__}.")
        finite = np.isfinite(result.lattice).all() and np.isfinite(result.frac_coords).all()
        if (
            not finite
            or result.volume < 1e-3
            or result.n_atoms < 1
            or not ((result.numbers > 0) & (result.numbers < 119)).all()
        ):
            raise Broken(f"{crystal.id}: finite {bool(finite)}, volume {result.volume:.3g}, {result.n_atoms} atoms.")
        if (
            result.id != crystal.id
            or set(crystal.properties) - set(result.properties)
            or set(crystal.arrays) - set(result.arrays)
        ):
            raise Broken(f"{crystal.id}: id, properties or arrays were lost.")


@law("transform", "The same seed gives the same result.", "Draw from the `rng` that is passed, never from a global one.")
def determinism(subject: Subject) -> None:  # noqa: D103
    for crystal in inputs():
        first, second = apply(make(subject), crystal, 3), apply(make(subject), crystal, 3)
        if (first is None) != (second is None) or (first is not None and second is not None and _difference(first, second)):
            raise Broken(f"two calls with one seed differ for {crystal.id}.")


@law("transform", "The result does not depend on earlier calls.", "Keep no state between calls.")
def no_memory(subject: Subject) -> None:  # noqa: D103
    used = make(subject)
    for crystal in inputs():
        apply(used, crystal, 1)
    for crystal in inputs():
        first, second = apply(make(subject), crystal, 3), apply(used, crystal, 3)
        if (first is None) != (second is None) or (first is not None and second is not None and _difference(first, second)):
            raise Broken(f"after other crystals, the result for {crystal.id} differs.")


@law("transform", "The input stays as it is.", "Make new arrays; never assign into crystal.lattice or crystal.frac_coords.")
def input_untouched(subject: Subject) -> None:  # noqa: D103
    for crystal, before in zip(inputs(), inputs(), strict=True):
        apply(make(subject), crystal)
        if _difference(crystal, before):
            raise Broken(f"after the call, {_difference(crystal, before)}")


@law(
    "transform",
    "It commutes with rotations where it claims so (`commutes_with_rotation`).",
    "Work with fractional coordinates, lengths and angles; or do not claim it.",
)
def rotation(subject: Subject) -> None:  # noqa: D103
    transform, matrix = make(subject), ops.rotation(4)
    if not transform.commutes_with_rotation:
        raise NotApplicable("commutes_with_rotation is not claimed")
    for crystal in inputs():
        first, second = apply(transform, ops.rotated(crystal, matrix)), apply(transform, crystal)
        if (first is None) != (second is None):
            raise Broken(f"{crystal.id} is rejected in one orientation only.")
        if first is None or second is None:
            continue
        expected = ops.rotated(second, matrix)
        if first.n_atoms != expected.n_atoms or not np.allclose(first.lattice, expected.lattice, atol=1e-8):
            raise Broken(f"{crystal.id}: rotating before or after gives another lattice.")
        if not np.allclose(first.frac_coords, expected.frac_coords, atol=1e-8):
            raise Broken(f"{crystal.id}: rotating before or after gives other positions.")


@law(
    "transform",
    "The neighbour pairs of the input are those of the result where it claims so (`keeps_edges`).",
    "Keep every distance and the order of atoms, wrap no positions; or do not claim it.",
)
def edges(subject: Subject) -> None:  # noqa: D103
    transform = make(subject)
    if not transform.keeps_edges:
        raise NotApplicable("keeps_edges is not claimed")
    for crystal in inputs():
        result = apply(transform, crystal)
        if result is not None and _pairs(result) != _pairs(crystal):
            raise Broken(f"{crystal.id} has {len(_pairs(crystal))} pairs before, others ({len(_pairs(result))}) after.")


def _pairs(crystal: Crystal, cutoff: float = 4.2) -> set[tuple[int, ...]]:
    """Neighbour pairs as (source, target, shift); no small crystal has a shell at 4.2 angstrom."""
    found = CrystalBatch.from_crystals([crystal]).with_edges(cutoff).edges
    assert found is not None
    return {(int(j), int(i), *t) for j, i, t in zip(found.source, found.target, found.shift.tolist(), strict=True)}


@law("transform", "It can be sent to worker processes.", "Keep no open files, lambdas or locks in attributes.")
def pickling(subject: Subject) -> None:  # noqa: D103
    copy = pickle.loads(pickle.dumps(make(subject)))  # noqa: S301 - our own bytes, made a moment ago
    crystal = inputs()[0]
    first, second = apply(make(subject), crystal), apply(copy, crystal)
    if (first is None) != (second is None) or (first is not None and second is not None and _difference(first, second)):
        raise Broken("the copy gives another result.")
