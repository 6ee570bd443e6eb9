"""Writes files completely or not at all, and hashes their content; imports nothing heavy."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, TextIO

from crystalfw.core.errors import DataError


def temporary_name(path: Path) -> Path:
    """A temporary name beside the path, one for each process; run.folder.clear_temporaries removes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def link_atomically(link: Path, target: str) -> None:
    """Point a symbolic link to a name in its own folder; the link exists at every moment."""
    temporary = temporary_name(link)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves either the old or the new content, never a part."""
    with open_atomically(path) as file:
        file.write(data)


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` for text, in UTF-8."""
    write_atomically(path, text.encode())


def digest(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """`digest` of a file's bytes, read in pieces."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file for bytes that replaces the path if the block ends without an error, and is deleted otherwise."""
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_new_text(path: Path) -> Iterator[TextIO]:
    """A text file to write, gzipped if its name ends in .gz; it gets its name when it is complete. Raises DataError if
    the file exists already or cannot be written.
    """
    if path.exists():
        raise DataError(f"{path} exists already; remove it or choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomically(path) as raw, _text(raw, path.name.endswith(".gz")) as stream:
            yield stream
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def _text(raw: BinaryIO, compressed: bool) -> Iterator[TextIO]:
    # without name and time in the gzip header, the same content gives the same bytes
    inner = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if compressed else nullcontext(raw)
    with inner as binary:
        stream = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        yield stream
        stream.flush()
        stream.detach()


@contextmanager
def one_at_a_time(path: Path, waiting: str) -> Iterator[None]:
    """One process at a time holds the file `path`, others say `waiting` and wait; the system frees it when its holder ends."""
    try:
        import fcntl
    except ImportError:  # Windows: two runs at once may do the work twice, each in its own process-named files
        yield
        return
    with open(path, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
