"""Many crystals relaxed over processes, each with one thread, a limit of time, and its own reason to fail."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.energies.crew import Lost, crewed
from crystalfw.core.energies.open import open_potential
from crystalfw.core.energies.relaxation import Relaxed, Settings, relax_one

_PRELOAD = ("torch", "pymatgen.core", "spglib")


def relax_many(
    crystals: Iterable[Crystal], potential: str, settings: Settings | None = None, *,
    options: Mapping[str, Any] | None = None, workers: int = 0, stopped: Callable[[], bool] = lambda: False,
) -> Generator[Relaxed, None, None]:  # fmt: skip
    """What became of each crystal, in order; the same whatever the number of workers (0: all cores).

    `potential` is text as `open_potential` takes it. A crystal that hangs, or whose process dies, has status `time` or
    `died`. Ends early where `stopped` says so. Raises PluginError for a potential that cannot be made.
    """
    found = crewed(
        _prepare, (potential, dict(options or {}), settings or Settings()), crystals, workers=workers,
        seconds=(settings or Settings()).seconds, preload=_PRELOAD, stopped=stopped,
    )  # fmt: skip
    for outcome in found:
        yield _lost(outcome) if isinstance(outcome, Lost) else outcome


def _prepare(text: str, options: Mapping[str, Any], settings: Settings) -> Callable[[Crystal], Relaxed]:
    import torch

    torch.set_num_threads(1)  # several threads of a small crystal wait for each other on a busy machine
    return partial(_relax, open_potential(text, options), settings)


def _relax(potential: Any, settings: Settings, crystal: Crystal) -> Relaxed:
    return relax_one(potential, crystal, settings)


def _lost(outcome: Lost) -> Relaxed:
    return Relaxed(status="died" if "died" in str(outcome) else "time", reason=str(outcome))
