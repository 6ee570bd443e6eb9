"""Ionic decorations of the AFLOW prototypes that pymatgen ships.

Sources: prototypes: Mehl et al., Comput. Mater. Sci. 136, S1 (2017); substitution probabilities: Hautier et al., Inorg.
Chem. 50, 656 (2011); volumes: Chu et al., Comput. Mater. Sci. 146, 184 (2018) (DLS predictor).
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.geometry.lattice import shortest_distance

if TYPE_CHECKING:
    from pymatgen.core import Species, Structure

HEAVIEST = 83
"""Bismuth: heavier elements are radioactive, and their ions are hardly in the table."""
SHORTEST = 1.2
"""Angstrom between atoms; a decoration with less is skipped."""
VOLUMES = (4.0, 80.0)
"""Cubic angstrom per atom; the predictor fails if much larger ions stretch the network of the prototype's namesake."""


@dataclass(frozen=True)
class Prototype:
    """A structure type with the ions of its namesake, in the order of its elements."""

    label: str
    structure: Structure
    ions: tuple[Species, ...]

    @property
    def space_group(self) -> int:
        """Number in the AFLOW label, e.g. 225 in AB_cF8_225_a_b."""
        return int(self.label.split("_")[2])


def ionic_prototypes(max_atoms: int) -> list[Prototype]:
    """Prototypes of at most `max_atoms` atoms and two to four elements whose namesake balances its charges."""
    found = []
    for entry, structure in _library(max_atoms):
        if not 2 <= len(structure.composition.elements) <= 4 or not structure.is_ordered:
            continue
        ions = _ions(structure)
        if ions is not None:
            found.append(Prototype(entry["tags"]["aflow"], structure, ions))
    return sorted(found, key=lambda item: (item.label, item.structure.formula))


def namesakes(max_atoms: int) -> Iterator[Crystal]:
    """The ordered prototypes themselves, with the elements of the real crystals that they are named after."""
    for entry, structure in _library(max_atoms):
        if structure.is_ordered:
            label = f"{entry['tags']['aflow']}-{structure.composition.reduced_formula}"
            yield Crystal.from_structure(structure, id=label)


def _library(max_atoms: int) -> Iterator[tuple[dict[str, Any], Structure]]:
    """Entries of pymatgen's file and their structures; importing its module would build all of them, and more tables."""
    import pymatgen.analysis
    from pymatgen.core import Structure

    folders = [Path(folder) / "prototypes" for folder in pymatgen.analysis.__path__]
    path = next((p for folder in folders if (p := folder / "aflow_prototypes.json.gz").is_file()), None)
    if path is None:
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

        yield from ((e, e["snl"].structure) for e in AFLOW_PROTOTYPE_LIBRARY if len(e["snl"].structure) <= max_atoms)
        return
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        entries = json.load(stream)
    for entry in entries:
        if len(entry["snl"]["sites"]) <= max_atoms:
            yield entry, Structure.from_dict(entry["snl"])


def _ions(structure: Structure) -> tuple[Species, ...] | None:
    from pymatgen.core import Species

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guesses = structure.composition.reduced_composition.oxi_state_guesses(max_sites=-1)
    elements = sorted(structure.composition.elements)
    if not guesses or any(guesses[0][str(e)] == 0 or guesses[0][str(e)] % 1 for e in elements):
        return None
    return tuple(Species(str(element), int(guesses[0][str(element)])) for element in elements)


class Decorator:
    """The most probable charge-balanced ions on the sites of a prototype, with predicted volumes."""

    def __init__(self) -> None:
        from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability
        from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor

        self._table = SubstitutionProbability()
        self._volume = DLSVolumePredictor(min_scaling=None, max_scaling=None)
        known = (ion for ion in self._table.species if hasattr(ion, "oxi_state") and ion.Z <= HEAVIEST and ion.oxi_state)
        self._scores: dict[tuple[Any, Any], float] = {}
        self._ions: list[Any] = sorted(known, key=lambda ion: (ion.Z, ion.oxi_state))

    def choices(self, prototype: Prototype, count: int) -> list[tuple[Any, ...]]:
        """The `count` most probable assignments of ions: balanced, elements distinct, cations stay cations."""
        amounts = [round(prototype.structure.composition[ion.element]) for ion in prototype.ions]
        options = []
        for ion in prototype.ions:
            near = [(self._score(other, ion), other) for other in self._ions if other.oxi_state * ion.oxi_state > 0]
            near.sort(key=lambda pair: (-pair[0], pair[1].Z, pair[1].oxi_state))
            options.append(near[: 60 if len(prototype.ions) == 2 else 25])
        # the last ion's charge follows from the others'
        by_charge: dict[int, list[tuple[float, Any]]] = {}
        for score, ion in options[-1]:
            by_charge.setdefault(round(amounts[-1] * ion.oxi_state), []).append((score, ion))
        scored = []
        for combination in itertools.product(*options[:-1]):
            charge = sum(n * ion.oxi_state for n, (_, ion) in zip(amounts, combination, strict=False))
            for last in by_charge.get(-round(charge), []):
                ions = (*(ion for _, ion in combination), last[1])
                if len({ion.Z for ion in ions}) == len(ions):
                    scored.append((sum(score for score, _ in combination) + last[0], ions))
        scored.sort(key=lambda pair: (-round(pair[0], 9), [(ion.Z, ion.oxi_state) for ion in pair[1]]))
        return [ions for _, ions in scored[:count]]

    def _score(self, new: Any, old: Any) -> float:
        """Logarithm of the probability that `new` stands for `old` in a structure."""
        if (new, old) not in self._scores:
            known = old in self._table.species
            score = math.log(self._table.cond_prob(new, old)) if known else self._table.get_lambda(new, old)
            self._scores[new, old] = score
        return self._scores[new, old]

    def decorate(self, prototype: Prototype, ions: tuple[Any, ...]) -> Crystal | None:
        """The prototype with these ions at its predicted volume; None if that is absurd or atoms are too close."""
        structure = prototype.structure.copy()
        structure.replace_species({old.element: new.element for old, new in zip(prototype.ions, ions, strict=True)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure.scale_lattice(self._volume.predict(structure))
        crystal = Crystal.from_structure(structure, id=f"{prototype.label}-{structure.composition.reduced_formula}")
        if not VOLUMES[0] <= crystal.volume / crystal.n_atoms <= VOLUMES[1]:
            return None
        return crystal if shortest_distance(crystal.lattice, crystal.frac_coords) >= SHORTEST else None


def candidates(max_atoms: int, per_prototype: int) -> tuple[Decorator, list[tuple[Prototype, tuple[Any, ...]]]]:
    """All (prototype, ions) to decorate: first the most probable choice of every prototype, then the second, and so on."""
    decorator = Decorator()
    prototypes = ionic_prototypes(max_atoms)
    choices = [decorator.choices(prototype, per_prototype) for prototype in prototypes]
    ranked = [
        (prototype, options[rank])
        for rank in range(per_prototype)
        for prototype, options in zip(prototypes, choices, strict=True)
        if rank < len(options)
    ]
    return decorator, ranked


def with_properties(prototype: Prototype, crystal: Crystal) -> Crystal:
    """The crystal with the properties that can be computed from it: no energy, no gap."""
    from pymatgen.core import Element

    elements = [Element.from_Z(number) for number in crystal.numbers.tolist()]
    grams = sum(float(element.atomic_mass) for element in elements) * 1.66053906660e-24
    negativities = [float(element.X) for element in elements]
    properties = {
        "volume_per_atom": crystal.volume / crystal.n_atoms,
        "density": grams / (crystal.volume * 1e-24),
        "electronegativity_difference": max(negativities) - min(negativities),
        "spacegroup.number": float(prototype.space_group),
    }
    return replace(crystal, properties=properties)
