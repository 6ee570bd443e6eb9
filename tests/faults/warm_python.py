"""Stands in for `python -m crystalfw ...` where an ablation starts its runs: asks the warm server for the process.

Signals that reach this process are handed on, and its exit code is the one of the run.
"""

import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.faults.warm import SERVER, Child, request

    arguments = sys.argv[sys.argv.index("crystalfw") + 1 :]
    threads = {name: value for name, value in os.environ.items() if name.endswith("_THREADS")}
    connection = request(os.environ[SERVER], arguments, Path.cwd(), threads, [1, 2])
    child = Child(connection, Path(os.devnull))
    signal.signal(signal.SIGTERM, lambda number, frame: child.send(number))
    sys.exit(child.wait(600))
