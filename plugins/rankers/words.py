"""Why a proposal stands where it stands, in a line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crystalfw.core.interfaces import Proposal

TOO_CLOSE = -2.5
UNUSUAL = 1.2


def reason(proposal: Proposal, place: int, before: Sequence[float], after: Sequence[float]) -> str:
    """What speaks for the proposal at `place` and against it, from the evidence that its proposer gave."""
    evidence = proposal.evidence
    words = []
    if evidence.get("own"):
        words.append("this very formula is known")
    if evidence.get("relative"):
        words.append("made from a related ratio")
    if "votes" in evidence:
        votes = round(math.exp(evidence["votes"]))
        words.append(f"{votes} near known crystal{'' if votes == 1 else 's'} of this type")
    if evidence.get("kept"):
        words.append(f"{100 * evidence['kept']:.0f} % of the atoms keep their element")
    if "closest" in evidence:
        words.append(_distances(evidence["closest"], evidence.get("strain", 0.0)))
    rank_before, rank_after = (1 + sum(share > shares[place] for share in shares) for shares in (before, after))
    if rank_before != rank_after:
        words.append(f"{'up' if rank_after < rank_before else 'down'} from place {rank_before}")
    return "; ".join(words) or "as its proposer says"


def _distances(closest: float, mean: float) -> str:
    if closest < TOO_CLOSE:
        return f"some atoms unusually close ({-closest:.1f} spreads)"
    return "unusual distances" if mean > UNUSUAL else "usual distances"
