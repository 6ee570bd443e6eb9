"""Runs of an ablation: ordinary `crystalfw run` processes in parallel, cached by expanded recipe, resumable.

FOLDER/runs/NAME/   recipe.yaml, variant.json, log.txt, run (link to the run folder), done.json or failed.json

NAME is the variant and the seed, e.g. cross-attention-seed0; where that name holds another recipe, a digest follows.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crystalfw.core.errors import Interrupted
from crystalfw.core.recipe import expand, load_recipe
from crystalfw.core.run.ablation.grid import Cell
from crystalfw.core.run.folder import clear_temporaries, exclusive, is_held
from crystalfw.core.system.files import digest, write_text_atomically
from crystalfw.core.system.progress import duration
from crystalfw.core.system.signals import StopRequest
from crystalfw.core.system.variants import TITLE, slug
from crystalfw.core.system.wording import counted

_POLL_S = 0.2
_LOG_LINES = 6
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One variant with one seed."""

    cell: int
    seed: int
    recipe: str
    """The expanded recipe, without the name and place of the run."""
    folder: Path
    name: str = ""
    """The variant's name in the grid."""

    @property
    def run_dir(self) -> Path:
        """Link to the run's folder."""
        return self.folder / "run"

    @property
    def done(self) -> bool:
        """True where the run has finished."""
        return (self.folder / "done.json").is_file()

    @property
    def failure(self) -> str:
        """The end of the log of a failed run; empty otherwise."""
        path = self.folder / "failed.json"
        return str(json.loads(path.read_text())["log"]) if path.is_file() and not self.done else ""


def make_jobs(base: str, cells: Sequence[Cell], seeds: Sequence[int], minutes: float | None, folder: Path) -> list[Job]:
    """Jobs in the order seed by seed, so that an early stop leaves complete seeds. Raises RecipeError."""
    jobs = []
    places: dict[str, Path] = {}
    for seed in seeds:
        for index, cell in enumerate(cells):
            limit = [] if minutes is None else [f"fit.max_minutes={minutes}"]
            recipe = load_recipe(base, [*cell.overrides(), *limit, f"seed={seed}"])
            text = expand(replace(recipe, name="run", run_dir="."))
            if text not in places:
                places[text] = _place(folder / "runs", f"{slug(cell.name)}-seed{seed}", text, places.values())
            jobs.append(Job(index, seed, text, places[text], cell.name))
    return jobs


def _place(runs: Path, name: str, recipe: str, taken: Collection[Path]) -> Path:
    """The folder of this recipe: by its name, unless another recipe has that, and where an earlier version put it."""
    key = digest(recipe.encode())[:16]
    if (runs / key).is_dir():
        return runs / key
    place = runs / name
    kept = place / "recipe.yaml"
    another = place in taken or (kept.is_file() and kept.read_text(encoding="utf-8") != recipe)
    return runs / f"{name}-{key[:8]}" if another else place


def run_jobs(jobs: Sequence[Job], *, cores: int, threads: int, devices: Sequence[str] = (), say: Say = print) -> None:
    """Run what is not done, `cores // threads` at a time (one per device where devices are given).

    A failed run is recorded and does not stop the others. A run that another process still works on (the run of an ablation
    that was killed saves before it leaves) is waited for. Raises Interrupted after a signal; the runs have then saved.
    """
    folder = jobs[0].folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        clear_temporaries(*(job.folder for job in jobs))
        _run_jobs(jobs, cores=cores, threads=threads, devices=devices, say=say)


def _run_jobs(jobs: Sequence[Job], *, cores: int, threads: int, devices: Sequence[str], say: Say) -> None:
    open_jobs = list({job.folder: job for job in jobs if not job.done}.values())
    slots = list(devices) or [""] * max(1, cores // threads)
    free, running = list(slots), dict[Job, _Process]()
    finished, began = 0, time.monotonic()
    before = len({job.folder for job in jobs}) - len(open_jobs)
    say(f"{counted(len(open_jobs), 'run')} to do, {before} done before, {len(slots)} at a time")
    with StopRequest() as stop:
        while (open_jobs or running) and not stop.requested:
            while free and (ready := [job for job in open_jobs if not is_held(job.run_dir)]):
                job = ready[0]
                open_jobs.remove(job)
                running[job] = _Process(job, threads, free.pop(0))
            time.sleep(_POLL_S)
            for job, process in list(running.items()):
                if (code := process.popen.poll()) is None:
                    continue
                free.append(process.device)
                del running[job]
                finished += 1
                process.finish(code)
                pace = (time.monotonic() - began) / finished
                left = pace * (len(open_jobs) + len(running))
                outcome = "done" if code == 0 else f"FAILED, see {job.folder / 'log.txt'}"
                time_left = f", {duration(left)}" if finished > 1 else ""  # one run tells nothing of the others
                say(f"{job.name}, seed {job.seed}: {outcome}; {len(open_jobs) + len(running)} left{time_left}")
        if stop.requested:
            for process in running.values():
                process.stop()
            raise Interrupted(f"stopped by {stop.requested}; the same command continues where the runs saved")


class _Process:
    """One `crystalfw run`, resumed where a run folder is there already."""

    def __init__(self, job: Job, threads: int, device: str) -> None:
        self.job, self.device, self.began = job, device, time.monotonic()
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "failed.json").unlink(missing_ok=True)
        recipe = job.folder / "recipe.yaml"
        write_text_atomically(recipe, job.recipe)
        title = {"variant": job.name, "seed": job.seed, "grid": job.folder.parent.parent.resolve().name}
        write_text_atomically(job.folder / TITLE, json.dumps(title))
        command = [sys.executable, "-m", "crystalfw", "run"]
        if (job.run_dir / "recipe.yaml").is_file():
            command += ["--resume", str(job.run_dir)]
        else:
            command += [str(recipe), f"run_dir={json.dumps(str(job.folder))}"]
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
        if device:
            environment["CUDA_VISIBLE_DEVICES"] = device
        with open(job.folder / "log.txt", "ab") as log:
            self.popen = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=_die_with_parent(),
                start_new_session=True,
            )

    def finish(self, code: int) -> None:
        """Record the outcome."""
        record = {"seconds": round(time.monotonic() - self.began, 1), "exit_code": code}
        if code == 0:
            write_text_atomically(self.job.folder / "done.json", json.dumps(record))
            return
        tail = (self.job.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:]
        write_text_atomically(self.job.folder / "failed.json", json.dumps({**record, "log": "\n".join(tail)}))

    def stop(self) -> None:
        """Ask the run to save and leave, and wait for it."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.popen.kill()


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux: a run whose ablation is killed gets SIGTERM, saves and leaves, so that a restart finds it free."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc, set_death_signal = ctypes.CDLL(None), 1

    def prepare() -> None:
        with contextlib.suppress(AttributeError):
            libc.prctl(set_death_signal, signal.SIGTERM)

    return prepare
