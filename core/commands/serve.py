"""A page in the browser: predict, solve, generate, look at strings, watch and compare runs. Needs the extra `page`.

  crystalfw serve                             opens http://127.0.0.1:8765 in the browser
  crystalfw serve --runs my_runs/ --port 9000 --no-browser
  crystalfw serve --read-only                 shows runs and crystals, starts nothing

The page does what the commands do, in processes of its own; results are ordinary folders in RUNS/page. It listens on this
machine only, and the address holds a token. Ctrl-C ends it; what ran can be resumed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crystalfw.core.errors import ConditionError, PluginError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw serve`."""
    parser.add_argument(
        "--runs", metavar="FOLDER", default="runs", help="run folders to show; work goes to page/ in it (default runs)"
    )
    parser.add_argument("--port", type=int, default=8765, help="port (default 8765; 0 takes a free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--read-only", action="store_true", help="show, but start nothing and store nothing")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="pieces of work at the same time (default 1)")
    parser.add_argument("--host", default="127.0.0.1", help="another address to listen on; needs --allow-network")
    parser.add_argument(
        "--allow-network", action="store_true", help="let others reach the page: whoever has the token may use it"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C. Raises PluginError where the extra is missing, ConditionError for an unsafe host or a taken port."""
    from crystalfw.core.serve.settings import LOOPBACK, Settings

    if args.host not in LOOPBACK:
        if not args.allow_network:
            raise ConditionError(f"--host {args.host}: others could reach the page; add --allow-network if that is meant")
        print(f"warning: {args.host} can be reached by others, without encryption; keep the token secret", file=sys.stderr)
    if args.at_once < 1:
        raise ConditionError(f"--at-once {args.at_once}: at least one")
    try:
        from crystalfw.core.serve.listen import listen
    except ImportError as error:
        raise PluginError(f"{error.name} is not installed: pip install 'crystalfw[page]'") from error
    from crystalfw.core.commands.cli import COMMANDS

    runs = Path(args.runs).resolve()
    settings = Settings(
        runs=runs, host=args.host, port=args.port, read_only=args.read_only, at_once=args.at_once, commands=frozenset(COMMANDS)
    )
    return listen(settings, browser=not args.no_browser)
