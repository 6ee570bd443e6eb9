"""What a server is started with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_UPLOAD = 32 * 2**20
"""Bytes of one upload, unless the settings say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the server listens, what it may read and write, and how much it does at a time."""

    runs: Path = Path("runs")
    """The run folders that the page shows; its own work goes to `page/` inside."""
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Whoever knows it may use the server; part of the address that is opened."""
    commands: frozenset[str] = frozenset()
    """Names of the commands of this installation: a room whose command is missing says so."""
    read_only: bool = False
    """Show runs and crystals, start nothing."""
    max_upload: int = MAX_UPLOAD
    at_once: int = 1
    """Pieces of work that compute at the same time; others wait."""
    memory: int = 16 * 2**30
    """Bytes of address space that one piece of work may take."""

    @property
    def work(self) -> Path:
        """The folder of all work and uploads of the page."""
        return self.runs / "page"

    @property
    def hosts(self) -> frozenset[str]:
        """Host names under which a browser may ask; any other is a rebinding attack."""
        named = {self.host, *LOOPBACK}
        return frozenset(named | {f"[{name}]" for name in named if ":" in name})

    @property
    def address(self) -> str:
        """The address to open, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self.token}"
