"""The referee's page: our generators and all baselines on mp_20, the same questions, samples and training crystals.

    python benchmarks/referee_page.py DATA/mp_20 OUT --page docs/results/referee.md
    python benchmarks/referee_page.py DATA/mp_20 OUT --unconditional runs/mine --parts de-novo --page docs/results/referee.md

Parts: `predict` (a composition is asked), `de-novo` (nothing is asked), `property` (a property is asked), `energies`
(stability of the first de novo samples by CHGNet). `predict` needs a predictor that was fitted on the train part alone:

    crystalfw library build DATA/mp_20/train.csv.gz -o mp20.library
    crystalfw library fit mp20.library -o OUT/mp20.predictor

Everything lies in OUT and is continued after a kill; delete OUT/PART to judge another model. With --page the tables between
the page's `<!-- PART -->` marks are replaced; without, they are printed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from crystalfw.core.commands.evaluate import parse_components, parse_metrics
from crystalfw.core.crystal import Crystal
from crystalfw.core.evaluate.comparison import Judged, comparison, folder_of
from crystalfw.core.evaluate.contenders import Contender, make_baseline
from crystalfw.core.evaluate.evaluation import evaluate
from crystalfw.core.evaluate.inputs import load_crystals, load_samples
from crystalfw.core.evaluate.measured import outcomes_of, read_json
from crystalfw.core.evaluate.workbench import Workbench
from crystalfw.core.recipe.options import checked
from crystalfw.core.records import Sample, Wanted
from crystalfw.core.sample.table import COLUMNS, sample_row
from crystalfw.core.system.sequences import Picked
from crystalfw.plugins.metrics.shared.equality import find_equal

PARTS = ("predict", "de-novo", "property", "energies")
PROPERTIES = {"formation_energy_per_atom": (-3.5, -0.5), "band_gap": (0.5, 6.0)}
"""What is asked of the property model, spread evenly: eV/atom, eV."""
_CRYSTALFW = str(Path(sys.executable).with_name("crystalfw"))


@dataclass
class Page:
    """What all parts need."""

    args: argparse.Namespace
    out: Path
    train: Sequence[Crystal]
    test: Sequence[Crystal]
    bench: Workbench

    def judged(self, part: str, tables: Sequence[Contender], metrics: str, reference: Sequence[Crystal]) -> list[Judged]:
        """Every table judged by these metrics, in a folder of its own; finished ones are taken as they are."""
        found = []
        for table in tables:
            folder = folder_of(self.out / part, table.name)
            record = folder / "metrics.json"
            if not (record.is_file() and record.stat().st_mtime > table.path.stat().st_mtime):
                print(f"{part}: {table.name}", flush=True)
                evaluate(table.path, reference, parse_metrics(metrics), training=self.train, out=folder, bench=self.bench,
                         quiet=True)  # fmt: skip
            samples = load_samples(table.path)
            found.append(Judged(table, folder, {one.id: one.reference_id for one in samples if one.reference_id}))
        return found

    def baselines(self, part: str, specs: str, wanted: Sequence[Wanted], *, free: bool) -> list[Contender]:
        """The tables of baselines, made or taken as they are."""
        return [
            make_baseline(checked("baseline", spec), wanted, self.train, self.out / part / f"made-{spec.name}", free=free,
                          seed=0, say=print)
            for spec in parse_components(specs, "baselines")
        ]  # fmt: skip


def main() -> None:
    """Judge, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train.csv.gz and test.csv.gz")
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--unconditional", default="mp-unconditional", help="generator of new crystals: run or model")
    parser.add_argument("--property", default="mp-property", help="generator for a property: run or model")
    parser.add_argument("--predictor", type=Path, help="default OUT/mp20.predictor")
    parser.add_argument("--judge", default="mp-energies", help="predictor of properties")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=5, help="answers to each question")
    parser.add_argument("--samples", type=int, default=250, help="de novo samples of each")
    parser.add_argument("--asked", type=int, default=100, help="samples for each property")
    parser.add_argument("--relaxed", type=int, default=16, help="de novo samples of each to relax")
    parser.add_argument("--page", type=Path, help="page whose marked tables are replaced")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[Page], list[str]]] = {
        "predict": predicted, "de-novo": de_novo, "property": by_property, "energies": energies,
    }  # fmt: skip
    train, test = (load_crystals(args.data / f"{part}.csv.gz", part) for part in ("train", "test"))
    with Workbench(workers=1, store=args.out / "answers.partial", quiet=True) as bench:
        page = Page(args, args.out, train, test, bench)
        for part in args.parts.split(","):
            lines = makers[part](page)
            print("\n".join(lines), flush=True)
            if args.page:
                put(args.page, part, lines)


def put(page: Path, part: str, lines: Sequence[str]) -> None:
    """Replace what stands between the part's marks."""
    text, (first, last) = page.read_text(encoding="utf-8"), (f"<!-- {part} -->", f"<!-- end of {part} -->")
    before, rest = text.split(first)
    page.write_text(f"{before}{first}\n" + "\n".join(lines) + f"\n{last}{rest.split(last)[1]}", encoding="utf-8")


# A composition is asked


def predicted(page: Page) -> list[str]:
    """Structure prediction: the atoms in the cell are given."""
    args, n = page.args, page.args.candidates
    asked = Picked(page.test, np.arange(args.questions), _same)
    questions = page.out / "predict" / "questions.csv"
    write(questions, ["id", "composition"], ([one.id, one.structure.composition.formula.replace(" ", "")] for one in asked))
    ours = []
    for name, library in (("retrieval", args.predictor or page.out / "mp20.predictor"), ("mp-predict", "mp-predict")):
        folder = page.out / "predict" / f"made-{name}"
        crystalfw("predict", questions, "--cell", "-n", n, "--library", library, "-o", folder)
        ours.append(Contender(name, folder / "samples.csv"))
    cells = ((one.id, tuple(sorted(one.numbers.tolist()))) for one in asked)
    wanted = [Wanted(f"{id}-{rank + 1}", numbers, id, rank) for id, numbers in cells for rank in range(n)]
    names = "nearest,exchange,prototype,strings,random"  # template is what `crystalfw predict` gives
    judged = page.judged("predict", [*ours, *page.baselines("predict", names, wanted, free=False)], f"match:n=[1,{n}]", asked)
    rows = []
    for item in judged:
        match = result(item, "match")
        cells_of = [with_interval(match[tolerance][f"n={k}"]) for tolerance in ("loose", "strict") for k in (1, n)]
        rmse = match["loose"]["n=1"]["rmse"]
        rows.append([_shown(item), *cells_of, "" if rmse is None else f"{rmse:.3f}"])
    header = ["answers", "loose, n = 1", f"loose, n = {n}", "strict, n = 1", f"strict, n = {n}", "RMSE, n = 1"]
    leaks = result(judged[0], "match")["leaks"]
    said = said_of(judged, "match.strict.n=1", "match at n = 1, strict")
    lead = (
        f"{args.questions} questions, {len(page.train):,} training crystals; questions whose formula is in the training part: "
    )
    return [f"{lead}{leaks['formula_in_training']['count']}.", "", *table(header, rows), "", *said]


# Nothing is asked


def de_novo(page: Page) -> list[str]:
    """New crystals."""
    tables = _de_novo_tables(page)
    known = Picked(page.test, np.arange(len(tables) and page.args.samples), _same)
    judged = page.judged("de-novo", tables, "shares,novelty_steps,symmetry:symprec=[0.1],diversity", known)
    rows = []
    for item in judged:
        chain = {link["stage"]: link for link in result(item, "shares")["chain"]}
        steps, p1 = result(item, "novelty_steps"), result(item, "symmetry")["symprec=0.1"]["samples"]["p1"]
        score = result(item, "diversity")["samples"]
        valid = [with_interval(chain[stage]) for stage in ("structurally valid", "compositionally valid", "novel")]
        new = [with_interval(steps["chain"][name]) for name in ("new_by_matcher", "not_an_exchange")]
        other = with_interval({"count": p1["of"] - p1["count"], "of": p1["of"]})
        rows.append([_shown(item), *valid, *new, with_interval(steps["new_type"]), other,
                     f"{score['composition']['score']:.1f}", f"{score['structure']['score']:.1f}"])  # fmt: skip
    header = ["samples", "structurally valid", "and compositionally", "and unique and novel", "new", "and no exchange",
              "new type", "not P1", "Vendi, composition", "Vendi, structure"]  # fmt: skip
    measures = {"shares.novel": "valid, unique and novel", "novelty_steps.chain.not_an_exchange": "new by every step"}
    said = [line for key, words in measures.items() for line in said_of(judged, key, words)]
    return [f"{page.args.samples} samples each.", "", *table(header, rows), "", *said]


def _de_novo_tables(page: Page) -> list[Contender]:
    folder, count = page.out / "de-novo", page.args.samples
    made = folder / "made-generator" / "samples.csv"
    crystalfw("sample", page.args.unconditional, "--n", count, "-o", made)
    wanted = [Wanted(f"{k:06d}") for k in range(count)]
    specs = "random,exchange,prototype,strings:composition=false"
    control = folder / "made-control" / "samples.csv"
    order = np.random.default_rng(0).permutation(len(page.test))[:count]
    write_samples(control, (wanted[k].made(page.test[int(place)]) for k, place in enumerate(order)))
    return [Contender(Path(page.args.unconditional).name, made), *page.baselines("de-novo", specs, wanted, free=True),
            Contender("crystals of mp_20 test", control)]  # fmt: skip


# A property is asked


def by_property(page: Page) -> list[str]:
    """Crystals of a formation energy or a band gap, judged by a predictor."""
    lines = []
    for name, (low, high) in PROPERTIES.items():
        part = f"property/{name}"
        made = page.out / part / "made-generator" / "samples.csv"
        crystalfw("sample", page.args.property, "--n", page.args.asked, "--condition", f"{name}={low}..{high}",
                  "--guidance", 2, "-o", made)  # fmt: skip
        tables = [Contender(Path(page.args.property).name, made), *_property_baselines(page, part, name, load_samples(made))]
        judged, rows = page.judged(part, tables, f"conditional:predictor={page.args.judge}", []), []
        for item in judged:
            column, outcomes = result(item, "conditional")["columns"][name], outcomes_of(item.folder)
            hits, new = outcomes[f"conditional.columns.{name}.hit"], _new(page, item)
            both = sum(bool(hit) and id in new for id, hit in hits.items())
            rows.append([_shown(item), with_error(outcomes[f"conditional.columns.{name}.mae"]), with_interval(column["hit"]),
                         with_interval({"count": both, "of": len(hits)})])  # fmt: skip
        tolerance = result(judged[0], "conditional")["columns"][name]["tolerance"]
        lead = f"`{name}`, {low} to {high} asked of {page.args.asked} samples; a hit lies within {tolerance:.3g}, the error of "
        lines += [*wrapped(f"{lead}`{page.args.judge}` on mp_20 test.", ""), ""]
        lines += [*table(["samples", "mean error", "hits", "hits that are new"], rows), ""]
        lines += said_of(judged, f"conditional.columns.{name}.mae", f"error of {name}")
        lines += [""]
    return lines[:-1]


def _new(page: Page, item: Judged) -> set[str]:
    """Ids of the samples that equal no training crystal."""
    made = [one.crystal for one in load_samples(item.contender.path) if one.crystal is not None]
    same = find_equal(page.bench, made, page.train, "strict", 20.0).same_as
    return {crystal.id for crystal, place in zip(made, same.tolist(), strict=True) if place < 0}


def _property_baselines(page: Page, part: str, name: str, asked: Sequence[Sample]) -> Iterator[Contender]:
    """The training crystal whose property is nearest to what is asked, and a random one."""
    with gzip.open(page.args.data / "train.csv.gz", "rt", newline="") as file:
        found = {row["material_id"]: float(row[name]) for row in csv.DictReader(file) if row[name]}
    places = [place for place, crystal in enumerate(page.train) if crystal.id in found]
    values, rng = np.array([found[page.train[place].id] for place in places]), np.random.default_rng(0)
    values = values + 1e-6 * rng.random(len(values))  # many gaps are equal: another of them each time
    nearest = [int(np.abs(values - float(sample.condition[name])).argmin()) for sample in asked]
    drawn = rng.integers(len(places), size=len(asked)).tolist()
    for label, chosen in (("nearest by property", nearest), ("random", drawn)):
        path = page.out / part / f"made-{label.replace(' ', '-')}" / "samples.csv"
        rows = (replace(Wanted(one.id).made(page.train[places[k]]), condition=one.condition)
                for one, k in zip(asked, chosen, strict=True))  # fmt: skip
        write_samples(path, rows)
        yield Contender(label, path)


# Energies


def energies(page: Page) -> list[str]:
    """The first de novo samples relaxed with CHGNet, above the hull of the training crystals' published energies."""
    place, count, tables = page.out / "energies", page.args.relaxed, _de_novo_tables(page)
    folders = [place / item.path.parent.name for item in tables]
    for item, folder in zip(tables, folders, strict=True):
        first = [sample for _, sample in zip(range(count), load_samples(item.path), strict=False)]
        write_samples(folder / "samples.csv", first)
        crystalfw("relax", folder / "samples.csv", "-o", folder / "relaxed", "--steps", 300, "--seconds", 0, "--workers", 1)
    together(place / "all.csv", [folder / "relaxed" / "relaxed.csv" for folder in folders])
    known = page.args.data / "train.csv.gz"
    if not (place / "hull" / "hull.csv").is_file():
        crystalfw("hull", place / "all.csv", "--energies", known, "--potential", "chgnet", "-o", place / "hull")
    with (place / "hull" / "hull.csv").open(newline="") as file:
        heights = {row["id"]: float(row["above_hull"]) for row in csv.DictReader(file) if row["above_hull"]}
    rows = []
    for item, folder in zip(tables, folders, strict=True):
        both = Contender(f"{item.name} steps", folder / "relaxed" / "samples.csv")
        judged = page.judged("energies", [both], "novelty_steps", [])[0]
        outcomes, of = outcomes_of(judged.folder), f"{folder.name}/"
        own = {id.removeprefix(of): height for id, height in heights.items() if id.startswith(of)}
        stable = {id for id, height in own.items() if height <= 0.1}
        cells = [len(stable), *(sum(bool(value) and id in stable for id, value in outcomes[f"novelty_steps.{step}"].items())
                                for step in ("chain.new_after_relaxation", "chain.not_an_exchange"))]  # fmt: skip
        rows.append([_shown(Judged(item, folder)), *(with_interval({"count": cell, "of": count}) for cell in cells),
                     f"{np.median(list(own.values())):.3f}", str(count - len(own))])  # fmt: skip
    header = ["samples", "within 0.1 eV/atom", "and new, also relaxed", "and no exchange", "median above hull, eV/atom",
              "not judged"]  # fmt: skip
    return [f"The first {count} samples of each, relaxed.", "", *table(header, rows)]


def together(path: Path, tables: Sequence[Path]) -> None:
    """One table of relaxed crystals, with ids that say where they come from."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, one in enumerate(tables):
            with one.open(newline="", encoding="utf-8") as lines:
                header, *rows = csv.reader(lines)
            if not number:
                writer.writerow(header)
            writer.writerows([f"{one.parent.parent.name}/{row[0]}", *row[1:]] for row in rows)
    record = tables[0].with_name("relaxed.csv.request.json").read_text(encoding="utf-8")
    path.with_name(f"{path.name}.request.json").write_text(record, encoding="utf-8")


# What all share


def said_of(judged: Sequence[Judged], key: str, words: str) -> list[str]:
    """One sentence with the paired verdicts on a measure."""
    compared = comparison(judged)
    first, groups = judged[0].contender.name, dict[str, list[str]]()
    for row in compared["differences"]:
        if row["measure"] == key:
            name = row["generator"].removeprefix("baseline ")
            groups.setdefault(row["word"], []).append(f"{name} ({row['difference']:+.2f})")
    if not groups:
        return []
    order = (("better", "better"), ("worse", "worse"), ("not shown", "no difference shown"))
    parts = [f"{said}: {', '.join(groups[word])}" for word, said in order if word in groups]
    return wrapped(f"Compared with {first}, {words}. {'; '.join(parts)}.")


def wrapped(text: str, first: str = "- ") -> list[str]:
    """The text in lines of a page."""
    return wrap(text, 106, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def result(item: Judged, metric: str) -> Mapping[str, Any]:
    """What a metric gave. Raises SystemExit with its own sentence where it gave nothing."""
    found = read_json(item.folder / "metrics.json")["metrics"][metric]
    if found["error"]:
        raise SystemExit(f"{item.folder}: {metric}: {found['error']}")
    content: Mapping[str, Any] = found["result"]
    return content


def with_interval(share: Mapping[str, Any]) -> str:
    """`78 % (66-87)`, Wilson's 95 % interval."""
    from crystalfw.plugins.metrics.shared.geometry import wilson

    if not share["of"]:
        return "none"
    low, high = wilson(share["count"], share["of"])
    return f"{100 * share['count'] / share['of']:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def with_error(values: Mapping[str, float]) -> str:
    """Mean and its standard error over the samples that are crystals."""
    finite = np.array([value for value in values.values() if np.isfinite(value)])
    return f"{finite.mean():.2f} ± {finite.std(ddof=1) / len(finite) ** 0.5:.2f}" if len(finite) > 1 else ""


def _shown(item: Judged) -> str:
    name = item.contender.name
    return f"`{name.removeprefix('baseline ')}`" if " " not in name or name.startswith("baseline ") else name


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---", *["---:"] * (len(header) - 1)], *rows)]


def write_samples(path: Path, samples: Iterator[Sample] | Sequence[Sample]) -> None:
    """A table of samples; an equal one is left as it is."""
    write(path, COLUMNS, (list(sample_row(sample).values()) for sample in samples))


def write(path: Path, header: Sequence[str], rows: Iterator[list[str]]) -> None:
    """A CSV table; one that exists is left as it is."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".tmp").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    path.with_suffix(".tmp").replace(path)


def crystalfw(*arguments: object) -> None:
    """Run a command of the tool; what is finished it does not do again."""
    command = [_CRYSTALFW, "-q", *map(str, arguments)]
    destination = Path(command[command.index("-o") + 1])
    table_of = destination if destination.suffix == ".csv" else destination / "samples.csv"
    finished = table_of.with_name("finished.json")
    if finished.is_file() and json.loads(finished.read_text()) == command[2:]:
        return
    print(" ".join(["crystalfw", *command[2:]]), flush=True)
    subprocess.run(command, check=True)
    finished.write_text(json.dumps(command[2:]) + "\n")


def _same(crystal: Crystal) -> Crystal:
    return crystal


if __name__ == "__main__":
    main()
