"""An optional step after a decode, off by default: symmetrise the crystal."""

from __future__ import annotations

from dataclasses import replace

from crystalfw.core.records import Decoded
from crystalfw.plugins.representations.slices.decoding.symmetry import symmetrised, with_space_group

_TOLERANCE = 0.1  # angstrom, as everywhere where a space group is found


def symmetrise(outcome: Decoded, space_group: int | None) -> Decoded:
    """The crystal symmetrised to the space group that its string names, otherwise to the one that spglib finds within
    0.1 angstrom. Quality gains space_group_met (1 or 0) if the string names one.
    """
    if outcome.crystal is None:
        return outcome
    if space_group is None:
        return replace(outcome, crystal=symmetrised(outcome.crystal, _TOLERANCE))
    crystal, met = with_space_group(outcome.crystal, space_group)
    return replace(outcome, crystal=crystal, quality={**outcome.quality, "space_group_met": float(met)})
