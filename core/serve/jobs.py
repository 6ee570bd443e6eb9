"""Jobs: each has a folder of its own with its request, its log and its results; what is on disk is what is true."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from crystalfw.core.errors import CrystalfwError, DataError
from crystalfw.core.serve.settings import Settings
from crystalfw.core.serve.work import AnyWork, Work
from crystalfw.core.system.files import write_text_atomically

STATES = ("queued", "running", "done", "failed", "cancelled", "interrupted")
ENDED = ("done", "failed", "cancelled", "interrupted")
_WORK: TypeAdapter[Any] = TypeAdapter(AnyWork)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
_TAIL = 20_000


class NotFound(CrystalfwError):  # noqa: N818 - an answer, not an accident
    """There is nothing of that name."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work and how it stands."""

    id: str
    request: dict[str, Any]
    command: str
    """The command line that does the same."""
    python: str
    state: str = "queued"
    message: str = ""
    """Why it failed, as a sentence; empty otherwise."""
    made: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    seconds: float = 0.0
    """Wall time that it computed, all attempts together."""

    @property
    def title(self) -> str:
        """What it does, for a heading: "Predict SrTiO3"."""
        return f"{str(self.request.get('kind', '')).capitalize()} {_label(self.work)}"[:120]

    @property
    def work(self) -> Work:
        """The typed request."""
        work = _WORK.validate_python(self.request)
        assert isinstance(work, Work)
        return work


class JobStore:
    """The jobs of a server, in `runs/page/`. Names of jobs and uploads are checked: none leads out of the folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.root = settings, settings.work

    def folder(self, id: str) -> Path:
        """The folder of a job; raises NotFound."""
        path = self.root / "jobs" / id
        if not _ID.fullmatch(id) or not (path / "job.json").is_file():
            raise NotFound(f"there is no job '{id[:80]}'")
        return path

    def upload(self, id: str) -> Path:
        """The file of an upload; raises NotFound."""
        folder = self.root / "uploads" / id
        files = sorted(folder.iterdir()) if _ID.fullmatch(id) and folder.is_dir() else []
        if not files:
            raise NotFound(f"there is no upload '{id[:80]}'; send the file again")
        return files[0].resolve()

    def model(self, name: str) -> str:
        """The run folder of that name below the runs, else the name itself: that of a delivered model."""
        path = inside(self.settings.runs, name)
        if path is not None and path.is_dir():
            return str(path)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}", name):
            raise NotFound(f"there is no run '{name[:80]}' in {self.settings.runs}")
        return name

    def keep(self, name: str, content: bytes) -> str:
        """Store an upload under a checked name; returns its id."""
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(name.replace("\\", "/")).name).strip("._-")[-80:] or "upload"
        id = f"{_stamp()}-{secrets.token_hex(4)}"
        folder = self.root / "uploads" / id
        try:
            folder.mkdir(parents=True)
            (folder / plain).write_bytes(content)
        except OSError as error:
            raise DataError(f"the upload cannot be stored in {self.root}: {error.strerror or error}") from error
        return id

    def create(self, work: Work) -> Job:
        """A new job, waiting."""
        label = re.sub(r"[^A-Za-z0-9]+", "-", _label(work)).strip("-")[:40] or work.command
        id = f"{_stamp()}-{secrets.token_hex(2)}-{work.command}-{label}"
        folder = self.root / "jobs" / id
        line, python = work.line(self, str(folder / "out")), work.python(self)
        job = Job(id=id, request=work.model_dump(mode="json"), command=line, python=python)
        try:
            folder.mkdir(parents=True)
            self.save(job)
        except OSError as error:
            raise DataError(f"the job cannot be stored in {self.root}: {error.strerror or error}") from error
        return job

    def arguments(self, job: Job) -> list[str]:
        """The command's arguments; a training that has begun is resumed."""
        folder = self.folder(job.id)
        begun = sorted(path.parent for path in (folder / "out").glob("*/recipe.yaml") if not path.parent.is_symlink())
        if job.work.command == "run" and begun:
            return ["run", "--resume", str(begun[-1])]
        return [job.work.command, *job.work.arguments(self, str(folder / "out"))]

    def save(self, job: Job) -> None:
        """Write the record; readers see the old or the new one."""
        write_text_atomically(self.root / "jobs" / job.id / "job.json", json.dumps(asdict(job), indent=1))

    def load(self, id: str) -> Job:
        """The job; raises NotFound, or DataError where its record is damaged."""
        path = self.folder(id) / "job.json"
        try:
            return Job(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: the record is damaged ({error}); delete the folder {path.parent}") from error

    def all(self) -> Iterator[Job]:
        """All jobs, the newest first; damaged records are left out of the list and stay on disk."""
        for path in sorted((self.root / "jobs").glob("*/job.json"), reverse=True):
            try:
                yield self.load(path.parent.name)
            except CrystalfwError:
                continue

    def after_a_stop(self) -> list[Job]:
        """Mark what ran when the last server ended as interrupted; returns what waited."""
        waiting = []
        for job in list(self.all()):
            if job.state == "running":
                self.save(replace(job, state="interrupted", message="the server was stopped; resume continues"))
            elif job.state == "queued":
                waiting.append(job)
        return waiting[::-1]

    def log(self, id: str) -> str:
        """The end of what the command printed."""
        path = self.folder(id) / "log.txt"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace")


def inside(root: Path, name: str) -> Path | None:
    """The path of a name below `root`, links followed; None where it leads out."""
    try:
        path, base = (root / name).resolve(), root.resolve()
    except (OSError, ValueError):
        return None
    return path if name and path != base and path.is_relative_to(base) else None


def _label(work: Work) -> str:
    request = work.model_dump(mode="json")
    named = (request.get(key) for key in ("formulas", "model", "recipe", "formula", "elements"))
    found = next((value for value in named if value), "a table")
    return " ".join(found) if isinstance(found, list) else str(found)


def _stamp() -> str:
    return datetime.now().strftime("%Y%m%d-%H%M%S")
