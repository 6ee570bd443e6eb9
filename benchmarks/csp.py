"""Crystal structure prediction: what can be had without a model, and how often the arrangement is right.

    python benchmarks/csp.py templates DATA/perov_5 --out FOLDER      three baselines of ABX3, judged like any samples
    python benchmarks/csp.py nearest DATA/mp_20 --out FOLDER [--n 20] [--references 1000]
    python benchmarks/csp.py arrangement SAMPLES.csv DATA/perov_5     of samples that `crystalfw evaluate` has judged

Perov-5 is a near-complete ABX3 product: most compositions occur with A and B in either order, so that a single guess is a
coin flip. The templates say what that gives: the ideal cubic perovskite with a random order (n = 1), both orders (n = 2), and
one unphysical structure half-way between the two, which the loose tolerance takes for either. `nearest` answers with training
crystals of the same anonymous formula, elements replaced, volume rescaled by atomic radii, nearest in composition first.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pymatgen.core import Element

from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.inputs import load_crystals
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.records import Sample
from crystalfw.core.sample.table import read_samples, write_samples

ANIONS = frozenset({7, 8, 9, 16})
"""What stands at X in Perov-5: N, O, F, S."""
FACES = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
CUBIC = (np.zeros(3), np.full(3, 0.5))
HEDGE = (np.full(3, 0.25), np.full(3, 0.75))
EDGE = 4.0
"""Lattice parameter of the templates in angstrom; matching rescales volumes."""


def template(reference: Crystal, sites: tuple[np.ndarray, np.ndarray], first: int) -> Crystal:
    """ABX3 with cation number `first` (0 or 1, by atomic number) at the first of the sites."""
    cations = sorted(z for z in reference.numbers.tolist() if z not in ANIONS)
    anions = sorted(z for z in reference.numbers.tolist() if z in ANIONS)
    if len(cations) != 2 or len(anions) != 3:
        raise SystemExit(f"{reference.id}: {reference.formula} is no ABX3 of Perov-5")
    numbers = np.array([cations[first], cations[1 - first], *anions])
    return Crystal(lattice=EDGE * np.eye(3), frac_coords=np.vstack([*sites, FACES]), numbers=numbers)


def templates(references: Sequence[Crystal], seed: int = 0) -> dict[str, list[Sample]]:
    """Name of the baseline -> its samples."""
    coins = np.random.default_rng(seed).integers(2, size=len(references))
    coin = [_sample(r, 0, template(r, CUBIC, int(c))) for r, c in zip(references, coins, strict=True)]
    both = [_sample(r, k, template(r, CUBIC, k)) for r in references for k in (0, 1)]
    hedge = [_sample(r, 0, template(r, HEDGE, 0)) for r in references]
    return {"ideal cubic, a coin flip": coin, "ideal cubic, both orders": both, "unphysical, half-way": hedge}


def nearest(references: Sequence[Crystal], training: Sequence[Crystal], n: int) -> Iterator[Sample]:
    """The n nearest training crystals of the same anonymous formula, as crystals of the reference's composition."""
    families: dict[tuple[int, ...], list[Crystal]] = defaultdict(list)
    for crystal in training:
        families[_anonymous(crystal)].append(crystal)
    for reference in references:
        found = sorted((_replacement(reference, other) for other in families[_anonymous(reference)]), key=lambda item: item[0])
        for rank in range(n):
            if rank < len(found):
                yield _sample(reference, rank, _substituted(found[rank][1], found[rank][2], reference))
            else:
                why = f"no further training crystal of the anonymous formula {_anonymous(reference)}"
                yield Sample(id=f"{reference.id}-{rank}", seed=0, string="", status="decode", reason=why, crystal=None,
                             reference_id=reference.id)  # fmt: skip


def _anonymous(crystal: Crystal) -> tuple[int, ...]:
    counts = Counter(crystal.numbers.tolist()).values()
    divisor = math.gcd(*counts)
    return tuple(sorted(count // divisor for count in counts))


def _features(number: int) -> tuple[float, float]:
    element = Element.from_Z(number)
    radius = element.atomic_radius_calculated or element.atomic_radius or 1.5
    return float(element.X) if not math.isnan(element.X) else 2.0, float(radius)


def _replacement(reference: Crystal, other: Crystal) -> tuple[float, Crystal, dict[int, int]]:
    """Distance (electronegativity and radius, weighted by shares) and the exchange of elements that makes it least."""
    wanted, offered = Counter(reference.numbers.tolist()), Counter(other.numbers.tolist())
    scale = sum(wanted.values()) / sum(offered.values())
    best: tuple[float, dict[int, int]] = (math.inf, {})
    for order in itertools.permutations(sorted(wanted)):
        exchange = dict(zip(sorted(offered), order, strict=True))
        if any(abs(offered[old] * scale - wanted[new]) > 1e-6 for old, new in exchange.items()):
            continue
        cost = 0.0
        for old, new in exchange.items():
            (x, r), (y, s) = _features(old), _features(new)
            cost += wanted[new] * ((x - y) ** 2 + (r - s) ** 2) / sum(wanted.values())
        best = min(best, (cost, exchange), key=lambda item: item[0])
    return best[0], other, best[1]


def _substituted(other: Crystal, exchange: dict[int, int], reference: Crystal) -> Crystal:
    numbers = np.array([exchange[z] for z in other.numbers.tolist()], dtype=np.int64)
    before = sum(_features(z)[1] ** 3 for z in other.numbers.tolist())
    after = sum(_features(z)[1] ** 3 for z in numbers.tolist())
    lattice = other.lattice * (after / before) ** (1 / 3)
    return Crystal(lattice=lattice, frac_coords=other.frac_coords, numbers=numbers)


def arrangement(crystal: Crystal) -> tuple[int, int] | None:
    """(A, B) of an ABX3: B is the cation whose six nearest anions are nearer; None for anything else."""
    cations = [k for k, z in enumerate(crystal.numbers.tolist()) if z not in ANIONS]
    anions = [k for k, z in enumerate(crystal.numbers.tolist()) if z in ANIONS]
    if len(cations) != 2 or len(anions) != 3:
        return None
    shifts = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)))
    images = (crystal.frac_coords[anions][:, None] + shifts[None]).reshape(-1, 3)
    mean = [np.sort(np.linalg.norm((images - crystal.frac_coords[k]) @ crystal.lattice, axis=1))[:6].mean() for k in cations]
    inner, outer = (0, 1) if mean[0] < mean[1] else (1, 0)
    return int(crystal.numbers[cations[outer]]), int(crystal.numbers[cations[inner]])


def report_arrangement(table: Path, references: Sequence[Crystal]) -> None:
    """Share of references with the right order among their first n samples, and the match given that."""
    right = {crystal.id: arrangement(crystal) for crystal in references}
    hits: dict[str, list[bool]] = defaultdict(list)
    for sample in read_samples(table):
        found = arrangement(sample.crystal) if sample.crystal is not None else None
        hits[sample.reference_id].append(found is not None and found == right.get(sample.reference_id))
    with (table.parent / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "match"]
    for measure in dict.fromkeys(row["measure"] for row in rows):
        n = int(measure.partition("n=")[2])
        matched = {row["id"]: float(row["value"]) > 0 for row in rows if row["measure"] == measure}
        ordered = [id for id in matched if any(hits[id][:n])]
        both = sum(matched[id] for id in ordered)
        print(f"{measure}: right order {len(ordered)} of {len(matched)} ({len(ordered) / len(matched):.1%}); "
              f"matched given the right order {both} of {len(ordered)} ({both / max(1, len(ordered)):.1%})")  # fmt: skip


def _sample(reference: Crystal, rank: int, crystal: Crystal) -> Sample:
    return Sample(id=f"{reference.id}-{rank}", seed=0, string="", status="ok", reason="", crystal=crystal,
                  reference_id=reference.id)  # fmt: skip


def _judge(name: str, samples: Sequence[Sample], references: Sequence[Crystal], folder: Path, n: tuple[int, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(samples, folder / "samples.csv")
    record = evaluate(folder / "samples.csv", references, [ComponentSpec(name="match", options={"n": n})], out=folder)
    result = record["metrics"]["match"]["result"]
    print(f"\n{name} ({folder})")
    print(json.dumps({key: result[key] for key in ("loose", "strict")}, indent=1))


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("templates", "nearest", "arrangement"))
    parser.add_argument("paths", nargs="+", help="data folder; for `arrangement` the table of samples, then the data folder")
    parser.add_argument("--out", type=Path, help="folder for tables and metrics")
    parser.add_argument("--n", type=int, default=20, help="samples per reference of `nearest`")
    parser.add_argument("--references", type=int, help="only the first so many test crystals")
    args = parser.parse_args()
    references = load_crystals(args.paths[-1], "test")[: args.references]
    if args.what == "arrangement":
        report_arrangement(Path(args.paths[0]), references)
        return
    if args.out is None:
        parser.error("--out FOLDER is needed")
    if args.what == "templates":
        for number, (name, samples) in enumerate(templates(references).items()):
            _judge(name, samples, references, args.out / str(number), (1, 2))
        return
    training = load_crystals(args.paths[-1], "train")
    _judge("nearest training crystals", list(nearest(references, training, args.n)), references, args.out, (1, args.n))


if __name__ == "__main__":
    main()
