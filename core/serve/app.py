"""The application: interface, pages, static files, errors as sentences, all behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from crystalfw.core.errors import CrystalfwError
from crystalfw.core.serve import api, pages
from crystalfw.core.serve.guard import Guard
from crystalfw.core.serve.jobs import NotFound
from crystalfw.core.serve.settings import Settings


def make_app(settings: Settings) -> ASGIApp:
    """The server of these settings, ready for an ASGI server."""
    import crystalfw

    app = FastAPI(
        title="crystalfw", version=crystalfw.__version__, lifespan=_life, docs_url=None, redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        description="Predict, generate, solve, train and look at crystals; the same work as the command line does.",
    )  # fmt: skip
    app.state.served = api.State(settings)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", _Static(directory=str(resources.files("crystalfw.core.serve") / "static")), name="static")
    app.add_exception_handler(CrystalfwError, _sentence)
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(ClientDisconnect, _cut_off)
    app.add_exception_handler(RequestValidationError, _invalid)
    return Guard(app, settings)


class _Static(StaticFiles):
    """Files that a browser may keep, if it asks each time whether they have changed."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """See StaticFiles."""
        response = super().file_response(*args, **options)
        response.headers["cache-control"] = "private, no-cache"
        return response


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    served: api.State = app.state.served
    served.queue.start()
    yield
    await served.queue.stop()
    served.worker.close()


async def _sentence(request: Request, error: Exception) -> Response:
    if "text/html" in request.headers.get("accept", ""):  # somebody looks at it
        return pages.problem(request, str(error), 404 if isinstance(error, NotFound) else 400)
    return JSONResponse({"error": str(error)}, status_code=404 if isinstance(error, NotFound) else 400)


async def _disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return JSONResponse({"error": f"{error.filename or 'the disk'}: {error.strerror or error}"}, status_code=507)


async def _cut_off(request: Request, error: Exception) -> Response:
    """The guard ended a body that was longer than allowed; a sender who has left does not read this."""
    return JSONResponse({"error": "The request is larger than is allowed and was not kept."}, status_code=413)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": "; ".join(map(_mistake, error.errors()[:5]))}, status_code=422)


def _mistake(item: dict[str, Any]) -> str:
    """`formulas: SrTiO3$ ...` from an entry of pydantic's list."""
    kinds = {"predict", "generate", "solve", "train"}
    place = ".".join(str(part) for part in item["loc"][1:] if part not in kinds)
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":  # a sentence of ours
        return message
    return f"{place}: {message[0].lower()}{message[1:]}" if place else message
