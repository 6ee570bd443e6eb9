"""python -m tests.faults [--tries 50] [--stages fit,sample]: kill -9 at random moments, 50 tries a stage; prints the table.

About 15 minutes on two cores. Exit code 1 where anything was lost; the folders of these tries are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .kill import kill_and_resume
from .stages import STAGES, make_bench
from .warm import Warm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="scratch space; a temporary folder if not given")
    args = parser.parse_args()
    folder = Path(args.folder or tempfile.mkdtemp(prefix="crystalfw-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with Warm() as warm:
        (folder / "bench").mkdir()
        bench = make_bench(folder / "bench", warm.run)
        for name in args.stages.split(","):
            outcomes.append(kill_and_resume(warm, bench, name, folder, args.tries, args.seed))
            print(outcomes[-1].row, flush=True)
    print("\n| fault | tries | survived | lost |\n|---|---|---|---|", *(outcome.row for outcome in outcomes), sep="\n")
    return 1 if any(outcome.lost for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
