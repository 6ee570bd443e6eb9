"""Training the length net on roll-outs: start state, then states that the net itself has refined.

The loss of a pair is the Laplace likelihood of ln(true / reference), averaged in each crystal over its edges and over
its other pairs, so that large cells do not outweigh small ones; the cell's ln V adds a term of the same form.

Shapes: B crystals, N atoms, P pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crystalfw.core.errors import CheckpointError
from crystalfw.plugins.representations.slices.decoding.batch import Geometry, GraphBatch, rows_times
from crystalfw.plugins.representations.slices.decoding.bond_table import BondTable
from crystalfw.plugins.representations.slices.decoding.cells import reduced
from crystalfw.plugins.representations.slices.decoding.closed_form import start_geometry
from crystalfw.plugins.representations.slices.decoding.net import LengthNet, PairInputs, element_features
from crystalfw.plugins.representations.slices.decoding.rounds import graph_leverage, pair_inputs, refine
from crystalfw.plugins.representations.slices.decoding.start import expect, first_geometry, jitter
from crystalfw.plugins.representations.slices.learning.examples import Example, random_style, written

MAX_LN_RATIO = 1.2
OTHER_WEIGHT, VOLUME_WEIGHT = 0.3, 0.3


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    steps: int = 12_000
    """Optimiser steps; each takes about 0.11 CPU seconds, including its states."""
    rate: float = 2e-3
    """Highest learning rate."""
    batch: int = 32
    """Crystals a step."""
    seed: int = 0


def true_lengths(
    batch: GraphBatch, geometry: Geometry, inputs: PairInputs, examples: Sequence[Example]
) -> tuple[Tensor, Tensor]:
    """(P,) lengths of the inputs' pairs in the true crystals, angstrom, and (B,) true ln V."""
    frac = torch.as_tensor(np.concatenate([example.frac for example in examples]))
    lattice = torch.as_tensor(np.stack([example.lattice for example in examples]))
    inverse = torch.linalg.inv(geometry.basis).round()
    frac = rows_times(frac, inverse[batch.crystal]) - geometry.shift
    lattice = geometry.basis @ lattice
    difference = frac[inputs.target] + inputs.label.double() - frac[inputs.source]
    length = rows_times(difference, lattice[batch.crystal[inputs.source]]).norm(dim=1)
    return length.clamp_min(0.05).float(), torch.linalg.det(lattice).abs().log().float()


def loss(net: LengthNet, inputs: PairInputs, true_P: Tensor, ln_volume_B: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the mean absolute error of ln d over edges."""
    prediction = net(inputs)
    wanted = (true_P / inputs.reference).log().clamp(-MAX_LN_RATIO, MAX_LN_RATIO)
    error = (prediction.ln_ratio - wanted).abs()
    likelihood = error * torch.exp(-prediction.ln_error) + prediction.ln_error
    crystal = inputs.crystal[inputs.source]
    total = likelihood.new_zeros(())
    for chosen, weight in ((inputs.edge, 1.0), (~inputs.edge, OTHER_WEIGHT)):
        count_B = torch.bincount(crystal[chosen], minlength=inputs.size).clamp_min(1)
        total = total + weight * (likelihood[chosen] / count_B[crystal[chosen]]).sum() / inputs.size
    off = (prediction.ln_volume - ln_volume_B).abs().clamp(max=1.0)
    total = total + VOLUME_WEIGHT * (off * torch.exp(-prediction.ln_volume_error) + prediction.ln_volume_error).mean()
    return total, error[inputs.edge].mean().detach()


def perturbed_truth(batch: GraphBatch, examples: Sequence[Example], rng: np.random.Generator) -> Geometry:
    """The true crystals, strained by some per cent and displaced by up to 0.2 angstrom."""
    frac = torch.as_tensor(np.concatenate([example.frac for example in examples]))
    lattice = torch.as_tensor(np.stack([example.lattice for example in examples]))
    strain = torch.as_tensor(0.03 * rng.random((batch.size, 1, 1)) * rng.normal(size=(batch.size, 3, 3)))
    lattice = lattice + lattice @ (strain + strain.transpose(1, 2)) / 2
    geometry = reduced(batch, start_geometry(batch, frac, lattice))
    geometry = replace(geometry, frac=geometry.frac.float(), lattice=geometry.lattice.float())
    return jitter(batch, geometry, 0.2 * torch.as_tensor(rng.random(batch.size)))


def roll_out(
    net: LengthNet, tables: Sequence[BondTable], examples: Sequence[Example], rng: np.random.Generator
) -> Iterator[tuple[PairInputs, Tensor, Tensor]]:
    """Training states of a group of crystals of one fold: the start, then each round that the net makes of it."""
    graphs = [written(example, random_style(rng), rng) for example in examples]
    batch = GraphBatch.from_graphs(graphs)
    expectation = expect(batch, tables[examples[0].fold])
    leverage_E = graph_leverage(batch)
    kind = rng.random()
    if kind < 0.15:
        geometry = perturbed_truth(batch, examples, rng)
    else:
        geometry, _ = first_geometry(batch, expectation, noise=float(rng.choice([0.0, 0.02, 0.1], p=[0.5, 0.4, 0.1])))
    rounds = 1 if kind < 0.15 else int(rng.choice([1, 2, 3], p=[0.25, 0.35, 0.4]))
    for done in range(rounds):
        if done:
            geometry, _ = refine(net, batch, geometry, expectation, leverage_E)
        inputs = pair_inputs(batch, geometry, expectation, leverage_E)
        yield inputs, *true_lengths(batch, geometry, inputs, examples)


def groups(examples: Sequence[Example], size: int, rng: np.random.Generator) -> list[list[int]]:
    """One pass over the examples in random groups of one fold and similar numbers of atoms, as indices."""
    order_N = np.array([len(example.numbers) for example in examples]) + rng.random(len(examples))
    folds = np.array([example.fold for example in examples])
    made: list[list[int]] = []
    for fold in np.unique(folds):
        members = np.flatnonzero(folds == fold)
        members = members[np.argsort(order_N[members])]
        made += [members[start : start + size].tolist() for start in range(0, len(members), size)]
    return [made[index] for index in rng.permutation(len(made))]


class Trainer:
    """Trains the net and its running average; can be saved and continued at any group.

    Every pass and every group has a random stream of its own, drawn from the seed, so a resumed training gives the same
    result as an uninterrupted one.
    """

    def __init__(self, schedule: Schedule) -> None:
        torch.manual_seed(schedule.seed)
        self.schedule = schedule
        self.net = LengthNet()
        self.net.element.copy_(element_features())
        self.average = deepcopy(self.net).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=schedule.rate, weight_decay=5e-2)
        self.passes = self.groups_done = self.steps = 0
        self.skipped = 0
        """Steps without a finite gradient."""

    @property
    def done(self) -> float:
        """Share of the schedule that is done."""
        return self.steps / self.schedule.steps

    def save(self, path: Path) -> None:
        """Write everything that `load` needs."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "counts": [self.passes, self.groups_done, self.steps, self.skipped],
            "schedule": asdict(self.schedule),
        }
        temporary = path.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Continue the training of `path`; raises CheckpointError if it has another schedule."""
        state = torch.load(path, weights_only=True)
        if state["schedule"] != asdict(self.schedule):
            raise CheckpointError(
                f"{path}: begun with {state['schedule']}, not {asdict(self.schedule)}; delete it to start again"
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.passes, self.groups_done, self.steps, self.skipped = state["counts"]

    def run(
        self, examples: Sequence[Example], tables: Sequence[BondTable], report: Callable[[Trainer, float, float], None]
    ) -> None:
        """Train to the end of the schedule; `report(trainer, loss, error of ln d)` is called after every group.

        `tables[k]` was fitted without the crystals of fold k: otherwise the net would learn to trust the table too much.
        """
        seed = self.schedule.seed
        while self.done < 1:
            made = groups(examples, self.schedule.batch, np.random.default_rng([seed, self.passes]))
            for index in range(self.groups_done, len(made)):
                if self.done >= 1:
                    return
                rng = np.random.default_rng([seed, self.passes, index])
                states = roll_out(self.average, tables, [examples[member] for member in made[index]], rng)
                values = [self._step(*state) for state in states]
                self.groups_done = index + 1
                report(self, *np.mean(values, axis=0).tolist())
            self.passes, self.groups_done = self.passes + 1, 0

    def _step(self, inputs: PairInputs, true_P: Tensor, ln_volume_B: Tensor) -> tuple[float, float]:
        """One optimiser step; the loss and the mean error of ln d over edges."""
        warm = min(1.0, (self.steps + 1) / 100)
        rate = self.schedule.rate * warm * (0.5 * (1 + math.cos(math.pi * min(1.0, self.done))) + 0.01)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate
        value, error = loss(self.net, inputs, true_P, ln_volume_B)
        self.optimiser.zero_grad()
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.steps += 1
        if not bool(norm.isfinite()):  # a diverged state: one such step would ruin the net
            self.skipped += 1
            return MAX_LN_RATIO, MAX_LN_RATIO
        self.optimiser.step()
        # the average follows faster at the beginning
        keep = min(0.998, (self.steps + 1) / (self.steps + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return float(value.detach()), float(error)
