"""Fitting the decoder's parts from crystals: bond table, length net, and the record of how it was done.

Only train parts may be given as `train`; `validation` is used once, at the end, for the figures in the record.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.plugins.representations.slices.decoding.bond_table import BondTable
from crystalfw.plugins.representations.slices.decoding.bond_table import fit as fit_table
from crystalfw.plugins.representations.slices.decoding.decoder import DecoderConfig, Fitted, decode_graphs
from crystalfw.plugins.representations.slices.decoding.net import LengthNet
from crystalfw.plugins.representations.slices.encoding import BondedCrystal, EncodeError, bonded, with_lengths
from crystalfw.plugins.representations.slices.learning.examples import FOLDS, Example, observed_bonds
from crystalfw.plugins.representations.slices.learning.training import Schedule, Trainer
from crystalfw.plugins.representations.slices.lengths.rigidity import stiffened, stiffening
from crystalfw.plugins.representations.slices.lengths.synthesis import compare
from crystalfw.plugins.representations.slices.text.dialects import DIALECTS

TABLE, NET, RECORD, CHECKPOINT = "bond_table.json", "length_net.safetensors", "fitted.json", "training.ckpt"
SAVE_EVERY = 100
Say = Callable[[str], None]


def fit_codec(
    train: Iterable[Crystal],
    validation: Iterable[Crystal],
    folder: Path,
    *,
    steps: int = 12_000,
    seed: int = 0,
    data: Sequence[Mapping[str, Any]] = (),
    say: Say = print,
) -> dict[str, Any]:
    """Fit table and net, write them and their record to `folder`; an interrupted fit continues from its last save.

    `data` describes the data sets (name, rows, licence) for the record, which is also returned. Raises DataError if no
    crystal can be used.
    """
    schedule = Schedule(steps=steps, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    examples, left_out = gather(train, say)
    if len({example.fold for example in examples}) < FOLDS:
        raise DataError(
            f"{len(examples)} usable crystals are too few to fit the codec: their compositions fill no {FOLDS} folds"
        )
    table = fit_table(observed_bonds(examples))
    table.write(folder / TABLE)
    tables = [fit_table(observed_bonds([example for example in examples if example.fold != fold])) for fold in range(FOLDS)]
    net = _train(examples, tables, schedule, folder, say)
    net.write(folder / NET)
    record = {
        "data": [dict(entry) for entry in data],
        "crystals": len(examples),
        "left_out": left_out,
        "schedule": asdict(schedule),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "validation": validate(list(validation), Fitted(BondTable.read(folder / TABLE), LengthNet.read(folder / NET))),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def gather(crystals: Iterable[Crystal], say: Say) -> tuple[list[Example], dict[str, int]]:
    """Training examples, and how many crystals had to be left out for which reason."""
    examples: list[Example] = []
    left_out: Counter[str] = Counter()
    for crystal in crystals:
        try:
            examples.append(Example.from_crystal(crystal))
        except EncodeError as error:
            left_out[error.reason] += 1
        if (len(examples) + left_out.total()) % 5000 == 0:
            say(f"{len(examples)} crystals read")
    return examples, dict(left_out)


def _train(examples: Sequence[Example], tables: Sequence[BondTable], schedule: Schedule, folder: Path, say: Say) -> LengthNet:
    trainer = Trainer(schedule)
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists():
        trainer.load(checkpoint)
        say(f"going on after step {trainer.steps}")
    saved = trainer.steps

    def report(trainer: Trainer, loss: float, error: float) -> None:
        nonlocal saved
        if trainer.steps - saved >= SAVE_EVERY:
            saved = trainer.steps
            trainer.save(checkpoint)
            say(f"step {trainer.steps} of {schedule.steps}: loss {loss:.3f}, error of ln d {error:.4f}")

    trainer.run(examples, tables, report)
    return trainer.average


def validate(crystals: Sequence[Crystal], parts: Fitted) -> dict[str, dict[str, float]]:
    """Shares of crystals that decode to a strict and to a loose match, by dialect; `rigid` with all its contacts."""
    known: list[BondedCrystal] = []
    figures: dict[str, dict[str, float]] = {}
    for crystal in crystals:
        try:
            known.append(bonded(crystal))
        except EncodeError:
            continue
    for dialect in DIALECTS:
        nets = [net if dialect == "plain" else stiffened(net, stiffening(net).groups) for net in known]
        outcomes = decode_graphs([with_lengths(net, dialect) for net in nets], DecoderConfig(reencode=False), parts)
        scores = [compare(net, outcome).score for net, outcome in zip(known, outcomes, strict=True)]
        count = max(1, len(crystals))
        figures[dialect] = {
            "crystals": float(len(crystals)),
            "strict": sum(score == 2 for score in scores) / count,
            "loose": sum(score >= 1 for score in scores) / count,
        }
    return figures
