"""Attacks other than structure files: archives, recipes, checkpoints, strings, names, what the report shows."""

from __future__ import annotations

from tests.hostile.others import archives, ours, recipes, shown
from tests.hostile.others.registry import ATTACKS, run

__all__ = ["ATTACKS", "archives", "ours", "recipes", "run", "shown"]
