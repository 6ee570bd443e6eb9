"""Run folders: a new one per run, a link to the newest, a lock, and the files that identify the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.system.files import link_atomically


def new_run_dir(recipe: Recipe) -> Path:
    """runs/NAME-DATE, and runs/NAME as a link to the newest."""
    base = Path(recipe.run_dir)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    count, run_dir = 1, base / f"{recipe.name}-{stamp}"
    while True:
        try:
            (run_dir / "checkpoints").mkdir(parents=True)
            break
        except FileExistsError:
            count += 1
            run_dir = base / f"{recipe.name}-{stamp}-{count}"
        except OSError as error:
            raise DataError(f"{base}: cannot make a run folder there ({error.strerror}); set run_dir=FOLDER") from error
    link = base / recipe.name
    if link.is_symlink() or not link.exists():
        link_atomically(link, run_dir.name)
    return run_dir


@contextmanager
def exclusive(run_dir: Path) -> Iterator[None]:
    """Hold the run folder: a second process that wants it refuses. The lock ends with the process, however it ends."""
    import fcntl

    with (run_dir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CrystalfwError(f"{run_dir}: another process is working in this run folder; wait for it or stop it") from error
        yield


def is_held(run_dir: Path) -> bool:
    """True while a process works in the run folder."""
    if not (run_dir / ".lock").exists():
        return False
    try:
        with exclusive(run_dir):
            return False
    except CrystalfwError:
        return True


def clear_temporaries(*folders: Path) -> None:
    """Remove what a killed process was still writing; only while the folder is held."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)
