"""Judge samples, ours or anybody's, against reference crystals: metrics.json and report.html.

crystalfw evaluate runs/xattn/samples.csv --reference data/test.csv.gz --train data/train.csv.gz
crystalfw evaluate their_cifs/ --reference data/test.csv.gz --metrics shares,coverage
crystalfw evaluate predictions.csv --reference data/test.csv.gz --match-by-id    its ids are those of the references
crystalfw evaluate runs/xattn --reference data --metrics shares:tolerance=loose,match:n=[1,20]
crystalfw evaluate runs/xattn --reference data --json    the content of metrics.json on stdout, progress on stderr
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from crystalfw.core.commands._workers import add_worker_arguments
from crystalfw.core.commands.parser import add_json, add_out
from crystalfw.core.errors import DataError, Interrupted
from crystalfw.core.recipe.schema import ComponentSpec, EvaluateSection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw evaluate`."""
    default = ",".join(spec.name for spec in EvaluateSection().metrics)
    parser.add_argument("samples", help="samples.csv, a run folder, a CSV with a cif column, a folder or zip of CIFs, extxyz")
    parser.add_argument("--reference", metavar="PATH", help="reference crystals; of a folder with parts the test part")
    parser.add_argument("--train", metavar="PATH", help="crystals that novelty is judged against; of a folder the train part")
    parser.add_argument("--metrics", default=default, help=f"separated by commas; NAME:key=value sets an option ({default})")
    parser.add_argument("--match-by-id", action="store_true", help="a sample's id is the id of its reference")
    add_out(parser, "FOLDER", "where metrics.json and report.html go (default: the samples' folder)")
    add_json(parser, "the content of metrics.json")
    add_worker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the figures, write metrics.json and report.html; 1 where a metric could not be computed."""
    from crystalfw.core.evaluate.evaluation import evaluate
    from crystalfw.core.evaluate.inputs import sample_path
    from crystalfw.core.evaluate.report import write_report

    samples = sample_path(args.samples)
    out = Path(args.out) if args.out else samples.parent
    # with --json nothing else may stand on stdout, whatever a metric prints
    screen = redirect_stdout(sys.stderr) if args.json else nullcontext()
    try:
        with screen:
            record = evaluate(
                samples, args.reference, parse_metrics(args.metrics), training=args.train, out=out,
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
