"""Check a component against the laws of its kind; each broken law says what was found and how to meet it.

  crystalfw check encoder equivariant dim=32 layers=2
  crystalfw check encoder mine --expect "reflection=it tells left from right"
  crystalfw check source table --path crystals.csv

Exit code 1 when a law is broken.
"""

from __future__ import annotations

import argparse

from crystalfw.core.errors import CrystalfwError, RecipeError
from crystalfw.core.recipe.options import make_config
from crystalfw.core.registry import KINDS

_SIGNS = {"ok": "ok", "failed": "BROKEN", "expected": "expected", "skipped": "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw check`."""
    parser.add_argument("kind", choices=KINDS, help="kind of component")
    parser.add_argument("name", help="component, as `crystalfw plugins KIND` lists it")
    parser.add_argument("options", nargs="*", metavar="a.b=c", help="options of the component; c is YAML")
    parser.add_argument("--path", help="file for a source to read")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="LAW=REASON",
        help="a law that need not hold, and why; repeat for several",
    )
    parser.add_argument(
        "--from", dest="owner", metavar="DISTRIBUTION", help="which distribution to take, if two offer the name"
    )


def run(args: argparse.Namespace) -> int:
    """Check law by law, printing each outcome as it comes."""
    from crystalfw.core.discovery import registry
    from crystalfw.core.testing.laws import Subject, run_laws

    component = registry().get(args.kind, args.name, override=args.owner).load()
    subject = Subject(args.kind, component, read_options(args.options), args.path)
    make_config(
        component, dict(subject.options), f"{args.kind} '{args.name}'"
    )  # a wrong option is the user's, not a broken law
    counts = dict.fromkeys(_SIGNS, 0)
    for outcome in run_laws(subject, read_exceptions(args.expect)):
        counts[outcome.status] += 1
        print(f"{_SIGNS[outcome.status]:<9} {outcome.law.name:<20} {outcome.message or outcome.law.statement}", flush=True)
    print(f"{counts['ok']} hold, {counts['failed']} broken, {counts['expected']} expected, {counts['skipped']} not applicable")
    return 1 if counts["failed"] else 0


def read_options(pairs: list[str]) -> dict[str, object]:
    """`dim=32` -> {"dim": 32}; values are YAML as in a recipe."""
    from crystalfw.core.recipe.document import Mistakes, Node, Where
    from crystalfw.core.recipe.merge import apply_override

    root = Node({}, Where("options"))
    for pair in pairs:
        try:
            root = apply_override(root, pair)
        except Mistakes as error:
            raise RecipeError([message for _, message in error.found]) from error
    options = root.plain()
    assert isinstance(options, dict)
    return options


def read_exceptions(pairs: list[str]) -> dict[str, str]:
    """`reflection=why` -> {"reflection": "why"}."""
    found = dict(pair.partition("=")[::2] for pair in pairs)
    if not all(found.values()):
        raise CrystalfwError("--expect LAW=REASON: an exception needs its reason")
    return found
