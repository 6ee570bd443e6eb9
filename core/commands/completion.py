"""Shell completion: a script with every command and option, printed by `crystalfw --print-completion SHELL`.

  crystalfw --print-completion bash > ~/.local/share/bash-completion/completions/crystalfw
  crystalfw --print-completion zsh > ~/.zfunc/_crystalfw        with ~/.zfunc in $fpath

The script is static: completing a command starts no Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from crystalfw.core.commands.parser import Parser
from crystalfw.core.errors import CrystalfwError, did_you_mean

_FILES = {
    "run", "recipe", "resume", "input", "path", "samples", "reference", "train", "like", "grid", "out", "rejected", "cif_dir",
    "data", "column_file", "what", "folder",
}  # fmt: skip
"""Arguments whose values are files or folders."""


def completion_script(shell: str, commands: Mapping[str, str], fill: Callable[[str, argparse.ArgumentParser], None]) -> str:
    """The script for a shell; `fill(command, parser)` adds the arguments of a command."""
    try:
        import shtab
    except ImportError as error:
        raise CrystalfwError(
            "completion scripts are made with shtab, which is not installed; pip install 'crystalfw[completion]'"
        ) from error
    if shell not in shtab.SUPPORTED_SHELLS:
        hint = did_you_mean(shell, shtab.SUPPORTED_SHELLS, "Shells")
        raise CrystalfwError(f"--print-completion: no scripts are made for the shell '{shell}'. {hint}")
    root = Parser(prog="crystalfw")
    root.add_argument("-V", "--version", action="store_true", help="the installed version")
    subparsers = root.add_subparsers(dest="command")
    for name, summary in commands.items():
        parser = subparsers.add_parser(name, help=summary, description=summary)
        fill(name, parser)
        _complete_files(parser, shtab.FILE)
    script: str = shtab.complete(root, shell)
    return script


def _complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                _complete_files(child, files)
        elif action.dest in _FILES:
            action.complete = files  # type: ignore[attr-defined]
