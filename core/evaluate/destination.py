"""Where an evaluation's files go when no folder is named: to a folder of its own, so that no result replaces another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crystalfw.core.sample.export import safe_name
from crystalfw.core.system.files import write_text_atomically

REQUEST = "request.json"
"""What an evaluation was asked for, in its folder; the same request finds the same folder."""


def is_run(folder: Path) -> bool:
    """True for the folder of a run, finished or not."""
    return (folder / "recipe.yaml").is_file() and (folder / "checkpoints").is_dir()


def evaluated_folder(samples: Path) -> Path:
    """The folder of all evaluations of these samples: RUN/evaluated, evaluated/ beside samples.csv, else NAME.evaluated."""
    if samples.name == "samples.csv":
        return samples.parent / "evaluated"
    samples = samples.resolve() if samples.name in ("", "..") else samples
    return samples.with_name(f"{samples.name}.evaluated")


def own_folder(base: Path, name: str, request: Mapping[str, Any]) -> Path:
    """base/NAME, or base/NAME-2, -3 where another request has it; one of the same request is continued or replaced."""
    text = json.dumps(request, indent=2, sort_keys=True, default=str) + "\n"
    for folder in _names(base, safe_name(name)[:60]):
        if not folder.exists():
            folder.mkdir(parents=True)
            write_text_atomically(folder / REQUEST, text)
            return folder
        if (folder / REQUEST).is_file() and (folder / REQUEST).read_text(encoding="utf-8") == text:
            return folder
    raise AssertionError("there is always a free number")


def take_back(folder: Path) -> None:
    """Remove a folder in which nothing but the request stands, and the folder around it where that was all."""
    if [path.name for path in folder.iterdir()] == [REQUEST]:
        (folder / REQUEST).unlink()
        folder.rmdir()
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _names(base: Path, name: str) -> Iterator[Path]:
    yield base / name
    count = 2
    while True:
        yield base / f"{name}-{count}"
        count += 1
