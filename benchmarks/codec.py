"""The string side of the SLICES codec, measured: bonds against pymatgen, speed, keys, tokens, hostile strings.

  python benchmarks/codec.py econ --data DATA        # every bond graph equal to pymatgen's EconNN?
  python benchmarks/codec.py speed --data DATA       # encode, keys, reading; CPU seconds, one thread
  python benchmarks/codec.py stability --data DATA   # keys of 10,000 random equivalents
  python benchmarks/codec.py noise --data DATA       # keys of crystals whose atoms are moved a little
  python benchmarks/codec.py collisions --data DATA  # crystals with equal keys: are they the same crystal?
  python benchmarks/codec.py tokens --data DATA      # tokens a crystal; rigid and metric on --written N
  python benchmarks/codec.py hostile --data DATA     # 100,000 mutated and random strings

DATA is the folder with mp_20, mpts_52, ... Every command prints a Markdown table; benchmarks/codec.md holds the results.
Test parts only.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DecodeError
from crystalfw.core.recipe.options import create
from crystalfw.plugins.representations import slices
from crystalfw.plugins.representations.slices.canonical.augmentation import random_basis
from crystalfw.plugins.representations.slices.encoding import bonded, canonical_graph, with_lengths
from crystalfw.plugins.representations.slices.graph.bonds import econ_bonds
from crystalfw.plugins.representations.slices.graph.graph import normalised
from crystalfw.plugins.representations.slices.lengths.rigidity import stiffened, stiffening
from crystalfw.plugins.representations.slices.slices import read_net
from crystalfw.plugins.representations.slices.text.dialects import DIALECTS, LABELS, vocabulary

SETS = ("mp_20", "mpts_52", "perov_5", "carbon_24", "wbm_10k")


def crystals(data: Path, name: str, part: str = "test") -> list[Crystal]:
    """All crystals of one part of a set."""
    source = create("source", "table", path=str(data / name / f"{part}.csv.gz"))
    return [item for item in source.read("train") if isinstance(item, Crystal)]


def sample(items: list[Crystal], count: int, seed: int = 0) -> list[Crystal]:
    """A fixed random choice."""
    chosen = np.random.default_rng(seed).permutation(len(items))[:count]
    return [items[k] for k in sorted(chosen.tolist())]


def table(*rows: tuple[object, ...]) -> str:
    """Rows as Markdown, the first one the header."""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def equal_to_pymatgen(crystal: Crystal) -> tuple[bool, float, float]:
    """Whether the bonds are those of pymatgen's EconNN, and the CPU seconds that ours and theirs took."""
    from pymatgen.analysis.graphs import StructureGraph
    from pymatgen.analysis.local_env import EconNN
    from pymatgen.core import Lattice, Structure

    wrapped = crystal.frac_coords - np.floor(crystal.frac_coords)
    begin = time.process_time()
    ours, _, _ = econ_bonds(crystal.lattice, wrapped)
    between = time.process_time()
    structure = Structure(Lattice(crystal.lattice), crystal.numbers, wrapped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = StructureGraph.from_local_env_strategy(structure, EconNN())
    end = time.process_time()
    edges = np.array([(i, j, *shift) for i, j, shift in graph.graph.edges(data="to_jimage")]).reshape(-1, 5)
    i, j, shifts = normalised(edges[:, 0], edges[:, 1], edges[:, 2:])
    theirs = {tuple(row) for row in np.column_stack([i, j, shifts]).tolist()}
    return theirs == {tuple(row) for row in ours.tolist()}, between - begin, end - between


def econ(data: Path, count: int = 10**9) -> None:
    """Every ordered crystal of at most 52 atoms in the test parts of mp_20 and mpts_52, or a random choice of them."""
    rows: list[tuple[object, ...]] = [("set", "crystals", "equal graphs", "ours, crystals/s", "pymatgen, crystals/s")]
    for name in ("mp_20", "mpts_52"):
        found = sample([c for c in crystals(data, name) if c.n_atoms <= 52], count)
        equal_to_pymatgen(found[0])  # compile
        results = [equal_to_pymatgen(c) for c in found]
        for crystal, (equal, _, _) in zip(found, results, strict=True):
            if not equal:
                print(f"{name} {crystal.id}: differs")
        ours, theirs = sum(r[1] for r in results), sum(r[2] for r in results)
        equal_count = sum(r[0] for r in results)
        rows.append((name, len(found), equal_count, f"{len(found) / ours:,.0f}", f"{len(found) / theirs:,.0f}"))
    print(table(*rows))


def full_metric(crystal: Crystal) -> str:
    """The metric string with every contact that rigidity asks for: the longest that a crystal can have, no decoding."""
    net = bonded(crystal, 256)
    return slices.print_graph(canonical_graph(with_lengths(stiffened(net, stiffening(net).groups), "metric")))


def best_rate(work: Callable[[], object], count: int, repeats: int = 5) -> float:
    """Items per CPU second, the best of several repeats: other work on the machine only slows down."""
    rates = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        rates.append(count / (time.process_time() - begin))
    return max(rates)


def speed(data: Path) -> None:
    """Encode, keys, reading and canonical form, per CPU second on one thread."""
    rows: list[tuple[object, ...]] = [("set", "atoms", "encode plain", "keys", "all contacts", "read", "canonical(string)")]
    for name in SETS:
        some = sample(crystals(data, name), 500)
        rates = _rates(some)
        rows.append((name, f"{statistics.mean(c.n_atoms for c in some):.1f}", *(f"{rate:,.0f}" for rate in rates)))
    print(table(*rows))


def _rates(some: list[Crystal]) -> list[float]:
    plain = slices.Slices(slices.Slices.Config(max_atoms=256))
    strings = [outcome.string for outcome in plain.encode(some)]
    full_metric(some[0])  # compile
    works: list[Callable[[], object]] = [
        lambda: plain.encode(some),
        lambda: [slices.key(c) for c in some],
        lambda: [full_metric(c) for c in some],
        lambda: [slices.parse(s) for s in strings],
        lambda: [slices.canonical(s) for s in strings],
    ]
    return [best_rate(work, len(some)) for work in works]


def equivalent(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """The same crystal in another description: atoms permuted, another basis, origin moved, rotated, half of them reflected."""
    basis = random_basis(rng) @ random_basis(rng)
    order = rng.permutation(crystal.n_atoms)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    frac = crystal.frac_coords @ np.linalg.inv(basis) + rng.random(3)
    return Crystal(lattice=basis @ crystal.lattice @ rotation, frac_coords=frac[order], numbers=crystal.numbers[order])


def stability(data: Path, count: int = 10_000) -> None:
    """Keys of random equivalents, of crystals and (labels and tokens included) of metric strings."""
    rng = np.random.default_rng(0)
    per_set = count // len(SETS)
    rows: list[tuple[object, ...]] = [("set", "equivalents", "same key", "same metric string", "crystals", "distinct keys")]
    for name in SETS:
        found = crystals(data, name)
        keys = {c.id: slices.key(c) for c in found}
        same = strings_same = 0
        for k in range(per_set):
            crystal = found[k % len(found)]
            same += slices.key(equivalent(crystal, rng)) == keys[crystal.id]
            string = full_metric(crystal)
            strings_same += slices.canonical(slices.augment(string, seed=k)) == string
        rows.append((name, per_set, same, strings_same, len(found), len(set(keys.values()))))
    print(table(*rows))


def noise(data: Path, count: int = 500) -> None:
    """Keys after every atom is moved by normal noise: a key changes where a bond does."""
    rng = np.random.default_rng(0)
    sizes = (1e-5, 1e-4, 1e-3, 1e-2)
    rows: list[tuple[object, ...]] = [("set", "crystals", *(f"{size:g} angstrom" for size in sizes))]
    for name in SETS:
        some = sample(crystals(data, name), count)
        same = []
        for size in sizes:
            moved = [_moved(crystal, size, rng) for crystal in some]
            same.append(f"{sum(slices.key(a) == slices.key(b) for a, b in zip(some, moved, strict=True)) / len(some):.1%}")
        rows.append((name, len(some), *same))
    print(table(*rows))


def _moved(crystal: Crystal, size: float, rng: np.random.Generator) -> Crystal:
    shift = rng.normal(size=(crystal.n_atoms, 3)) * size @ np.linalg.inv(crystal.lattice)
    return Crystal(lattice=crystal.lattice, frac_coords=crystal.frac_coords + shift, numbers=crystal.numbers)


def collisions(data: Path) -> None:
    """Pairs of crystals of one set with equal keys: do they match by pymatgen's StructureMatcher, strictly, loosely?"""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    rows: list[tuple[object, ...]] = [("set", "crystals", "distinct keys", "pairs tried", "match strictly", "loosely")]
    for name in SETS:
        groups: dict[str, list[Crystal]] = {}
        found = crystals(data, name)
        for crystal in found:
            groups.setdefault(slices.key(crystal), []).append(crystal)
        pairs = [(group[0].structure, other.structure) for group in groups.values() for other in group[1:]][:100]
        counts = []
        for ltol, stol, angle in ((0.2, 0.3, 5), (0.3, 0.5, 10)):
            matcher = StructureMatcher(ltol=ltol, stol=stol, angle_tol=angle, attempt_supercell=False)
            counts.append(sum(bool(matcher.fit(a, b)) for a, b in pairs))
        rows.append((name, len(found), len(groups), len(pairs), *counts))
    print(table(*rows))


def tokens(data: Path, written: int = 0) -> None:
    """Mean tokens a crystal. `rigid` and `metric` are chosen by decoding, so they are measured on a sample, and against
    the plain strings of that sample; `all contacts` is the metric string with all that rigidity asks for."""
    header = (
        "set",
        "crystals",
        "plain",
        "all contacts",
        "completed",
        "floppy",
        "sample",
        "plain",
        "rigid",
        "metric",
        "failures",
    )
    rows: list[tuple[object, ...]] = [header]
    for name in SETS:
        found = crystals(data, name)
        nets = [bonded(c, 256) for c in found]
        chosen = sample(found, written)
        means, reasons = _mean_tokens(chosen, DIALECTS) if chosen else ([], Counter())
        all_means, all_reasons = _mean_tokens(found, ("plain",))
        longest = statistics.mean(len(full_metric(c).split()) for c in found)
        completed = sum(bool(net.graph.contact.any()) for net in nets)
        floppy = sum(need.rank < need.full_rank for need in map(stiffening, nets))
        cells = (len(found), *all_means, f"{longest:.1f}", completed, floppy, len(chosen), *(means or "---"))
        rows.append((name, *cells, dict(reasons + all_reasons) or "none"))
    print(table(*rows))


def _mean_tokens(some: list[Crystal], dialects: Sequence[str]) -> tuple[list[str], Counter[str]]:
    means, reasons = [], Counter[str]()
    for dialect in dialects:
        outcomes = slices.Slices(slices.Slices.Config(dialect=dialect, max_atoms=256)).encode(some)
        reasons.update(outcome.reason for outcome in outcomes if not outcome.ok)
        means.append(f"{statistics.mean(len(outcome.string.split()) for outcome in outcomes if outcome.ok):.1f}")
    return means, reasons


def hostile_strings(strings: list[str], count: int, seed: int = 0) -> Iterator[str]:
    """Token salad, noise, good strings with characters or tokens changed, and well-formed random nets, in turn."""
    rng = random.Random(seed)
    words = vocabulary().tokens
    letters = "".join(chr(c) for c in range(32, 127)) + "\t\n\0é≤𝕊"
    for k in range(count):
        kind = k % 5
        if kind == 0:
            yield " ".join(rng.choice(words) for _ in range(rng.randrange(200)))
        elif kind == 1:
            yield "".join(rng.choice(letters) for _ in range(rng.randrange(300)))
        elif kind == 2:
            characters = list(rng.choice(strings))
            for _ in range(rng.randrange(1, 6)):
                characters[rng.randrange(len(characters))] = rng.choice(letters)
            yield "".join(characters)
        elif kind == 3:
            found = rng.choice(strings).split()
            for _ in range(rng.randrange(1, 6)):
                place = rng.randrange(len(found))
                found[place : place + rng.randrange(3)] = [rng.choice(words) for _ in range(rng.randrange(3))]
                found = found or ["H"]
            yield " ".join(found)
        else:
            yield random_net(rng)


def random_net(rng: random.Random) -> str:
    """A well-formed string that no encoder would write: up to 64 atoms of one or two elements, bonds at random, mostly
    within the cell, so that much of it hangs loose and coincides in the realisation."""
    n_atoms = rng.choice((1, 2, 3, 8, 20, 64))
    atoms = [rng.choice(("C", rng.choice(("C", "H")))) for _ in range(n_atoms)]
    bonds = ["0 0 +oo", "0 0 o+o", "0 0 oo+"] if rng.random() < 0.7 else []
    home = rng.random()
    for atom in range(1, n_atoms):
        bonds.append(f"{rng.randrange(atom)} {atom} {'ooo' if rng.random() < home else rng.choice(LABELS)}")
    for _ in range(rng.randrange(1 + 3 * n_atoms) if rng.random() < 0.7 else 0):
        bonds.append(f"{rng.randrange(n_atoms)} {rng.randrange(n_atoms)} {rng.choice(LABELS)}")
    return " ".join([*atoms, *(bond for bond in bonds if not _is_nothing(bond))] or ["C"])


def _is_nothing(bond: str) -> bool:
    i, j, label = bond.split()
    return i == j and label == "ooo"


def hostile(data: Path, count: int = 100_000) -> None:
    """Read every hostile string: a graph, or a DecodeError with a reason; time of the slowest."""
    some = sample(crystals(data, "mp_20"), 300)
    good = [string for crystal in some for string in (slices.encode(crystal), full_metric(crystal))]
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    begin = time.process_time()
    for string in hostile_strings(good, count):
        start = time.process_time()
        try:
            graph = read_net(string)
            slices.canonical(string) if graph.n_atoms <= 64 else None
            outcomes["a three-dimensional net"] += 1
        except DecodeError as error:
            outcomes[error.reason] += 1
        except slices.EncodeError as error:
            outcomes[f"a net, canonical form: {error.reason}"] += 1
        slowest = max(slowest, time.process_time() - start)
    elapsed = time.process_time() - begin
    rows: list[tuple[object, ...]] = [("outcome", "strings"), *sorted(outcomes.items(), key=lambda item: -item[1])]
    print(table(*rows))
    print(f"\n{count:,} strings in {elapsed:.0f} CPU s; slowest {slowest * 1e3:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = {work.__name__: work for work in (econ, speed, stability, noise, collisions, tokens, hostile)}
    parser.add_argument("what", choices=works)
    parser.add_argument("--data", type=Path, required=True, help="folder with mp_20, mpts_52, perov_5, carbon_24, wbm_10k")
    parser.add_argument("--written", type=int, default=0, help="tokens: rigid and metric of so many crystals of each set")
    parser.add_argument("--count", type=int, help="econ, stability, noise, hostile: how many")
    args = parser.parse_args()
    options = {"written": args.written} if args.what == "tokens" else {"count": args.count} if args.count else {}
    works[args.what](args.data, **options)  # type: ignore[operator]


if __name__ == "__main__":
    main()
