"""python -m tests.hostile --files 1000 --minutes 10 : every attack, the table of what became of it, and the fuzzers."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.corpus import broken_files
from tests.hostile.files import run, table


def _others(folder: Path) -> int:
    """Archives, recipes, checkpoints, strings, names, the report; returns how many were not survived."""
    from tests.hostile import others

    print("\n| attack | outcome |\n|---|---|")
    failed = 0
    for number, what in enumerate(others.ATTACKS):
        empty = folder / str(number)
        empty.mkdir(parents=True)
        try:
            outcome = f"refused or shown as text, {others.run(what, empty):.1f} CPU s"
        except Exception as error:  # whatever it is, it is a finding
            outcome, failed = f"**{type(error).__name__}: {error}**", failed + 1
        print(f"| {what} | {outcome} |", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="broken structure files (default 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of fuzzing, over all parsers (default 10)")
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        if args.files:
            results = run(broken_files(args.files, args.seed), Path(folder) / "files")
            print("\n".join(table(results)))
            lost = [result for result in results if not result.survived]
            peak, slowest = max(result.peak_mb for result in results), max(results, key=lambda result: result.seconds)
            print(f"\n{len(results)} files, {len(lost)} lost; at most {peak} MB and {slowest.seconds:.1f} CPU s "
                  f"({slowest.file.kind}, {slowest.file.what})")  # fmt: skip
            failed += len(lost)
        failed += _others(Path(folder) / "others")
        if args.minutes:
            from tests.hostile.fuzz import fuzz

            failed += fuzz(args.minutes, Path(folder), args.seed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
