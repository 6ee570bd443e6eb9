"""How well and how fast strings become crystals again: round trips on real data, contradicting and hostile strings.

    python benchmarks/codec_decode.py --data DIR --out results.json                   (everything, some 30 minutes)
    python benchmarks/codec_decode.py --data DIR --out results.json --limit 400 --only mp_20 --dialects plain
    python benchmarks/codec_decode.py --out results.json --table                      (prints the tables as markdown)

DIR holds folders mp_20, mpts_52, ... with test.csv.gz or val.csv.gz. Results are added to the JSON file one by one; what
is there already is not computed again. One thread; rates are crystals per CPU second of the process.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystalfw.core import Crystal
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.plugins.representations.slices import Slices, parse, print_graph
from crystalfw.plugins.representations.slices.encoding import bonded
from crystalfw.plugins.representations.slices.graph.graph import QuotientGraph
from crystalfw.plugins.representations.slices.lengths.synthesis import compare
from crystalfw.plugins.representations.slices.text.dialects import FINE, N_STEPS

ROUND_TRIPS = [
    ("mp_20", "test", "plain"),
    ("mp_20", "test", "rigid"),
    ("mp_20", "test", "metric"),
    ("mpts_52", "test", "rigid"),
    ("perov_5", "val", "rigid"),
    ("perov_5", "val", "metric"),
    ("wbm_10k", "test", "rigid"),
    ("carbon_24", "test", "rigid"),
    ("mpts_52", "test", "plain"),
    ("perov_5", "val", "plain"),
    ("wbm_10k", "test", "plain"),
    ("carbon_24", "test", "plain"),
]
BATCH = 64
SIZES = (1, 5, 9, 13, 17, 21, 31, 41, 53)


def read(data: Path, name: str, part: str, limit: int | None) -> list[Crystal]:
    """Crystals of one part, a random choice of `limit`, always the same."""
    csv.field_size_limit(sys.maxsize)
    with gzip.open(data / name / f"{part}.csv.gz", "rt", encoding="utf-8") as stream:
        rows = [(row["material_id"], row["cif"]) for row in csv.DictReader(stream)]
    order = np.random.default_rng(0).permutation(len(rows))[: limit or len(rows)]
    return [crystal_from_cif(rows[k][1], id=rows[k][0]) for k in order]


def interval(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, successes / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def round_trip(crystals: list[Crystal], dialect: str) -> dict[str, Any]:
    """Encode, decode from the strings alone, compare."""
    codec = Slices(Slices.Config(dialect=dialect))
    codec.decode([encoded.string for encoded in codec.encode(crystals[:2])])  # loads and compiles
    begin = time.process_time()
    encoded = codec.encode(crystals)
    encode_seconds = time.process_time() - begin
    strings = [outcome.string for outcome in encoded if outcome.ok]
    originals = [crystal for crystal, outcome in zip(crystals, encoded, strict=True) if outcome.ok]
    begin = time.process_time()
    decoded = codec.decode(strings)
    decode_seconds = time.process_time() - begin
    agreements = [compare(bonded(crystal), outcome) for crystal, outcome in zip(originals, decoded, strict=True)]
    strict = [agreement.score == 2 for agreement in agreements]
    failures = Counter(f"encode: {outcome.reason}" for outcome in encoded if not outcome.ok)
    failures += Counter(f"decode: {outcome.reason}" for outcome in decoded if not outcome.ok)
    failures["no match"] = sum(agreement.score == 0 and out.ok for agreement, out in zip(agreements, decoded, strict=True))
    failures["loose match only"] = sum(agreement.score == 1 for agreement in agreements)
    by_size = []
    for low, high in itertools.pairwise(SIZES):
        inside = [good for good, crystal in zip(strict, originals, strict=True) if low <= crystal.n_atoms < high]
        by_size.append([low, high - 1, len(inside), sum(inside)])
    good = [outcome.quality for outcome in decoded if outcome.ok]
    return {
        "crystals": len(crystals),
        "strict": sum(strict),
        "loose": sum(agreement.score > 0 for agreement in agreements),
        "deviation": float(np.mean([agreement.deviation for agreement in agreements if agreement.score == 2])),
        "tokens": float(np.mean([len(string.split()) for string in strings])),
        "edges": float(np.mean([parse(string).n_edges for string in strings])),
        "encode_per_second": len(crystals) / encode_seconds,
        "decode_per_second": len(strings) / decode_seconds,
        "reencodes": float(np.mean([quality["reencodes"] for quality in good])),
        "residual": float(np.mean([quality["residual"] for quality in good])),
        "failures": dict(failures),
        "missed": [c.id for c, agreement in zip(originals, agreements, strict=True) if agreement.score < 2][:50],
        "by_size": by_size,
    }


def contradiction(crystals: list[Crystal], dialect: str, steps: int) -> dict[str, Any]:
    """Every length token moved by `steps` of its scale, up or down at random."""
    rng = np.random.default_rng(steps)
    codec = Slices(Slices.Config(dialect=dialect))
    stride = FINE if dialect == "rigid" else 1
    pairs = [(crystal, parse(out.string)) for crystal, out in zip(crystals, codec.encode(crystals), strict=True) if out.ok]
    pairs = [(crystal, graph) for crystal, graph in pairs if (graph.length >= 0).any()]
    strings = []
    for _, graph in pairs:
        moved = graph.length + stride * steps * rng.choice([-1, 1], graph.n_edges)
        moved = np.clip(moved, 0, (N_STEPS - 1) // stride * stride).astype(np.int16)
        length = np.where(graph.length >= 0, moved, graph.length)
        strings.append(print_graph(QuotientGraph(graph.numbers, graph.i, graph.j, graph.shifts, graph.contact, length)))
    decoded = codec.decode(strings)
    agreements = [compare(bonded(crystal), outcome) for (crystal, _), outcome in zip(pairs, decoded, strict=True)]
    return {
        "strings": len(strings),
        "decoded": sum(outcome.ok for outcome in decoded),
        "strict": sum(agreement.score == 2 for agreement in agreements),
        "loose": sum(agreement.score > 0 for agreement in agreements),
        "deviation": float(np.mean([agreement.deviation for agreement in agreements if agreement.score == 2])),
        "contradiction": float(np.mean([outcome.quality["contradiction"] for outcome in decoded if outcome.ok])),
    }


def hostile(crystals: list[Crystal], count: int) -> dict[str, Any]:
    """Mutated strings of real crystals and strings of random tokens; the time of the slowest batch, and the reasons."""
    import resource

    rng = np.random.default_rng(0)
    codec = Slices(Slices.Config(dialect="rigid"))
    vocabulary = codec.vocabulary.tokens[3:]
    real = [outcome.string.split() for outcome in Slices().encode(crystals) if outcome.ok]
    slowest, reasons, begun = 0.0, Counter[str](), time.process_time()
    for start in range(0, count, BATCH):
        batch = []
        for _ in range(min(BATCH, count - start)):
            if rng.random() < 0.2:
                batch.append(" ".join(rng.choice(vocabulary, rng.integers(0, 200))))
                continue
            tokens = list(real[rng.integers(len(real))])
            for _ in range(rng.integers(1, 6)):
                place = int(rng.integers(len(tokens)))
                kind = rng.integers(4)
                if kind == 0:
                    tokens[place] = tokens[rng.integers(len(tokens))]
                elif kind == 1:
                    tokens[place] = str(rng.choice(vocabulary))
                elif kind == 2:
                    del tokens[place : place + int(rng.choice([1, 3]))]
                    tokens = tokens or ["H"]
                else:
                    tokens[place:place] = tokens[place : place + 3]
            batch.append(" ".join(tokens))
        begin = time.process_time()
        outcomes = codec.decode(batch)
        slowest = max(slowest, time.process_time() - begin)
        reasons.update(outcome.reason or "crystal" for outcome in outcomes)
    return {
        "strings": count,
        "reasons": dict(reasons),
        "slowest_batch": slowest,
        "seconds": time.process_time() - begun,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def table(results: dict[str, Any]) -> str:
    """All results as markdown."""
    lines = [
        "| set, part | dialect | crystals | strict % | loose % | RMSE | tokens | decoded / CPU s | no match, loose only |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, part, dialect in ROUND_TRIPS:
        found = results.get(f"round trip {name} {part} {dialect}")
        if found is None:
            continue
        shares = []
        for kind in ("strict", "loose"):
            low, high = interval(found[kind], found["crystals"])
            shares.append(f"{100 * found[kind] / found['crystals']:.1f} ({100 * low:.1f}-{100 * high:.1f})")
        missed = f"{found['failures'].get('no match', 0)}, {found['failures'].get('loose match only', 0)}"
        lines.append(
            f"| {name} {part} | {dialect} | {found['crystals']} | {shares[0]} | {shares[1]} | {found['deviation']:.4f} | "
            f"{found['tokens']:.1f} | {found['decode_per_second']:.0f} | {missed} |"
        )
    lines += ["", "| strings | lengths moved by | strings with lengths | strict % | loose % | RMSE | contradiction |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for dialect in ("rigid", "metric"):
        for steps in (0, 1, 2):
            found = results.get(f"contradiction {dialect} {steps}")
            if found is not None:
                count = found["strings"]
                width = "15 %" if dialect == "rigid" else "2.4 %"
                lines.append(
                    f"| {dialect} | {steps} step(s) of {width} | {count} | {100 * found['strict'] / count:.1f} | "
                    f"{100 * found['loose'] / count:.1f} | {found['deviation']:.4f} | {found['contradiction']:.4f} |"
                )
    if "hostile" in results:
        found = results["hostile"]
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(found["reasons"].items()))
        lines += [
            "",
            f"Hostile strings: {found['strings']} ({reasons}); slowest batch of {BATCH}: {found['slowest_batch']:.2f} CPU s; ",
        ]
        lines[-1] += f"{found['seconds']:.0f} CPU s in all, {found['memory_mb']:.0f} MB."
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with mp_20, mpts_52, ...")
    parser.add_argument("--out", type=Path, required=True, help="JSON file that the results are added to")
    parser.add_argument("--limit", type=int, help="at most so many crystals of each set")
    parser.add_argument("--only", nargs="*", help="these sets only, or `contradiction`, `hostile`")
    parser.add_argument("--dialects", nargs="*", default=["plain", "rigid", "metric"])
    parser.add_argument("--hostile", type=int, default=100_000, metavar="N", help="hostile strings (100000)")
    parser.add_argument("--table", action="store_true", help="print the results as markdown and do nothing else")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    if args.table:
        print(table(results))
        return
    torch.set_num_threads(1)

    def keep(key: str, value: dict[str, Any]) -> None:
        results[key] = value
        args.out.write_text(json.dumps(results, indent=1))
        print(key, {name: part for name, part in value.items() if name not in ("missed", "by_size")}, flush=True)

    for name, part, dialect in ROUND_TRIPS:
        key = f"round trip {name} {part} {dialect}"
        if key not in results and dialect in args.dialects and name in (args.only or [name]):
            keep(key, round_trip(read(args.data, name, part, args.limit), dialect))
    if "contradiction" in (args.only or ["contradiction"]):
        crystals = read(args.data, "mp_20", "test", min(args.limit or 400, 400))
        for dialect in ("rigid", "metric"):
            for steps in (0, 1, 2):
                if f"contradiction {dialect} {steps}" not in results:
                    keep(f"contradiction {dialect} {steps}", contradiction(crystals, dialect, steps))
    if "hostile" in (args.only or ["hostile"]) and "hostile" not in results:
        keep("hostile", hostile(read(args.data, "mp_20", "test", 300), args.hostile))


if __name__ == "__main__":
    main()
