"""Who is judged: tables of samples by name, and the baselines that are made to stand beside them."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.discovery import registry
from crystalfw.core.errors import DataError
from crystalfw.core.evaluate.inputs import load_samples, sample_path
from crystalfw.core.interfaces import Baseline
from crystalfw.core.recipe.options import build, checked
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.records import Sample, Wanted
from crystalfw.core.sample.table import COLUMNS, sample_row
from crystalfw.core.system.files import digest, write_text_atomically
from crystalfw.core.system.sequences import Spool

Say = Callable[[str], None]
PREFIX = "baseline "
_ALL = ("random", "nearest", "template", "exchange", "prototype", "strings")


@dataclass(frozen=True)
class Contender:
    """A generator to judge."""

    name: str
    path: Path
    cpu_s: float | None = None
    """CPU seconds that making the samples took, where that is known."""


def named(tables: Sequence[str]) -> list[Contender]:
    """The tables with their names, `NAME=PATH` or that of the file or folder. Raises DataError for two of one name."""
    found = []
    for text in tables:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = "", text
        place = sample_path(path)
        found.append(Contender(name or _name_of(place), place))
    twice = [name for name, count in Counter(item.name for item in found).items() if count > 1]
    if twice:
        same = " and ".join(str(item.path) for item in found if item.name == twice[0])
        raise DataError(f"{same}: both are called '{twice[0]}'; give names: first={found[0].path} second=...")
    return found


def _name_of(place: Path) -> str:
    place = place.resolve()
    return place.parent.name if place.name == "samples.csv" else place.name.split(".")[0]


def baseline_specs(given: Sequence[ComponentSpec]) -> tuple[ComponentSpec, ...]:
    """The baselines asked for with their options checked; all built-in ones where none is named."""
    names = given or [ComponentSpec(name=name, where="--baselines") for name in _ALL]
    return tuple(checked("baseline", spec) for spec in names)


def wanted_like(samples: Sequence[Sample], reference: Sequence[Crystal]) -> list[Wanted]:
    """As many wants as there are samples, each for what its sample was made for.

    A sample that names a reference crystal asks for that crystal's cell content; another for its own composition, so that a
    baseline that answers compositions is judged on those that the generator chose.
    """
    cells = {crystal.id: tuple(sorted(crystal.numbers.tolist())) for crystal in reference if crystal.id}
    seen: Counter[str] = Counter()
    found = []
    for sample in samples:
        numbers: tuple[int, ...] = ()
        if sample.reference_id in cells:
            numbers = cells[sample.reference_id]
        elif sample.crystal is not None:
            numbers = tuple(sorted(sample.crystal.numbers.tolist()))
        rank = seen[sample.reference_id] if sample.reference_id else 0
        seen[sample.reference_id] += 1
        found.append(Wanted(sample.id, numbers, sample.reference_id, rank))
    return found


def make_baseline(
    spec: ComponentSpec, wanted: Sequence[Wanted], train: Sequence[Crystal], folder: Path, *, free: bool, seed: int, say: Say
) -> Contender:
    """Write folder/samples.csv, or take it where the same request made it. Raises DataError where it needs training crystals.

    `free`: nothing was asked for, so a baseline with the option `free` draws at random.
    """
    baseline: Baseline = build("baseline", _freed(spec, free))
    name = PREFIX + spec.name
    if baseline.needs_training and not len(train):
        raise DataError(
            f"baseline '{spec.name}' works with training crystals and there are none: give them with --train PATH, name a "
            "reference folder that has a train part, or ask for others: --baselines prototype,strings"
        )
    request = _request(spec, baseline, wanted, train, seed)
    record, path = folder / "made.json", folder / "samples.csv"
    if record.is_file() and path.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known.get("request") == request:
            return Contender(name, path, known["cpu_s"])
    say(f"baseline {spec.name}: {len(wanted):,} samples")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    made = Spool(baseline.samples(wanted, train, seed=seed, say=say), folder)
    seconds = time.process_time() - began
    if len(made) != len(wanted):
        raise DataError(f"baseline '{spec.name}' gave {len(made)} samples where {len(wanted)} were wanted: see crystalfw check")
    _write(path, made, seconds / max(len(made), 1))
    write_text_atomically(record, json.dumps({"request": request, "cpu_s": seconds}, indent=2) + "\n")
    return Contender(name, path, seconds)


def is_free(samples: Sequence[Sample]) -> bool:
    """True where no sample names a reference crystal: the generator was asked for nothing in particular."""
    return not any(sample.reference_id for sample in samples)


def load(contender: Contender, *, match_by_id: bool, quiet: bool, folder: Path) -> Sequence[Sample]:
    """The samples of a contender, spooled."""
    return load_samples(contender.path, match_by_id=match_by_id, quiet=quiet, folder=folder)


def _freed(spec: ComponentSpec, free: bool) -> ComponentSpec:
    from dataclasses import fields, replace

    names = {item.name for item in fields(spec.config)} if spec.config is not None else set()
    if free and "free" in names and "free" not in spec.options:
        return checked("baseline", replace(spec, options={**spec.options, "free": True}, config=None))
    return spec


def _request(
    spec: ComponentSpec, baseline: Baseline, wanted: Sequence[Wanted], train: Sequence[Crystal], seed: int
) -> dict[str, Any]:
    from crystalfw.core.evaluate.reference_sets import content_digest

    entry = registry().get("baseline", spec.name, override=spec.override)
    return {
        "baseline": spec.name, "version": baseline.version, "origin": str(entry.origin),
        "options": {key: repr(value) for key, value in asdict(baseline.config).items()},
        "wanted": digest(repr(list(wanted)).encode()), "seed": seed,
        "train": content_digest(train) if baseline.needs_training else "",
    }  # fmt: skip


def _write(path: Path, samples: Sequence[Sample], cpu_s: float) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "cpu_s"])
        writer.writerows(_rows(samples, cpu_s))
    temporary.replace(path)


def _rows(samples: Sequence[Sample], cpu_s: float) -> Iterator[list[str]]:
    for sample in samples:
        yield [*sample_row(sample).values(), f"{cpu_s:.6g}"]
