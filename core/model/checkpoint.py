"""Checkpoints: one file with a checksum in its first line, written atomically, read without running any code.

Layout: the line `crystalfw-checkpoint FORMAT SHA256`, then the bytes of `torch.save`. The payload holds tensors, numbers
and strings only, so that `torch.load(weights_only=True)` reads it.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from crystalfw.core.errors import CheckpointError
from crystalfw.core.model.checkpoint_upgrades import UPGRADES
from crystalfw.core.system.files import digest, temporary_name, write_atomically
from crystalfw.core.system.variants import runs_inside

FORMAT = 2
MAGIC = b"crystalfw-checkpoint"


def save(path: Path, payload: dict[str, Any], *, keep: Path | None = None) -> None:
    """Write a checkpoint; the previous file of that name stays until the new one is complete, and is then kept as `keep`."""
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    body = buffer.getvalue()
    header = b"%s %d %s\n" % (MAGIC, FORMAT, digest(body).encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    if keep is not None and path.exists():
        _keep(path, keep)
    write_atomically(path, header + body)


def _keep(path: Path, keep: Path) -> None:
    """Give a file a second name; at every moment both names refer to a complete file."""
    temporary = temporary_name(keep)
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        write_atomically(keep, path.read_bytes())
    else:
        temporary.replace(keep)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; raises CheckpointError with the remedy if it cannot be trusted."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint.{_alternatives(path)}") from error
    header, newline, body = content.partition(b"\n")
    fields = header.split()
    if len(fields) != 3 or fields[0] != MAGIC or not newline or not fields[1].isdigit() or len(fields[1]) > 9:
        raise CheckpointError(f"{path}: not a crystalfw checkpoint, or its beginning is damaged.{_alternatives(path)}")
    version = int(fields[1])
    if digest(body).encode() != fields[2]:
        raise CheckpointError(f"{path}: damaged (checksum differs; truncated or changed on disk).{_alternatives(path)}")
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: written in checkpoint format {version}; this crystalfw reads up to {FORMAT}. Install a newer crystalfw."
        )
    if any(step not in UPGRADES for step in range(version, FORMAT)):
        raise CheckpointError(
            f"{path}: its beginning is damaged: there is no checkpoint format {version}.{_alternatives(path)}"
        )
    payload = _payload(path, body)
    for step in range(version, FORMAT):
        payload = UPGRADES[step](payload)
    return payload


def _payload(path: Path, body: bytes) -> dict[str, Any]:
    """The mapping that `save` was given. The content is not trusted, because a stranger's file can have a valid checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            # torch.save never compresses: a file that unpacks to more than its size was made to fill the memory
            if sum(member.file_size for member in archive.infolist()) > len(body):
                raise CheckpointError(f"{path}: unpacks to more than it holds; refused")
        payload = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: holds more than tensors, numbers and text; refused, nothing of it was run") from error
    except CheckpointError:
        raise
    except Exception as error:
        # torch raises many kinds of errors for a foreign file
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"{path}: not written by crystalfw ({type(error).__name__}: {first})") from error
    if not isinstance(payload, dict):
        raise CheckpointError(f"{path}: holds a {type(payload).__name__}, not the parts of a checkpoint")
    return payload


def is_whole(path: Path) -> bool:
    """True if the file's checksum holds."""
    header, _, body = path.read_bytes().partition(b"\n")
    fields = header.split()
    return len(fields) == 3 and digest(body).encode() == fields[2]


def find(run: Path, which: str = "last") -> Path:
    """The checkpoint file of a run folder, or the file itself; `which` is last, previous or best."""
    if run.is_file():
        return run
    if not run.exists():
        raise CheckpointError(f"{run}: there is no such run folder or checkpoint")
    for candidate in (run / "checkpoints" / f"{which}.pt", run / "checkpoints" / "last.pt"):
        if candidate.exists():
            return candidate
    if runs := runs_inside(run):
        listed = ", ".join(str(place) for place in runs.values())
        raise CheckpointError(f"{run}: the folder of an ablation; name one of its {len(runs)} runs: {listed}")
    raise CheckpointError(f"{run}: the run folder holds no checkpoint; nothing was trained there yet")


def _alternatives(path: Path) -> str:
    siblings = sorted(path.parent.glob("*.pt")) if path.parent.is_dir() else []
    whole = [other.name for other in siblings if other != path and is_whole(other)]
    if not whole:
        return ""
    run = path.parent.parent if path.parent.name == "checkpoints" else None
    go_on = f" Go on from one of them: crystalfw run --resume {run} --checkpoint {Path(whole[-1]).stem}" if run else ""
    return f" Whole checkpoints beside it: {', '.join(whole)}.{go_on}"
