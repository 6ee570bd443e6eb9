"""python -m tests.faults [--tries 50] [--stages fit,sample]: kill -9 at random moments, 50 tries a stage; prints the table.

One try of every stage in turn, so that Ctrl-C leaves a table of equal tries; the same command with the same --folder continues
there. Exit code 1 where anything was lost; the folders of these tries are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from .kill import Killing, Outcome
from .stages import STAGES, Bench, make_bench
from .warm import Warm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=50, help="tries of each stage (default 50)")
    parser.add_argument("--stages", default=",".join(STAGES), help="stages, separated by commas (default all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("--folder", type=Path, help="scratch space; a temporary folder if not given")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="crystalfw-faults-"))
    (folder / "bench").mkdir(parents=True, exist_ok=True)
    table = folder / "table.json"
    outcomes = {name: Outcome(name) for name in args.stages.split(",")}
    if table.exists():
        outcomes |= {item["stage"]: Outcome(**item) for item in json.loads(table.read_text())}
    with Warm() as warm:
        bench = Bench(folder / "bench") if table.exists() else make_bench(folder / "bench", warm.run)
        table.write_text(json.dumps([vars(outcome) for outcome in outcomes.values()]))
        try:
            killings: dict[str, Killing] = {}
            while name := _next(outcomes, args.tries):
                if name not in killings:
                    killings[name] = Killing(warm, bench, name, folder, args.seed)
                    killings[name].outcome = outcomes[name]
                if problem := killings[name].attempt():
                    print(problem, flush=True)
                print(outcomes[name].row, file=sys.stderr, flush=True)
                table.write_text(json.dumps([vars(outcome) for outcome in outcomes.values()]))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    print("| fault | tries | survived | lost |", "|---|---|---|---|", *(item.row for item in outcomes.values()), sep="\n")
    return 1 if any(outcome.lost for outcome in outcomes.values()) else 0


def _next(outcomes: dict[str, Outcome], tries: int) -> str:
    """The stage that has been tried least; empty where all have been tried often enough."""
    name = min(outcomes, key=lambda name: outcomes[name].tries)
    return name if outcomes[name].tries < tries else ""


if __name__ == "__main__":
    sys.exit(main())
