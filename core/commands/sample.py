"""Generate crystals with a trained model; the checkpoint knows its model, so no recipe is needed.

  crystalfw sample runs/xattn --n 100 --condition band_gap=2.0
  crystalfw sample runs/xattn --until 50 --condition band_gap=1.5..2.5
  crystalfw sample runs/xattn --n 100 --condition composition=SrTiO3 --composition-exact
  crystalfw sample runs/composition --n 30 --condition composition=LiFePO4 --formula-units 1,2,4
  crystalfw sample mp-property --n 50 --condition band_gap=2.0          a delivered model, ready without training
  crystalfw sample runs/xattn --n 100 --like NaCl.cif -o like_NaCl/samples.csv
  crystalfw sample runs/xattn --n 20 --like NaCl.cif -o like_NaCl.extxyz
  crystalfw sample runs/unconditional --n 1000 --temperature 0.8
  crystalfw sample runs/demo --model "cross attention" --like NaCl.cif
  crystalfw sample runs/composition --like test.csv --composition-exact --candidates 40 --keep 20

Writes a table (one row per crystal requested; failed samples state the reason) and the crystals: -o out/ gives
out/samples.csv and out/cifs/, -o out.csv its CIF files in out_cifs/, -o out.cif, out.extxyz or out.json one file of all
crystals and the table out.csv. The same command continues where an interrupted one stopped; sample k depends on
the seed and k only, not on the batch size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalfw.core.commands.parser import OUT_HELP, add_out, add_run, add_symprec, check_checkpoint, key_type
from crystalfw.core.errors import ConditionError, CrystalfwError
from crystalfw.core.system.files import file_digest
from crystalfw.core.system.variants import runs_inside, slug

if TYPE_CHECKING:
    from crystalfw.core.sample.trained import Trained

RANGE_VALUES = 9
"""Values that a range LOW..HIGH stands for."""
_SETTINGS = (
    "candidates", "beam", "keep", "batch_size", "temperature", "top_k", "top_p", "min_p", "guidance", "max_length",
    "drawn", "judge",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw sample`."""
    from crystalfw.core.recipe.field_docs import field_sentences
    from crystalfw.core.recipe.schema import SampleSection

    sentences = field_sentences(SampleSection)
    add_run(parser)
    parser.add_argument("--model", metavar="NAME", help="of an ablation's folder: the run to take, e.g. cross-attention-seed0")
    number = "crystals to generate (default 100; in a prediction what all conditions need)"
    parser.add_argument("--n", type=key_type(SampleSection, "n"), help=number)
    until = "instead: until so many distinct crystals are there, at most 20 tries for each"
    parser.add_argument("--until", type=key_type(SampleSection, "n"), metavar="N", help=until)
    parser.add_argument(
        "--condition", action="append", default=[], metavar="NAME=VALUE", help="repeat for several; LOW..HIGH spreads a number"
    )
    units = "cells of so many formula units of the composition, e.g. 1,2,4, in turn (default 1)"
    parser.add_argument("--formula-units", type=_formula_units, metavar="K,...", help=units)
    parser.add_argument("--like", metavar="FILE", help="condition on crystals (CIF file, table, folder) or a table of patterns")
    parser.add_argument("--composition-exact", action="store_true", help="only strings of exactly the condition's composition")
    hard = "hard condition, e.g. allowed_elements=Na,Cl or n_atoms=[4,12] or charge_balanced=true; repeat for several"
    parser.add_argument("--constraint", action="append", default=[], metavar="NAME=VALUE", help=hard)
    for name in _SETTINGS:
        sentence = sentences[name].replace("%", "%%").removesuffix(".")
        meaning = sentence[0].lower() + sentence[1:]
        if name == "drawn":
            parser.add_argument("--drawn", nargs="*", metavar="NAME", help=meaning)
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, type=key_type(SampleSection, name), help=meaning)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random streams (default 0)")
    parser.add_argument("--device", default="cpu", help="torch device, e.g. cuda (default cpu)")
    add_out(parser, "OUT", f"{OUT_HELP} (default RUN/sampled/CONDITION/; of a delivered model sampled/MODEL/CONDITION/)")
    add_symprec(parser)


def run(args: argparse.Namespace) -> int:
    """Sample; raises ConditionError for a condition that the model was not trained with."""
    conditions, constraints = read_conditions(args.condition), read_constraints(args.constraint)
    args.run = str(chosen_run(Path(args.run), args.model))
    check_request(args)
    from crystalfw.core.model.checkpoint import find
    from crystalfw.core.sample.destination import destination
    from crystalfw.core.sample.outcome import outcome_lines
    from crystalfw.core.sample.request import default_count, needed_conditions
    from crystalfw.core.sample.trained import Trained
    from crystalfw.core.sample.training_range import warnings_outside
    from crystalfw.core.sample.until import sample_until
    from crystalfw.core.sample.writing import finish_samples, sample_to_table

    trained = Trained.load(args.run, which=args.checkpoint, device=args.device)
    settings: dict[str, Any] = {name: getattr(args, name) for name in _SETTINGS if getattr(args, name) is not None}
    if "drawn" in settings:
        settings["drawn"] = tuple(settings["drawn"])
    for given, other in (("beam", "candidates"), ("candidates", "beam")):
        if given in settings:
            settings.setdefault(other, None)  # instead of the recipe's
    section = checked_settings(trained, {"n": 100, **settings})
    asked = [one for cell in cells(conditions, args.formula_units) for one in spread(cell)]
    each = [trained.conditions(condition, args.like, needed_conditions(section, args.n)) for condition in asked]
    crystals = [crystal for group in each for crystal in group]
    for warning in warnings_outside(crystals, trained.requires, trained.ranges):
        print(warning, file=sys.stderr)
    request = trained.request(
        dataclasses.replace(section, n=args.n or default_count(section, len(crystals))),
        seed=args.seed,
        conditions=crystals,
        constraints={**constraints, **({"composition": "from_condition"} if args.composition_exact else {})},
    )
    place = destination(args.out or _default_out(args))
    out = place.table
    same_request(out, {
        "checkpoint": _digest(find(Path(args.run), args.checkpoint)), "conditions": conditions,
        "like": _digest(Path(args.like)) if args.like else None, "composition_exact": args.composition_exact,
        "formula_units": args.formula_units,
        "seed": args.seed, **({"constraints": constraints} if constraints else {}),
        **{k: v for k, v in dataclasses.asdict(section).items() if k not in ("n", "batch_size")},
    })  # fmt: skip
    if args.until:
        until = sample_until(
            args.until, request, out, trained.components.representation,
            lambda grown: sample_to_table(trained, grown, out, resume=True),
        )  # fmt: skip
        print(until)
    else:
        sample_to_table(trained, request, out, resume=True)
    finish_samples(out, print, crystals=place.crystals, symprec=args.symprec)
    print(*outcome_lines(out), sep="\n")
    return 0


def chosen_run(folder: Path, name: str | None) -> Path:
    """The run itself, or that of this name in an ablation's folder. Raises CrystalfwError with the names there are."""
    runs = runs_inside(folder)
    if not runs:
        if name:
            raise CrystalfwError(f"{folder}: not the folder of an ablation, so that --model {name} means nothing; leave it out")
        return folder
    wanted = slug(name) if name else ""
    found = [place for known, place in runs.items() if wanted and (known == wanted or known.startswith(f"{wanted}-seed"))]
    if len(found) == 1 or (name is None and len(runs) == 1):
        return found[0] if found else next(iter(runs.values()))
    what = (
        f"holds no run '{name}'" if name and not found else f"holds {len(found or runs)} runs" + (f" '{name}'" if name else "")
    )
    raise CrystalfwError(f"{folder}: {what}; choose one with --model NAME: {', '.join(runs)}")


def check_request(args: argparse.Namespace) -> None:
    """What can be said before torch is imported. Raises CrystalfwError."""
    if args.until and (args.n or args.candidates or args.beam):
        raise CrystalfwError("--until counts distinct crystals; leave out --n, --candidates and --beam")
    if args.like and args.condition:
        raise ConditionError("give either --condition or --like, not both")
    if args.like and not Path(args.like).exists():
        raise CrystalfwError(f"--like {args.like}: no such file or folder")
    check_checkpoint(Path(args.run))


def read_conditions(pairs: list[str]) -> dict[str, Any]:
    """`band_gap=2.0` -> {"band_gap": 2.0}; a value that is no number stays text. Raises ConditionError."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConditionError(f"--condition {pair}: write NAME=VALUE, for example band_gap=2.0 or composition=SrTiO3")
        if name in found:
            raise ConditionError(f"--condition {pair}: '{name}' is given twice")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value
            bounds(name, value)  # a wrong range is said at once
    return found


def read_constraints(pairs: list[str]) -> dict[str, Any]:
    """`allowed_elements=Na,Cl` -> {"allowed_elements": ["Na", "Cl"]}; other values are YAML. Raises ConditionError."""
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not value:
            raise ConditionError(f"--constraint {pair}: write NAME=VALUE, for example allowed_elements=Na,Cl")
        try:
            # symbols stay text: YAML takes No for false
            found[name] = value.replace(" ", "").split(",") if name.endswith("_elements") else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConditionError(f"--constraint {pair}: the value cannot be read: {error}") from error
    return found


def bounds(name: str, value: Any) -> tuple[float, float] | None:
    """The ends of `LOW..HIGH`; None for anything else. Raises ConditionError for ends that are no numbers or swapped."""
    if not isinstance(value, str) or ".." not in value:
        return None
    low, _, high = value.partition("..")
    try:
        ends = float(low), float(high)
    except ValueError as error:
        raise ConditionError(f"--condition {name}={value}: write LOW..HIGH, for example {name}=2..4") from error
    if not ends[0] < ends[1]:
        raise ConditionError(f"--condition {name}={value}: the first number must be the smaller one")
    return ends


def spread(condition: dict[str, Any]) -> list[dict[str, Any]]:
    """The condition once for each of RANGE_VALUES values of its ranges, evenly from end to end; as it is without a range."""
    ranges = {name: ends for name, value in condition.items() if (ends := bounds(name, value))}
    if not ranges:
        return [condition]
    shares = [k / (RANGE_VALUES - 1) for k in range(RANGE_VALUES)]
    return [{**condition, **{name: low + share * (high - low) for name, (low, high) in ranges.items()}} for share in shares]


def cells(conditions: dict[str, Any], units: list[int] | None) -> list[dict[str, Any]]:
    """The conditions once for each number of formula units. Raises ConditionError where no composition is given."""
    if units is None:
        return [conditions]
    if "composition" not in conditions:
        raise ConditionError("--formula-units needs a composition: give --condition composition=FORMULA")
    from crystalfw.core.sample.conditions import parse_composition

    formula = parse_composition(conditions["composition"])
    return [{**conditions, "composition": {element: k * count for element, count in formula.items()}} for k in units]


def _formula_units(text: str) -> list[int]:
    try:
        units = [int(part) for part in text.split(",")]
    except ValueError:
        units = []
    if not units or min(units) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': give whole numbers of 1 or more, e.g. 1,2,4")
    return units


def checked_settings(trained: Trained, settings: dict[str, Any]) -> Any:
    """The model's own sample section with these settings, each checked as in a recipe."""
    from crystalfw.core.recipe.convert import INVALID, Reader
    from crystalfw.core.recipe.document import Where, wrap
    from crystalfw.core.recipe.schema import SampleSection

    reader = Reader(None)
    section = reader.read(SampleSection, wrap({**dataclasses.asdict(trained.recipe.sample), **settings}, Where("sample")), "")
    if section is INVALID:
        raise CrystalfwError("\n".join(message for _, message in reader.mistakes))
    return section


def same_request(out: Path, request: dict[str, Any]) -> None:
    """Record what the table is made from, or raise where it was made from something else: tables never mix."""
    record = out.with_suffix(".request.json")
    text = json.dumps(request, indent=2, sort_keys=True, default=str)
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(text, encoding="utf-8")
        return
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CrystalfwError(
            f"{out}: there is a table that `crystalfw sample` did not write; choose another with -o"
        ) from error
    now = json.loads(text)
    changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    if changed:
        raise CrystalfwError(f"{out}: made with another {', '.join(changed)}; choose another file with -o, or delete it")


def _digest(path: Path) -> str:
    """SHA-256 of a file; a folder is known by its resolved name."""
    if path.is_dir() or not path.exists():
        return str(path.resolve())
    return file_digest(path)


def _default_out(args: argparse.Namespace) -> Path:
    """A folder of its own per request, so that two requests never mix in one table."""
    run = Path(args.run)
    if not run.exists():  # a delivered model: nothing is written among its files, nor into a folder of its name
        return Path("sampled") / str(args.run) / _label(args) / "samples.csv"
    folder = run if run.is_dir() else run.parent.parent if run.parent.name == "checkpoints" else run.parent
    return folder / "sampled" / _label(args) / "samples.csv"


def _label(args: argparse.Namespace) -> str:
    """What tells a request from others, as a folder's name."""
    changes = [name for name in _SETTINGS if name != "batch_size"]  # the batch size changes no sample
    values = {name: getattr(args, name) for name in changes if getattr(args, name) is not None}
    chosen = [f"{name}{'.'.join(value) if isinstance(value, list) else value}" for name, value in values.items()]
    chosen += ["exact"] if args.composition_exact else []
    chosen += args.constraint
    chosen += ["units" + ".".join(map(str, args.formula_units))] if args.formula_units else []
    chosen += [args.checkpoint] if args.checkpoint != "best" else []
    words = [*args.condition, Path(args.like).stem if args.like else "", *chosen, f"seed{args.seed}"]
    return "_".join("".join(c if c.isalnum() or c in "=.-" else "_" for c in word) for word in words if word)
