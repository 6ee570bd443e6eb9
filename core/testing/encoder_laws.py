"""The laws of encoders, checked in float64 on small crystals.

Shapes: B crystals, M memory tokens, C encoder width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crystalfw.core.batch import CrystalBatch, Memory
from crystalfw.core.crystal import Crystal
from crystalfw.core.data.retrieved import Told, as_templates
from crystalfw.core.interfaces import Encoder
from crystalfw.core.testing import crystals as ops
from crystalfw.core.testing.compare import (
    check_gradients,
    check_state_dict,
    must_agree,
    must_be_finite,
    must_be_same_set,
    relative_difference,
    seeded,
)  # fmt: skip
from crystalfw.core.testing.laws import Broken, NotApplicable, Subject, law

_INVARIANT = (
    "Build on distances, angles, or equivariant products of relative vectors; never on absolute or Cartesian positions."
)


def make(subject: Subject, seed: int = 0) -> Encoder:
    """A fresh encoder with statistics fitted, seeded, float64, evaluation mode."""
    encoder = seeded(subject.make, seed)
    columns = {name[11:]: np.array([0.5, 1.0, 2.5, np.nan]) for name in encoder.requires if name.startswith("properties.")}
    if columns:
        encoder.fit_statistics(columns)
    assert isinstance(encoder, Encoder)
    return encoder.double()


def inputs(encoder: Encoder, crystals: Sequence[Crystal] | None = None) -> list[Crystal]:
    """The crystals with every property and embedding that the encoder requires."""
    size = int(vars(encoder.config).get("size") or 8)
    found = []
    for position, crystal in enumerate(ops.small_crystals() if crystals is None else crystals):
        rng = np.random.default_rng(position)
        properties = {
            name[11:]: float(rng.integers(1, 200)) for name in sorted(encoder.requires) if name.startswith("properties.")
        }
        arrays = {
            name[7:]: rng.normal(size=_array_size(encoder, size)).astype(np.float32)
            for name in sorted(encoder.requires)
            if name.startswith("arrays.")
        }
        found.append(replace(crystal, properties=properties, arrays=arrays))
    return found


def _array_size(encoder: Encoder, size: int) -> int:
    """The width of an embedding: an option called `size`, else the first linear layer's input."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.Linear):
            return module.in_features
    return size


def encode(encoder: Encoder, crystals: Sequence[Crystal]) -> Memory:
    """The memory of a batch in float64."""
    batch = CrystalBatch.from_crystals(crystals, dtype=torch.float64)
    if encoder.templates:
        batch = replace(batch, templates=as_templates([_strings(crystal, encoder.templates) for crystal in crystals]))
    return encoder(batch if encoder.cutoff is None else batch.with_edges(encoder.cutoff))


def _strings(crystal: Crystal, n: int) -> list[Told]:
    """What could have been retrieved for a composition: up to n strings of its elements' numbers; none for a few."""
    numbers = sorted(set(crystal.numbers.tolist()))
    begin, end = 1, 2
    return [Told([begin, *numbers[k:], *numbers, end], -0.5 - k) for k in range(min(n, len(numbers) - 1))]


def _real(memory: Memory, row: int) -> Tensor:
    return memory.tokens[row][memory.mask[row]]


def _same_memory(subject: Subject, change: Callable[[Crystal], Crystal], *, tokens: str = "set") -> None:
    """Raise Broken where the memory of changed crystals differs; tokens are compared as sets, or as sets without count."""
    encoder = make(subject)
    originals = inputs(encoder)
    before, after = encode(encoder, originals), encode(encoder, [change(crystal) for crystal in originals])
    for row, crystal in enumerate(originals):
        must_agree(after.pooled[row], before.pooled[row], f"the pooled vector of {crystal.id}")
        must_be_same_set(_real(after, row), _real(before, row), f"the tokens of {crystal.id}", count=tokens == "set")


@law(
    "encoder",
    "A Memory has tokens (B, M, dim), a boolean mask (B, M) with at least one token each, pooled (B, dim), all finite.",
    "Set `dim` to the width that forward returns; pad with masked tokens; mind cells of one atom.",
)
def dimensions(subject: Subject) -> None:  # noqa: D103
    encoder = make(subject)
    crystals = inputs(encoder)
    memory = encode(encoder, crystals)
    n, dim = len(crystals), encoder.dim
    if memory.tokens.ndim != 3 or (memory.tokens.shape[0], memory.tokens.shape[2]) != (n, dim):
        raise Broken(f"tokens have shape {tuple(memory.tokens.shape)}, dim says ({n}, M, {dim}).")
    if memory.mask.dtype != torch.bool or memory.mask.shape != memory.tokens.shape[:2]:
        raise Broken(f"the mask is {memory.mask.dtype} of shape {tuple(memory.mask.shape)}.")
    if memory.pooled.shape != (n, dim):
        raise Broken(f"pooled has shape {tuple(memory.pooled.shape)}, dim says ({n}, {dim}).")
    if not bool(memory.mask.any(1).all()):
        raise Broken("some crystal has no token.")
    must_be_finite(memory.pooled, "the pooled vector")
    must_be_finite(memory.tokens[memory.mask], "a token")
    ids = memory.ids
    if ids is not None and (ids.shape != memory.mask.shape or ids.dtype != torch.int64 or int(ids.min()) < -1):
        raise Broken(f"ids have shape {tuple(ids.shape)} and type {ids.dtype}, from {int(ids.min())}.")


@law("encoder", "A rotation of the crystal changes nothing.", _INVARIANT)
def rotation(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, lambda crystal: ops.rotated(crystal, ops.rotation(1)))


@law(
    "encoder",
    "A reflection of the crystal changes nothing.",
    "Use no triple products; or declare it in expected_failures where telling left from right is the point.",
)
def reflection(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, lambda crystal: ops.rotated(crystal, ops.rotation(2, improper=True)))


@law("encoder", "A translation of all atoms changes nothing.", _INVARIANT)
def translation(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, lambda crystal: ops.translated(crystal, np.array([0.31, -0.17, 0.48])))


@law(
    "encoder",
    "Replacing an atom by its periodic image changes nothing.",
    "Take distances between all periodic images: `batch.edges` lists them when `cutoff` is set.",
)
def wrapping(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, ops.rewrapped)


@law("encoder", "The order of the atoms changes nothing but the order of the tokens.", "Pool by sums or means over atoms.")
def permutation(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, ops.permuted)


@law(
    "encoder",
    "Another basis of the same lattice changes nothing.",
    "Lattice lengths and angles are not properties of the crystal: use the volume, or neighbour vectors.",
)
def basis(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, ops.rebased)


@law(
    "encoder",
    "A supercell has the same pooled vector and the same kinds of tokens.",
    "Pool by a mean instead of a sum, use quantities per atom.",
)
def supercell(subject: Subject) -> None:  # noqa: D103
    _same_memory(subject, ops.doubled, tokens="kinds")


@law(
    "encoder",
    "A crystal's memory does not depend on what else is in the batch.",
    "Use layer norm instead of batch norm; index atoms by `crystal_index`; mask before pooling.",
)
def batch_independence(subject: Subject) -> None:  # noqa: D103
    encoder = make(subject)
    crystals = inputs(encoder)
    together = encode(encoder, crystals)
    for row, crystal in enumerate(crystals):
        alone = encode(encoder, [crystal])
        must_agree(alone.pooled[0], together.pooled[row], f"the pooled vector of {crystal.id} alone")
        must_be_same_set(_real(alone, 0), _real(together, row), f"the tokens of {crystal.id} alone")


@law(
    "encoder",
    "It reads what `requires` declares, and nothing else.",
    "Declare geometry, composition, properties.NAME or arrays.NAME; users may ask for exactly these.",
)
def declared_inputs(subject: Subject) -> None:  # noqa: D103
    encoder = make(subject)
    crystals = inputs(encoder)
    memory = encode(encoder, crystals)
    if "geometry" not in encoder.requires:
        blank: Any = np.full((3, 3), np.nan)
        unknown = encode(
            encoder, [replace(c, lattice=blank, frac_coords=np.full_like(c.frac_coords, np.nan)) for c in crystals]
        )
        must_agree(unknown.pooled, memory.pooled, "without `geometry` in `requires`, the pooled vector of unknown geometry")
    if encoder.requires and relative_difference(memory.pooled[:1], memory.pooled[1:2]) < 1e-9:
        raise Broken("two different crystals have the same pooled vector.")


@law(
    "encoder",
    "Gradients are finite, for cells of one atom and for perfect symmetry too.",
    "Guard square roots and normalisations at zero, for example with clamp_min before sqrt.",
)
def gradients(subject: Subject) -> None:  # noqa: D103
    encoder = make(subject)
    memory = encode(encoder, inputs(encoder))
    weights = torch.linspace(-1, 1, memory.pooled.shape[-1], dtype=torch.float64)
    check_gradients(encoder, (memory.pooled * weights).sum() + (memory.tokens[memory.mask] * weights).sum())


@law(
    "encoder",
    "The state_dict holds everything that the output depends on.",
    "Register tensors as parameters or buffers; keep no state in plain attributes.",
)
def state_dict(subject: Subject) -> None:  # noqa: D103
    crystals = inputs(make(subject))
    check_state_dict(lambda seed: make(subject, seed), lambda module: encode(module, crystals).pooled)


@law("encoder", "In evaluation mode, twice the same input gives the same memory.", "Draw random numbers in training mode only.")
def determinism(subject: Subject) -> None:  # noqa: D103
    encoder = make(subject)
    crystals = inputs(encoder)
    must_agree(encode(encoder, crystals).tokens, encode(encoder, crystals).tokens, "the second memory")


@law(
    "encoder",
    "The memory changes continuously when a neighbour crosses the cutoff.",
    "Multiply messages by an envelope that is zero at the cutoff, for example 0.5 (1 + cos(pi r / cutoff)).",
)
def smooth_cutoff(subject: Subject) -> None:  # noqa: D103
    encoder = make(subject)
    if encoder.cutoff is None:
        raise NotApplicable("it asks for no neighbours")
    salt = [Crystal(lattice=np.eye(3) * encoder.cutoff * scale, frac_coords=np.array([[0.0] * 3, [0.5] * 3]),
                    numbers=np.array([55, 17])) for scale in (1 - 1e-7, 1 + 1e-7)]  # fmt: skip
    inside, outside = encode(encoder, inputs(encoder, salt)).pooled
    must_agree(inside, outside, "just inside instead of just outside, the pooled vector", tolerance=1e-4)
