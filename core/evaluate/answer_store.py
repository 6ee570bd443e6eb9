"""Answers by question, on disk: they make a long computation resumable without holding its results in memory.

An SQLite file of (hash of the question, answer as JSON, checksum). A kill costs the answers of the last second. An answer
with a wrong checksum is computed again; a file that SQLite cannot read is replaced by an empty one, with a message.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from crystalfw.core.errors import CrystalfwError

Result = TypeVar("Result")
_BETWEEN_COMMITS = 1.0
_PATIENCE = 5.0
_CACHE_KIB = 16_384
_OF_THE_MACHINE = ("locked", "full", "disk i/o", "readonly", "unable to open")
"""Words of SQLite's errors that do not mean a damaged file: the disk, the folder or another process is the cause."""
_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (question BLOB PRIMARY KEY, answer BLOB NOT NULL, checksum INTEGER NOT NULL)"
_LOOK_UP = "SELECT question, answer, checksum FROM answers WHERE question = ?"


class AnswerStore:
    """Question -> JSON value. Without a path they go to a temporary file, gone when it is closed."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._open: sqlite3.Connection | None = None
        self._committed = time.monotonic()
        self._do(lambda database: None)

    def find(self, questions: Iterable[str]) -> dict[str, Any]:
        """The answers that are known."""
        asked = {_hash(question): question for question in questions}
        rows = self._do(lambda database: [row for name in asked for row in database.execute(_LOOK_UP, (name,))])
        return {
            asked[name]: json.loads(answer)
            for name, answer, checksum in rows
            if isinstance(answer, bytes) and zlib.crc32(name + answer) == checksum
        }

    def put(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Keep answers. Raises CrystalfwError where they cannot be written."""
        rows = []
        for question, answer in answers:
            name, text = _hash(question), json.dumps(answer).encode()
            rows.append((name, text, zlib.crc32(name + text)))
        self._do(lambda database: self._write(database, rows))

    def close(self) -> None:
        """Commit what is open."""
        if self._open is not None:
            self._do(lambda database: database.commit())
            self._open.close()
            self._open = None

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the database; a damaged file is removed first and `work` runs on an empty one."""
        try:
            return work(self._connection())
        except sqlite3.DatabaseError as error:
            if self.path is None or any(word in str(error).lower() for word in _OF_THE_MACHINE):
                raise _as_ours(self.path, error) from error
            self._remove(self.path, error)
        return work(self._connection())

    def _write(self, database: sqlite3.Connection, rows: list[tuple[bytes, bytes, int]]) -> None:
        database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
        if time.monotonic() - self._committed > _BETWEEN_COMMITS:
            database.commit()
            self._committed = time.monotonic()

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            # an empty name: SQLite's own temporary file
            self._open = sqlite3.connect("" if self.path is None else self.path, timeout=_PATIENCE)
            self._open.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            # the answers can be computed again: only a kill must not lose them, a power cut may
            self._open.execute("PRAGMA synchronous = OFF")
            self._open.execute(_SCHEMA)
            self._open.commit()
        return self._open

    def _remove(self, path: Path, error: sqlite3.DatabaseError) -> None:
        print(f"{path}: an earlier run's answers cannot be read ({error}); they are computed again", file=sys.stderr)
        if self._open is not None:
            self._open.close()
            self._open = None
        for name in (path, path.with_name(path.name + "-journal")):
            name.unlink(missing_ok=True)


def _hash(question: str) -> bytes:
    return hashlib.blake2b(question.encode("utf-8", errors="surrogatepass"), digest_size=16).digest()


def _as_ours(path: Path | None, error: sqlite3.Error) -> CrystalfwError:
    where = path or "the temporary file of answers"
    if "locked" in str(error):
        return CrystalfwError(f"{where}: another process works in this folder; wait for it, or choose another --out")
    return CrystalfwError(f"{where}: cannot be written or read: {error}. Free space there, or choose another --out")
