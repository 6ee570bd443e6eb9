"""The equivariant encoder, measured: its laws on real crystals, speed and memory beside e3nn, scaling, start-up.

  python benchmarks/encoder.py laws --data DATA --crystals 500   # every symmetry, float64, of each of two sets
  python benchmarks/encoder.py predictions RUN --crystals 300    # the same of what a trained run predicts
  python benchmarks/encoder.py speed --data DATA --crystals 16   # forward + backward beside e3nn (and NequIP if installed)
  python benchmarks/encoder.py memory --data DATA --crystals 64  # peak memory of a step, each in a process of its own
  python benchmarks/encoder.py scaling --data DATA               # 1,000 to 50,000 atoms a batch
  python benchmarks/encoder.py startup                           # first call, with and without numba's cache
  python benchmarks/encoder.py neighbours --data DATA            # the neighbour list beside pymatgen's

DATA is the folder with mp_20, mpts_52, ... One thread, CPU seconds (time.process_time), repeats interleaved and the
fastest taken: a shared machine only ever adds. Every command prints a Markdown table; benchmarks/encoder.md holds results.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from crystalfw.core import Crystal, CrystalBatch, Memory
from crystalfw.core.recipe.options import create
from crystalfw.core.sample.trained import Trained
from crystalfw.core.testing import crystals as equivalent

HERE = Path(__file__).parent
LARGE = {"multiplicities": (64, 32, 16)}
"""64x0e+32x1o+16x2e, three layers: the size that peers are compared at."""
Step = Callable[[], None]


def crystals(data: Path, name: str, count: int) -> list[Crystal]:
    """The first crystals of a set's test part."""
    source = create("source", "table", path=str(data / name / "test.csv.gz"))
    return list(islice((item for item in source.read("train") if isinstance(item, Crystal)), count))


def table(*rows: tuple[object, ...]) -> str:
    """Rows as Markdown, the first one the header."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def training_step(forward: Callable[[], torch.Tensor], module: torch.nn.Module) -> Step:
    """Forward and backward to every parameter."""

    def step() -> None:
        module.zero_grad()
        forward().square().sum().backward()

    return step


def fastest(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    """CPU seconds of the fastest of several interleaved repeats, after one step of warming up."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.process_time()
            step()
            times[name].append(time.process_time() - start)
    return {name: min(found) for name, found in times.items()}


# --- laws -----------------------------------------------------------------------------------------------------------


def equivalents(crystal: Crystal, rng: np.random.Generator) -> dict[str, tuple[Crystal, np.ndarray]]:
    """Equivalent crystals by law, with the order of the atoms that their tokens should have."""
    n, same = crystal.n_atoms, np.arange(crystal.n_atoms)
    basis = equivalent.unimodular(rng)
    order = rng.permutation(n)
    repeats = tuple(int(k) for k in rng.permutation([1, 1, 2]))
    change = equivalent.changed
    found = {
        "rotation": (change(crystal, lattice=crystal.lattice @ equivalent.rotation(rng).T), same),
        "reflection": (change(crystal, lattice=crystal.lattice @ equivalent.rotation(rng, improper=True).T), same),
        "translation": (change(crystal, frac_coords=crystal.frac_coords + rng.uniform(-1, 1, 3)), same),
        "wrapping": (change(crystal, frac_coords=crystal.frac_coords + rng.integers(-2, 3, (n, 3))), same),
        "permutation": (change(crystal, frac_coords=crystal.frac_coords[order], numbers=crystal.numbers[order]), order),
        "unimodular basis": (
            change(crystal, lattice=basis @ crystal.lattice, frac_coords=crystal.frac_coords @ np.linalg.inv(basis)), same,
        ),
        "Niggli basis": (niggli(crystal), same),
        "supercell": (equivalent.supercell(crystal, repeats), np.tile(same, 2)),
    }  # fmt: skip
    return found


def niggli(crystal: Crystal) -> Crystal:
    """The crystal in the Niggli-reduced basis of its lattice."""
    import spglib

    transform = np.rint(spglib.niggli_reduce(crystal.lattice) @ np.linalg.inv(crystal.lattice))
    return Crystal(
        lattice=transform @ crystal.lattice, frac_coords=crystal.frac_coords @ np.linalg.inv(transform), numbers=crystal.numbers
    )


def laws(args: argparse.Namespace) -> None:
    """The largest deviation of tokens and pooled vector, of one encoder in float64, by law and set."""
    torch.manual_seed(0)
    encoder = create("encoder", "equivariant", {}).double().eval()
    rng = np.random.default_rng(0)
    rows = []
    for name in ("mp_20", "mpts_52"):
        worst: dict[str, float] = {}
        items = crystals(args.data, name, args.crystals)
        for crystal in items:
            memory = encode(encoder, [crystal])
            for law, (other, order) in equivalents(crystal, rng).items():
                found = encode(encoder, [other])
                difference = max(
                    float((memory.tokens[:, order] - found.tokens).abs().max()),
                    float((memory.pooled - found.pooled).abs().max()),
                )
                worst[law] = max(worst.get(law, 0.0), difference)
        together = encode(encoder, items[:64])
        alone = torch.cat([encode(encoder, [crystal]).pooled for crystal in items[:64]])
        worst["batch"] = float((together.pooled - alone).abs().max())
        rows.append((name, len(items), *(f"{value:.1e}" for value in worst.values())))
    print(table(("set", "crystals", *worst), *rows))


def encode(encoder: torch.nn.Module, items: list[Crystal]) -> Memory:
    """Memory in float64, without gradients."""
    with torch.no_grad():
        return encoder(CrystalBatch.from_crystals(items, torch.float64))


def predictions(args: argparse.Namespace) -> None:
    """The largest change of a trained run's predictions, by law: as users call it (float32), and the network in float64."""
    model = Trained.load(args.run)
    exact = copy.deepcopy(model.generator).double()
    rng = np.random.default_rng(0)
    items = crystals(args.data, "mp_20", args.crystals)
    changed = [{law: other for law, (other, _) in equivalents(crystal, rng).items()} for crystal in items]

    def network(given: list[Crystal]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            batch = CrystalBatch.from_crystals(given, torch.float64).with_edges(exact.encoder.cutoff or 0.0)
            return {name: found.numpy() for name, found in exact.decoder.predict(exact.memory(batch)).items()}

    rows = []
    for name, predict in (("predict, float32", model.predict), ("network, float64", network)):
        expected = predict(items)
        found = {law: predict([other[law] for other in changed]) for law in changed[0]}
        for column, values in expected.items():
            worst = [f"{np.abs(other[column] - values).max():.1e}" for other in found.values()]
            rows.append((name, column, len(items), f"{np.std(values):.2f}", *worst))
    print(table(("by", "column", "crystals", "standard deviation", *changed[0]), *rows))


# --- speed ----------------------------------------------------------------------------------------------------------


def speed(args: argparse.Namespace) -> None:
    """Forward + backward of one step, float32: our kernels, e3nn's twin, NequIP where installed."""
    from encoder_e3nn import Twin, inputs

    batch = CrystalBatch.from_crystals(crystals(args.data, "mp_20", args.crystals)).with_edges(5.0)
    torch.manual_seed(0)
    encoder = create("encoder", "equivariant", LARGE)
    twin = Twin(encoder)
    given = inputs(batch)
    expected = encoder(batch).pooled.detach()
    difference = float((twin(*given) - expected).detach().abs().max() / expected.abs().max())
    print(f"{batch.size} crystals, {len(batch.numbers)} atoms, {len(given[1])} edges; e3nn's twin differs by {difference:.0e}")
    steps = {"crystalfw, kernel auto": training_step(lambda: encoder(batch).pooled, encoder)}
    for kernel in ("torch", "e3nn"):
        other = create("encoder", "equivariant", {**LARGE, "kernel": kernel})
        steps[f"crystalfw, kernel {kernel}"] = training_step(lambda other=other: other(batch).pooled, other)
    exact = _every_pair_its_own(encoder)
    steps["crystalfw, auto, no shared distances"] = training_step(lambda: exact(batch), encoder)
    steps["e3nn, eager"] = training_step(lambda: twin(*given), twin)
    if args.compile:
        compiled = torch.compile(twin)
        steps["e3nn, torch.compile"] = training_step(lambda: compiled(*given), twin)
    if args.nequip:
        from encoder_nequip import nequip_steps

        steps.update(nequip_steps(batch, training_step, compiled=args.compile))
    found = fastest(steps, args.repeats)
    base = found.get("e3nn, torch.compile", found["e3nn, eager"])
    rows = [(name, f"{1e3 * value:.1f}", f"{batch.size / value:.0f}", f"{base / value:.2f}") for name, value in found.items()]
    against = "against compiled e3nn" if "e3nn, torch.compile" in found else "against eager e3nn"
    print(table(("forward + backward", "ms CPU", "crystals/s", against), *rows))


def _every_pair_its_own(encoder: torch.nn.Module) -> Callable[[CrystalBatch], torch.Tensor]:
    """The encoder without shared rows for equal distances, as it computes in float64."""
    from crystalfw.plugins.encoders.convolution import Geometry

    def pooled(batch: CrystalBatch) -> torch.Tensor:
        kept, Geometry.distinct = Geometry.distinct, lambda self: self  # type: ignore[method-assign]
        try:
            return encoder(batch).pooled
        finally:
            Geometry.distinct = kept  # type: ignore[method-assign]

    return pooled


# --- memory, scaling, start-up, neighbours --------------------------------------------------------------------------


def memory(args: argparse.Namespace) -> None:
    """Peak resident memory of a step above that before it; each model in a process of its own."""
    rows = []
    for which in ("crystalfw", "e3nn eager", "e3nn compiled"):
        command = [sys.executable, __file__, "_memory", "--data", str(args.data), "--crystals", str(args.crystals)]
        output = subprocess.run([*command, "--which", which], check=True, capture_output=True, text=True)
        rows.append((which, float(output.stdout.split()[-1])))
    base = rows[-1][1]
    print(table(("forward + backward", "MiB above idle", "against compiled e3nn"),
                *((which, f"{found:.0f}", f"{found / base:.2f}") for which, found in rows)))  # fmt: skip


def _memory(args: argparse.Namespace) -> None:
    from encoder_e3nn import Twin, inputs

    items = crystals(args.data, "mp_20", args.crystals)
    small, large = (CrystalBatch.from_crystals(part).with_edges(5.0) for part in (items[:4], items))
    encoder = create("encoder", "equivariant", LARGE)
    twin = Twin(encoder)
    model: torch.nn.Module = encoder
    call: Callable[[CrystalBatch], torch.Tensor] = lambda batch: encoder(batch).pooled  # noqa: E731
    if args.which != "crystalfw":
        model = twin
        called = torch.compile(twin, dynamic=True) if args.which == "e3nn compiled" else twin
        call = lambda batch: called(*inputs(batch))  # noqa: E731
    training_step(lambda: call(small), model)()
    if args.which == "e3nn compiled":
        training_step(lambda: call(CrystalBatch.from_crystals(items[4:9]).with_edges(5.0)), model)()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _resident("VmRSS")
    training_step(lambda: call(large), model)()
    print((_resident("VmHWM") - before) / 1024)


def _resident(key: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(key))


def scaling(args: argparse.Namespace) -> None:
    """CPU seconds of a step by the number of atoms, and the exponent of a power law through them, in blocks and whole."""
    from crystalfw.plugins.encoders.layers import blocks

    items = crystals(args.data, "mp_20", 300)
    encoder = create("encoder", "equivariant", {})
    rows, batches = [], {}
    for wanted in (1000, 3000, 10_000, 50_000):
        chosen: list[Crystal] = []
        n_atoms = 0
        while n_atoms < wanted:
            chosen.append(items[len(chosen) % len(items)])
            n_atoms += chosen[-1].n_atoms
        batch = CrystalBatch.from_crystals(chosen)
        start = time.process_time()
        batch = batch.with_edges(5.0)
        batches[n_atoms] = batch, time.process_time() - start
    steps, standard = {}, blocks.BLOCK
    for n_atoms, (batch, _) in batches.items():
        step = training_step(lambda batch=batch: encoder(batch).pooled, encoder)
        for block in (standard, 1 << 60):

            def in_blocks(block: int = block, step: Callable[[], None] = step) -> None:
                blocks.BLOCK = block
                step()

            steps[f"{n_atoms} {block}"] = in_blocks
    seconds = fastest(steps, args.repeats)
    for n_atoms, (batch, found) in batches.items():
        assert batch.edges is not None
        blocked, whole = (seconds[f"{n_atoms} {block}"] for block in (standard, 1 << 60))
        per_atom = (f"{1e6 * spent / n_atoms:.0f}" for spent in (blocked, whole))
        rows.append((f"{n_atoms:,}", f"{len(batch.edges.source):,}", f"{found:.2f}", f"{blocked:.3f}", *per_atom))
    print(table(("atoms", "edges", "neighbours s", "step s", "us per atom", "us per atom, one block"), *rows))
    for block, name in ((standard, "in blocks"), (1 << 60, "in one block")):
        logarithms = np.log([(n_atoms, seconds[f"{n_atoms} {block}"]) for n_atoms in batches])
        print(f"{name}: cost ~ atoms^{np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0]:.2f}")


def startup(args: argparse.Namespace) -> None:
    """Wall and CPU seconds of the first step in a fresh process: with an empty and with a filled cache."""
    code = (
        "import time, torch; torch.set_num_threads(1); import numba; from crystalfw.core import Crystal, CrystalBatch;"
        "from crystalfw.core.discovery import registry;"
        "b = CrystalBatch.from_crystals([Crystal(lattice=[[3,0,0],[0,3,0],[0,0,3]], frac_coords=[[0,0,0]], numbers=[6])]);"
        "e = create('encoder', 'equivariant', {'kernel': 'KERNEL'}); w, c = time.time(), time.process_time();"
        "e(b).pooled.sum().backward(); print(time.time() - w, time.process_time() - c)"
    )
    print(table(("kernel", "", "wall s", "CPU s")))
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for kernel, label in (("jit", "empty cache"), ("jit", "filled cache"), ("torch", "no compilation")):
            command = [sys.executable, "-c", code.replace("KERNEL", kernel)]
            output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            wall, cpu = (float(value) for value in output.split()[-2:])
            print(f"| {kernel} | {label} | {wall:.1f} | {cpu:.1f} |", flush=True)


def neighbours(args: argparse.Namespace) -> None:
    """Crystals per CPU second, and whether the pairs are the same."""
    from crystalfw.core.geometry.neighbours import neighbour_arrays

    items = crystals(args.data, "mp_20", args.crystals)
    structures = [crystal.structure for crystal in items]
    equal = all(
        len(neighbour_arrays(crystal, 5.0)[0]) == len(structure.get_neighbor_list(5.0, exclude_self=True)[0])
        for crystal, structure in zip(items, structures, strict=True)
    )
    found = fastest(
        {
            "crystalfw (vesin)": lambda: [neighbour_arrays(crystal, 5.0) for crystal in items] and None,
            "pymatgen": lambda: [structure.get_neighbor_list(5.0) for structure in structures] and None,
        },
        args.repeats,
    )
    print(f"{len(items)} crystals, 5 angstrom; equal numbers of pairs: {equal}")
    print(table(("neighbour list", "crystals/s"), *((name, f"{len(items) / value:.0f}") for name, value in found.items())))


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {f.__name__: f for f in (laws, predictions, speed, memory, _memory, scaling, startup, neighbours)}
    parser.add_argument("command", choices=list(commands))
    parser.add_argument("run", nargs="?", type=Path, help="run folder of a property predictor, for `predictions`")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with mp_20, mpts_52, ...")
    parser.add_argument("--crystals", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="e3nn under torch.compile")
    parser.add_argument("--nequip", action="store_true", help="also NequIP, which must be installed")
    parser.add_argument("--which", default="crystalfw", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.insert(0, str(HERE))
    commands[args.command](args)


if __name__ == "__main__":
    main()
