"""asked.csv beside metrics.json: the first crystals that samples were made for, so that a page can draw them.

A table of samples names the crystal that each was made for (`reference_id`) but does not hold it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.cif import crystal_from_cif
from crystalfw.core.presentation import Verdict
from crystalfw.core.records import Sample

MOST, MOST_GOOD = 12, 6
"""Crystals kept: the first that samples name, and the first for which a sample is what was asked for."""
_LOOKED_AT = 2000


def write_asked(
    path: Path, samples: Iterable[Sample], *known: Sequence[Crystal], verdicts: Mapping[str, Verdict] | None = None
) -> None:
    """Write id and CIF of crystals that samples name, looked up in `known`; nothing where none is named."""
    named = [(sample.id, sample.reference_id) for sample in islice(samples, _LOOKED_AT) if sample.reference_id]
    good = dict.fromkeys(reference for id, reference in named if verdicts and id in verdicts and verdicts[id]["good"])
    first = islice(dict.fromkeys(reference for _, reference in named), MOST)
    wanted = dict.fromkeys([*first, *islice(good, MOST_GOOD)], "")
    missing = set(wanted)
    for crystals in known:
        for crystal in crystals if missing else ():
            if crystal.id in missing and crystal.n_atoms:
                wanted[crystal.id] = crystal.cif()
                missing.remove(crystal.id)
                if not missing:
                    break
    found = [(id, cif) for id, cif in wanted.items() if cif]
    if found:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "cif"])
            writer.writerows(found)


def read_asked(path: Path) -> dict[str, Crystal]:
    """Id -> crystal; empty without the file. Rows that no longer parse are left out: the page then names them only."""
    if not path.is_file():
        return {}
    found = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                found[row["id"]] = crystal_from_cif(row["cif"], id=row["id"])
            except (DataError, KeyError):
                continue
    return found
