"""From graphs to a first geometry: the standard realisation, then least squares against the table's lengths.

Shapes: B crystals, N atoms, E edges, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, rows_times
from crystalfw.plugins.representations.slices.decoding.bond_table import BondTable
from crystalfw.plugins.representations.slices.decoding.cells import reduced
from crystalfw.plugins.representations.slices.decoding.closed_form import standard_realisation
from crystalfw.plugins.representations.slices.decoding.least_squares import Targets, minimise
from crystalfw.plugins.representations.slices.decoding.pairs import candidates, edges_of, joined, near, without_edges

REFRESHES, STEPS = 2, 6
"""Times that the list of non-bonded pairs is rebuilt, and steps after each."""
APART, LOOK = 1.2, 1.5
"""Non-bonded atoms stay beyond APART mean bonds; pairs up to LOOK times that are checked."""
COLLISION, JITTER = 0.1, 0.02
"""If the standard realisation puts atoms closer than COLLISION mean bonds, all are moved by about JITTER angstrom; more
would break symmetry and lose matches."""
COARSEST = 0.1
"""Width in ln d of a token beyond which its edge weighs less."""


@dataclass(frozen=True)
class Expectation:
    """What is known about lengths before any geometry."""

    edge: Tensor
    """(E,) expected length, angstrom, float32."""
    atom: Tensor
    """(N,) mean bond at an atom, angstrom, float32."""
    weight: Tensor
    """(E,) relative trust."""


def expect(batch: GraphBatch, table: BondTable) -> Expectation:
    """Expected lengths of edges and mean bonds of atoms; contacts count if an atom has no bonds."""
    edge_E = table.expected(batch).float()
    bond_E = (~batch.contact).float()
    sums = []
    for weight_E in (bond_E, torch.ones_like(bond_E)):
        total_N = torch.zeros(len(batch.numbers), device=edge_E.device)
        count_N = torch.zeros_like(total_N)
        for end in (batch.source, batch.target):
            total_N.index_add_(0, end, edge_E * weight_E)
            count_N.index_add_(0, end, weight_E)
        sums.append((total_N, count_N))
    (bonds_N, n_bonds_N), (all_N, n_all_N) = sums
    atom_N = torch.where(n_bonds_N > 0, bonds_N / n_bonds_N.clamp_min(1), all_N / n_all_N.clamp_min(1)).clamp(0.8, 4.5)
    known_E = batch.stated > 0
    coarse_E = torch.where(known_E, torch.full_like(edge_E, 0.6), torch.full_like(edge_E, 0.25))
    weight_E = torch.where(batch.contact & (~known_E | (batch.step > COARSEST)), coarse_E, torch.ones_like(edge_E))
    return Expectation(edge_E, atom_N, weight_E)


def jitter(batch: GraphBatch, geometry: Geometry, size_B: Tensor) -> Geometry:
    """Atoms displaced by pseudo-random vectors of `size_B` angstrom that depend on their position in the crystal only."""
    stream = torch.Generator().manual_seed(0)
    noise_S3 = torch.randn(batch.largest, 3, generator=stream).to(geometry.frac)
    inverse_B33 = torch.linalg.inv(geometry.lattice)
    noise_N3 = noise_S3[batch.slot] * size_B.to(geometry.frac)[batch.crystal][:, None]
    return replace(geometry, frac=geometry.frac + rows_times(noise_N3, inverse_B33[batch.crystal]))


def _collided(batch: GraphBatch, geometry: Geometry, atom_N: Tensor) -> Tensor:
    """(B,) True if two atoms, or an atom and its image, coincide."""
    close = near(batch, geometry, candidates(batch), COLLISION * atom_N)
    return torch.bincount(batch.crystal[close.source], minlength=batch.size) > 0


def first_geometry(
    batch: GraphBatch, expectation: Expectation, *, refreshes: int = REFRESHES, steps: int = STEPS, noise: float = 0.0
) -> tuple[Geometry, Tensor]:
    """A reduced geometry near the expected lengths, float32, and (B,) True if the graph could be embedded.

    `noise` in angstrom displaces the atoms of all crystals at the start (training uses it).
    """
    geometry, usable_B = standard_realisation(batch, expectation.edge)
    geometry = reduced(batch, geometry)
    geometry = replace(geometry, frac=geometry.frac.float(), lattice=geometry.lattice.float())
    collided_B = _collided(batch, geometry, expectation.atom)
    geometry = jitter(batch, geometry, torch.where(collided_B, max(noise, JITTER), noise))
    pairs_of_atoms = candidates(batch)
    for _ in range(refreshes):
        around = near(batch, geometry, pairs_of_atoms, LOOK * APART * expectation.atom)
        around = without_edges(batch, geometry, around)
        floor_P = APART * torch.maximum(expectation.atom[around.source], expectation.atom[around.target])
        targets = Targets(
            pairs=joined(edges_of(batch, geometry), around),
            length=torch.cat([expectation.edge, floor_P]),
            weight=torch.cat([expectation.weight / expectation.edge, 0.7 / floor_P]),
            floor=torch.cat([torch.zeros_like(batch.contact), torch.ones_like(floor_P, dtype=torch.bool)]),
        )
        geometry, _ = minimise(batch, geometry, targets, steps)
        geometry = reduced(batch, geometry)
    return geometry, usable_B
