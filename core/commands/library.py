"""Libraries of known crystals: what `crystalfw predict` looks answers up in.

  crystalfw library build DATA/mp_20 -o mp20.library           one entry for each formula and structure type, in parallel
  crystalfw library build a.csv.gz b/ -o mine.library --licence "CC BY 4.0, Materials Project"
  crystalfw library info mp20.library                           entries, sources, what was rejected
  crystalfw library search mp20.library SrTiO3                   the known crystals of a formula
  crystalfw library fit mp20.library -o mp20.predictor           learn from it; a folder that `predict --library` takes
  crystalfw library fit mp20.library -o mp20.predictor --calibrate DATA/mp_20/val.csv.gz

Parts val and test of a data set are left out unless --parts names them. `build` continues after an interruption.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw library`."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="{build,info,search,fit}")
    build = tasks.add_parser("build", help="known crystals from tables, folders, archives")
    build.add_argument("paths", nargs="+", metavar="PATH", help="anything that data.path takes")
    build.add_argument("-o", "--out", required=True, metavar="FOLDER", help="folder to write")
    build.add_argument("--parts", default="train", help="parts to take, comma-separated (default train)")
    build.add_argument("--max-atoms", type=int, default=500, help="reject crystals with more atoms (default 500)")
    build.add_argument("--licence", default="", help="a note that goes with every entry's source")
    build.add_argument("--workers", type=int, default=0, help="processes; 0 takes all cores")
    build.add_argument("--executor", default="processes", help="`processes`, `dask`, `dask:ADDRESS`, or a plugin's")
    info = tasks.add_parser("info", help="what a library holds")
    info.add_argument("library", metavar="LIBRARY")
    search = tasks.add_parser("search", help="the entries of a formula")
    search.add_argument("library", metavar="LIBRARY")
    search.add_argument("formula", metavar="FORMULA")
    fit = tasks.add_parser("fit", help="a folder with the library and all that is learned from it")
    fit.add_argument("library", metavar="LIBRARY")
    fit.add_argument("-o", "--out", required=True, metavar="FOLDER", help="folder to write")
    fit.add_argument("--retriever", default="structure_types", help="which retriever (default structure_types)")
    fit.add_argument("--ranker", default="learned", help="which ranker (default learned)")
    fit.add_argument("--calibrate", metavar="CRYSTALS", help="crystals to calibrate the probabilities on, such as a part val")
    fit.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Build, describe or search; the exit code."""
    return {"build": _build, "info": _info, "search": _search, "fit": _fit}[args.task](args)


def _build(args: argparse.Namespace) -> int:
    from crystalfw.core.library.build import Origin, build_library
    from crystalfw.core.recipe.auto_source import source_name
    from crystalfw.core.recipe.options import create

    wanted = {part.strip() for part in args.parts.split(",")}
    origins = []
    for path in args.paths:
        source = create("source", source_name(path), path=path)
        parts = tuple(part for part in source.parts() if part in wanted)
        origins.append(Origin(source, path, args.licence, parts))
    library = build_library(origins, Path(args.out), max_atoms=args.max_atoms, workers=args.workers, executor=args.executor)
    manifest = library.manifest
    print(f"{args.out}: {manifest.entries:,} entries from {manifest.read:,} crystals")
    for reason, count in Counter(manifest.rejected).most_common():
        print(f"  {count:,} rejected: {reason}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from crystalfw.core.library.store import Library

    library = Library.open(args.library)
    manifest = library.manifest
    formulas = {library.slots(row) for row in range(len(library))}
    print(
        f"{manifest.entries:,} entries of {len(formulas):,} formulas and {len(library.ratios()):,} ratios, "
        f"from {manifest.read:,} crystals"
    )
    for source in manifest.sources:
        print(f"  {source['name']}" + (f": {source['licence']}" if source["licence"] else ""))
    for reason, count in Counter(manifest.rejected).most_common():
        print(f"  {count:,} rejected: {reason}")
    print(f"  sha256 {manifest.digest}")
    return 0


def _search(args: argparse.Namespace) -> int:
    from crystalfw.core.library.store import Library
    from crystalfw.core.predict.question import question_of

    library, question = Library.open(args.library), question_of(args.formula)
    found = [row for row in library.rows_of(question.counts) if library.slots(row)[0] == question.elements]
    for row in found:
        group, units = library.group_and_units(row)
        letters = " ".join(library.letters(row))
        print(
            f"{library.id(row):<16} space group {group:>3}, {units} formula units, Wyckoff letters {letters}, "
            f"{library.source(row)}"
        )
    if not found:
        print(f"no entry of {args.formula}")
    return 0 if found else 1


def _fit(args: argparse.Namespace) -> int:
    import torch

    from crystalfw.core.errors import DataError
    from crystalfw.core.library.store import Library
    from crystalfw.core.predict.examples import judged_crystals
    from crystalfw.core.predict.fitted import fit_predictor
    from crystalfw.core.predict.saved import save
    from crystalfw.core.recipe.auto_source import source_name
    from crystalfw.core.recipe.options import create

    out = Path(args.out)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out}: the folder is not empty; choose another with -o")
    torch.set_num_threads(1)
    parts = create("retriever", args.retriever), create("ranker", args.ranker)
    source = create("source", source_name(args.calibrate), path=args.calibrate) if args.calibrate else None
    predictor = fit_predictor(Library.open(args.library), *parts, seed=args.seed)
    if source is not None:
        crystals = (crystal for part in source.parts() for crystal in source.read(part))
        predictor.ranker.calibrate(judged_crystals(predictor, crystals, say=print))
    save(predictor, out, {"retriever": args.retriever, "ranker": args.ranker})
    print(f"{out}: written; use it with: crystalfw predict FORMULA --library {out}")
    return 0
