"""Samples and crystals to evaluate: ours or anybody's, of a file or as given; those of a file lie on disk, not in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.reading import CrystalsLike, as_crystals, read_crystals
from crystalfw.core.discovery import registry
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.records import Rejected, Sample
from crystalfw.core.sample.table import is_sample_table, read_samples
from crystalfw.core.system.progress import track
from crystalfw.core.system.sequences import Picked, Spool

UNREADABLE = "read"
"""Status of a sample that somebody's file has and no source can read."""

Crystals: TypeAlias = "CrystalsLike | Source | None"
Samples: TypeAlias = "CrystalsLike | Sequence[Sample]"


def load_samples(
    samples: Samples, *, match_by_id: bool = False, quiet: bool = True, folder: Path | None = None
) -> Sequence[Sample]:
    """All samples requested, failed ones included; those of a file are spooled, to `folder`. Raises DataError without any."""
    found: Sequence[Sample]
    if isinstance(samples, (str, Path)):
        path = sample_path(samples)
        found = Spool(_read_samples(path, quiet), folder)
    else:
        path, found = Path("samples"), _given_samples(samples)
    if not len(found):
        raise DataError(f"{path}: no samples there")
    if all(sample.status == UNREADABLE for sample in found):
        raise DataError(f"{path}: nothing in it can be read as a crystal; the first of {len(found)}: {found[0].reason}")
    return Picked(found, np.arange(len(found)), _with_reference) if match_by_id else found


def _given_samples(samples: Any) -> Sequence[Sample]:
    """Samples as they are; crystals as samples without a string."""
    if isinstance(samples, Sequence) and len(samples) and isinstance(samples[0], Sample):
        return samples
    return [_of_crystal(crystal, number) for number, crystal in enumerate(as_crystals(samples), start=1)]


def _of_crystal(crystal: Crystal, number: int) -> Sample:
    return Sample(id=crystal.id or f"row-{number}", seed=0, string="", status="ok", reason="", crystal=crystal)


def _read_samples(path: Path, quiet: bool) -> Iterable[Sample]:
    rows = read_samples(path) if is_sample_table(path) else foreign_samples(path)
    return rows if quiet else track(rows, f"reading {path.name}")


def sample_path(path: str | Path) -> Path:
    """The samples of a run folder, or the path itself; raises DataError for one that does not exist."""
    path = Path(path)
    if not path.exists() and registry().model(str(path)) is not None:
        raise DataError(f"{path}: a delivered model has no samples yet; make some with: crystalfw sample {path} --n 100")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    return path / "samples.csv" if (path / "samples.csv").is_file() else path


def load_crystals(crystals: Crystals, part: str, *, quiet: bool = True, folder: Path | None = None) -> Sequence[Crystal]:
    """Crystals as given, or of a path, spooled to `folder`: of a source with several parts the one asked for.

    Rows that cannot be read are counted and the first of them named. Raises DataError where nothing can be read.
    """
    if crystals is None:
        return []
    if not isinstance(crystals, (str, Path, Source)):
        # sequences that lie on disk stay there
        return crystals if isinstance(crystals, (Spool, Picked)) else list(as_crystals(crystals))
    path = Path(crystals) if not isinstance(crystals, Source) else Path(type(crystals).__name__.lower())
    if not isinstance(crystals, Source) and not path.exists():
        raise DataError(f"{path}: no such file or folder")
    rejected: list[str] = []
    rows = read_crystals(crystals, part=part)
    found = Spool(_sound(rows if quiet else track(rows, f"reading {path.name}"), rejected), folder)
    if not len(found):
        why = f" ({len(rejected)} rows cannot be read; the first: {rejected[0]})" if rejected else ""
        raise DataError(f"{path}: no crystals there{why}")
    if rejected:
        print(
            f"{path}: {len(rejected)} of {len(rejected) + len(found)} rows rejected; the first: {rejected[0]}", file=sys.stderr
        )
    return found


def _sound(rows: Iterable[Crystal | Rejected], rejected: list[str]) -> Iterator[Crystal]:
    """The crystals among the rows; of the others the reasons are appended to `rejected`."""
    for item in rows:
        if isinstance(item, Rejected):
            rejected.append(item.reason)
        else:
            yield item


def foreign_samples(path: Path) -> Iterator[Sample]:
    """Crystals of somebody else's files as samples; a row that cannot be read is a failed sample, not a missing one."""
    for number, item in enumerate(read_crystals(path), start=1):
        if isinstance(item, Rejected):
            id = item.id or f"row-{number}"
            yield Sample(id=id, seed=0, string="", status=UNREADABLE, reason=item.reason, crystal=None)
        else:
            yield _of_crystal(item, number)


def _with_reference(sample: Sample) -> Sample:
    return sample if sample.reference_id else replace(sample, reference_id=sample.id)
