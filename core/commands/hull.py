"""Energy above the hull of known energies, and what each crystal would decompose into.

  crystalfw hull samples.csv --energies mp_energies.csv --potential chgnet -o hull/
  crystalfw hull relaxed/relaxed.csv --energies mp_energies.csv --potential chgnet      relaxed before: not relaxed again
  crystalfw hull samples.csv --energies known.csv --potential sevennet --hull potential

A table of --energies has columns id, a formula (composition, pretty_formula) or cif, and energy_per_atom or
formation_energy_per_atom in eV. Samples are relaxed first (FOLDER/relaxed.csv, which is continued after an interruption).
How far the potential is from the table's own energies is measured on up to 200 of its crystals and stands beside every
number. With --hull potential the hull is made of the potential's energies of the table's crystals instead: one method for
both, but another hull than the published one.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crystalfw.core.commands.parser import add_out
from crystalfw.core.commands.relax import add_limits, add_potential, relax_into, settings_of
from crystalfw.core.errors import CrystalfwError, DataError

if TYPE_CHECKING:
    from crystalfw.core.energies.agreement import Agreement
    from crystalfw.core.energies.hull import Height, Hull
    from crystalfw.core.energies.references import Reference, References
    from crystalfw.core.interfaces import Potential

COLUMNS = (
    "id", "status", "reason", "formula", "energy_per_atom", "comparable_energy", "above_hull", "potential_mae",
    "decomposition", "converged", "space_group",
)  # fmt: skip

_LEFT_OUT = 200
"""Compounds of the table that are left out, one by one, to see how much the table lacks."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw hull`."""
    parser.add_argument("inputs", nargs="+", metavar="CRYSTALS", help="as for `crystalfw relax`, or its relaxed.csv")
    parser.add_argument("--energies", nargs="+", required=True, metavar="TABLE", help="CSV of known energies")
    parser.add_argument("--energy-column", default="", metavar="NAME", help="its column of energies, where it has several")
    parser.add_argument(
        "--corrections", default="not named", metavar="TEXT", help="what the table's energies were corrected with"
    )
    parser.add_argument("--hull", choices=["table", "potential"], default="table", help="whose energies make the hull")
    add_out(parser, "FOLDER", "folder to write (default: NAME.hull beside the crystals)")
    add_potential(parser)
    add_limits(parser)
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 takes all cores")


def run(args: argparse.Namespace) -> int:
    """Measure the potential, relax, judge; 0 also where some could not be judged: their rows say why."""
    from crystalfw.core.energies.open import open_potential
    from crystalfw.core.energies.references import read_references

    potential = open_potential(args.potential)
    known = read_references(args.energies, args.energy_column)
    if known.zero == "atoms" and potential.zero == "elements":
        raise CrystalfwError(f"{potential.label} gives formation energies, the table total ones")
    if args.hull == "potential" and not known.has_cifs:
        raise DataError(f"{known.paths[0]}: --hull potential needs the crystals: a column cif")
    _say_skipped(known)
    out = Path(args.out) if args.out else _beside(Path(args.inputs[0]))
    rows = _relaxed(args, potential, out)
    agreement, hull = _hull(args, potential, known, _elements(rows))
    return _judge(rows, agreement, hull, known, potential, out)


def _say_skipped(known: References) -> None:
    if known.skipped:
        print(f"{len(known.skipped):,} rows of the known energies are left out; the first: {known.skipped[0]}")


def _beside(path: Path) -> Path:
    return path.resolve().with_name(f"{path.resolve().name.removesuffix('.csv')}.hull")


def _relaxed(args: argparse.Namespace, potential: Potential, out: Path) -> list[dict[str, str]]:
    """Rows of relaxed crystals: the given table where this potential relaxed it, else made now."""
    from crystalfw.core.energies.table import COLUMNS as RELAXED
    from crystalfw.core.sample.table import read_rows

    table, record = Path(args.inputs[0]), Path(args.inputs[0] + ".request.json")
    if len(args.inputs) > 1 or not record.is_file() or _header(table) != list(RELAXED):
        table = out / "relaxed.csv"
        steps = args.steps if potential.has_forces else 0
        args.steps = steps
        relax_into(table, args.inputs, args.potential, settings_of(args), workers=args.workers)
    elif (theirs := _potential_of(record)) != potential.label:
        raise DataError(f"{table}: relaxed with {theirs}, not with {potential.label}; give that potential, or the samples")
    return list(read_rows(table))


def _header(table: Path) -> list[str]:
    with open(table, encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _potential_of(record: Path) -> str:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["potential"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record}: does not say which potential relaxed the table") from error


def _elements(rows: Sequence[Mapping[str, str]]) -> frozenset[int]:
    from crystalfw.core.energies.references import amounts_of

    return frozenset(z for row in rows if row["energy_per_atom"] for z, _ in amounts_of({"formula": row["formula"]}))


def _hull(
    args: argparse.Namespace, potential: Potential, known: References, elements: frozenset[int]
) -> tuple[Agreement, Hull]:
    """The potential measured, and the hull; says both."""
    from crystalfw.core.energies.agreement import agreement, recomputed
    from crystalfw.core.energies.hull import Hull

    apart = known.zero != potential.zero
    found = agreement(
        potential, args.potential, known, elements, fit=apart, workers=args.workers, seconds=args.seconds
    )  # fmt: skip
    print(f"{potential.label} against {', '.join(map(str, known.paths))}: {found.sentence()}")
    print(f"corrections: {potential.corrections} in the potential, {args.corrections} in the table")
    if args.hull == "table":
        hull = Hull(known.entries, elements_are_zero=known.zero == "elements")
        _say_complete(hull, known.entries, elements)
        return found, hull
    entries, lost = recomputed(potential, args.potential, known, elements, workers=args.workers, seconds=args.seconds)
    print(
        f"hull: {len(entries):,} crystals of the table with the potential's energies" + (f", {lost:,} without" if lost else "")
    )
    hull = Hull(entries, elements_are_zero=potential.zero == "elements")
    _say_complete(hull, entries, elements)
    return found.without_shifts(), hull


def _say_complete(hull: Hull, entries: Sequence[Reference], elements: frozenset[int]) -> None:
    """How much a hull of the table lacks: its own compounds, left out one by one."""
    from crystalfw.core.energies.hull import depths

    inside = sorted((entry for entry in entries if entry.elements & elements), key=lambda entry: entry.id)
    picked = [inside[k] for k in np.random.default_rng(0).permutation(len(inside))[:_LEFT_OUT]]
    found = depths(hull, picked)
    found = found[np.isfinite(found)]
    if len(found):
        print(
            f"completeness: {len(found):,} compounds of the table, each left out with its composition, lie at a median of "
            f"{np.median(found):+.3f} eV/atom against the rest, {np.mean(found < -0.1):.0%} of them below -0.1. Crystals this "
            "far below the hull need not be stable: the table may lack what they compete with"
        )


def _judge(
    rows: Sequence[Mapping[str, str]], agreement: Agreement, hull: Hull, known: References, potential: Potential, out: Path
) -> int:
    from crystalfw.core.energies.hull import Height
    from crystalfw.core.energies.references import amounts_of
    from crystalfw.core.system.resumable_csv import ResumableCsv

    heights: list[Height] = []
    with ResumableCsv(out / "hull.csv", COLUMNS, resume=False) as table:
        for row in rows:
            height, comparable = Height(reason=row["reason"] or row["status"]), float("nan")
            if row["energy_per_atom"]:
                amounts = amounts_of({"formula": row["formula"]})
                comparable = agreement.comparable(amounts, float(row["energy_per_atom"]))
                height = hull.height(amounts, comparable)
            heights.append(height)
            status = row["status"] if row["status"] != "ok" else "not_judged" if height.reason else "ok"
            table.write([[
                row["id"], status, height.reason or row["reason"], row["formula"], row["energy_per_atom"],
                _number(comparable), _number(height.above), _number(agreement.mae), height.decomposition, row["converged"],
                row["space_group"],
            ]])  # fmt: skip
    _say(rows, heights, agreement, out)
    return 0


def _number(value: float) -> str:
    return "" if value != value else f"{value:.6f}"


def _say(rows: Sequence[Mapping[str, str]], heights: Sequence[Height], agreement: Agreement, out: Path) -> None:
    judged = sorted((height.above, k) for k, height in enumerate(heights) if not height.reason)
    spread = f" +- {agreement.mae:.3f}" if agreement.compared else " (error unknown)"
    low, near = sum(above <= 0 for above, _ in judged), sum(above <= 0.1 for above, _ in judged)
    print(
        f"{out / 'hull.csv'}: of {len(rows):,} crystals {near:,} lie within 0.1 eV/atom of the hull, {low:,} on or below it; "
        f"{len(rows) - len(judged):,} not judged"
    )
    reasons = Counter(height.reason for height in heights if height.reason)
    for reason, count in reasons.most_common(5):
        print(f"  {count:,} not judged: {reason}")
    for above, k in judged[:10]:
        print(f"  {rows[k]['formula']:<14} {rows[k]['id']:<20} {above:+.3f}{spread} eV/atom  {heights[k].decomposition}")
    if len(judged) > 10:
        print(f"  ... {len(judged) - 10:,} more")
