"""Run folders: a new one per run, a link to the newest, a lock, and the files that identify the run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.system.files import link_atomically


def new_run_dir(recipe: Recipe) -> Path:
    """runs/NAME-DATE; runs/NAME, the link to the newest, is made where it shows no run and is otherwise left as it is."""
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
    if not link.exists() or (link.is_symlink() and not (link / "recipe.yaml").is_file()):
        link_atomically(link, run_dir.name)
    return run_dir


def link_newest(run_dir: Path, name: str) -> None:
    """Point runs/NAME to a run that has its first checkpoint, unless a newer one with a checkpoint is there already."""
    run_dir = run_dir.resolve()
    link = run_dir.parent / name
    if not run_dir.name.startswith(f"{name}-") or (link.exists() and not link.is_symlink()):
        return
    if not (link.exists() and _has_checkpoint(link) and os.readlink(link) > run_dir.name):
        link_atomically(link, run_dir.name)


def discard_unbegun(run_dir: Path, name: str) -> bool:
    """Remove the folder of a run that failed before its first logged step; False where there is something to keep."""
    log = run_dir / "metrics.csv"
    if _has_checkpoint(run_dir) or (log.is_file() and log.read_bytes().count(b"\n") > 1):
        return False
    link = run_dir.parent / name
    if link.is_symlink() and os.readlink(link) == run_dir.name:
        link.unlink()  # it was made for this run: no other was there
    shutil.rmtree(run_dir, ignore_errors=True)
    return True


def _has_checkpoint(run_dir: Path) -> bool:
    return any((run_dir / "checkpoints").glob("*.pt"))


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
