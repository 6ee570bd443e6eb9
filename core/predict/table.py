"""The answers as rows of samples.csv: every question has its ranked crystals, or one row with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crystalfw.core.predict.question import Asked
from crystalfw.core.records import Proposal

if TYPE_CHECKING:  # a generator's sampling need not be loaded for answers without one
    from crystalfw.core.predict.joint import Joint
    from crystalfw.core.predict.predictor import Predictor

COLUMNS = (
    "id", "reference_id", "rank", "probability", "origin", "why", "status", "reason", "formula", "space_group", "cif",
)  # fmt: skip
STATUS = COLUMNS.index("status")


def answer(predictor: Predictor | Joint, asked: Asked, n: int) -> list[list[str]]:
    """The rows of one question."""
    if asked.question is None:
        return [_failed(asked, "question", asked.reason)]
    found = predictor.answer(asked.question, n)
    if not found:
        ratio = ":".join(map(str, asked.question.counts))
        units = f" with {asked.question.units[0]} formula units in the cell" if asked.question.units else ""
        return [
            _failed(asked, "unknown", f"the library has no structure type of the ratio {ratio}{units}, nor of a related one")
        ]
    return [_row(asked, rank, proposal) for rank, proposal in enumerate(found, start=1)]


def _row(asked: Asked, rank: int, proposal: Proposal) -> list[str]:
    return [
        f"{asked.id}-{rank}", asked.id, str(rank), f"{proposal.probability:.6g}",
        proposal.origin, proposal.why, "ok", "", proposal.crystal.formula, str(proposal.group), proposal.crystal.cif(),
    ]  # fmt: skip


def _failed(asked: Asked, status: str, reason: str) -> list[str]:
    return [f"{asked.id}-0", asked.id, "", "", "", "", status, reason, "", "", ""]


def lines(rows: list[list[str]], shown: int) -> Iterator[str]:
    """The answer to one question for the screen."""
    first = dict(zip(COLUMNS, rows[0], strict=True))
    if first["status"] != "ok":
        yield f"{first['reference_id']}: {first['reason']}"
        return
    yield f"{first['reference_id']}: {len(rows)} candidates"
    for row in rows[:shown]:
        named = dict(zip(COLUMNS, row, strict=True))
        sure = 100 * float(named["probability"])
        group = f"space group {named['space_group']:>3}"
        yield f"  {named['rank']:>3}  {sure:5.1f} %  {named['formula']:<14} {group}  {named['origin']}: {named['why']}"
