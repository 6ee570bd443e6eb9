"""The five rooms of the page, rendered here; static/*.js fills them through the interface."""

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from crystalfw.core.serve.api import State, state_of

router = APIRouter(include_in_schema=False)
ROOMS = {
    "predict": ("Predict", "Crystals of a composition"), "solve": ("Solve", "The crystal of a powder pattern"),
    "generate": ("Generate", "New crystals from a model"), "strings": ("Strings", "Crystal ↔ SLICES"),
    "runs": ("Runs", "Training, reports, comparison"),
}  # fmt: skip
NEEDS = {"predict": "predict", "solve": "solve", "generate": "sample"}
"""Room -> command that it needs."""
_ENVIRONMENT = Environment(
    loader=PackageLoader("crystalfw.core.serve"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


@router.get("/")
def first() -> Response:
    """The first room."""
    return RedirectResponse("/predict", status_code=303)


@router.get("/favicon.ico")
def icon() -> Response:
    """None: browsers ask anyway."""
    return Response(status_code=204)


@router.get("/jobs/{id}")
def job(request: Request, id: str) -> Response:
    """One job, where it can be returned to."""
    state = state_of(request)
    found = state.store.load(id)
    return _page(state, "job", room="", job=found.id, title=found.title)


@router.get("/{room}")
def room(request: Request, room: str) -> Response:
    """One of the rooms; an unknown one is a page that says so."""
    state = state_of(request)
    if room not in ROOMS:
        return problem(request, f"There is no page '{room[:80]}'.", 404)
    missing = NEEDS.get(room, "run") not in state.settings.commands
    if missing:
        return _page(state, "later", room=room, title=ROOMS[room][0])
    return _page(state, room, room=room, title=ROOMS[room][0], recipes=_recipes() if room == "runs" else [])


def problem(request: Request, sentence: str, status: int) -> HTMLResponse:
    """A page with the sentence of an error."""
    return _page(state_of(request), "missing", room="", title="Not found", sentence=sentence, status=status)


def _page(state: State, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    import crystalfw

    content = _ENVIRONMENT.get_template(f"{template}.html").render(
        rooms=ROOMS,
        read_only=state.settings.read_only,
        max_upload=state.settings.max_upload,
        version=crystalfw.__version__,
        folder=str(state.settings.runs),
        **values,
    )
    return HTMLResponse(content, status_code=status)


def _recipes() -> list[str]:
    """Names of the installed recipes, the quickest first."""
    names = sorted(
        f.name.removesuffix(".yaml") for f in resources.files("crystalfw.recipes").iterdir() if f.name.endswith(".yaml")
    )
    return sorted(names, key=lambda name: name != "smoke")
