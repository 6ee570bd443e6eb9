"""From one checkpoint format to the next: pure functions of the payload, for as long as there are old checkpoints.

Format 2 added `components` (name and version of each component) and the operations of a step to `state.pending`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crystalfw.core.model.component_versions import document_of, sections

N_STEP_TOTALS = 6
"""Numbers that format 2 keeps of a step: loss sum, weight, gradient norm, tokens, padded tokens, operations."""


def upgrade_1_to_2(payload: dict[str, Any]) -> dict[str, Any]:
    """Every component of format 1 was version 1 of itself; operations that were not counted are zero."""
    upgraded = dict(payload)
    upgraded["components"] = {
        place: {"name": section["name"], "version": "1"} for place, _, section in sections(document_of(payload))
    }
    state = payload.get("state")
    if isinstance(state, dict) and "pending" in state:
        pending = [[*step, *[0.0] * (N_STEP_TOTALS - len(step))] for step in state["pending"]]
        upgraded["state"] = {**state, "pending": pending}
    return upgraded


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: upgrade_1_to_2}
"""Format n -> what makes it format n + 1."""
