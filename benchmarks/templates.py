"""Templates: what copying outright costs beside trained models, and retriever, generator and both on test crystals.

    python benchmarks/templates.py losses NO_TEMPLATES_RUN RUN...          nats per token on the val part
    python benchmarks/templates.py joint RUN TEST.csv.gz 0 300 OUT.jsonl   one line for each crystal; continues where it stopped
                                          [RETRIEVAL]                  with the folder retrieval/ of another run
    python benchmarks/templates.py table VAL.jsonl OUT.jsonl...            shares found, with intervals; weight fitted on VAL

`losses` reads the runs' own prepared data (data.cache of their recipe); all of them must have been trained on the same data.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from crystalfw.core.crystal import Crystal
from crystalfw.core.data import Loader, LoaderOptions
from crystalfw.core.library.entry import describe
from crystalfw.core.library.store import Library
from crystalfw.core.library.wyckoff import canonical_letters
from crystalfw.core.predict.joint import AT, CANDIDATES, WEIGHTS, Joint, hits, question_of_crystal
from crystalfw.core.recipe import load_recipe
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.retrieval.lookup import numbers_only, open_lookup
from crystalfw.core.run.setup import prepare_only
from crystalfw.core.sample.trained import Trained
from crystalfw.plugins.metrics.shared.geometry import wilson
from crystalfw.plugins.retrievers.families import exchanges_of

DRAWS = 5
"""Strings drawn for each question."""
SMOOTH = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Shares of the model without templates in the mixture with copying; the best on val is taken, to copying's advantage."""


def val_split(run: Path):
    """The val part that a run was judged on, with the strings retrieved for it."""
    return prepare_only(load_recipe(run / "recipe.yaml")).splits["val"]


@torch.inference_mode()
def string_losses(run: Path, split) -> np.ndarray:
    """-log P of every val string, nats."""
    trained = Trained.load(run)
    found = np.zeros(len(split))
    loader = Loader(split, LoaderOptions(batch_size=16, seed=0, train=False, prefetch=0))
    for batch, _ in loader.validation_batches():
        memory = trained.generator.memory(batch.crystals)
        ids, mask = batch.tokens.ids, batch.tokens.mask
        logits = trained.generator.decoder(ids[:, :-1], trained.generator.bind(memory)).float().log_softmax(-1)
        said = logits.gather(2, ids[:, 1:, None])[..., 0] * mask[:, 1:]
        found[batch.index.numpy()] = -said.sum(1).numpy()
    return found


def copied(split) -> np.ndarray:
    """Probability that the retriever gives each val string; its proposals' strings, up to three."""
    found = np.zeros(len(split))
    for k in range(len(split)):
        truth = split.ids(k).tolist()
        found[k] = sum(math.exp(told.log_probability) for told in split.retrieved[k] if list(told.ids) == truth)
    return found


def losses(runs: list[Path]) -> None:
    """Nats per token of each run, and of copying outright with the first run for the strings that were not retrieved."""
    split = val_split(runs[-1])
    tokens = (split.lengths - 1).sum()
    every = {run: string_losses(run, split) for run in runs}
    for run, found in every.items():
        print(f"{load_recipe(run / 'recipe.yaml').model.decoder.name:20s} {run}: {found.sum() / tokens:.4f} nats per token")
    share, plain = copied(split), np.exp(-every[runs[0]].astype(np.longdouble))
    mixed = {s: float(-np.log((1 - s) * share + s * plain).sum() / tokens) for s in SMOOTH}
    best = min(mixed, key=lambda s: mixed[s])
    print(f"among the strings retrieved: {100 * (share > 0).mean():.1f} % of {len(split)} val strings")
    print(f"copying outright, else the first run (share {best:g} of it): {mixed[best]:.4f} nats per token")


def known_types(library: Library) -> dict:
    """Anonymous formula -> types -> formulas (elements) that take it."""
    found = defaultdict(lambda: defaultdict(set))
    for index in range(len(library)):
        elements, counts = library.slots(index)
        for name in type_names(counts, *library.group_and_units(index), library.letters(index)):
            found[counts][name].add(elements)
    return found


def type_names(counts, group, units, letters) -> set:
    """The spellings of a type under all exchanges of slots with equal counts."""
    names = set()
    for way in exchanges_of(counts):
        moved = [""] * len(way)
        for slot, text in zip(way, letters, strict=True):
            moved[slot] = text
        names.add((group, units, *canonical_letters(group, tuple(moved))))
    return names


def joint(run: Path, test: Path, first: int, stop: int, out: Path, wide: Path | None = None) -> None:
    """Judge the retriever, the generator and both on test crystals `first` to `stop`; `wide`: another library and retriever."""
    torch.set_num_threads(1)
    trained = Trained.load(run)
    if wide is not None:
        representation, n = trained.components.representation, trained.generator.encoder.templates
        trained.lookup = trained.sampler.lookup = open_lookup(wide, ComponentSpec(name="structure_types"), representation, n)
    both = Joint(trained, run.name, draws=DRAWS)
    types = known_types(both.generator.trained.lookup.library)
    done = {json.loads(line)["id"] for line in out.read_text().splitlines()} if out.exists() else set()
    with gzip.open(test, "rt", newline="") as file:
        rows = [row for row in islice(csv.DictReader(file), first, stop) if row["material_id"] not in done]
    crystals = [Crystal.from_cif(row["cif"]) for row in rows]
    for transform in both.generator.trained.components.prepare:
        crystals = [transform(crystal, np.random.default_rng(0)) for crystal in crystals]
    strings = both.generator.strings([numbers_only(np.sort(crystal.numbers)) for crystal in crystals])
    for row, crystal, drawn in zip(rows, crystals, strings, strict=True):
        with out.open("a") as file:
            file.write(json.dumps({"id": row["material_id"], **judged(both, crystal, drawn, types)}) + "\n")


def judged(both: Joint, crystal: Crystal, strings: list, types: dict) -> dict:
    """Which candidates of whom are the crystal, in the order of each, and both opinions of every candidate."""
    question, entry = question_of_crystal(crystal), describe(crystal)
    known = both.retriever.propose(question, CANDIDATES)
    drawn = both.generator.decoded(strings, question.units[0])
    candidates = both.merged(question, known, drawn)
    right, alone = hits(crystal, candidates), hits(crystal, [both.merged(question, [], [one])[0] for one in drawn])
    names = type_names(entry.counts, entry.group, entry.units, entry.letters)
    others = set().union(*(types[entry.counts][name] for name in names)) - {entry.elements}
    return {
        "known_type": bool(others), "retriever": right[: len(known)].tolist(), "generator": alone.tolist(),
        "opinions": [[c.retriever, c.generator] for c in candidates], "right": right.tolist(),
    }  # fmt: skip


def with_weight(line: dict, weight: float) -> list:
    """Which candidates are the crystal, in the order of the joint score."""
    scores = [-((1 - weight) * p + weight * q) for p, q in line["opinions"]]
    return [line["right"][k] for k in sorted(range(len(scores)), key=lambda k: scores[k])]


def read(path: Path) -> list[dict]:
    """The lines of a file of judgements."""
    return [json.loads(text) for text in path.read_text().splitlines()]


def found(rows: list, n: int, place: int) -> int:
    """How many questions have their crystal among the first n."""
    return sum(any(row[place] for row in own[:n]) for own in rows)


def chosen_weight(lines: list[dict]) -> float:
    """The weight that `fit_weight` takes on these judgements."""
    scores = {w: sum(found([with_weight(line, w) for line in lines], n, t) for n in AT for t in (0, 1)) for w in WEIGHTS}
    print("val:", {w: round(score / (6 * len(lines)), 4) for w, score in scores.items()})
    return max(WEIGHTS, key=lambda w: (scores[w], -w))


def table(val: Path, paths: list[Path]) -> None:
    """Shares found at n = 1, 5, 20 with Wilson's 95 % intervals; the weight is the best on `val`."""
    weight = chosen_weight(read(val))
    lines = [line | {"joint": with_weight(line, weight)} for path in paths for line in read(path)]
    print(f"weight of the generator {weight:g}, from {len(read(val))} val crystals")
    groups = {"all": lines, "type of no other formula": [line for line in lines if not line["known_type"]]}
    for name, group in groups.items():
        for who in ("retriever", "generator", "joint"):
            cells = []
            for n in AT:
                for place, tolerance in enumerate(("loose", "strict")):
                    k = found([line[who] for line in group], n, place)
                    low, high = wilson(k, len(group))
                    cells.append(f"n={n} {tolerance} {100 * k / max(1, len(group)):.1f} ({100 * low:.1f}-{100 * high:.1f})")
            print(f"{name} ({len(group)}), {who}: " + "; ".join(cells))
        new = [line["right"][len(line["retriever"]) :] for line in group]
        print(f"{name}: draws that are no known string {sum(map(len, new))}, right {found(new, 99, 0)} / {found(new, 99, 1)}")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "losses":
        losses([Path(text) for text in rest])
    elif what == "joint":
        joint(Path(rest[0]), Path(rest[1]), int(rest[2]), int(rest[3]), *(Path(text) for text in rest[4:]))
    else:
        table(Path(rest[0]), [Path(text) for text in rest[1:]])
