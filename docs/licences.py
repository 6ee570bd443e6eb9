"""Licences of what crystalfw needs: `python docs/licences.py` prints a table of the dependencies, theirs included.

Read from the metadata of the installed distributions; what each extra adds is listed apart. Exit code 1 where a licence
without an extra is not compatible with distributing under MIT as a dependency (the GPL family), or is not known.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from packaging.requirements import Requirement

PERMISSIVE = (
    "MIT",
    "BSD",
    "Apache",
    "PSF",
    "Python Software Foundation",
    "ISC",
    "HPND",
    "0BSD",
    "Unlicense",
    "CC0",
    "zlib",
    "Zlib",
)
WEAK = ("MPL", "Mozilla")
"""Copyleft per file: no duty for a program that imports the library unchanged."""
STRONG = ("GPL", "General Public")
KNOWN = {"opt-einsum-fx": "MIT", "triton": "MIT"}
"""Licences that stand in a distribution's file, not in its metadata."""

NEVER_IMPORTED = {"ase": "SMACT names it as a dependency; nothing of ours needs it where no ASE file is read"}
"""Copyleft libraries that others bring along; tests/packaging/test_supply.py shows that the work is done without."""

OF_THE_DEVICE = ("nvidia-", "cuda-")
"""Beginnings of the names of NVIDIA's own libraries, which a CUDA build of torch brings along: not free, not ours to import."""


def refused(rows: Sequence[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The rows of `table` that do not go with distributing under MIT."""
    return [
        row
        for row in rows
        if row[3] in ("strong", "unknown") and row[0] not in NEVER_IMPORTED and not row[0].startswith(OF_THE_DEVICE)
    ]


def closure(name: str, extra: str = "") -> dict[str, str]:
    """Distribution -> version of everything that `name[extra]` needs, itself left out; not installed: empty."""
    found: dict[str, str] = {}
    waiting = list(_needs(name, extra))
    while waiting:
        wanted, wanted_extras = waiting.pop()
        if wanted in found:
            continue
        try:
            found[wanted] = metadata.version(wanted)
        except metadata.PackageNotFoundError:
            found[wanted] = ""
            continue
        waiting += [pair for each in ("", *wanted_extras) for pair in _needs(wanted, each)]
    return dict(sorted(found.items()))


def _needs(name: str, extra: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        within = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        without = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if within and (not extra or not without):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower(), tuple(requirement.extras)


def licence(name: str) -> str:
    """The licence that a distribution declares: SPDX expression, classifier, or the first line of the field."""
    if name in KNOWN:
        return KNOWN[name]
    about = metadata.metadata(name)
    classifiers = [item.split(" :: ")[-1] for item in about.get_all("Classifier") or () if item.startswith("License ::")]
    field = (about.get("License-Expression") or "").strip() or (about.get("License") or "").strip().split("\n", 1)[0]
    plain = [item for item in classifiers if item != "OSI Approved"]
    short = field if len(field) < 60 and _one(field) != "unknown" else ""
    return short or "; ".join(plain) or field[:60] or "not said"


def verdict(text: str) -> str:
    """permissive, weak, strong or unknown; of alternatives (`A OR B`) the freest counts, of `A AND B` the strictest."""
    order = ("permissive", "weak", "strong", "unknown")
    choices = re.split(r" or (?!later)", text, flags=re.IGNORECASE)
    alternatives = [max((_one(part) for part in re.split(r" AND |;", choice)), key=order.index) for choice in choices]
    return min(alternatives, key=order.index)


def _one(text: str) -> str:
    if any(word in text for word in STRONG):
        return "strong"
    if any(word in text for word in WEAK):
        return "weak"
    return "permissive" if any(word.lower() in text.lower() for word in PERMISSIVE) else "unknown"


def table(names: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """(name, version, licence, verdict) of installed distributions."""
    return [(name, version, licence(name), verdict(licence(name))) for name, version in names.items() if version]


def main() -> int:
    """Print the table and what each extra adds."""
    rows = table(closure("crystalfw"))
    print("| distribution | version | licence | |\n|---|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    base = {row[0] for row in rows}
    for extra in ("ase", "parquet", "relax", "sevennet", "dask", "tensorboard"):
        more = [row for row in table(closure("crystalfw", extra)) if row[0] not in base]
        print(f"\nextra `{extra}` adds: " + (", ".join(f"{name} ({text})" for name, _, text, _ in more) or "nothing here"))
    return 1 if refused(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
