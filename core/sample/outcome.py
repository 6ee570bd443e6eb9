"""What came of a request, in one line: asked, made, lost, and for which reasons."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from crystalfw.core.sample.table import read_rows
from crystalfw.core.system.wording import counted


def outcome_lines(table: Path) -> list[str]:
    """`10 asked, 1 crystal; 9 without: geometry 7, parse 2`, and advice where fewer than half became crystals."""
    asked, lost = 0, Counter[str]()
    for row in read_rows(table):
        asked += 1
        if not row["cif"].strip():
            lost[_code(row)] += 1
    made = asked - lost.total()
    line = f"{asked:,} asked, {counted(made, 'crystal')}"
    if not lost:
        return [line]
    lines = [f"{line}; {lost.total():,} without: {', '.join(f'{code} {count:,}' for code, count in lost.most_common())}"]
    failed = lost.total() - lost["repeat"]  # a repeat is no failure of the model: there are no more distinct crystals
    if failed > made:
        lines.append(
            "fewer than half became crystals: train longer or on more data, ask for what the training data hold, "
            "or lower --temperature; the column `reason` of the table says why each one failed"
        )
    return lines


def _code(row: dict[str, str]) -> str:
    """The code of a failure: the first word of its reason, else its status."""
    words = row["reason"].split(":")[0].split()
    return words[0] if words else row["status"] or "unknown"
