"""The six stages that are killed: the command, the command that continues, and the bytes that must come out.

Everything is as small as it can be while there is something to lose at every moment: shards of 8 crystals, blocks of 4
samples, checkpoints every other step.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .warm import ROOT

SHARD, BLOCK, CHUNK = 8, 4, 4
TIMES = ("elapsed_s", "tokens_per_s", "mfu", "seconds")
"""Columns and keys that say how long something took."""
ROUNDED = "log_prob"
"""The column of samples whose last digits depend on which strings are written side by side; all others may not."""


def make_small() -> None:
    """Cut work finely, in this process."""
    import crystalfw.core.commands.decode as decode
    import crystalfw.core.data.prepare as prepare
    import crystalfw.core.sample.request as request

    prepare.SHARD = SHARD
    if "SLOWED" in os.environ:
        _slow(float(os.environ["SLOWED"]))
    if "STARVED" in os.environ:
        _starve(*(int(number) for number in os.environ["STARVED"].split(",")))
    if "CLOCK" in os.environ:
        _shake_the_clock()
    request.DECODE_BLOCK = BLOCK
    decode._CHUNK = CHUNK


def _slow(seconds: float) -> None:
    """Every training step takes this much longer: time for a signal to come in between."""
    import time

    from crystalfw.core.model.fit import Fit

    step = Fit.train_step

    def slowed(self: Any, fraction: float) -> Any:
        time.sleep(seconds)
        return step(self, fraction)

    Fit.train_step = slowed  # type: ignore[method-assign]


def _starve(per_crystal: int, room: int) -> None:
    """A model that takes `per_crystal` MB for each crystal of a batch, in a process that may grow by `room` MB."""
    import resource

    import torch

    from crystalfw.core.model.generator import Generator

    forward = Generator.forward

    def hungry(self: Any, batch: Any, dropped: Any = None) -> Any:
        held = torch.empty(batch.crystals.size, per_crystal, 1 << 20, dtype=torch.uint8)
        loss = forward(self, batch, dropped)
        assert held.numel()
        return loss

    Generator.forward = hungry  # type: ignore[method-assign]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (room << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _shake_the_clock() -> None:
    """The wall clock goes a day forward and a day back, by turns."""
    import time

    real, days = time.time, iter(range(10**9))
    time.time = lambda: real() + 86400 * (-1) ** next(days)


@dataclass(frozen=True)
class Bench:
    """What the stages work on: a table of crystals, a trained model, its samples and their strings, made once."""

    folder: Path

    @property
    def table(self) -> Path:
        return self.folder / "crystals.csv"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def model(self) -> Path:
        return self.folder / "runs" / "smoke"

    @property
    def samples(self) -> Path:
        return self.folder / "samples.csv"

    @property
    def grid(self) -> Path:
        return self.folder / "grid.yaml"

    def fit(self, out: Path, *overrides: str) -> list[str]:
        """A run of the smoke recipe on the table."""
        return [
            "run", "smoke", f"data.path={self.table}", f"data.cache={self.cache}", f"run_dir={out / 'runs'}",
            "fit.steps=12", "fit.checkpoint_every=2", "fit.validate_every=3", "fit.log_every=2", "sample.n=6",
            "evaluate.metrics=[shares]", *overrides,
        ]  # fmt: skip


def write_table(path: Path, count: int = 60) -> None:
    """Alkali halides in three structure types, bond lengths from ionic radii; `gap` falls with the anion's size."""
    from pymatgen.core import Lattice, Structure

    from crystalfw.core.crystal import Crystal

    radius = {"Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "Cs": 1.67, "F": 1.33, "Cl": 1.81, "Br": 1.96, "I": 2.20}
    types = (("Fm-3m", 0.5, 2.0), ("Pm-3m", 0.5, 2 / 3**0.5), ("F-43m", 0.25, 4 / 3**0.5))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "gap"])
        for number, (cation, anion, (group, place, edge)) in enumerate(
            (c, a, t) for c in list(radius)[:5] for a in list(radius)[5:] for t in types
        ):
            if number < count:
                cell = Lattice.cubic(edge * (radius[cation] + radius[anion]))
                structure = Structure.from_spacegroup(group, cell, [cation, anion], [[0, 0, 0], [place] * 3])
                text = Crystal.from_structure(structure.get_primitive_structure()).cif()
                writer.writerow([f"c{number}", text, 12.0 - 4 * radius[anion]])


GRID = """\
base: smoke
set: {{data.path: {table}, data.cache: {cache}, fit.steps: 4, fit.checkpoint_every: 2, fit.validate_every: 2, sample.n: 2,
  evaluate.metrics: [shares]}}
axes:
  fit.lr: [1.0e-3, 3.0e-3]
seeds: [0]
"""


def make_bench(folder: Path, run: Callable[[list[str]], Any]) -> Bench:
    """Everything that the stages need; `run` runs a command."""
    bench = Bench(folder)
    write_table(bench.table)
    run([*bench.fit(folder), "fit.steps=60", "fit.lr=5e-3"])
    run(["sample", str(bench.model), "--n", "24", "--like", str(bench.table), "-o", str(bench.samples)])
    bench.grid.write_text(GRID.format(table=bench.table, cache=bench.cache))
    return bench


# --- the stages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """A command that works in a folder of its own."""

    name: str
    command: Callable[[Bench, Path], list[str]]
    results: Callable[[Path], dict[str, bytes]]
    again: Callable[[Bench, Path], list[str]] | None = None
    """The command that continues; the same one where there is none."""


def prepare(table: str, cache: str) -> None:
    """The preparation alone, as `crystalfw run` does it."""
    from crystalfw.core.data.prepare import prepare as make
    from crystalfw.core.model.assembly import build_components
    from crystalfw.core.recipe import load_recipe
    from crystalfw.core.run.setup import preparation_key

    recipe = load_recipe("smoke", [f"data.path={table}", f"data.cache={cache}"])
    components = build_components(recipe)
    key = preparation_key(recipe)
    make(
        recipe.data, components.source, components.prepare, components.representation,
        key=key, seed=recipe.seed, cutoff=4.0,
    )  # fmt: skip


def ablate(grid: str, out: str) -> int:
    """`crystalfw ablate`; its runs start through the warm server as well, which changes nothing but the time it takes."""
    from crystalfw.core.commands.cli import main

    stand_in = Path(out) / "python"
    stand_in.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        f"#!{sys.executable}", "import runpy, sys", f"sys.path.insert(0, {str(ROOT)!r})",
        "runpy.run_module('tests.faults.warm_python', run_name='__main__')",
    )  # fmt: skip
    own = stand_in.with_name(f"python.{os.getpid()}")
    own.write_text("\n".join(lines) + "\n")
    own.chmod(0o755)
    own.replace(stand_in)
    sys.executable = str(stand_in)
    return main(["ablate", grid, "--out", f"{out}/study", "--cores", "2"])


def continued(bench: Bench, out: Path) -> list[str]:
    """`crystalfw run --resume` where there is a run folder."""
    made = sorted((out / "runs").glob("smoke-*"))
    return ["run", "--resume", str(made[-1])] if made else bench.fit(out)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("prepare", lambda b, out: ["prepare!", str(b.table), str(out / "cache")], lambda out: prepared(out)),
        Stage("fit", lambda b, out: b.fit(out), lambda out: run_results(newest(out)), continued),
        Stage(
            "sample",
            lambda b, out: ["sample", str(b.model), "--n", "24", "--like", str(b.table), "-o", str(out / "samples.csv")],
            lambda out: tree(out) | {"samples.csv": unrounded(out / "samples.csv")},
        ),
        Stage(
            "decode",
            lambda b, out: [
                "decode", str(b.samples), "-o", str(out / "decoded.csv"), "--cif-dir", str(out / "cifs"), "--workers", "1",
            ],
            lambda out: tree(out),
        ),
        Stage(
            "evaluate",
            lambda b, out: [
                "evaluate", str(b.samples), "--reference", str(b.table), "--train", str(b.table),
                "--metrics", "shares,match:n=[1],distributions", "--out", str(out), "--workers", "1",
            ],
            lambda out: {**tree(out, "outcomes.csv"), "metrics.json": untimed_json(out / "metrics.json")},
        ),
        Stage("ablate", lambda b, out: ["ablate!", str(b.grid), str(out)], lambda out: study_results(out / "study")),
    )
}  # fmt: skip


# --- what must be equal -------------------------------------------------------------------------------------------------


def tree(folder: Path, pattern: str = "**/*") -> dict[str, bytes]:
    """Every file of a folder; the record of the request names the folder and is left out."""
    files = (path for path in sorted(folder.glob(pattern)) if path.is_file() and not path.name.endswith(".request.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def prepared(out: Path) -> dict[str, bytes]:
    """The prepared data and nothing else: no shards, no temporary files are left."""
    found = {name: content for name, content in tree(out / "cache").items() if not name.endswith(".lock")}
    assert any(name.endswith("manifest.json") for name in found)
    return found


def newest(out: Path) -> Path:
    """The run folder that the command made last."""
    return sorted((out / "runs").glob("smoke-*"))[-1]


def run_results(run: Path) -> dict[str, bytes]:
    """Weights, optimiser, state, log, samples and metrics of a run, without durations."""
    found = tree(run, "cifs/*") | tree(run, "outcomes.csv")
    found["samples.csv"] = unrounded(run / "samples.csv")
    found["metrics.csv"] = untimed_csv(run / "metrics.csv")
    found["metrics.json"] = untimed_json(run / "metrics.json")
    for name in ("last", "best"):
        found[f"{name}.pt"] = weights(run / "checkpoints" / f"{name}.pt")
    left = [path.name for path in run.glob("**/*.tmp")]
    assert not left, f"left behind: {left}"
    return found


def study_results(folder: Path) -> dict[str, bytes]:
    """The tables of an ablation and what its runs gave."""
    found = tree(folder, "summary.csv") | tree(folder, "comparisons.csv")
    with (folder / "ablation.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if "seconds" not in row]
    found["ablation.csv"] = repr([row[:-1] for row in rows]).encode()  # the last column is the folder
    for job in sorted(path for path in (folder / "runs").iterdir() if path.is_dir()):
        found |= {f"{job.name}/{name}": content for name, content in run_results(job / "run").items()}
    found["summary.csv"] = b"\n".join(line for line in found["summary.csv"].split(b"\n") if b",seconds," not in line)
    return found


def weights(path: Path) -> bytes:
    """Digest of the tensors and the state of a checkpoint."""
    from crystalfw.core.model import checkpoint

    payload = checkpoint.load(path)
    digest = hashlib.sha256()
    for name, value in _flat({key: payload[key] for key in ("model", "optimizer", "state")}):
        if name.rpartition(".")[2] not in TIMES:
            digest.update(f"{name}={value}\n".encode())
    return digest.hexdigest().encode()


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            yield from _flat(item, f"{name}.{key}")
    elif hasattr(value, "numpy"):
        yield name, hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    else:
        yield name, repr(value)


def untimed_csv(path: Path) -> bytes:
    """A table without the columns that say how long something took."""
    return _without(path, TIMES)


def unrounded(path: Path) -> bytes:
    """A table of samples without the log-probabilities."""
    return _without(path, (ROUNDED,))


def _without(path: Path, columns: tuple[str, ...]) -> bytes:
    with path.open(newline="") as file:
        rows = [{key: value for key, value in row.items() if key not in columns} for row in csv.DictReader(file)]
    return json.dumps(rows).encode()


def untimed_json(path: Path) -> bytes:
    """A record without durations and folders."""
    content = json.load(io.StringIO(path.read_text()))
    content.pop("samples", None)
    for item in content.get("metrics", {}).values():
        item.pop("seconds")
    return json.dumps(content).encode()
