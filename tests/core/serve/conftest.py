"""A server's application in this process, with the token sent along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page is not installed: pip install 'crystalfw[page]'")
from starlette.testclient import TestClient

from crystalfw.core.serve.app import make_app
from crystalfw.core.serve.settings import Settings

TOKEN = "for-this-test"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    commands = frozenset({"predict", "sample", "run"})
    return Settings(runs=tmp_path / "runs", token=TOKEN, commands=commands, max_upload=100_000)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(make_app(settings), base_url="http://127.0.0.1:8765", headers=headers, follow_redirects=False) as client:
        yield client
