"""List every component that is installed: kind, name, distribution and version, a sentence; and what failed to load.

Only the registration of the plugins is imported, so a component listed here may still need an extra.
"""

from __future__ import annotations

import argparse
import json

from crystalfw.core.commands.parser import add_json
from crystalfw.core.discovery import registry
from crystalfw.core.registry import KINDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw plugins`."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="kind of component; default: all kinds")
    add_json(parser, "components [{kind, name, origin, summary}], failures [{origin, cause}]")


def run(args: argparse.Namespace) -> int:
    """Print the table; exit code 1 when some distribution failed to load."""
    found = registry()
    rows = [
        {"kind": entry.kind, "name": entry.name, "origin": str(entry.origin), "summary": entry.summary}
        for entry in found.entries(args.kind)
    ]
    failures = [{"origin": str(origin), "cause": cause} for origin, cause in found.failures.items()]
    if args.json:
        print(json.dumps({"components": rows, "failures": failures}, indent=2))
        return 1 if failures else 0
    widths = {key: max((len(row[key]) for row in rows), default=0) for key in ("kind", "name", "origin")}
    for row in rows:
        print("  ".join([*(row[key].ljust(width) for key, width in widths.items()), row["summary"]]).rstrip())
    for failure in failures:
        print(f"not loaded: {failure['origin']}: {failure['cause']}")
    return 1 if failures else 0
