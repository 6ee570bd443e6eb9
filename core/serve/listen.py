"""The listening process: a socket, the application on it, and the browser opened once it answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import webbrowser
from dataclasses import replace

import uvicorn

from crystalfw.core.errors import ConditionError
from crystalfw.core.serve.app import make_app
from crystalfw.core.serve.settings import Settings


def listen(settings: Settings, *, browser: bool) -> int:
    """Serve until Ctrl-C or SIGTERM. Raises ConditionError where the port is taken or the folder cannot be made."""
    try:
        settings.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConditionError(f"--runs {settings.runs}: {error.strerror or error}") from error
    with _bound(settings) as bound:
        settings = replace(settings, port=bound.getsockname()[1])
        server = uvicorn.Server(
            uvicorn.Config(make_app(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        )
        print(f"crystalfw serves on {settings.address}\nCtrl-C ends it.", flush=True)
        if browser:
            threading.Timer(0.3, webbrowser.open, [settings.address]).start()
        with contextlib.suppress(KeyboardInterrupt):  # raised again once the server has ended cleanly
            server.run(sockets=[bound])
    return 0


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
        bound.listen(2048)  # who asks before the server has started waits instead of being refused
    except (OSError, OverflowError) as error:
        bound.close()
        why = getattr(error, "strerror", None) or str(error)
        raise ConditionError(
            f"--port {settings.port}: cannot listen on {settings.host} ({why}); choose another port"
        ) from error
    return bound
