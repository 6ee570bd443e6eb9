"""Samples to a table while they are made: shares of ranks, resumption, one table in the end."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from crystalfw.core.discovery import plugins
from crystalfw.core.errors import Interrupted
from crystalfw.core.sample.destination import cif_folder, write_crystals
from crystalfw.core.sample.prediction import Tally
from crystalfw.core.sample.request import Request
from crystalfw.core.sample.table import COLUMNS, SampleWriter, read_rows, sample_id
from crystalfw.core.sample.trained import Trained
from crystalfw.core.system.files import open_atomically
from crystalfw.core.system.progress import Progress, Say
from crystalfw.core.system.sequences import Spool
from crystalfw.core.system.signals import Stopped, stopping_at_once


def shard_path(path: Path, rank: int, world_size: int) -> Path:
    """Where a rank writes its share; the table itself for a single process."""
    return path if world_size == 1 else path.with_name(f"{path.stem}.rank{rank}of{world_size}{path.suffix}")


def sample_to_table(
    trained: Trained, request: Request, path: Path, *, rank: int = 0, world_size: int = 1, resume: bool = False
) -> int:
    """Write this rank's share of the samples as they come; finished ones are not made again. Raises Interrupted."""
    own = shard_path(path, rank, world_size)
    before = {row["id"] for row in read_rows(path)} if own != path and path.exists() else set()
    with SampleWriter(own, resume=resume) as writer, stopping_at_once():
        try:
            return _write(trained, request, writer, before, rank, world_size)
        except KeyboardInterrupt as stop:
            # every row written so far is whole; the block at hand is made again, with the same bits
            sign = stop.signal if isinstance(stop, Stopped) else "SIGINT"
            done = f"stopped by {sign} after {len(writer.done)} samples in {own}"
            raise Interrupted(f"{done}; the same command continues from there", signal=sign) from None


def _write(trained: Trained, request: Request, writer: SampleWriter, before: set[str], rank: int, world_size: int) -> int:
    wanted = open_indices(request.settings.n, before | writer.done, rank, world_size, block=request.block)
    tally = Tally()
    progress = Progress("samples", len(wanted)) if rank == 0 and wanted else None
    for count, sample in enumerate(trained.samples(request, indices=wanted, tally=tally), start=1):
        if sample.id not in before and sample.id not in writer.done:
            writer.append(sample)
        if progress is not None:
            # a block of strings is decoded together: its first sample comes when all of them are made
            progress.update(min(-(-count // request.block) * request.block, len(wanted)))
    if progress is not None:
        progress.close(str(tally) if request.settings.is_prediction else "")
    return len(writer.done)


def open_indices(n: int, done: Collection[str], rank: int, world_size: int, *, block: int) -> list[int]:
    """This rank's blocks that are not complete, whole: a block made again gives the same bits, a part of it might not."""
    wanted: list[int] = []
    for start in range(rank * block, n, world_size * block):
        own = range(start, min(start + block, n))
        if any(sample_id(index) not in done for index in own):
            wanted.extend(own)
    return wanted


def merge_tables(path: Path) -> None:
    """One table, in the order of sample ids, from it and the shares of ranks beside it; torn last rows are cut off.

    The table is whole before a share is removed, so that a kill at any moment loses nothing.
    """
    shards = sorted(path.parent.glob(f"{path.stem}.rank*of*{path.suffix}"))
    if not shards:
        return
    place: dict[str, int] = {}
    rows = Spool(_rows_of([path, *shards], place), path.parent)
    with open_atomically(path) as file:
        writer = csv.DictWriter(codecs.getwriter("utf-8")(file), COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[place[name]] for name in sorted(place))
    for shard in shards:
        shard.unlink()


def _rows_of(tables: Sequence[Path], place: dict[str, int]) -> Iterator[dict[str, str]]:
    """The rows of all tables, and in `place` where among them the last row of each id is."""
    count = 0
    for table in tables:
        if table.exists():
            SampleWriter(table, resume=True).close()
            for row in read_rows(table):
                place[row["id"]] = count
                count += 1
                yield row


def finish_samples(path: Path, say: Say, *, crystals: Path | None = None, symprec: float | None = None) -> None:
    """The crystals of the table as files (`destination`; CIF files beside the table), and the hook."""
    say(f"samples: {path}, {write_crystals(path, crystals or cif_folder(path), symprec)}")
    count = sum(bool(row["cif"].strip()) for row in read_rows(path))
    plugins().notify("samples_ready", samples_path=path, count=count)
