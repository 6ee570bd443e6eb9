"""The pluggy hooks: how a distribution registers components, and where it may look on during a run.

One documented function per hook. A distribution's entry point (group `crystalfw.plugins`) names a module or object with
functions marked `@hookimpl`; a misspelt hook name is an error when the plugin is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

if TYPE_CHECKING:
    from crystalfw.core.registry import Registry

PROJECT = "crystalfw"
INTERFACE_VERSION = 1
"""Raised when a contract changes so that a plugin must change; see docs/project/stability.md."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def crystalfw_register(registry: Registry) -> None:
    """Register components: `registry.add("encoder", "schnet", "my_package.schnet:SchNet", summary="...")`.

    Give import strings, not classes: nothing heavy is imported until a recipe asks for the component. A trained model comes
    the same way: `registry.add_model("mine", "my_package:mine")`, with a folder as `crystalfw export` writes it.
    """


@runtime_checkable
class HasWidth(Protocol):
    """What an executor may have besides `concurrent.futures.Executor`."""

    @property
    def width(self) -> int:
        """The number of calls that it does at a time."""


@hookspec(firstresult=True)
def crystalfw_executor(name: str, address: str, workers: int) -> Executor | None:
    """An executor for CPU work under this name, or None where the name is not yours.

    What `data.executor: NAME` or `--executor NAME:ADDRESS` asks for; `address` is empty where none is given, `workers` the
    number asked for (0: as many as there are). Its `shutdown` is called at the end. It may have the `width` of
    `HasWidth`. Functions and arguments can be pickled; files are written where a call runs, so that workers on other machines
    need the same file system. A worker that died is a `BrokenExecutor` from the future.
    """


@hookspec
def fit_start(run_dir: Path, recipe: Mapping[str, Any], resumed: bool) -> None:
    """Before the first step, on every rank."""


@hookspec
def step_end(step: int, metrics: Mapping[str, float]) -> None:
    """After a logged optimiser step, on rank 0."""


@hookspec
def validation_end(step: int, metrics: Mapping[str, float]) -> None:
    """After a validation, on rank 0."""


@hookspec
def samples_ready(samples_path: Path, count: int) -> None:
    """When all samples of a request are written."""


@hookspec
def run_end(run_dir: Path, status: str) -> None:
    """At the end of `crystalfw run`: status is `done`, `interrupted` or `failed`."""
