"""Writing files whole or not at all; imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def temporary_name(path: Path) -> Path:
    """A name beside the path for what is not whole yet, one for each process; `rundir.clear_temporaries` knows it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def link_atomically(link: Path, target: str) -> None:
    """Point a symbolic link to a name in its own folder, so that it never is missing in between."""
    temporary = temporary_name(link)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves either the old or the new content, never a part."""
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write bytes to that takes the path's place when the block ends without an error, and is gone otherwise."""
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
