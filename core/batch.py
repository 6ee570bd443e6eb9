"""What flows between the parts: every tensor named once, with its shape and unit.

Shapes: B crystals, N atoms of all crystals, E edges, M memory tokens, T string tokens, C encoder width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.neighbours import MAX_EDGES, new_list, search_pairs

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystalfw.core.interfaces import Conditioning

Moved = TypeVar("Moved", bound="_Movable")


@dataclass(frozen=True)
class _Movable:
    """Tensors that go to a device together; floating-point tensors also take the dtype."""

    def to(self: Moved, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Moved:
        """The same batch on another device and, for its floating-point tensors, in another dtype."""
        return replace(self, **{name: _move(value, device, dtype) for name, value in vars(self).items()})


def _move(value: Any, device: torch.device | str | None, dtype: torch.dtype | None) -> Any:
    if isinstance(value, Tensor):
        return value.to(device=device, dtype=dtype if value.is_floating_point() else None, non_blocking=True)
    if isinstance(value, _Movable):
        return value.to(device, dtype)
    if isinstance(value, Mapping):
        return {key: _move(item, device, dtype) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Edges(_Movable):
    """Directed periodic neighbour pairs within a cutoff: both (i, j, t) and (j, i, -t) are listed."""

    source: Tensor
    """(E,) index of the sending atom j."""
    target: Tensor
    """(E,) index of the receiving atom i."""
    shift: Tensor
    """(E, 3) integer cell translation t: the vector i -> j is (f_j + t - f_i) @ lattice."""
    cutoff: float
    """Radius in angstrom within which every pair, all periodic images and self-images included, is listed."""


@dataclass(frozen=True)
class Templates(_Movable):
    """Strings of known crystals that were retrieved for each of B crystals, side by side, the likeliest first.

    M is the number of tokens of the crystal with most; 0 where no crystal has any.
    """

    ids: Tensor
    """(B, M) token ids, int64: begin, the string, end, then the next string; -1 after the last."""
    position: Tensor
    """(B, M) place of the token in its string, from 0, int64."""
    rank: Tensor
    """(B, M) place of the string among those of its crystal, from 0, int64."""
    log_probability: Tensor
    """(B, M) natural logarithm of the retriever's probability of the string."""

    @property
    def mask(self) -> Tensor:
        """(B, M) bool, True on real tokens."""
        return self.ids >= 0


@dataclass(frozen=True)
class CrystalBatch(_Movable):
    """B crystals, their atoms concatenated; what every encoder reads."""

    lattice: Tensor
    """(B, 3, 3) lattice vectors as rows, angstrom; NaN where only the composition is known."""
    frac_coords: Tensor
    """(N, 3) fractional coordinates, not necessarily wrapped."""
    numbers: Tensor
    """(N,) atomic numbers, int64."""
    crystal_index: Tensor
    """(N,) crystal that the atom belongs to, ascending, int64."""
    n_atoms: Tensor
    """(B,) atoms per crystal, int64; 0 where no composition is given."""
    properties: Mapping[str, Tensor] = field(default_factory=dict)
    """Named scalars, each (B,), NaN where missing."""
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    """Named embeddings, each (B, K) or (B, M, K)."""
    edges: Edges | None = None
    """Neighbour pairs, where some part has asked for them."""
    templates: Templates | None = None
    """Strings of known crystals of the same composition's kind, where the encoder has asked for them."""

    @property
    def size(self) -> int:
        """Number of crystals B."""
        return len(self.n_atoms)

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal], dtype: torch.dtype | None = None) -> CrystalBatch:
        """Concatenate crystals; property and array names are the union, missing scalars NaN.

        `dtype` defaults to torch's default floating-point type.
        """
        dtype = dtype or torch.get_default_dtype()
        n_atoms = torch.tensor([crystal.n_atoms for crystal in crystals], dtype=torch.int64)
        names = sorted({name for crystal in crystals for name in crystal.properties})
        array_names = sorted({name for crystal in crystals for name in crystal.arrays})
        nan = float("nan")
        return cls(
            lattice=torch.as_tensor(np.stack([c.lattice for c in crystals])).to(dtype),
            frac_coords=torch.as_tensor(np.concatenate([c.frac_coords for c in crystals])).to(dtype),
            numbers=torch.as_tensor(np.concatenate([c.numbers for c in crystals])),
            crystal_index=torch.repeat_interleave(torch.arange(len(crystals)), n_atoms),
            n_atoms=n_atoms,
            properties={n: torch.tensor([c.properties.get(n, nan) for c in crystals], dtype=dtype) for n in names},
            arrays={n: torch.as_tensor(np.stack([c.arrays[n] for c in crystals])).to(dtype) for n in array_names},
        )

    @classmethod
    def from_structures(cls, structures: Sequence[Structure], dtype: torch.dtype | None = None) -> CrystalBatch:
        """From pymatgen Structures; raises DataError for partial occupancy."""
        return cls.from_crystals([Crystal.from_structure(structure) for structure in structures], dtype)

    def with_edges(self, cutoff: float) -> CrystalBatch:
        """This batch with its periodic neighbour pairs within `cutoff` angstrom; kept when already there."""
        if self.edges is not None and self.edges.cutoff == cutoff:
            return self
        return replace(self, edges=neighbour_edges(self, cutoff))


@dataclass(frozen=True)
class Memory(_Movable):
    """What an encoder says about each crystal: a set of tokens and one pooled vector."""

    tokens: Tensor
    """(B, M, C) token vectors, arbitrary where masked."""
    mask: Tensor
    """(B, M) bool, True where a token is real; at least one per crystal."""
    pooled: Tensor
    """(B, C) one vector per crystal."""
    ids: Tensor | None = None
    """(B, M) the vocabulary's token that a memory token stands for, int64, -1 where for none: what a decoder may copy.
    `begin` says where a string begins; the tokens of a string stand side by side, in order."""

    def select(self, index: Tensor) -> Memory:
        """The rows `index` (R,) of every tensor."""
        ids = None if self.ids is None else self.ids[index]
        return Memory(self.tokens[index], self.mask[index], self.pooled[index], ids)

    def named(self) -> Tensor:
        """`ids`, all -1 where there are none."""
        return torch.full_like(self.mask, -1, dtype=torch.int64) if self.ids is None else self.ids

    @classmethod
    def joined(cls, memories: Sequence[Memory]) -> Memory:
        """Memories of equal widths as one batch: the rows of the first, then those of the next."""
        ids = torch.cat([memory.named() for memory in memories]) if any(m.ids is not None for m in memories) else None
        tokens, mask, pooled = (torch.cat([getattr(m, name) for m in memories]) for name in ("tokens", "mask", "pooled"))
        return cls(tokens, mask, pooled, ids)

    def padded(self, width: int) -> Memory:
        """The same with masked tokens behind, `width` in all."""
        missing = width - self.tokens.shape[1]
        return Memory(
            functional.pad(self.tokens, (0, 0, 0, missing)), functional.pad(self.mask, (0, missing), value=False), self.pooled,
            None if self.ids is None else functional.pad(self.ids, (0, missing), value=-1),
        )  # fmt: skip

    def only_pooled(self) -> Memory:
        """The pooled vector as the single token: the ablation that shows what the tokens give."""
        return Memory(self.pooled[:, None], torch.ones_like(self.mask[:, :1]), self.pooled)


@dataclass(frozen=True)
class TokenBatch(_Movable):
    """B token strings, padded to the longest."""

    ids: Tensor
    """(B, T) token ids, int64: begin, the string, end, then padding."""
    lengths: Tensor
    """(B,) tokens per string, begin and end included, int64."""

    @property
    def mask(self) -> Tensor:
        """(B, T) bool, True on real tokens."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]


@dataclass(frozen=True)
class TrainBatch(_Movable):
    """One step's data: crystals to encode and, for string decoders, the strings to predict."""

    crystals: CrystalBatch
    tokens: TokenBatch | None
    index: Tensor
    """(B,) position of each crystal in its data set: seeds its random stream, int64."""
    hidden: Mapping[str, Tensor] = field(default_factory=dict)
    """What a decoder hid of the crystals (`Decoder.hide`), for its loss to ask for."""


def masked_mean(tokens_BMC: Tensor, mask_BM: Tensor) -> Tensor:
    """(B, C) mean of the unmasked tokens."""
    weight_BM1 = mask_BM[..., None].to(tokens_BMC.dtype)
    return (torch.where(mask_BM[..., None], tokens_BMC, 0.0) * weight_BM1).sum(1) / weight_BM1.sum(1).clamp_min(1)


def neighbour_edges(batch: CrystalBatch, cutoff: float) -> Edges:
    """The neighbour pairs of every crystal of the batch, in the order of crystals, on the batch's device.

    The search runs on the CPU; indices carry no gradient, vectors computed from them do. Raises DataError as
    `neighbour_arrays` does, where a crystal has no lattice, and where the whole batch exceeds MAX_EDGES.
    """
    lattices = batch.lattice.detach().to("cpu", torch.float64).numpy()
    frac_coords = batch.frac_coords.detach().to("cpu", torch.float64).numpy()
    search, start, total, found = new_list(cutoff), 0, 0, []
    for index, n_atoms in enumerate(batch.n_atoms.tolist()):
        name = f"crystal {index} of the batch"
        source, target, shift = search_pairs(search, lattices[index], frac_coords[start : start + n_atoms], cutoff, name)
        found.append((source + start, target + start, shift))
        start, total = start + n_atoms, total + len(source)
        if total > MAX_EDGES:
            raise DataError(
                f"a batch of {batch.size} crystals has more than {MAX_EDGES:,} neighbour pairs within {cutoff:g} "
                "angstrom; use smaller batches or a smaller cutoff"
            )
    sources, targets, shifts = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    device = batch.frac_coords.device
    source_E, target_E, shift_E3 = (torch.from_numpy(array).to(device) for array in (sources, targets, shifts))
    return Edges(source_E, target_E, shift_E3, cutoff)


def edge_vectors(batch: CrystalBatch, edges: Edges) -> torch.Tensor:
    """(E, 3) vectors from target to source in angstrom, differentiable with respect to positions and lattices."""
    lattice_E33 = batch.lattice[batch.crystal_index[edges.target]]
    frac_E3 = batch.frac_coords[edges.source] - batch.frac_coords[edges.target] + edges.shift
    # not einsum or matmul: a fixed order of three products keeps the last digits independent of the batch
    return (frac_E3[:, :, None] * lattice_E33).sum(1)


def select_rows(tree: Any, index: Tensor) -> Any:
    """Index the leading dimension of every tensor in a Tensor / Memory / list / tuple / dict tree."""
    if isinstance(tree, Tensor):
        return tree[index]
    if isinstance(tree, Memory):
        return tree.select(index)
    if isinstance(tree, Mapping):
        return {key: select_rows(value, index) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(select_rows(value, index) for value in tree)
    assert tree is None, f"Conditioning.prepare returned {type(tree).__name__}, which rows cannot be picked from"
    return None


class Ports:
    """A conditioning bound to one batch's memory, as decoders see it: identity where no strategy fills the port."""

    def __init__(self, conditioning: Conditioning | None, prepared: Any, copied: Memory | None = None) -> None:
        self.conditioning, self.prepared, self.copied = conditioning, prepared, copied
        self._port = conditioning.port if conditioning is not None else "none"

    @property
    def has_prefix(self) -> bool:
        """True where the strategy puts tokens in front of the string."""
        return self._port == "prefix"

    @classmethod
    def bind(cls, conditioning: Conditioning | None, memory: Memory) -> Ports:
        """Prepare the memory once and bind it. A memory that says token ids stays at hand as `copied`."""
        prepared = None if conditioning is None else conditioning.prepare(memory)
        return cls(conditioning, prepared, None if memory.ids is None else memory)

    def select(self, index: Tensor) -> Ports:
        """The same ports for the rows `index` (R,) of the batch."""
        return Ports(self.conditioning, *select_rows((self.prepared, self.copied), index))

    def input(self, h_BTD: Tensor) -> Tensor:
        """The embedded tokens, conditioned where the strategy fills `input`."""
        return self.conditioning(h_BTD, self.prepared) if self.conditioning and self._port == "input" else h_BTD

    def prefix(self, h_BTD: Tensor) -> Tensor | None:
        """(B, P, D) tokens to put in front, or None."""
        return self.conditioning(h_BTD, self.prepared) if self.conditioning and self._port == "prefix" else None

    def prefix_mask(self) -> Tensor | None:
        """(B, P) bool, True where a prefix token is real; None where all are."""
        return self.conditioning.prefix_mask(self.prepared) if self.conditioning and self._port == "prefix" else None

    def layer(self, h_BTD: Tensor, layer: int) -> Tensor:
        """h plus the residual of block `layer` where the strategy fills `layer`."""
        if self.conditioning and self._port == "layer":
            return h_BTD + self.conditioning(h_BTD, self.prepared, layer)
        return h_BTD
