"""Judge samples, ours or anybody's, against reference crystals: metrics.json and report.html.

crystalfw evaluate runs/xattn/samples.csv --reference data/test.csv.gz --train data/train.csv.gz
crystalfw evaluate their_cifs/ --reference data/test.csv.gz --metrics shares,coverage
crystalfw evaluate predictions.csv --reference data/test.csv.gz --match-by-id    its ids are those of the references
crystalfw evaluate runs/xattn --reference data --metrics shares:tolerance=loose,match:n=[1,20]
crystalfw evaluate runs/xattn --metrics coverage         against the run's own test part; novelty against its train part
crystalfw evaluate runs/xattn --json                     the content of metrics.json on stdout, progress on stderr

Without -o each request has a folder of its own, RUN/evaluated/METRICS or PATH.evaluated/METRICS: no result replaces another.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from crystalfw.core.commands._workers import add_worker_arguments
from crystalfw.core.commands.parser import add_json, add_out
from crystalfw.core.errors import CrystalfwError, DataError, Interrupted
from crystalfw.core.recipe.schema import ComponentSpec, EvaluateSection
from crystalfw.core.system.files import file_digest
from crystalfw.core.system.variants import runs_inside

if TYPE_CHECKING:
    from crystalfw.core.evaluate.inputs import Crystals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw evaluate`."""
    default = ",".join(spec.name for spec in EvaluateSection().metrics)
    parser.add_argument("samples", help="samples.csv, a run folder, a CSV with a cif column, a folder or zip of CIFs, extxyz")
    parser.add_argument(
        "--reference", metavar="PATH", help="reference crystals; of a folder the test part (default: of the run)"
    )
    parser.add_argument(
        "--train", metavar="PATH", help="crystals for novelty; of a folder the train part (default: of the run)"
    )
    parser.add_argument("--metrics", default=default, help=f"separated by commas; NAME:key=value sets an option ({default})")
    parser.add_argument("--match-by-id", action="store_true", help="a sample's id is the id of its reference")
    add_out(parser, "FOLDER", "where the results go (default RUN/evaluated/METRICS, or PATH.evaluated/METRICS)")
    add_json(parser, "the content of metrics.json")
    add_worker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the figures, write metrics.json and report.html; 1 where a metric could not be computed."""
    from crystalfw.core.evaluate.evaluation import evaluate
    from crystalfw.core.evaluate.inputs import sample_path
    from crystalfw.core.evaluate.report import write_report

    refuse_ablation(Path(args.samples))
    samples = sample_path(args.samples)
    metrics = parse_metrics(args.metrics)
    # with --json nothing else may stand on stdout, whatever a metric prints
    screen = redirect_stdout(sys.stderr) if args.json else nullcontext()
    try:
        with screen:
            reference, training = _crystals(args, samples)
            with _destination(args, samples, metrics) as out:
                record = evaluate(
                    samples, reference, metrics, training=training, out=out,
                    workers=args.workers, executor=args.executor, match_by_id=args.match_by_id,
                )  # fmt: skip
                page = write_report(out, samples=samples)
    except KeyboardInterrupt:
        raise Interrupted("stopped by Ctrl-C; what is finished is kept, the same command continues from there") from None
    if args.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        for line in record["summary"]:
            print(line)
        for name, problem in record["failed"].items():
            print(f"{name}: not computed: {problem}")
        print(f"{out / 'metrics.json'}\n{page}")
    return 1 if record["failed"] else 0


def refuse_ablation(folder: Path) -> None:
    """Raise DataError for the folder of an ablation, whose runs are judged one by one."""
    runs = list(runs_inside(folder).values())
    if runs and not (folder / "samples.csv").exists():
        listed = ", ".join(map(str, runs[:12])) + (f" and {len(runs) - 12} more" if len(runs) > 12 else "")
        raise DataError(f"{folder}: an ablation of {len(runs)} runs; evaluate one of them: {listed}")


def _crystals(args: argparse.Namespace, samples: Path) -> tuple[Crystals, Crystals]:
    """Reference and training crystals: as given, otherwise those of the run that made the samples."""
    from crystalfw.core.evaluate.destination import is_run

    if args.reference or not (samples.name == "samples.csv" and is_run(samples.parent)):
        return args.reference, args.train
    reference, training = run_crystals(samples.parent)
    return reference, args.train or training


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
def _destination(args: argparse.Namespace, samples: Path, metrics: tuple[ComponentSpec, ...]) -> Iterator[Path]:
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
    out = own_folder(evaluated_folder(samples), "-".join(spec.name for spec in metrics) or "nothing", request)
    try:
        yield out
    except CrystalfwError:
        take_back(out)
        raise


def parse_metrics(text: str) -> tuple[ComponentSpec, ...]:
    """`shares,match:n=[1,20]` as component specs; values are read as YAML."""
    from crystalfw.core.recipe.document import parse

    specs = []
    for item in _split(text):
        name, *settings = item.split(":")
        options = {}
        for setting in settings:
            key, found, value = setting.partition("=")
            if not found:
                raise DataError(f"--metrics {item}: write options as NAME:key=value")
            options[key.strip()] = _as_tuple(parse(value, f"--metrics {item}", override=True).plain())
        specs.append(ComponentSpec(name=name.strip(), options=options, where="--metrics"))
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
