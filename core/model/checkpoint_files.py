"""Which file of a run is meant, and whether it is whole; imports no torch, so that a mistake is said at once."""

from __future__ import annotations

from pathlib import Path

from crystalfw.core.errors import CheckpointError
from crystalfw.core.packaged import MODEL, located
from crystalfw.core.system.files import digest
from crystalfw.core.system.variants import runs_inside

MAGIC = b"crystalfw-checkpoint"


def is_whole(path: Path) -> bool:
    """True if the file's checksum holds."""
    header, _, body = path.read_bytes().partition(b"\n")
    fields = header.split()
    return len(fields) == 3 and digest(body).encode() == fields[2]


def find(run: Path, which: str = "last") -> Path:
    """The checkpoint file of a run folder or of a delivered model, or the file itself; `which` is last, previous or best.

    Raises CheckpointError where there is none, or where a delivered model is damaged.
    """
    run = located(run)
    if run.is_file():
        return run
    if not run.exists():
        raise CheckpointError(f"{run}: there is no such run folder or checkpoint")
    for candidate in (run / "checkpoints" / f"{which}.pt", run / "checkpoints" / "last.pt", run / MODEL):
        if candidate.exists():
            return candidate
    if runs := runs_inside(run):
        listed = ", ".join(str(place) for place in runs.values())
        raise CheckpointError(f"{run}: the folder of an ablation; name one of its {len(runs)} runs: {listed}")
    raise CheckpointError(f"{run}: the run folder holds no checkpoint; nothing was trained there yet")


def alternatives(path: Path) -> str:
    """Whole checkpoints beside a damaged one, for its message."""
    siblings = sorted(path.parent.glob("*.pt")) if path.parent.is_dir() else []
    whole = [other.name for other in siblings if other != path and is_whole(other)]
    if not whole:
        return ""
    run = path.parent.parent if path.parent.name == "checkpoints" else None
    go_on = f" Go on from one of them: crystalfw run --resume {run} --checkpoint {Path(whole[-1]).stem}" if run else ""
    return f" Whole checkpoints beside it: {', '.join(whole)}.{go_on}"
