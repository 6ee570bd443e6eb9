"""Why a crystal has no string, or a string no crystal: the closed list of reasons, one sentence each."""

from __future__ import annotations

ENCODE_REASONS: dict[str, str] = {
    "element": "an element beyond Lr (Z = 103) or no element at all",
    "too_many_atoms": "more atoms in the cell than the vocabulary has index tokens",
    "cell": "the lattice is not a three-dimensional cell (zero volume or not finite)",
    "coincident_atoms": "two atoms are at the same place",
    "completion": "no contacts within 60 angstrom make the bonds one three-dimensional net",
    "labels": "no choice of cell and origin images gives bond labels in {-1, 0, 1}",
}
"""Outcomes of `encode`."""

DECODE_REASONS: dict[str, str] = {
    "parse": "not a SLICES string: an unknown token, tokens in the wrong order, or an index without atom",
    "graph": "the bonds do not make one net that is periodic in three dimensions",
}
"""Outcomes of `decode` before there is a geometry; decoding.quality.DECODER_REASONS has those after."""
