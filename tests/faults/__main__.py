"""python -m tests.faults [--tries 50] [--stages fit,sample]: kill -9 at random moments, 50 tries a stage; prints the table.

One try of every stage in turn, so that Ctrl-C leaves a table of equal tries. Exit code 1 where anything was lost; the
folders of these tries are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .kill import Killing
from .stages import STAGES, make_bench
from .warm import Warm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=50, help="tries of each stage (default 50)")
    parser.add_argument("--stages", default=",".join(STAGES), help="stages, separated by commas (default all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("--folder", type=Path, help="scratch space, a new folder; a temporary one if not given")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="crystalfw-faults-"))
    (folder / "bench").mkdir(parents=True)
    killings: list[Killing] = []
    with Warm() as warm:
        bench = make_bench(folder / "bench", warm.run)
        try:
            killings.extend(Killing(warm, bench, name, folder, args.seed) for name in args.stages.split(","))
            for number in range(args.tries):
                for killing in killings:
                    if problem := killing.attempt():
                        print(problem, flush=True)
                rows = [killing.outcome.row for killing in killings]
                print(f"{number + 1} of {args.tries} rounds", *rows, sep="\n", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    rows = [killing.outcome.row for killing in killings]
    print("| fault | tries | survived | lost |", "|---|---|---|---|", *rows, sep="\n")
    return 1 if any(killing.outcome.lost for killing in killings) else 0


if __name__ == "__main__":
    sys.exit(main())
