"""Relax crystals with a potential: positions and cell, over all cores, with a time limit for each crystal.

  crystalfw relax samples.csv -o relaxed/ --potential chgnet           energies, relaxed CIFs, ranks for each formula
  crystalfw relax my_cifs/ -o relaxed/ --potential sevennet --symmetry
  crystalfw relax NaCl.cif -o relaxed/ --potential ase:EMT --steps 0    only energies, nothing is moved

FOLDER gets relaxed.csv (a row for every crystal given; what failed says why), ranked.csv (by formula and energy, with
duplicates named), samples.csv (the samples as given, with the relaxed crystals beside them, for crystalfw evaluate) and
cifs/. The columns are explained in the guide "Energies". The same command continues after an interruption.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalfw.core.commands.parser import add_out
from crystalfw.core.errors import CrystalfwError, DataError, Interrupted

if TYPE_CHECKING:
    from crystalfw.core.energies.relaxation import Settings
    from crystalfw.core.records import Sample
    from crystalfw.core.system.resumable_csv import RowFile


RELAXED = "relaxed_cif"
"""The column that `crystalfw evaluate` takes for the relaxed crystal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw relax`."""
    parser.add_argument("inputs", nargs="+", metavar="CRYSTALS", help="samples.csv, a run, or anything that data.path takes")
    add_out(parser, "FOLDER", "folder to write", required=True)
    add_potential(parser)
    add_limits(parser)
    parser.add_argument("--fixed-cell", action="store_true", help="move the atoms only")
    parser.add_argument("--symmetry", action="store_true", help="keep the space group of each crystal (0.1 angstrom)")
    parser.add_argument("--trajectory", action="store_true", help="write FOLDER/trajectories/ID.extxyz, every step")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 takes all cores")


def add_potential(parser: argparse.ArgumentParser) -> None:
    """`--potential`."""
    parser.add_argument(
        "--potential", default="chgnet", metavar="NAME[:ARGUMENT]",
        help="chgnet (default), sevennet, ase:CALCULATOR, or a plugin's; `crystalfw plugins potential` lists them",
    )  # fmt: skip


def add_limits(parser: argparse.ArgumentParser) -> None:
    """How far and how long a crystal is relaxed."""
    parser.add_argument("--steps", type=int, default=500, help="steps at most (default 500); 0: energies only")
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/angstrom at which a crystal is relaxed (default 0.05)")
    parser.add_argument("--seconds", type=float, default=120.0, help="time limit for each crystal; 0: none (default 120)")


def run(args: argparse.Namespace) -> int:
    """Relax; 0 also where some crystals failed: their rows say why."""
    out = Path(args.out)
    settings = settings_of(args, symmetry=args.symmetry, cell=not args.fixed_cell, trajectory=args.trajectory)
    traces = out / "trajectories" if args.trajectory else None
    refuse_foreign(out / "samples.csv")
    samples = relax_into(out / "relaxed.csv", args.inputs, args.potential, settings, workers=args.workers, traces=traces)
    write_beside(out / "samples.csv", chain.from_iterable(samples), out / "relaxed.csv")
    finish(out / "relaxed.csv", out)
    return 0


def settings_of(args: argparse.Namespace, **more: Any) -> Settings:
    """The settings of `add_limits`, checked. Raises CrystalfwError."""
    from crystalfw.core.energies.relaxation import Settings

    if args.steps < 0 or args.seconds < 0 or not args.fmax > 0:
        raise CrystalfwError("--steps and --seconds must be 0 or more, --fmax above 0")
    return Settings(steps=args.steps, fmax=args.fmax, seconds=args.seconds, **more)


def relax_into(
    table: Path, inputs: Sequence[str], potential: str, settings: Settings, *, workers: int, traces: Path | None = None
) -> list[Sequence[Sample]]:
    """Relax all crystals of the inputs into a table that is continued after a kill; returns the samples of each input.
    Raises Interrupted on a signal."""
    from crystalfw.core.energies.open import open_potential
    from crystalfw.core.energies.table import COLUMNS
    from crystalfw.core.system.resumable_csv import RowFile

    made = open_potential(potential)  # says what is wrong before anything is read
    if settings.steps and not made.has_forces:
        raise CrystalfwError(f"{made.label} gives energies only; --steps 0 computes them, relaxing needs another --potential")
    samples = given(inputs)  # spooled to disk
    request = {"crystals": content(samples), "potential": made.label, "settings": settings.record()}
    with RowFile(table, COLUMNS, request) as out:
        _fill(out, samples, potential, settings, workers, traces)
    return samples


def _fill(
    out: RowFile, samples: Sequence[Sequence[Sample]], potential: str, settings: Settings, workers: int, traces: Path | None
) -> None:
    """Append the rows that the table lacks."""
    from crystalfw.core.energies.table import STATUS
    from crystalfw.core.system.progress import Progress
    from crystalfw.core.system.signals import StopRequest

    total, done = sum(map(len, samples)), out.done
    progress, bad = Progress("relax", total, start=done), 0
    with StopRequest() as stop:
        left = islice(chain.from_iterable(samples), done, None)
        for row in _rows(left, potential, settings, workers, traces, lambda: bool(stop.requested)):
            out.append([row])
            done, bad = done + 1, bad + (row[STATUS] != "ok")
            progress.update(done, f"{row[0]}: {row[STATUS]}" + (f"; {bad:,} not ok" if bad else ""))
            if stop.requested:
                break
    if done < total:
        raise Interrupted(f"stopped by {stop.requested} after {done} of {total} crystals; the same command continues")
    progress.close()


def _rows(
    samples: Iterable[Sample], potential: str, settings: Settings, workers: int, traces: Path | None,
    stopped: Callable[[], bool],
) -> Iterator[list[str]]:  # fmt: skip
    """The row of each sample, in order; fewer where the work was stopped."""
    from crystalfw.core.energies.many import relax_many
    from crystalfw.core.energies.table import failed_row, relaxed_row, trajectory_text
    from crystalfw.core.sample.export import safe_name
    from crystalfw.core.system.files import write_text_atomically

    if traces is not None:
        traces.mkdir(parents=True, exist_ok=True)
    own, again = tee(samples)
    found = relax_many((one.crystal for one in again if one.crystal), potential, settings, workers=workers, stopped=stopped)
    with closing(found):
        for sample in own:
            if sample.crystal is None:
                yield failed_row(sample.id, sample.status, sample.reason, sample.reference_id)
                continue
            outcome = next(found, None)
            if outcome is None:
                return
            if traces is not None and outcome.path:
                write_text_atomically(traces / f"{safe_name(sample.id)}.extxyz", trajectory_text(sample.id, outcome))
            yield relaxed_row(sample.id, sample.crystal, outcome, sample.reference_id)


def refuse_foreign(table: Path) -> None:
    """Raise DataError where a samples.csv that is not ours would be replaced, such as that of a run."""
    from crystalfw.core.system.bounded_text import bounded_lines, csv_rows

    if not table.is_file():
        return
    with table.open(encoding="utf-8", newline="", errors="replace") as file:
        if RELAXED not in next(csv_rows(bounded_lines(file, table), table), []):
            raise DataError(f"{table} holds samples that were not relaxed and would be replaced: give another folder with -o")


def write_beside(path: Path, samples: Iterable[Sample], table: Path) -> None:
    """Write the samples as given, each with its relaxed crystal and energy (eV/atom) from the table; both in one order."""
    from crystalfw.core.sample.table import COLUMNS, read_rows, sample_row
    from crystalfw.core.system.resumable_csv import ResumableCsv

    with ResumableCsv(path, (*COLUMNS, "cpu_s", RELAXED, "energy_per_atom"), resume=False) as out:
        for sample, row in zip(samples, read_rows(table), strict=True):
            seconds = "" if sample.cpu_s is None else f"{sample.cpu_s:.6g}"
            out.write([[*sample_row(sample).values(), seconds, row["cif"], row["energy_per_atom"]]])


def given(inputs: Sequence[str]) -> list[Sequence[Sample]]:
    """The samples of each input, failed ones included. Raises DataError where two have one id."""
    from crystalfw.core.evaluate.inputs import load_samples

    found = [load_samples(path, quiet=False) for path in inputs]
    first: dict[str, str] = {}
    for path, samples in zip(inputs, found, strict=True):
        for sample in samples:
            if sample.id in first:
                places = f"{first[sample.id]} and {path}" if first[sample.id] != path else f"{path}, twice"
                raise DataError(f"two crystals have the id {sample.id!r}: {places}. Give each its own id, or relax them apart")
            first[sample.id] = path
    return found


def content(samples: Sequence[Sequence[Sample]]) -> str:
    """A digest of ids and exact geometries, so that a table is only continued with the same crystals."""
    digest = hashlib.sha256()
    for sample in chain.from_iterable(samples):
        digest.update(sample.id.encode(errors="surrogatepass"))
        if sample.crystal is not None:
            for array in (sample.crystal.lattice, sample.crystal.frac_coords, sample.crystal.numbers):
                digest.update(array.tobytes())
    return digest.hexdigest()


def finish(table: Path, folder: Path) -> None:
    """Write ranked.csv and the CIFs, and say what came out."""
    from crystalfw.core.energies.ranking import COLUMNS, ranked
    from crystalfw.core.sample.export import write_cifs
    from crystalfw.core.sample.table import read_rows
    from crystalfw.core.system.resumable_csv import ResumableCsv

    with ResumableCsv(folder / "ranked.csv", COLUMNS, resume=False) as out:
        rows = list(ranked(read_rows(table)))
        out.write(rows)
    statuses, late = Counter[str](), 0
    for row in read_rows(table):
        statuses[row["status"]] += 1
        late += row["converged"] == "0" and row["steps"] != "0"
    files = write_cifs(table, folder / "cifs")
    twins = sum(bool(one[-1]) for one in rows)
    listed = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    print(f"{table}: {listed}" + (f"; {late:,} of them not converged" if late else ""))
    print(f"{folder / 'ranked.csv'}: {len(rows) - twins:,} distinct crystals of {len({one[0] for one in rows}):,} formulas"
          + (f", {twins:,} duplicates" if twins else "") + f"; {files:,} CIF files in {folder / 'cifs'}")  # fmt: skip
    for formula, rank, id, energy, above, _, group, same in rows[:10]:
        twin = f"  same as {same}" if same else ""
        print(f"  {formula:<14} {rank or '-':>3}  {id:<20} {energy} eV/atom  +{above}  space group {group}{twin}")
    if len(rows) > 10:
        print(f"  ... {len(rows) - 10:,} more")
