"""A library, the retriever that was fitted on it, a representation: crystals -> strings of known crystals, elements exchanged.

A folder holds both: library/, and retriever.safetensors with its record, retriever.json. It is made once for a data set and
travels with the run folder.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from crystalfw.core.batch import Templates
from crystalfw.core.crystal import Crystal
from crystalfw.core.data.retrieved import Told, as_templates
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Question, Representation, Retriever
from crystalfw.core.library.entry import slots_of
from crystalfw.core.library.fitted_part import read_part, weights_name, write_part
from crystalfw.core.library.store import Library
from crystalfw.core.recipe.options import build
from crystalfw.core.recipe.schema import ComponentSpec
from crystalfw.core.system.files import write_atomically

LIBRARY, KIND, RECORD = "library", "retriever", "retriever.json"
SPARE = 1
"""Proposals asked for beyond the strings wanted: some are the same string, some have none."""


class Lookup:
    """Which strings are retrieved for a crystal of known composition and number of atoms."""

    def __init__(self, retriever: Retriever, library: Library, representation: Representation, n: int) -> None:
        self.retriever, self.library, self.representation, self.n = retriever, library, representation, n

    def strings(self, crystal: Crystal, *, exclude_own: bool = False) -> list[Told]:
        """At most n different strings, likeliest first; none for a crystal without atoms.

        `exclude_own`: known crystals of the same formula are left out, as in training.
        """
        if not crystal.n_atoms:
            return []
        elements, counts, units = slots_of(crystal.numbers)
        question = Question(elements, counts, (units,), exclude_own=exclude_own)
        proposals = self.retriever.propose(question, self.n + SPARE)
        shares: dict[str, float] = {}
        for proposal, encoded in zip(proposals, self.representation.encode([p.crystal for p in proposals]), strict=True):
            if encoded.ok:
                shares[encoded.string] = shares.get(encoded.string, 0.0) + proposal.probability
        likeliest = sorted(shares.items(), key=lambda item: -item[1])[: self.n]
        return [Told(self._ids(string), math.log(max(share, 1e-12))) for string, share in likeliest]

    def batch(self, crystals: Sequence[Crystal]) -> Templates:
        """The strings of several crystals, from all that is known."""
        return as_templates([self.strings(crystal) for crystal in crystals])

    def _ids(self, string: str) -> list[int]:
        vocabulary = self.representation.vocabulary
        return [vocabulary.begin, *self.representation.tokenize(string), vocabulary.end]


def open_lookup(folder: Path, spec: ComponentSpec, representation: Representation, n: int) -> Lookup:
    """The library and retriever in a folder. Raises DataError where they are missing, damaged, or not what `spec` names."""
    library, path = Library.open(folder / LIBRARY), folder / RECORD
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        name, fitted_on = said["name"], said["library"]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); train the model again") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged; train the model again ({error})") from error
    if (name, fitted_on) != (spec.name, library.manifest.digest):
        raise DataError(f"{path}: a retriever '{name}' of another library or recipe; '{spec.name}' is wanted")
    retriever = read_part(folder, KIND, said, remedy="train the model again", override=spec.override)
    retriever.attach(library)
    return Lookup(retriever.eval(), library, representation, n)


def fit_retriever(folder: Path, spec: ComponentSpec, seed: int, say: Callable[[str], None]) -> None:
    """Fit the retriever on the library in a folder and keep its weights there, the record last, unless they are there."""
    if (folder / RECORD).is_file():
        return
    retriever: Retriever = build(KIND, spec)
    library = Library.open(folder / LIBRARY)
    with torch.random.fork_rng(devices=[]):
        retriever.fit(library, seed=seed, say=say)
    record = write_part(retriever, folder, KIND, spec.name) | {"library": library.manifest.digest}
    write_atomically(folder / RECORD, json.dumps(record, indent=2).encode())


def carry(folder: Path, run_dir_folder: Path) -> None:
    """Copy library and retriever into a run folder, so that it answers wherever it is moved."""
    if (run_dir_folder / RECORD).is_file():
        return
    shutil.copytree(folder / LIBRARY, run_dir_folder / LIBRARY, dirs_exist_ok=True)
    for name in (weights_name(KIND), RECORD):  # the record comes last
        shutil.copyfile(folder / name, run_dir_folder / name)


def numbers_only(numbers: np.ndarray) -> Crystal:
    """A crystal of which only the atoms are known."""
    unknown = np.full((len(numbers), 3), np.nan)
    return Crystal(lattice=np.full((3, 3), np.nan), frac_coords=unknown, numbers=numbers)
