"""From a measured powder pattern to ranked structures, each with its fit.

  crystalfw solve pattern.xy --formula Na3SbS4                    known crystals of the formula, then structure types
  crystalfw solve pattern.xy --elements Fe,O,P --wavelength CoKa   formulas that the library and charge balance allow
  crystalfw solve pattern.xy --formula NaCl --library mp_20 -o solved/   samples.csv, CIF files, report.html
  crystalfw solve patterns.csv -o solved/                          columns id, pattern (a file), formula or elements

For every candidate the cell (within its lattice system), scale, zero shift, width and displacement are fitted; coordinates
stay those of the structure type. Without --library the embedded prototypes are used. A table continues after an
interruption.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.commands.pattern import add_measured

if TYPE_CHECKING:
    from crystalfw.core.powder.solving import Solved, Solver


@dataclass(frozen=True)
class Asked:
    """One pattern with what is known of it."""

    id: str
    pattern: str
    formula: str = ""
    elements: str = ""
    wavelength: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw solve`."""
    parser.add_argument("pattern", metavar="PATTERN|TABLE.csv", help="a measured pattern, or a table of them")
    parser.add_argument("--formula", help="the composition, any number of formula units")
    parser.add_argument("--elements", metavar="Fe,O,P", help="the elements, where the formula is not known")
    add_measured(parser)
    parser.add_argument("--library", metavar="PATH", help="known crystals: a library, or anything that data.path takes")
    parser.add_argument("--retriever", default="structure_types", help="which retriever (default structure_types)")
    parser.add_argument("-n", type=int, default=20, help="structures kept for each pattern (default 20)")
    parser.add_argument("--candidates", type=int, default=150, help="structure types tried (default 150)")
    parser.add_argument("-o", "--out", metavar="FOLDER", help="write samples.csv, cifs/ and report.html")
    parser.add_argument("--workers", type=int, default=0, help="processes that build a library; 0 takes all cores")
    parser.add_argument("--shown", type=int, default=5, metavar="N", help="structures on the screen (default 5)")


def run(args: argparse.Namespace) -> int:
    """Solve; 2 where the request is wrong, 0 otherwise."""
    from crystalfw.core.errors import ConditionError

    if args.n < 1 or args.candidates < 1:
        raise ConditionError("-n and --candidates: at least one")
    table = _is_table(args)
    if not table and bool(args.formula) == bool(args.elements):
        raise ConditionError("say what the sample holds: either --formula Na3SbS4 or --elements Fe,O,P")
    asked = (
        _table(Path(args.pattern))
        if table
        else iter([Asked(Path(args.pattern).stem, args.pattern, args.formula or "", args.elements or "")])
    )
    if table and not args.out:
        raise ConditionError(f"{args.pattern}: a table of patterns needs -o FOLDER")
    return _written(args, asked) if args.out else _shown(args, next(asked))


def _is_table(args: argparse.Namespace) -> bool:
    """A .csv whose header names a column `pattern`, and neither formula nor elements given."""
    from crystalfw.core.errors import DataError

    path = Path(args.pattern)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() != ".csv" or args.formula or args.elements:
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return "pattern" in [name.strip() for name in file.readline(10_000).split(",")]


def _table(path: Path) -> Iterator[Asked]:
    """The rows of a table; files are looked for beside it."""
    from crystalfw.core.errors import DataError
    from crystalfw.core.system.bounded_text import bounded_lines, csv_rows

    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv_rows(bounded_lines(file, path), path)
        header = [name.strip() for name in next(rows, [])]
        if not {"formula", "elements"} & set(header):
            raise DataError(f"{path}: no column 'formula' or 'elements'; there are {', '.join(header)}")
        for number, row in enumerate(rows, start=1):
            named = {name: field.strip() for name, field in zip(header, row, strict=False)}
            if any(named.values()):
                file_name = named.get("pattern", "")
                place = file_name if Path(file_name).is_absolute() else str(path.parent / file_name)
                yield Asked(
                    named.get("id") or Path(file_name).stem or str(number), place, named.get("formula", ""),
                    named.get("elements", ""), named.get("wavelength") or None,
                )  # fmt: skip


def _solver(args: argparse.Namespace) -> Solver:
    import torch

    from crystalfw.core.powder.solving import Solver
    from crystalfw.core.predict.fitted import open_predictor

    torch.set_num_threads(1)
    predictor = open_predictor(args.library, args.retriever, workers=args.workers)
    return Solver(predictor.library, predictor.retriever, candidates=args.candidates)


def _solve(solver: Solver, asked: Asked, args: argparse.Namespace) -> Solved:
    from crystalfw.core.powder.reading import read_pattern
    from crystalfw.core.predict.question import question_of
    from crystalfw.core.system.progress import Progress

    pattern = read_pattern(asked.pattern, wavelength=asked.wavelength or args.wavelength, unit=args.unit)
    questions = [(question_of(asked.formula), 1.0)] if asked.formula else solver.questions(asked.elements)
    progress = Progress("candidates", None)
    solved = solver.solve(pattern, questions, lambda done, of: progress.update(done, total=of))
    progress.close(brief=True)
    return solved


def _shown(args: argparse.Namespace, asked: Asked) -> int:
    from crystalfw.core.powder.solving import cell_text

    solved = _solve(_solver(args), asked, args)
    for note in (*solved.solution.target.pattern.notes, *solved.verdict.sentences):
        print(f"{asked.id}: {note}")
    for rank, answer in enumerate(solved.solution.answers[: args.shown], start=1):
        sure, part = f"{100 * answer.probability:5.1f} %", f"explains {100 * answer.explained:3.0f} %"
        group, fit = f"space group {answer.proposal.group:>3}", f"Rwp {answer.fit.rwp:.3f}"
        print(f"  {rank:>3}  {sure}  {answer.fit.crystal.formula:<14} {group}  {fit}  {part}")
        print(f"       {answer.proposal.source}; cell {cell_text(answer)}")
    return 0


def _written(args: argparse.Namespace, asked: Iterator[Asked]) -> int:
    from crystalfw.core.commands.solve_page import Page
    from crystalfw.core.errors import CrystalfwError, Interrupted
    from crystalfw.core.powder.solving import COLUMNS, failed, rows
    from crystalfw.core.sample.export import write_cifs
    from crystalfw.core.sample.table import rows_of_questions
    from crystalfw.core.system.bounded_text import printable
    from crystalfw.core.system.files import file_digest
    from crystalfw.core.system.resumable_csv import RowFile
    from crystalfw.core.system.signals import StopRequest

    solver, out = _solver(args), Path(args.out) / "samples.csv"
    request = {
        "pattern": file_digest(Path(args.pattern)), "formula": args.formula, "elements": args.elements, "n": args.n,
        "wavelength": args.wavelength, "unit": args.unit, "library": args.library, "candidates": args.candidates,
        "retriever": args.retriever,
    }  # fmt: skip
    counts: Counter[str] = Counter()
    with RowFile(out, COLUMNS, request) as table, StopRequest() as stop:
        known = rows_of_questions(out) if table.done else []
        page = Page(Path(args.out))
        for number, one in enumerate(asked):
            if number < len(known) - 1:
                continue
            try:
                solved = _solve(solver, one, args)
                found, word = rows(one.id, solved, args.n), solved.verdict.word
                page.add(number, one.id, one.formula or one.elements, solved)
            except (Interrupted, KeyboardInterrupt):
                raise
            except CrystalfwError as error:
                if not _is_table(args):
                    raise
                reason, word = printable(str(error)), "unreadable"
                found = [failed(one.id, word, reason)]
                page.add_unreadable(number, one.id, one.formula or one.elements, reason)
            table.append(found[known[number] if number < len(known) else 0 :])
            counts[word] += 1
            print(f"{one.id}: {word}; {_first(found)}")
            if stop.requested:
                raise Interrupted(f"stopped by {stop.requested} after {number + 1} patterns; the same command continues")
    page.write()
    print(f"{out}: {', '.join(f'{count:,} {word}' for word, count in counts.most_common()) or 'nothing new'}; "
          f"{write_cifs(out, out.parent / 'cifs')} CIF files, {out.parent / 'report.html'}")  # fmt: skip
    return 0


def _first(found: list[list[str]]) -> str:
    from crystalfw.core.powder.solving import COLUMNS

    first = dict(zip(COLUMNS, found[0], strict=True))
    if first["status"] != "ok":
        return first["reason"]
    return f"{first['formula']}, space group {first['space_group']}, Rwp {first['rwp']}, {first['origin']}"
