"""From pip to the first CIF of a composition that is asked for, as a new user: an empty folder, a fresh environment and cache.

python benchmarks/first_cif.py SOURCE          (SOURCE: a checkout or a wheel; takes about ten minutes on two idle cores)

Prints a row for each step: seconds on the clock and of CPU, and the first CIF file.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = {
    "environment": [sys.executable, "-m", "venv", "venv"],
    "pip install": ["venv/bin/pip", "install", "-q"],
    "predict, first time": ["venv/bin/crystalfw", "predict", "SrTiO3", "-o", "first/"],
    "predict, again": ["venv/bin/crystalfw", "predict", "SrTiO3", "-o", "second/"],
    "train four minutes": ["venv/bin/crystalfw", "run", "composition", "data.max_atoms=7", "fit.max_minutes=4"],
    "sample": [
        "venv/bin/crystalfw", "sample", "runs/composition", "--condition", "composition=SrTiO3", "--composition-exact",
        "--candidates", "40", "--keep", "20", "-o", "sto/",
    ],
}  # fmt: skip


def main() -> None:
    """Run the steps one after the other in a temporary folder."""
    source = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": f"{folder}/cache"}
        print("| step | seconds | CPU seconds | load |\n|---|--:|--:|--:|")
        for name, command in STEPS.items():
            began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            given = [*command, source] if name == "pip install" else command
            subprocess.run(given, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"| {name} | {time.monotonic() - began:.0f} | {cpu:.0f} | {os.getloadavg()[0]:.0f} |", flush=True)
        for place in ("first", "sto"):
            found = sorted((Path(folder) / place / "cifs").glob("*.cif"))
            print(f"{place}: {len(found)} CIF files" + (f", the first is {found[0].name}" if found else ""))


if __name__ == "__main__":
    main()
