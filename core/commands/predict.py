"""Predict crystals from compositions: known structure types with the elements exchanged, ranked by learned probability.

  crystalfw predict SrTiO3 LiFePO4 -n 20                      candidates with probabilities, on the screen
  crystalfw predict compositions.csv -o predicted/            columns id, composition; samples.csv and CIF files
  crystalfw predict NaCl --library mp_20/                     known crystals to learn from: a library, table or folder
  crystalfw predict NaCl --library mp20.predictor             what `crystalfw library fit` wrote: nothing is fitted
  crystalfw predict NaCl --model runs/templates               retriever and generator that were trained together
  crystalfw predict NaCl --pattern measured.xy                ranked by a measured powder pattern; `solve` fits cells, too

Without --library an installed model answers (mp-predict of crystalfw-models). Without one, or with --library prototypes, the
embedded prototypes do: decorated structure types, good for a first look. The first call builds the library and fits the
retriever; later calls load both from the cache. Parts val and test of a data set are never used.
The same command continues after an interruption.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.commands.parser import OUT_HELP, add_symprec
from crystalfw.core.commands.pattern import add_measured

if TYPE_CHECKING:
    from crystalfw.core.predict.joint import Joint
    from crystalfw.core.predict.predictor import Predictor
    from crystalfw.core.predict.question import Asked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw predict`."""
    parser.add_argument("questions", nargs="+", metavar="FORMULA|TABLE.csv", help="formulas, or tables with id, composition")
    parser.add_argument("-n", type=int, default=20, help="candidates for each composition (default 20)")
    parser.add_argument(
        "--library",
        metavar="PATH",
        help="known crystals: a library, what `library fit` wrote, or anything that data.path takes",
    )
    parser.add_argument("--model", metavar="RUN", help="a run of recipe templates: its retriever and its generator together")
    parser.add_argument("--draws", type=int, default=8, help="strings that the model draws for each composition (default 8)")
    parser.add_argument("--retriever", default="structure_types", help="which retriever (default structure_types)")
    parser.add_argument("--ranker", default="learned", help="which ranker orders the candidates (default learned)")
    parser.add_argument("--pattern", metavar="FILE", help="a measured powder pattern, which the candidates are ranked by")
    add_measured(parser)
    parser.add_argument("--cell", action="store_true", help="the counts are the atoms of the primitive cell")
    parser.add_argument("--atoms", type=int, metavar="N", help="atoms in the primitive cell (default: any)")
    parser.add_argument("-o", "--out", metavar="OUT", help=f"{OUT_HELP}; default: the screen only")
    add_symprec(parser)
    parser.add_argument("--workers", type=int, default=0, help="processes that build a library; 0 takes all cores")
    parser.add_argument("--shown", type=int, default=5, metavar="N", help="candidates on the screen (default 5)")


def run(args: argparse.Namespace) -> int:
    """Predict; 2 where no question can be answered because of the request, 0 otherwise."""
    from crystalfw.core.errors import ConditionError
    from crystalfw.core.predict.question import read_questions

    if args.n < 1:
        raise ConditionError(f"-n {args.n}: at least one candidate")
    if args.model and args.library:
        raise ConditionError("--model has a library of its own: give --model or --library, not both")
    if args.pattern:
        if args.model:
            raise ConditionError("--pattern ranks the candidates of a library: give --model or --pattern, not both")
        from crystalfw.core.powder.reading import read_pattern

        # a bad file is refused before a library is fitted
        read_pattern(args.pattern, wavelength=args.wavelength, unit=args.unit)
    asked = read_questions(args.questions, cell=args.cell, atoms=args.atoms)
    if not args.out:
        return _shown(args, list(asked))
    return _written(args, asked)


def _predictor(args: argparse.Namespace) -> Predictor | Joint:
    import torch

    from crystalfw.core.predict.fitted import open_predictor

    torch.set_num_threads(1)
    if args.model:
        from crystalfw.core.predict.joint import Joint

        return Joint.load(args.model, draws=args.draws)
    predictor = open_predictor(args.library, args.retriever, args.ranker, workers=args.workers)
    if not args.pattern:
        return predictor
    from crystalfw.core.recipe.options import create

    measured = {"pattern": args.pattern, "wavelength": args.wavelength or "", "unit": args.unit}
    return replace(predictor, ranker=create("ranker", "powder", measured))


def _shown(args: argparse.Namespace, asked: list[Asked]) -> int:
    from crystalfw.core.errors import ConditionError
    from crystalfw.core.predict.table import answer, lines

    wrong = [one.reason for one in asked if one.question is None]
    if wrong:
        raise ConditionError("\n".join(wrong))
    predictor = _predictor(args)
    for one in asked:
        print("\n".join(lines(answer(predictor, one, args.n), args.shown)))
    return 0


def _written(args: argparse.Namespace, asked: Iterator[Asked]) -> int:
    from crystalfw.core.errors import Interrupted
    from crystalfw.core.predict.table import COLUMNS, STATUS, answer
    from crystalfw.core.sample.destination import destination, write_crystals
    from crystalfw.core.sample.table import rows_of_questions
    from crystalfw.core.system.progress import Progress
    from crystalfw.core.system.resumable_csv import RowFile
    from crystalfw.core.system.signals import StopRequest

    predictor = _predictor(args)
    place = destination(args.out)
    out = place.table
    request = {
        "questions": [_digest(text) for text in args.questions], "n": args.n, "cell": args.cell, "atoms": args.atoms,
        "library": args.library, "retriever": args.retriever, "ranker": args.ranker, "model": args.model, "draws": args.draws,
        **({"pattern": _digest(args.pattern), "wavelength": args.wavelength, "unit": args.unit} if args.pattern else {}),
    }  # fmt: skip
    counts: Counter[str] = Counter()
    progress = Progress("predict", None)
    with RowFile(out, COLUMNS, request) as table, StopRequest() as stop:
        known = rows_of_questions(out) if table.done else []
        for number, one in enumerate(asked):
            if number < len(known) - 1:
                continue
            rows = answer(predictor, one, args.n)
            # a kill may have cut the rows of the last question
            table.append(rows[known[number] if number < len(known) else 0 :])
            counts["with candidates" if rows[0][STATUS] == "ok" else rows[0][STATUS]] += 1
            progress.update(number + 1)
            if stop.requested:
                raise Interrupted(f"stopped by {stop.requested} after {number + 1} questions; the same command continues")
    progress.close()
    listed = ", ".join(f"{count:,} {status}" for status, count in counts.most_common()) or "nothing new"
    print(f"{out}: {listed}; {write_crystals(out, place.crystals, args.symprec)}")
    return 0


def _digest(text: str) -> str:
    """A formula as it stands; a table by its content."""
    from crystalfw.core.system.files import file_digest

    path = Path(text)
    return file_digest(path) if path.is_file() else text
