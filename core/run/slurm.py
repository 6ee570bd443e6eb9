"""Jobs under SLURM that are stopped before their end: queued again on SIGUSR1, continued when they start again.

`#SBATCH --signal=SIGUSR1@120` sends SIGUSR1 two minutes before the time limit: the run saves, asks `scontrol requeue` and
leaves. SIGTERM (scancel, pre-emption) saves and leaves; a pre-empted job is queued again by SLURM itself. Either way the job
script runs from its beginning, and `crystalfw run` with the same recipe finds the folder that it made in the same job.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from crystalfw.core.recipe.expand import expand
from crystalfw.core.recipe.schema import Recipe
from crystalfw.core.system.files import digest, link_atomically

REQUEUED_BY = "SIGUSR1"


def remember(recipe: Recipe, run_dir: Path) -> None:
    """Note which folder this job made for the recipe; nothing outside of SLURM."""
    note = _note(recipe)
    if note is not None:
        link_atomically(note, run_dir.name)


def forget(recipe: Recipe) -> None:
    """Take the note back, of a run whose folder is gone."""
    note = _note(recipe)
    if note is not None:
        note.unlink(missing_ok=True)


def earlier(recipe: Recipe) -> Path | None:
    """The folder that this job made for the recipe before it was queued again; None in a first start or outside of SLURM."""
    note = _note(recipe)
    if note is None or os.environ.get("SLURM_RESTART_COUNT", "0") == "0" or not (note / "recipe.yaml").is_file():
        return None
    return note.parent / os.readlink(note)


def requeue(say: Callable[[str], None]) -> bool:
    """Ask SLURM to queue this job again; says what came of it. False outside of SLURM or where it was refused."""
    job = os.environ.get("SLURM_JOB_ID")
    command = shutil.which("scontrol")
    if job is None:
        return False
    if command is None:
        say(f"job {job} cannot be queued again: there is no scontrol on this node")
        return False
    done = subprocess.run([command, "requeue", job], capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        say(f"job {job} was not queued again: scontrol requeue: {(done.stderr or done.stdout).strip()}")
        return False
    say(f"job {job} is queued again and will resume from the checkpoint")
    return True


def _note(recipe: Recipe) -> Path | None:
    """A link beside the run folders, named by job and recipe: a job may hold several runs."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    key = digest(expand(recipe).encode())[:12]
    return Path(recipe.run_dir) / f".slurm-{job}-{key}"
