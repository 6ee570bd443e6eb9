"""The end of a message about a name that is none: the name that was meant, or all that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, cutoff: float = 0.6) -> str:
    """`Did you mean 'x'?` where a known name is near, else `otherwise: a, b, c.`"""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return f"Did you mean '{near[0]}'?" if near else f"{otherwise}: {', '.join(names) or 'none'}."
