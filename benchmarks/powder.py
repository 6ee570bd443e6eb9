"""Powder patterns: measured and computed ones solved, one line of JSON each, and the tables of benchmarks/powder.md.

    python benchmarks/powder.py measured DATA/powder PREDICTOR OUT.jsonl --part report     60 patterns for choices, or the rest
    python benchmarks/powder.py computed DATA/mp_20/test.csv.gz PREDICTOR OUT.jsonl --count 100    clean, disturbed, elements
    python benchmarks/powder.py search DATA/powder PREDICTOR OUT.jsonl       which crystal of the library is it? elements given
    python benchmarks/powder.py table OUT.jsonl...                           shares found, with Wilson intervals

PREDICTOR is what `crystalfw predict --library` takes. Every command continues where it stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalfw.core.crystal import Crystal
from crystalfw.core.library.entry import describe, slots_of
from crystalfw.core.powder.cell_fit import fit_cell
from crystalfw.core.powder.cell_model import cell_model
from crystalfw.core.powder.lines import powder_lines
from crystalfw.core.powder.pattern import Pattern, checked
from crystalfw.core.powder.profile import Shape, profile
from crystalfw.core.powder.radiation import radiation
from crystalfw.core.powder.search import explained_by, search
from crystalfw.core.powder.solving import Solver, known_with_elements
from crystalfw.core.powder.target import Target, prepare
from crystalfw.core.predict.fitted import open_predictor
from crystalfw.core.predict.question import question_of
from crystalfw.plugins.metrics.shared.geometry import wilson

SEED = 19
TUNING = 60
MOST_ATOMS = 52
TOP = 20
EXPLAINS = 0.6
"""A reference whose own refined cell explains less of the measured intensity is counted as one that cannot be found."""
GRID = np.arange(5.0, 90.0, 0.02)
CU = radiation("CuKa")
MODES = ("clean", "disturbed", "elements")
"""Of computed patterns; `elements`: clean, but the formula is not told."""
SYSTEMS = ((2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal"), (167, "trigonal"),
           (194, "hexagonal"), (230, "cubic"))  # fmt: skip


def system(group: int) -> str:
    """Crystal system of a space group."""
    return next(name for last, name in SYSTEMS if group <= last)


def measured(folder: Path, part: str) -> Iterator[dict[str, Any]]:
    """The patterns of at most 52 atoms: `tuning`, `report` or `all`."""
    table = pd.read_csv(folder / "crystals.csv.gz")
    tuning = set(np.random.default_rng(SEED).permutation(len(table))[:TUNING].tolist())
    archive = zipfile.ZipFile(folder / "patterns.zip")
    names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".xy")}
    for place, row in enumerate(table.itertuples()):
        if row.n_atoms > MOST_ATOMS or (part != "all" and (place in tuning) != (part == "tuning")):
            continue
        x, y = np.loadtxt(io.BytesIO(archive.read(names[row.id]))).T[:2]
        yield {
            "id": row.id, "source": row.source.split(":")[0], "formula": row.formula, "crystal": Crystal.from_cif(row.cif),
            "pattern": lambda x=x, y=y, id=row.id: checked(x, y, CU, name=id),
        }  # fmt: skip


def computed(path: Path, count: int, modes: Sequence[str] = MODES) -> Iterator[dict[str, Any]]:
    """`count` random crystals of a table, each with its computed pattern in every one of the modes."""
    table = pd.read_csv(path)
    for place in np.random.default_rng(SEED).permutation(len(table))[:count].tolist():
        row = table.iloc[place]
        crystal = describe(Crystal.from_cif(row["cif"])).crystal()
        for mode in modes:
            seed = place if mode == "disturbed" else None
            yield {
                "id": f"{row['material_id']} {mode}", "source": mode, "formula": row["pretty_formula"], "crystal": crystal,
                "pattern": lambda crystal=crystal, seed=seed: simulated(crystal, seed),
            }  # fmt: skip


def simulated(crystal: Crystal, seed: int | None) -> Pattern:
    """A clean pattern (None), or one disturbed as the transform `powder_measurement` does, with background and noise."""
    from crystalfw.plugins.transforms.powder_measurement import PowderMeasurement

    lines = powder_lines(crystal, CU.mean, (5, 90), b_iso=0.6)
    if seed is None:
        curve = profile(lines, GRID, CU, Shape(0.1))
        return checked(GRID, 10_000 * curve / curve.max(), CU)
    c, rng = PowderMeasurement.Config(), np.random.default_rng(seed)
    angle, strength = lines.two_theta, lines.intensity * np.exp(c.texture * rng.standard_normal(len(lines)))
    if rng.random() < c.impurity:
        count = int(rng.integers(1, 5))
        angle = np.concatenate([angle, rng.uniform(15, 60, count)])
        strength = np.concatenate([strength, strength.max() * rng.uniform(0.02, 0.2, count)])
    angle = angle + c.zero * rng.standard_normal() + c.displacement * rng.standard_normal() * np.cos(np.deg2rad(angle / 2))
    angle = angle + c.position * rng.standard_normal(len(angle))
    order = np.argsort(angle)
    moved = type(lines)(angle[order], strength[order], lines.wavelength, np.zeros((len(angle), 3), dtype=np.int64))
    curve = profile(moved, GRID, CU, Shape(c.width * float(np.exp(0.4 * rng.standard_normal()))))
    background = 0.05 * (1 + 2 * np.exp(-GRID / 15))
    return checked(GRID, rng.poisson(4000 * (curve / curve.max() + background)).astype(float), CU)


MATCHER = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)


def same(crystal: Crystal, structure: Any) -> bool:
    """Loose match."""
    other = crystal.structure
    if other.composition.reduced_formula != structure.composition.reduced_formula:
        return False
    return MATCHER.get_rms_dist(other, structure) is not None


def same_cell(crystal: Crystal, wanted: Crystal) -> bool:
    """Volume within 1 %, lengths of the reduced cells within 0.5 %. The candidate's primitive or conventional cell counts:
    some references give the conventional cell in space group 1."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    asked = wanted.structure.lattice
    lattices = [crystal.structure.lattice]
    if describe(wanted).group == 1:
        lattices.append(SpacegroupAnalyzer(crystal.structure, 0.1).get_conventional_standard_structure().lattice)
    for lattice in lattices:
        a, b = (np.sort(one.get_niggli_reduced_lattice(1e-3).abc) for one in (lattice, asked))
        if abs(lattice.volume / asked.volume - 1) < 0.01 and np.all(np.abs(a / b - 1) < 0.005):
            return True
    return False


def own_fit(target: Target, crystal: Crystal) -> tuple[float, float, Crystal]:
    """Misfit, share explained and refined crystal of the reference itself, from its own cell."""
    model = cell_model(crystal, target.q_max)
    fit = fit_cell(model, target, [model.start])
    return (1.0, 0.0, crystal) if fit is None else (fit.misfit, explained_by(target, fit.curve), fit.crystal)


def solve_one(solver: Solver, one: dict[str, Any], pool: bool) -> dict[str, Any]:
    """What was found for one pattern, as plain values."""
    crystal, pattern = one["crystal"], one["pattern"]()
    structure = crystal.structure
    symbols = ",".join(sorted({str(e) for e in structure.composition.elements}))
    start = time.process_time()
    questions = solver.questions(symbols) if one["source"] == "elements" else [(question_of(one["formula"]), 1.0)]
    solved = solver.solve(pattern, questions)
    seconds = time.process_time() - start
    answers = solved.solution.answers
    right = [rank for rank, a in enumerate(answers[:TOP], 1) if same(a.fit.crystal, structure)]
    misfit, explains, refined = own_fit(solved.solution.target, crystal)
    looked = not right and explains >= EXPLAINS
    late = [rank for rank, a in enumerate(answers[TOP:], TOP + 1) if looked and same(a.fit.crystal, structure)]
    found = {
        "id": one["id"], "source": one["source"], "formula": one["formula"], "atoms": len(crystal.numbers),
        "group": describe(crystal).group, "known": solver.knows(slots_of(crystal.numbers)[:2]),
        "verdict": solved.verdict.word, "right": right, "late": late, "proposed": solved.solution.proposed,
        "cell": next((r for r, a in enumerate(answers[:TOP], 1) if same_cell(a.fit.crystal, crystal)), 0),
        "refined_cell": next((r for r, a in enumerate(answers[:TOP], 1) if same_cell(a.fit.crystal, refined)), 0),
        "own_misfit": misfit, "own_explains": explains, "seconds": seconds,
        "first": [a.proposal.source + f" {a.proposal.group} {a.fit.crystal.formula}" for a in answers[:1]],
        "first_misfit": [a.fit.misfit for a in answers[:1]], "first_explains": [a.explained for a in answers[:1]],
        "right_misfit": [answers[r - 1].fit.misfit for r in (right + late)[:1]],
        "right_explains": [answers[r - 1].explained for r in (right + late)[:1]],
        "probability": [a.probability for a in answers[:1]],
    }  # fmt: skip
    if pool and not right:
        proposals = solver.proposals(questions)
        found["pool"] = [k for k, p in enumerate(proposals, 1) if same(p.crystal, structure)]
    return found


def search_one(solver: Solver, one: dict[str, Any]) -> dict[str, Any] | None:
    """Rank of the library's own crystal among all known crystals of these elements or some of them; None: it has none."""
    crystal, structure = one["crystal"], one["crystal"].structure
    candidates = known_with_elements(solver.library, tuple(sorted(set(crystal.numbers.tolist()))))
    right = {p.template for p in candidates if same(p.crystal, structure)}
    if not right:
        return None
    start = time.process_time()
    answers = search(prepare(one["pattern"]()), candidates).answers
    ranks = [rank for rank, a in enumerate(answers, 1) if a.proposal.template in right]
    seconds = time.process_time() - start
    return {"id": one["id"], "source": one["source"], "right": ranks[:5], "proposed": len(candidates), "seconds": seconds}


def run(out: Path, cases: Iterator[dict[str, Any]], work: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Append a line for each case that is not there yet."""
    done = {json.loads(line)["id"] for line in out.read_text().splitlines()} if out.exists() else set()
    with open(out, "a", encoding="utf-8") as file:
        for one in cases:
            if one["id"] in done:
                continue
            found = work(one)
            file.write(json.dumps({"id": one["id"], "left out": True} if found is None else found) + "\n")
            file.flush()


def share_of(hits: int, of: int) -> str:
    """`hits / of (share; 95 % interval)`."""
    if not of:
        return "0 / 0"
    low, high = wilson(hits, of)
    return f"{hits} / {of} ({100 * hits / of:.0f} %; {100 * low:.0f}-{100 * high:.0f})"


@lru_cache(maxsize=1)
def _groupings() -> dict[str, Callable[[dict[str, Any]], bool]]:
    found: dict[str, Callable[[dict[str, Any]], bool]] = {
        "all": lambda r: True, "formula in the library": lambda r: r["known"],
        "formula not in the library": lambda r: not r["known"],
        "reference explains its pattern": lambda r: r["own_explains"] >= EXPLAINS,
    }  # fmt: skip
    found |= {name: lambda r, name=name: r["source"] == name for name in ("RRUFF", "opXRD", *MODES)}
    for low, high in ((1, 10), (11, 20), (21, 36), (37, 52)):
        found[f"{low}-{high} atoms"] = lambda r, low=low, high=high: low <= r["atoms"] <= high
    return found | {name: lambda r, name=name: system(r["group"]) == name for _, name in SYSTEMS}


def fate(row: dict[str, Any]) -> str:
    """What became of one pattern."""
    if row["right"]:
        return "right, first" if row["right"][0] == 1 else "right, ranked 2 to 20"
    if row["own_explains"] < EXPLAINS:
        return "reference does not explain its own pattern"
    if row["late"]:
        return "ranked below 20"
    if row.get("pool"):
        return "proposed, not refined or fitted wrongly"
    return "not proposed"


def tables(paths: list[Path]) -> None:
    """Print the tables of each file."""
    for path in paths:
        rows = [row for line in path.read_text().splitlines() if "left out" not in (row := json.loads(line))]
        seconds = np.array([row["seconds"] for row in rows])
        print(f"\n{path.name}: CPU seconds median {np.median(seconds):.1f}, largest {seconds.max():.1f}\n")
        if "known" not in rows[0]:
            for n in (1, 10):
                print(f"rank <= {n}:", share_of(sum(bool(r["right"]) and r["right"][0] <= n for r in rows), len(rows)))
            continue
        print("| | n = 1 | n = 20 | cell of the reference | cell of the refined reference |\n|---|---:|---:|---:|---:|")
        for name, chosen in _groupings().items():
            some = [row for row in rows if chosen(row)]
            if some:
                hits = (sum(r["right"][:1] == [1] for r in some), sum(bool(r["right"]) for r in some),
                        sum(bool(r["cell"]) for r in some), sum(bool(r["refined_cell"]) for r in some))  # fmt: skip
                print(f"| {name} | {' | '.join(share_of(h, len(some)) for h in hits)} |")
        fates = [name for name, _ in pd.Series([fate(row) for row in rows]).value_counts().items()]
        print(f"| | {' | '.join(fates)} |\n|---|{'---:|' * len(fates)}")
        for name, chosen in _groupings().items():
            found = [fate(row) for row in rows if chosen(row)]
            if found:
                print(f"| {name} | {' | '.join(str(found.count(one)) for one in fates)} |")
        words = pd.crosstab([row["verdict"] for row in rows], [row["right"][:1] == [1] for row in rows])
        print(words.to_string())


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measured", "computed", "search", "table"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--part", choices=("tuning", "report", "all"), default="report")
    parser.add_argument("--count", type=int, default=100, help="crystals of `computed`")
    parser.add_argument("--modes", default=",".join(MODES), help="of `computed`, comma-separated (default: all)")
    parser.add_argument("--pool", action="store_true", help="look for the right structure among the proposals, too")
    parser.add_argument("--only", metavar="ID,ID", help="these patterns")
    parser.add_argument("--candidates", type=int, default=None)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.what == "table":
        tables(args.paths)
        return
    data, place, out = args.paths
    predictor = open_predictor(place)
    options = {} if args.candidates is None else {"candidates": args.candidates}
    solver = Solver(predictor.library, predictor.retriever, **options)
    cases = computed(data, args.count, args.modes.split(",")) if args.what == "computed" else measured(data, args.part)
    if args.only:
        cases = (one for one in cases if one["id"] in args.only.split(","))
    if args.what == "search":
        run(out, measured(data, "all"), lambda one: search_one(solver, one))
    else:
        run(out, cases, lambda one: solve_one(solver, one, args.pool))


if __name__ == "__main__":
    main()
