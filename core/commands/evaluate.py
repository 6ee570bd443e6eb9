"""Judge samples, ours or anybody's, against reference crystals: metrics.json and report.html.

crystalfw evaluate runs/xattn/samples.csv --reference data/test.csv.gz --train data/train.csv.gz
crystalfw evaluate their_cifs/ --reference mp_20 --metrics shares,coverage      a set by name, with its train part
crystalfw evaluate samples.csv --reference mp_20 --baselines                    beside what needs no training
crystalfw evaluate a.csv b.csv cifs/ --reference mp_20 -o comparison             several generators, paired, in words
crystalfw evaluate samples.csv --reference mp_20 --protocol diffcsp             metrics as the field computes them
crystalfw evaluate predictions.csv --reference data/test.csv.gz --match-by-id   its ids are those of the references
crystalfw evaluate runs/xattn --reference data --metrics shares:tolerance=loose,match:n=[1,20]
crystalfw evaluate runs/xattn --metrics coverage         against the run's own test part; novelty against its train part
crystalfw evaluate runs/xattn --json                     the content of metrics.json on stdout, progress on stderr

Without -o each request has a folder of its own, RUN/evaluated/METRICS or PATH.evaluated/METRICS: no result replaces another.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalfw.core.commands._workers import add_worker_arguments
from crystalfw.core.commands.parser import add_json, add_out
from crystalfw.core.errors import CrystalfwError, DataError, Interrupted
from crystalfw.core.recipe.schema import ComponentSpec, EvaluateSection
from crystalfw.core.system.files import file_digest
from crystalfw.core.system.variants import runs_inside

if TYPE_CHECKING:
    from crystalfw.core.evaluate.inputs import Crystals
    from crystalfw.core.evaluate.protocols import Protocol


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw evaluate`."""
    default = ",".join(spec.name for spec in EvaluateSection().metrics)
    parser.add_argument(
        "samples", nargs="+", metavar="SAMPLES",
        help="samples.csv, a run folder, a CSV with a cif column, a folder or zip of CIFs, extxyz; several are compared with "
        "the first, NAME=PATH names one",
    )  # fmt: skip
    parser.add_argument(
        "--reference", metavar="PATH|NAME",
        help="reference crystals, or a set by name; of a folder the test part (default: of the run)",
    )  # fmt: skip
    parser.add_argument(
        "--train", metavar="PATH|NAME",
        help="crystals for novelty and baselines; of a folder the train part (default: of the reference folder, or the run)",
    )  # fmt: skip
    parser.add_argument(
        "--reference-path", metavar="FOLDER", action="append", default=[],
        help="where sets are looked for by name, before $CRYSTALFW_REFERENCES and the user's cache; repeat for several",
    )  # fmt: skip
    parser.add_argument("--metrics", help=f"separated by commas; NAME:key=value sets an option ({default})")
    parser.add_argument(
        "--protocol", metavar="NAME", help="metrics as the field computes them: cdvae, diffcsp, mattergen, lemat"
    )
    parser.add_argument(
        "--baselines", nargs="?", const="", metavar="NAMES",
        help="stand beside the samples: random, nearest, template, exchange, prototype, strings (default: all of them); "
        "NAME:key=value sets an option",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the baselines (default 0)")
    parser.add_argument("--match-by-id", action="store_true", help="a sample's id is the id of its reference")
    parser.add_argument("--lemat", metavar="FILE.csv", help="write the crystals as LeMat-GenBench takes them, too")
    add_out(parser, "FOLDER", "where the results go (default RUN/evaluated/METRICS, or PATH.evaluated/METRICS)")
    add_json(parser, "the content of metrics.json")
    add_worker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the figures, write metrics.json and report.html; 1 where a metric could not be computed."""
    from crystalfw.core.evaluate.inputs import sample_path
    from crystalfw.core.evaluate.protocols import find_protocol

    if args.protocol and args.metrics:
        raise DataError("--protocol chooses the metrics: leave out --metrics, or --protocol")
    protocol = find_protocol(args.protocol) if args.protocol else None
    metrics = protocol.metrics if protocol else parse_metrics(args.metrics) if args.metrics else EvaluateSection().metrics
    for text in args.samples:
        refuse_ablation(Path(text))
    several = len(args.samples) > 1 or args.baselines is not None
    # with --json nothing else may stand on stdout, whatever a metric prints
    screen = redirect_stdout(sys.stderr) if args.json else nullcontext()
    try:
        with screen:
            samples = sample_path(
                args.samples[0].partition("=")[2] if several and _is_named(args.samples[0]) else args.samples[0]
            )
            reference, training = _crystals(args, samples)
            with _destination(args, samples, metrics) as out:
                work = _compare if several else _evaluate_one
                record = work(args, samples, metrics, protocol, (reference, training), out)
    except KeyboardInterrupt:
        raise Interrupted("stopped by Ctrl-C; what is finished is kept, the same command continues from there") from None
    _lemat(args, samples)
    if args.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        for line in record["summary"]:
            print(line)
        for name, problem in record["failed"].items():
            print(f"{name}: not computed: {problem}")
        print(f"{out / 'metrics.json'}\n{out / 'report.html'}")
    return 1 if record["failed"] else 0


def _evaluate_one(
    args: argparse.Namespace, samples: Path, metrics: Sequence[ComponentSpec], protocol: Protocol | None,
    crystals: tuple[Crystals, Crystals], out: Path,
) -> dict[str, Any]:  # fmt: skip
    from crystalfw.core.evaluate.evaluation import evaluate
    from crystalfw.core.evaluate.report import write_report

    reference, training = crystals
    record = evaluate(
        samples, reference, metrics, training=training, out=out, workers=args.workers, executor=args.executor,
        match_by_id=args.match_by_id, protocol=protocol, names=_names(args, crystals),
    )  # fmt: skip
    write_report(out, samples=samples)
    return record


def _compare(
    args: argparse.Namespace, samples: Path, metrics: Sequence[ComponentSpec], protocol: Protocol | None,
    crystals: tuple[Crystals, Crystals], out: Path,
) -> dict[str, Any]:  # fmt: skip
    from crystalfw.core.evaluate.contenders import baseline_specs, named
    from crystalfw.core.evaluate.referee import Request, referee

    wanted = () if args.baselines is None else baseline_specs(parse_components(args.baselines, "--baselines"))
    request = Request(
        tables=named(args.samples), metrics=metrics, reference=crystals[0], training=crystals[1], baselines=wanted,
        names=_names(args, crystals), protocol=protocol, seed=args.seed, match_by_id=args.match_by_id,
    )  # fmt: skip
    return referee(request, out, workers=args.workers, executor=args.executor, say=lambda line: print(line, file=sys.stderr))


def _names(args: argparse.Namespace, crystals: tuple[Crystals, Crystals]) -> dict[str, str]:
    """What reference and training are called: the name that was given, with the path that it was found at."""
    given = {"reference": args.reference, "training": args.train or args.reference}
    found = {}
    for (side, name), what in zip(given.items(), crystals, strict=True):
        if name and isinstance(what, Path):
            found[side] = str(what) if str(what) == name else f"{name} ({what})"
        elif name and what is not None and not isinstance(what, (str, Path)):
            found[side] = f"{name} (installed)"
    return found


def _is_named(text: str) -> bool:
    return "=" in text and not Path(text).exists()


def _lemat(args: argparse.Namespace, samples: Path) -> None:
    if args.lemat:
        from crystalfw.core.evaluate.inputs import load_samples
        from crystalfw.core.sample.export import write_lemat

        found = load_samples(samples)
        count = write_lemat(found, args.lemat)
        print(f"{args.lemat}: {count} crystals of {len(found)} samples for LeMat-GenBench", file=sys.stderr)


def refuse_ablation(folder: Path) -> None:
    """Raise DataError for the folder of an ablation, whose runs are judged one by one."""
    runs = list(runs_inside(folder).values())
    if runs and not (folder / "samples.csv").exists():
        listed = ", ".join(map(str, runs[:12])) + (f" and {len(runs) - 12} more" if len(runs) > 12 else "")
        raise DataError(f"{folder}: an ablation of {len(runs)} runs; evaluate one of them: {listed}")


def _crystals(args: argparse.Namespace, samples: Path) -> tuple[Crystals, Crystals]:
    """Reference and training crystals: as given, otherwise those of the run that made the samples."""
    from crystalfw.core.evaluate.destination import is_run
    from crystalfw.core.evaluate.reference_sets import find_set, has_train

    train = find_set(args.train, args.reference_path) if args.train else None
    if args.reference:
        reference = find_set(args.reference, args.reference_path)
        return reference, train if train is not None else reference if has_train(reference) else None
    if not (samples.name == "samples.csv" and is_run(samples.parent)):
        return None, train
    reference_of_run, training = run_crystals(samples.parent)
    return reference_of_run, train if train is not None else training


def run_crystals(run_dir: Path) -> tuple[Crystals, Crystals]:
    """Reference (by default the test part) and train part of a run, from its kept recipe and the cache of prepared data."""
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.setup import prepare_only

    recipe = load_recipe(run_dir / "recipe.yaml")
    try:
        splits = prepare_only(recipe).splits
    except (DataError, OSError) as error:
        raise DataError(
            f"{run_dir}: the data of this run cannot be read any more ({error}); name the crystals to compare with: "
            "--reference PATH, and --train PATH for novelty"
        ) from error
    return recipe.evaluate.reference or splits.get("test", ()), splits["train"]


@contextmanager
def _destination(args: argparse.Namespace, samples: Path, metrics: Sequence[ComponentSpec]) -> Iterator[Path]:
    """The folder to write to: never the run's own; a new one is removed again where the evaluation is refused."""
    from crystalfw.core.evaluate.destination import evaluated_folder, is_run, own_folder, take_back

    if args.out:
        if is_run(Path(args.out)):
            raise DataError(f"-o {args.out}: a run keeps its own metrics.json there; choose another folder, or leave out -o")
        yield Path(args.out)
        return
    request = {
        "samples": str(samples.resolve()), "content": file_digest(samples) if samples.is_file() else "",
        "reference": args.reference and str(Path(args.reference).resolve()),
        "train": args.train and str(Path(args.train).resolve()),
        "metrics": [[spec.name, dict(spec.options)] for spec in metrics], "match_by_id": args.match_by_id,
    }  # fmt: skip
    several = {"others": args.samples[1:], "baselines": args.baselines, "seed": args.seed}
    if several != {"others": [], "baselines": None, "seed": 0}:
        request |= several
    name = args.protocol or "-".join(spec.name for spec in metrics) or "nothing"
    out = own_folder(
        evaluated_folder(samples), f"{name}-compared" if args.samples[1:] or args.baselines is not None else name, request
    )
    try:
        yield out
    except CrystalfwError:
        take_back(out)
        raise


def parse_metrics(text: str) -> tuple[ComponentSpec, ...]:
    """`shares,match:n=[1,20]` as component specs; values are read as YAML."""
    return parse_components(text, "--metrics")


def parse_components(text: str, option: str) -> tuple[ComponentSpec, ...]:
    """`NAME:key=value,NAME` as component specs; `option` is named in errors."""
    from crystalfw.core.recipe.document import parse

    specs = []
    for item in _split(text):
        name, *settings = item.split(":")
        options = {}
        for setting in settings:
            key, found, value = setting.partition("=")
            if not found:
                raise DataError(f"{option} {item}: write options as NAME:key=value")
            options[key.strip()] = _as_tuple(parse(value, f"{option} {item}", override=True).plain())
        specs.append(ComponentSpec(name=name.strip(), options=options, where=option))
    return tuple(specs)


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    items, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item for item in items if item.strip()]


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
