"""The command line: picks the command, imports only that, turns errors into sentences and exit codes.

Exit codes: 0 done; 1 the work failed or was interrupted; 2 something in the request is wrong.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from crystalfw.core.commands.parser import Parser, check_paths
from crystalfw.core.errors import CrystalfwError, Interrupted, did_you_mean

COMMANDS = {
    "run": "train, sample, evaluate and report, as a recipe says",
    "sample": "generate crystals with a trained model",
    "predict": "crystals of a composition, ranked, from known structure types",
    "solve": "a measured powder pattern -> ranked structures, each with its fit",
    "pattern": "the powder pattern of a crystal; the peaks of a measured one",
    "library": "build, describe or search a library of known crystals",
    "predict-properties": "formation energy, band gap, ... of structures, with their errors",
    "embed": "what a model's encoder says of structures, as arrays",
    "models": "delivered models: what they answer, how good they are",
    "export": "a trained run as an installable package",
    "relax": "relax crystals with a potential, and rank them by energy",
    "hull": "energy above the hull of known energies, and decomposition",
    "evaluate": "metrics of samples against reference crystals",
    "runs": "list the runs in a folder",
    "ablate": "a grid of recipes and seeds, compared with statistics",
    "data": "check, import, split or prepare a data set",
    "encode": "crystals -> strings",
    "decode": "strings -> crystals",
    "codec": "fit the learned tables of a string representation",
    "plugins": "list every component that is installed, and what failed to load",
    "describe": "what a trained model can be asked for; what a component does, and its options",
    "check": "run the conformance checks on a component",
    "new": "write a new plugin package",
    "serve": "a page in the browser for all of it",
    "doctor": "versions, devices and a quick self-test",
}
_MODULES = {"codec": "codec_fit", "new": "new_plugin", "predict-properties": "predict_properties"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code and prints user errors without a traceback."""
    arguments, chatter = _chatter(list(sys.argv[1:] if argv is None else argv))
    # spglib writes the steps of its own search to stderr; what it cannot find, its callers count with a reason.
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    try:
        code = _aloud(arguments, chatter)
        sys.stdout.flush()
        return code
    except Interrupted as error:
        print(error, file=sys.stderr)
        return 1
    except CrystalfwError as error:
        print("".join(traceback.format_exception(error)) if chatter > 0 else error, file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader, e.g. head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"{error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print(
            "out of memory; what is finished is kept. Use smaller batches (fit.accumulate, --batch-size), fewer workers or "
            f"smaller crystals, and run the same command again ({' '.join(str(error).split())[:200]})",
            file=sys.stderr,
        )
        return 1


def _chatter(arguments: list[str]) -> tuple[list[str], int]:
    """The arguments without -q / --quiet and -v / --verbose, which any command takes at any place; and -1, 0 or 1."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = {"-q": -1, "--quiet": -1, "-v": 1, "--verbose": 1}
    found = [words[text] for text in arguments[:end] if text in words]
    return [text for text in arguments[:end] if text not in words] + arguments[end:], found[-1] if found else 0


def _aloud(arguments: list[str], chatter: int) -> int:
    """Run a command with no progress (-1), as usual (0), or with more of it (1)."""
    if not chatter:
        return _dispatch(arguments)
    from crystalfw.core.system import progress

    before, progress.chatter = progress.chatter, chatter
    try:
        return _dispatch(arguments)
    finally:
        progress.chatter = before


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    from crystalfw.core.system.out_of_memory import is_out_of_memory

    return is_out_of_memory(error)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        import crystalfw

        print(f"crystalfw {crystalfw.__version__}")
        return 0
    command, *rest = arguments
    if command == "--print-completion":
        _print_completion(rest)
        return 0
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS, "Commands", cutoff=0.5)
        raise CrystalfwError(f"crystalfw has no command '{command}'. {hint}")
    return run_command(command, rest)


def make_parser(command: str) -> Parser:
    """The parser of one command; imports the command's module."""
    module = _module(command)
    description = (module.__doc__ or COMMANDS[command]).strip()
    parser = Parser(prog=f"crystalfw {command}", description=description)
    module.add_arguments(parser)
    parser.set_defaults(_run=module.run)
    return parser


def _module(command: str) -> Any:
    name = f"crystalfw.core.commands.{_MODULES.get(command, command)}"
    if find_spec(name) is None:
        raise CrystalfwError(f"the command '{command}' is not part of this installation")
    return import_module(name)


def _print_completion(shells: Sequence[str]) -> None:
    from crystalfw.core.commands.completion import completion_script

    if len(shells) != 1:
        raise CrystalfwError("--print-completion takes one shell: crystalfw --print-completion bash")
    print(completion_script(shells[0], COMMANDS, lambda name, parser: _module(name).add_arguments(parser)))


def run_command(command: str, arguments: Sequence[str]) -> int:
    """Parse and run one command; what --help exits with becomes a return code."""
    try:
        parsed = make_parser(command).parse(arguments)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    check_paths(parsed)
    return int(parsed._run(parsed) or 0)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    return (
        "usage: crystalfw COMMAND ...\n\n"
        "Describe a model in ten lines of YAML; crystalfw trains it, generates crystals for the composition, property or\n"
        "example you ask for, and scores them.\n\n"
        f"commands:\n{lines}\n\n"
        "  crystalfw COMMAND --help    arguments of a command\n"
        "  crystalfw COMMAND -q        no progress on the screen; -v: more often, and errors with their traceback\n"
        "  crystalfw --version         the installed version\n"
        "  crystalfw --print-completion bash    a completion script; also zsh, tcsh, fish\n\n"
        "exit codes: 0 done; 1 failed or interrupted; 2 something in the request is wrong"
    )


if __name__ == "__main__":
    sys.exit(main())
