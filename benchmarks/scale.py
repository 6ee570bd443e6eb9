"""Scale: prepare, train one epoch on, and evaluate 10,000, 100,000, 1,000,000 crystals; CPU seconds and memory of each.

    python benchmarks/scale.py prepare 100000 --folder FOLDER     one stage of one size, in this process
    python benchmarks/scale.py train 100000 --folder FOLDER       one epoch, on what `prepare` left in the folder
    python benchmarks/scale.py evaluate 100000 --folder FOLDER
    python benchmarks/scale.py plot --folder FOLDER               table on the screen, docs/figures/scale.png

Every stage appends a line to FOLDER/scale.jsonl. The crystals are those of the prototypes source, each strained by up to
3 %, so that all differ. One process and one thread throughout. The model is a toy (composition encoder, additive, one block
of width 32): what the epoch shows is the loader and the loop, not the network.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prepare import Synthetic, Watch

from crystalfw.core.crystal import Crystal, lattice_to_parameters
from crystalfw.core.data import Dataset, LoaderOptions
from crystalfw.core.data import prepare as prepare_data
from crystalfw.core.model.assembly import build_components, build_generator
from crystalfw.core.recipe.schema import ComponentSpec, DataSection, FabricSection, FitSection, ModelSection, Recipe
from crystalfw.core.sample.table import COLUMNS
from crystalfw.core.system.progress import Progress

BATCH = 64
SHARE_OF_EPOCH = 1.0
"""Below 1 with --share: the cost of a step does not depend on how many crystals there are beside those of its batch."""
METRICS = ("validity", "distributions")


def recipe_of(folder: Path, count: int) -> Recipe:
    model = ModelSection(
        encoder=ComponentSpec(name="composition", options={"dim": 32}),
        conditioning=ComponentSpec(name="additive"),
        decoder=ComponentSpec(name="gpt", options={"n_layers": 1, "n_heads": 2, "dim": 32}),
    )
    fit = FitSection(
        steps=math.ceil(0.9 * count / BATCH), batch_size=BATCH, validate_every=10**9, validation_batches=2,
        checkpoint_every=1000, log_every=50,
    )  # fmt: skip
    data = DataSection(cache=str(folder / "cache"), workers=1)
    return Recipe(data=data, model=model, fit=fit, fabric=FabricSection(accelerator="cpu", threads=1, precision="32-true"))


def dataset_of(recipe: Recipe, count: int) -> Dataset:
    """Prepared data, from the cache where it is there."""
    components = build_components(recipe)
    progress = Progress("prepare", count)
    return prepare_data(
        recipe.data,
        Synthetic(count),
        components.prepare,
        components.representation,
        key="scale",
        seed=0,
        progress=progress.update,
    )


def prepare(folder: Path, count: int) -> dict[str, Any]:
    recipe = recipe_of(folder, count)
    assert recipe.data.cache is not None, "never the user's own cache"
    shutil.rmtree(recipe.data.cache, ignore_errors=True)
    dataset = dataset_of(recipe, count)
    size = sum(path.stat().st_size for path in dataset.folder.rglob("*") if path.is_file())
    return {"crystals": len(dataset), "disk_kb_per_crystal": round(size / 1e3 / len(dataset), 2)}


def train(folder: Path, count: int) -> dict[str, Any]:
    from crystalfw.core.model.fit import Fit
    from crystalfw.core.run.setup import make_fabric

    recipe = recipe_of(folder, count)
    components = build_components(recipe)
    dataset = dataset_of(recipe, count)
    fabric = make_fabric(recipe.fabric)
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    (run / "checkpoints").mkdir(parents=True)
    generator = build_generator(recipe, components.representation)
    section = replace(recipe.fit, steps=math.ceil(SHARE_OF_EPOCH * len(dataset.splits["train"]) / BATCH))
    options = LoaderOptions(
        batch_size=section.batch_size, seed=0, accumulate=section.accumulate, augment=section.augment,
        representation=components.representation, max_length=getattr(generator.decoder, "max_length", None),
    )  # fmt: skip
    fit = Fit(fabric, generator, dataset.splits, section, options, run_dir=run, payload={})
    state = fit.run()
    parameters = sum(p.numel() for p in generator.parameters())
    seen = round(SHARE_OF_EPOCH * len(dataset.splits["train"]))
    facts = {"crystals": seen, "tokens": state.tokens, "steps": state.step, "parameters": parameters}
    return {**facts, "share": SHARE_OF_EPOCH}


def evaluate(folder: Path, count: int) -> dict[str, Any]:
    """The table of samples is written by `table_of` before the clock starts."""
    from crystalfw.core.evaluate.evaluation import evaluate as evaluate_samples

    record = evaluate_samples(
        folder / f"samples-{count}.csv", None, [ComponentSpec(name=name) for name in METRICS], out=folder / "out", workers=1
    )
    return {"crystals": record["samples"]["count"], "metrics": list(METRICS)}


def table_of(folder: Path, count: int) -> None:
    """samples.csv of `count` crystals; the CIF is written here because pymatgen's writer takes longer than the evaluation."""
    path = folder / f"samples-{count}.csv"
    if path.exists():
        return
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for crystal in _crystals(count):
            writer.writerow([crystal.id, 0, "", "", "ok", "", "", "", cif(crystal), "", ""])


def _crystals(count: int) -> Iterator[Crystal]:
    for item in Synthetic(count).read("train"):
        assert isinstance(item, Crystal)
        yield item


def cif(crystal: Crystal) -> str:
    """P1 in pymatgen's layout."""
    from pymatgen.core import Element

    lengths, angles = lattice_to_parameters(crystal.lattice)
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "\n".join(f"_cell_{name}   {value:.8f}" for name, value in zip(names, [*lengths, *angles], strict=True))
    symbols = [_SYMBOLS.setdefault(z, str(Element.from_Z(z).symbol)) for z in crystal.numbers.tolist()]
    sites = "\n".join(
        f"  {symbol}  {symbol}{k}  1  {x:.8f}  {y:.8f}  {z:.8f}  1"
        for k, (symbol, (x, y, z)) in enumerate(zip(symbols, (crystal.frac_coords % 1.0).tolist(), strict=True))
    )
    return (
        f"# generated using pymatgen\ndata_x\n_symmetry_space_group_name_H-M   'P 1'\n{cell}\n_symmetry_Int_Tables_number   1\n"
        f"_chemical_formula_structural   x\n_chemical_formula_sum   'X1'\n_cell_volume   {crystal.volume:.8f}\n"
        "_cell_formula_units_Z   1\nloop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n"
        "loop_\n _atom_site_type_symbol\n _atom_site_label\n _atom_site_symmetry_multiplicity\n _atom_site_fract_x\n"
        f" _atom_site_fract_y\n _atom_site_fract_z\n _atom_site_occupancy\n{sites}\n"
    )


_SYMBOLS: dict[int, str] = {}
STAGES: dict[str, Callable[[Path, int], dict[str, Any]]] = {"prepare": prepare, "train": train, "evaluate": evaluate}


def measure(stage: str, count: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if stage == "evaluate":
        table_of(folder, count)
    watch, began = Watch(), time.perf_counter()
    watch.start()
    result = STAGES[stage](folder, count)
    wall = time.perf_counter() - began
    cpu, memory, _ = watch.result()
    line = {"stage": stage, "n": count, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "peak_mb": round(memory), **result}
    with open(folder / "scale.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))


def plot(folder: Path) -> None:
    """CPU seconds and memory over crystals, both logarithmic; and the exponent between the smallest and the largest size."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    lines = [json.loads(line) for line in (folder / "scale.jsonl").read_text().splitlines()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for stage, colour in zip(STAGES, ("#0284c7", "#dc2626", "#0f172a"), strict=True):
        found = sorted({line["n"]: line for line in lines if line["stage"] == stage}.items())
        if not found:
            continue
        n, cpu, memory = zip(*((n, line["cpu_s"] / line.get("share", 1.0), line["peak_mb"]) for n, line in found), strict=True)
        left.loglog(n, cpu, "o-", color=colour, label=stage)
        right.semilogx(n, memory, "o-", color=colour, label=stage)
        slope = math.log(cpu[-1] / cpu[0]) / math.log(n[-1] / n[0]) if len(n) > 1 else math.nan
        for count, line in found:
            seconds = line["cpu_s"] / line.get("share", 1.0)
            print(f"| {stage} | {count:,} | {seconds:,.1f} | {count / seconds:,.0f} | {line['peak_mb']:,} |")
        print(f"{stage}: CPU seconds grow as n^{slope:.3f}")
    left.set(xlabel="crystals", ylabel="CPU seconds (an epoch, for train)")
    right.set(xlabel="crystals", ylabel="peak memory, MB", ylim=(0, None))
    left.legend(frameon=False)
    figure.savefig(Path(__file__).parents[1] / "docs" / "figures" / "scale.png", dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "plot"])
    parser.add_argument("count", type=int, nargs="?")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the epoch")
    args = parser.parse_args()
    global SHARE_OF_EPOCH
    SHARE_OF_EPOCH = args.share
    if args.stage == "plot":
        plot(args.folder)
    elif args.count is None:
        sys.exit("how many crystals?")
    else:
        measure(args.stage, args.count, args.folder)


if __name__ == "__main__":
    main()
