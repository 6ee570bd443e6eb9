"""What a trained model's encoder says of structures, as arrays for other programs.

  crystalfw embed mp-energies structures.csv -o vectors.npy                        one pooled vector (C) for each structure
  crystalfw embed mp-energies structures.csv -o vectors.npy --tokens tokens.npz    and its tokens, one for each atom

Row k of the array belongs to row k of vectors.csv, which is written beside it (id, formula, n_tokens). tokens.npz holds
`tokens`, those of all structures one after another, and `n_tokens` of each. A structure that cannot be read is left out and
named on stderr. Vectors do not change under rotation, translation, another cell or a supercell.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from crystalfw.core.commands.parser import add_out, add_run
from crystalfw.core.errors import CrystalfwError
from crystalfw.core.records import Rejected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `crystalfw embed`."""
    add_run(parser)
    parser.add_argument("structures", metavar="STRUCTURES", help="table, structure file, folder or zip")
    parser.add_argument("--tokens", metavar="FILE.npz", help="also write the tokens")
    parser.add_argument("--device", default="cpu", help="torch device, e.g. cuda (default cpu)")
    add_out(parser, "FILE.npy", "array to write", required=True)


def run(args: argparse.Namespace) -> int:
    """Embed; 1 where no structure could be read."""
    import numpy as np

    from crystalfw.core.commands._structures import report, usable
    from crystalfw.core.sample.trained import Trained
    from crystalfw.core.sample.training_range import warnings_outside

    for path, suffix in ((args.out, ".npy"), (args.tokens, ".npz")):
        if path is not None and Path(path).suffix != suffix:
            raise CrystalfwError(f"{path}: name a file that ends in {suffix}")
    trained = Trained.load(args.run, which=args.checkpoint, device=args.device)
    rejected: list[Rejected] = []
    crystals = list(usable(trained, args.structures, rejected))
    report(rejected, warnings_outside(crystals, trained.requires, trained.ranges))
    vectors, tokens = trained.embed_both(crystals)
    np.save(args.out, vectors)
    lengths = [len(rows) for rows in tokens]
    if args.tokens:
        np.savez(args.tokens, tokens=np.concatenate([*tokens, vectors[:0]]), n_tokens=np.array(lengths, dtype=np.int64))
    with open(Path(args.out).with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "formula", "n_tokens"])
        writer.writerows([crystal.id, crystal.formula, count] for crystal, count in zip(crystals, lengths, strict=True))
    left = f", {len(rejected):,} left out" if rejected else ""
    print(
        f"{args.out}: {len(crystals):,} vectors of width {vectors.shape[1]}{left}; ids in {Path(args.out).with_suffix('.csv')}"
    )
    return 0 if crystals else 1
