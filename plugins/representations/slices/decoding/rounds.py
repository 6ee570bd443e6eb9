"""Refinement rounds: the net predicts lengths from the geometry, least squares fits the geometry to them.

Shapes: B crystals, N atoms, E edges, P pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch
from crystalfw.plugins.representations.slices.decoding.cells import reduced
from crystalfw.plugins.representations.slices.decoding.closed_form import leverage
from crystalfw.plugins.representations.slices.decoding.least_squares import Targets, minimise
from crystalfw.plugins.representations.slices.decoding.net import LengthNet, PairInputs, Prediction
from crystalfw.plugins.representations.slices.decoding.pairs import (
    Pairs,
    candidates,
    edges_of,
    from_keys,
    joined,
    keys,
    near,
    second_neighbours,
)
from crystalfw.plugins.representations.slices.decoding.start import Expectation

NEAR = 1.55
"""Non-bonded pairs up to this many mean bonds are inputs of the net."""
MAX_EDGES_AT_CENTRE = 6
"""Second neighbours over atoms with more edges are left out, because they are near pairs anyway."""
STEPS = 5
BOND_LIMIT = 1.175
"""A bond by effective coordination numbers (weight above 0.2) is shorter than this times the weighted mean bond."""
CONTACT_LIKE = 1.3
"""An unflagged edge predicted beyond this times the limit counts as a completion contact and is not kept below it."""
FARTHEST = 1.5
"""Bound on |ln(wanted / reference)|."""
NON_BONDED_WEIGHT = 0.5
ERROR_UNIT = 0.05
"""Expected relative error at which a pair weighs 1."""


def pair_inputs(batch: GraphBatch, geometry: Geometry, expectation: Expectation, leverage_E: Tensor) -> PairInputs:
    """All edges, near pairs and second neighbours of a reduced geometry."""
    n_atoms, n_edges = len(batch.numbers), len(batch.source)
    edges = edges_of(batch, geometry)
    key_edges = keys(edges, n_atoms)
    key_near = keys(near(batch, geometry, candidates(batch), NEAR * expectation.atom), n_atoms)
    key_second = second_neighbours(batch, geometry, MAX_EDGES_AT_CENTRE)
    key_other = torch.unique(torch.cat([key_near, key_second]))
    key_other = key_other[~torch.isin(key_other, key_edges)]
    pairs = joined(edges, from_keys(key_other, n_atoms))
    vector = geometry.vectors(pairs.source, pairs.target, pairs.label, batch.crystal[pairs.source])
    length = vector.norm(dim=1).clamp_min(0.05)
    scale = torch.maximum(expectation.atom[pairs.source], expectation.atom[pairs.target])
    no_edge = torch.zeros_like(length[n_edges:])
    nowhere = no_edge.bool()
    return PairInputs(
        source=pairs.source,
        target=pairs.target,
        label=pairs.label,
        unit=vector / length[:, None],
        length=length,
        reference=torch.cat([expectation.edge, torch.maximum(length[n_edges:], 0.9 * scale[n_edges:])]),
        scale=scale,
        edge=torch.cat([torch.ones_like(batch.contact), nowhere]),
        contact=torch.cat([batch.contact, nowhere]),
        stated=torch.cat([batch.stated > 0, nowhere]),
        step=torch.cat([batch.step.float(), no_edge]),
        second=torch.cat([torch.zeros_like(batch.contact), torch.isin(key_other, key_second)]),
        leverage=torch.cat([leverage_E.float(), no_edge]),
        numbers=batch.numbers,
        degree=batch.degree(~batch.contact),
        atom_scale=expectation.atom,
        crystal=batch.crystal,
        size=batch.size,
    )


def weighted_mean_bonds(inputs: PairInputs, length_P: Tensor) -> Tensor:
    """(N,) Hoppe's weighted mean bond length of each atom over its unflagged edges, angstrom."""
    bond = inputs.edge & ~inputs.contact
    atom = torch.cat([inputs.source[bond], inputs.target[bond]])
    length = torch.cat([length_P[bond], length_P[bond]])
    far = torch.full_like(inputs.atom_scale, 1e9)
    mean_N = far.scatter_reduce(0, atom, length, "amin")
    mean_N = torch.where(mean_N > 1e8, inputs.atom_scale, mean_N)
    for _ in range(4):
        weight = torch.exp(1 - (length / mean_N[atom]) ** 6)
        total = torch.zeros_like(mean_N).index_add_(0, atom, weight * length)
        count = torch.zeros_like(mean_N).index_add_(0, atom, weight)
        mean_N = torch.where(count > 0, total / count.clamp_min(1e-9), mean_N)
    return mean_N


def wanted_lengths(inputs: PairInputs, prediction: Prediction) -> Tensor:
    """(P,) the net's lengths, moved to the correct side of the bond criterion, since the string defines the bonds."""
    length = inputs.reference * prediction.ln_ratio.clamp(-FARTHEST, FARTHEST).exp()
    mean_N = weighted_mean_bonds(inputs, length)
    limit = BOND_LIMIT * torch.maximum(mean_N[inputs.source], mean_N[inputs.target])
    held = torch.where(length > CONTACT_LIKE * limit, length, torch.minimum(length, limit))
    held = torch.where(inputs.contact, length, held)
    return torch.where(inputs.edge, held, torch.maximum(length, limit))


def refine(
    net: LengthNet, batch: GraphBatch, geometry: Geometry, expectation: Expectation, leverage_E: Tensor, steps: int = STEPS
) -> tuple[Geometry, Tensor]:
    """One round; returns the reduced geometry and the lengths (E,) in angstrom that its edges should have had."""
    with torch.no_grad():
        inputs = pair_inputs(batch, geometry, expectation, leverage_E)
        prediction = net(inputs)
        length = wanted_lengths(inputs, prediction)
        trust = torch.where(inputs.edge, 1.0, NON_BONDED_WEIGHT)
        targets = Targets(
            pairs=Pairs(inputs.source, inputs.target, inputs.label),
            length=length,
            weight=ERROR_UNIT * trust / (prediction.ln_error.exp() * length),
            floor=torch.zeros_like(inputs.edge),
            ln_volume=prediction.ln_volume,
            volume_weight=ERROR_UNIT / prediction.ln_volume_error.exp(),
        )
        geometry, _ = minimise(batch, geometry, targets, steps)
    return reduced(batch, geometry), length[: len(batch.source)]


def graph_leverage(batch: GraphBatch) -> Tensor:
    """(E,) leverage of every edge, float32."""
    return leverage(batch).float()
