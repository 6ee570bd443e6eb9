"""Tables and a figure of an ablation for the documentation, from the folder that `crystalfw ablate` wrote.

    python benchmarks/study.py FOLDER --measures "val_loss,fidelity.exact_string" [--figure FILE.svg] [--title TEXT]

Prints a Markdown table (mean and 95 % interval over seeds), then the verdicts. Shares are printed in percent.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

Cell = tuple[float, float | None, float | None]
Table = dict[str, dict[str, Cell]]


def read_summary(folder: Path) -> Table:
    """Measure -> cell -> (mean, low, high)."""
    table: Table = {}
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            low, high = (_end(row[key], row["measure"]) for key in ("low", "high"))
            table.setdefault(row["measure"], {})[row["cell"]] = float(row["mean"]), low, high
    return table


def _end(text: str, measure: str) -> float | None:
    """An end of an interval; that of a share stays between 0 and 1, which the t interval does not know."""
    if not text:
        return None
    return min(1.0, max(0.0, float(text))) if is_share(measure) else float(text)


def is_share(measure: str) -> bool:
    """True for what the tables give in percent."""
    return not (measure.endswith((".rmse", ".mae", ".cosine")) or measure == "val_loss")


def shown(measure: str, cell: Cell) -> str:
    """`61.2 (55.0-67.4)`, digits by size."""
    mean, low, high = cell
    factor, digits = (100, 1) if is_share(measure) else (1, 4 if abs(mean) < 0.1 else 3)
    ends = "" if low is None or high is None else f" ({factor * low:.{digits}f} to {factor * high:.{digits}f})"
    return f"{factor * mean:.{digits}f}{ends}"


def print_table(table: Table, measures: list[str]) -> None:
    """One row per cell, one column per measure."""
    cells = list(dict.fromkeys(cell for measure in measures for cell in table[measure]))
    print("| | " + " | ".join(f"{m}{', %' if is_share(m) else ''}" for m in measures) + " |")
    print("|---|" + "---:|" * len(measures))
    for cell in cells:
        print(f"| {cell} | " + " | ".join(shown(m, table[m][cell]) if cell in table[m] else "" for m in measures) + " |")


def print_verdicts(folder: Path, measures: list[str]) -> None:
    """What the comparisons with the baseline allow to be said."""
    with (folder / "comparisons.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["measure"] in measures:
                print(f"- {row['verdict']}")


def draw(table: Table, measures: list[str], path: Path, title: str) -> None:
    """A panel per measure: the mean of each cell with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(measures), figsize=(3.1 * len(measures) + 1.2, 2.6), sharey=True, squeeze=False)
    for axis, measure in zip(axes[0], measures, strict=True):
        cells = list(table[measure])
        factor = 100 if is_share(measure) else 1
        for position, (mean, low, high) in enumerate(table[measure].values()):
            colour = "#c2410c" if "tokens" in cells[position] else "#1d4ed8"
            if low is not None and high is not None:
                axis.plot([factor * low, factor * high], [position, position], color=colour, linewidth=2, alpha=0.5)
            axis.plot(factor * mean, position, "o", color=colour)
        axis.set_yticks(range(len(cells)), cells)
        axis.set_xlabel(measure + (" / %" if is_share(measure) else ""))
        axis.grid(axis="x", linewidth=0.4)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--measures", required=True, help="comma-separated")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    table, measures = read_summary(args.folder), args.measures.split(",")
    print_table(table, measures)
    print()
    print_verdicts(args.folder, measures)
    if args.figure:
        draw(table, measures, args.figure, args.title)


if __name__ == "__main__":
    main()
