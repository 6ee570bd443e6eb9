"""The HTTP interface, version 1: typed, described by /api/v1/openapi.json, errors as sentences."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, StreamingResponse

from crystalfw.core.discovery import registry
from crystalfw.core.errors import CheckpointError, ConditionError, PluginError
from crystalfw.core.packaged import Card, read_card
from crystalfw.core.registry import ModelEntry
from crystalfw.core.serve import fits, runs, tables, tasks
from crystalfw.core.serve.guard import REPORT_POLICY
from crystalfw.core.serve.jobs import ENDED, Job, JobStore, NotFound, inside
from crystalfw.core.serve.queue import Queue, results
from crystalfw.core.serve.settings import Settings
from crystalfw.core.serve.work import AnyWork
from crystalfw.core.serve.workers import Worker

router = APIRouter(prefix="/api/v1")
Form = Literal["cif", "poscar", "extxyz"]
Cells = Annotated[int, Field(ge=1, le=4)]


class JobView(BaseModel):
    """A job as it stands."""

    id: str
    kind: str
    state: str
    message: str
    progress: str
    command: str
    python: str
    made: str
    seconds: float
    request: dict[str, Any]


class CrystalText(BaseModel):
    """A crystal."""

    cif: str = Field(max_length=tasks.MAX_CIF, description="CIF text")


class SceneRequest(CrystalText):
    """A crystal to draw."""

    supercell: tuple[Cells, Cells, Cells] = (1, 1, 1)


class FormRequest(CrystalText):
    """A crystal and the format to write it in."""

    form: Form = "cif"


class EncodeRequest(CrystalText):
    """A crystal to write as a string."""

    dialect: Literal["plain", "rigid", "metric"] = "plain"
    space_group: bool = False


class StringText(BaseModel):
    """A string to decode."""

    string: str = Field(max_length=tasks.MAX_STRING)


class _Named:
    """The places of a request that was not sent yet: a file that is still at home has its own name."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def upload(self, id: str) -> Path:
        """The file of an upload, else the name itself."""
        try:
            return self._store.upload(id)
        except NotFound:
            return Path(id)

    def model(self, name: str) -> str:
        """See Places."""
        return self._store.model(name)


class State:
    """What the handlers share; kept on the application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore(settings)
        self.queue = Queue(self.store)
        self.worker = Worker()
        self.tables = tables.Tables()
        self._preparing: asyncio.Future[Any] | None = None

    def prepare(self) -> None:
        """Let the worker process import what pictures need, so that the first crystal need not wait for it."""
        if not self.worker.started and self._preparing is None:
            self._preparing = asyncio.gather(self.worker.call(tasks.ready), return_exceptions=True)

    def may_change(self) -> None:
        """Raises ConditionError on a server that only shows."""
        if self.settings.read_only:
            raise ConditionError("this server was started with --read-only: it shows runs and crystals and starts nothing")


def state_of(request: Request) -> State:
    """The state of the application that answers."""
    state: State = request.app.state.served
    return state


def view(state: State, job: Job) -> JobView:
    """The job with its last line of progress."""
    progress = tables.progress(state.store.log(job.id), state.store.folder(job.id))
    content = {k: v for k, v in asdict(job).items() if k in JobView.model_fields}
    return JobView(**content, kind=str(job.request.get("kind", "")), progress=progress)


@router.get("/status")
def status(request: Request) -> dict[str, Any]:
    """Version, rooms of this installation, and whether work can be started."""
    import crystalfw

    settings = state_of(request).settings
    return {"version": crystalfw.__version__, "commands": sorted(settings.commands), "read_only": settings.read_only}


@router.post("/jobs", status_code=201)
async def create_job(request: Request, work: Annotated[AnyWork, Body()]) -> JobView:
    """Start work: it waits for its turn, then runs in a process of its own."""
    state = state_of(request)
    state.may_change()
    if work.command not in state.settings.commands:
        raise ConditionError(f"this installation has no command '{work.command}'")
    job = state.store.create(work)
    await state.queue.add(job)
    state.prepare()
    return view(state, job)


@router.post("/preview")
def preview(request: Request, work: Annotated[AnyWork, Body()]) -> dict[str, str]:
    """The command line and the Python lines that do the same as this work."""
    places = _Named(state_of(request).store)
    return {"command": work.line(places, "OUT"), "python": work.python(places)}


@router.get("/jobs")
def jobs(request: Request, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[JobView]:
    """The jobs, the newest first."""
    state = state_of(request)
    return [view(state, job) for job, _ in zip(state.store.all(), range(limit), strict=False)]


@router.get("/jobs/{id}")
def job(request: Request, id: str) -> JobView:
    """One job."""
    state = state_of(request)
    return view(state, state.store.load(id))


@router.post("/jobs/{id}/cancel")
async def cancel(request: Request, id: str) -> JobView:
    """Stop a job; finished rows and checkpoints are kept."""
    state = state_of(request)
    state.may_change()
    return view(state, await state.queue.cancel(id))


@router.post("/jobs/{id}/resume")
async def resume(request: Request, id: str) -> JobView:
    """Continue a job that was cancelled, failed or interrupted."""
    state = state_of(request)
    state.may_change()
    return view(state, await state.queue.resume(id))


@router.get("/jobs/{id}/log")
def log(request: Request, id: str) -> PlainTextResponse:
    """The end of what the command printed."""
    return PlainTextResponse(state_of(request).store.log(id))


@router.get("/jobs/{id}/crystals")
def crystals(
    request: Request, id: str, offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=200)] = 24,
    crystals_only: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Rows of the job's table so far, with the counts of what failed."""
    table = state_of(request).store.folder(id) / "out" / "samples.csv"
    return state_of(request).tables.rows(table, offset, limit, crystals_only=crystals_only)


@router.get("/jobs/{id}/fit")
def fit(request: Request, id: str, number: Annotated[int, Query(ge=0, lt=10**6)] = 0) -> dict[str, Any]:
    """The measured and the computed curve of a solved pattern, with the verdict."""
    return fits.fit(state_of(request).store.folder(id) / "out", number)


@router.get("/jobs/{id}/files")
def files(request: Request, id: str) -> list[str]:
    """The files that the job has made."""
    folder = state_of(request).store.folder(id)
    return [path.relative_to(folder / "out").as_posix() for path in results(folder)]


@router.get("/jobs/{id}/files/{name:path}")
def file(request: Request, id: str, name: str) -> FileResponse:
    """One of these files."""
    path = inside(state_of(request).store.folder(id) / "out", name)
    if path is None or not path.is_file():
        raise NotFound(f"the job has no file '{name[:120]}'")
    return _download(path)


@router.get("/jobs/{id}/events")
async def events(request: Request, id: str) -> StreamingResponse:
    """Server-sent events: the job whenever it changes, until it has ended."""
    state = state_of(request)
    state.store.load(id)
    return StreamingResponse(_events(state, id, request), media_type="text/event-stream")


async def _events(state: State, id: str, request: Request) -> AsyncIterator[str]:
    last = ""
    while not await request.is_disconnected():
        now = view(state, state.store.load(id))
        trained = [runs.stamp(path.parent) for path in sorted((state.store.folder(id) / "out").glob("*/metrics.csv"))]
        table = state.store.folder(id) / "out" / "samples.csv"
        size = table.stat().st_size if table.is_file() else 0
        text = json.dumps({**now.model_dump(), "size": size, "curves": trained})
        if text != last:
            yield f"data: {text}\n\n"
            last = text
        else:
            yield ": nothing new\n\n"
        if now.state in ENDED:
            return
        await asyncio.sleep(0.7)


@router.post("/uploads/{name}", status_code=201)
async def upload(request: Request, name: str) -> dict[str, str]:
    """Store a file, sent as the body; its id is what requests name. It is parsed in the worker process only."""
    state = state_of(request)
    state.may_change()
    content = await request.body()
    if not content:
        raise ConditionError(f"{name[:80]}: the file is empty")
    return {"id": state.store.keep(name, content)}


@router.get("/uploads/{id}/crystals")
async def count(request: Request, id: str) -> dict[str, Any]:
    """How many crystals an upload holds, and why others cannot be read."""
    state = state_of(request)
    return await state.worker.call(tasks.count_of_file, str(state.store.upload(id)))


@router.post("/scene")
async def scene(request: Request, asked: SceneRequest) -> dict[str, Any]:
    """Atoms, bonds, polyhedra and cell of a crystal, to be drawn."""
    return await state_of(request).worker.call(tasks.show, asked.cif, asked.supercell)


@router.post("/convert")
async def convert(request: Request, asked: FormRequest) -> PlainTextResponse:
    """The crystal as CIF, POSCAR or extended XYZ."""
    return PlainTextResponse(await state_of(request).worker.call(tasks.write, asked.cif, asked.form))


@router.post("/strings/encode")
async def encode(request: Request, asked: EncodeRequest) -> dict[str, Any]:
    """The SLICES string of a crystal, piece by piece."""
    return await state_of(request).worker.call(tasks.encode, asked.cif, asked.dialect, asked.space_group)


@router.post("/strings/decode")
async def decode(request: Request, asked: StringText) -> dict[str, Any]:
    """The crystal of a SLICES string, piece by piece."""
    return await state_of(request).worker.call(tasks.decode, asked.string)


@router.post("/picture")
async def picture(request: Request, asked: CrystalText) -> HTMLResponse:
    """A small picture of a crystal, as notebooks show it."""
    return HTMLResponse(await state_of(request).worker.call(tasks.picture, asked.cif))


@router.get("/models")
def models(request: Request) -> list[dict[str, str]]:
    """Models to generate with: those that installed distributions deliver, then runs with a checkpoint, the newest first.
    `says`: how good it is, in a line."""
    found = []
    for entry in registry().models():
        card = _card(entry)
        if card is not None and card.kind == "generator":
            found.append({"name": entry.name, "label": f"{entry.name}, delivered", "says": card.headline})
    trained = [entry["name"] for entry in runs.listed(state_of(request).settings.runs) if entry["trained"]]
    return found + [{"name": name, "label": f"{name}, trained here", "says": ""} for name in trained]


@router.get("/models/{name:path}")
async def model(request: Request, name: str) -> dict[str, Any]:
    """What a trained model can be asked, with the ranges of its training data."""
    state = state_of(request)
    return await state.worker.call(tasks.describe, state.store.model(name))


@router.get("/runs")
def run_list(request: Request) -> list[dict[str, Any]]:
    """The run folders, the newest first."""
    return runs.listed(state_of(request).settings.runs)


@router.get("/comparison")
def comparison(request: Request, run: Annotated[list[str], Query(min_length=1, max_length=8)]) -> dict[str, Any]:
    """Runs side by side."""
    return runs.compared(state_of(request).settings.runs, run)


@router.get("/reports/{name:path}")
def report(request: Request, name: str) -> FileResponse:
    """The report of a run, in a sandbox."""
    path = runs.report_of(state_of(request).settings.runs, name)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


@router.get("/runs/{name:path}")
def run(request: Request, name: str) -> dict[str, Any]:
    """One run: recipe, curves, figures."""
    return runs.described(state_of(request).settings.runs, name)


def _card(entry: ModelEntry) -> Card | None:
    """The card of a delivered model; None where it is damaged (`crystalfw models` names it)."""
    try:
        return read_card(entry.folder())
    except (CheckpointError, PluginError):
        return None


def _download(path: Path) -> FileResponse:
    """As a download, never shown by the browser as a page of ours."""
    headers = {"content-security-policy": REPORT_POLICY}
    return FileResponse(path, media_type="application/octet-stream", filename=path.name, headers=headers)
