"""Ionic decorations of the AFLOW prototypes that pymatgen ships.

Sources: prototypes: Mehl et al., Comput. Mater. Sci. 136, S1 (2017); substitution probabilities: Hautier et al., Inorg.
Chem. 50, 656 (2011); volumes: Chu et al., Comput. Mater. Sci. 146, 184 (2018) (DLS predictor).
"""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crystalfw.core.crystal import Crystal
from crystalfw.core.lattice import shortest_distance

if TYPE_CHECKING:
    from pymatgen.core import Species, Structure

HEAVIEST = 83
"""Bismuth: heavier elements are radioactive, and their ions are hardly in the table."""
SHORTEST = 1.2
"""Angstrom between atoms; a decoration with less is not taken."""
VOLUMES = (4.0, 80.0)
"""Cubic angstrom per atom; the predictor goes astray where a namesake's network is stretched by much larger ions."""


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
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    found = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure
        if len(structure) > max_atoms or not 2 <= len(structure.composition.elements) <= 4 or not structure.is_ordered:
            continue
        ions = _ions(structure)
        if ions is not None:
            found.append(Prototype(entry["tags"]["aflow"], structure, ions))
    return sorted(found, key=lambda item: (item.label, item.structure.formula))


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
        self._ions: list[Any] = sorted(known, key=lambda ion: (ion.Z, ion.oxi_state))

    def choices(self, prototype: Prototype, count: int) -> list[tuple[Any, ...]]:
        """The `count` most probable assignments of ions: balanced, elements distinct, cations stay cations."""
        amounts = [prototype.structure.composition[ion.element] for ion in prototype.ions]
        options = []
        for ion in prototype.ions:
            near = [(self._score(other, ion), other) for other in self._ions if other.oxi_state * ion.oxi_state > 0]
            near.sort(key=lambda pair: (-pair[0], pair[1].Z, pair[1].oxi_state))
            options.append(near[: 60 if len(prototype.ions) == 2 else 25])
        scored = []
        for combination in itertools.product(*options):
            ions = tuple(ion for _, ion in combination)
            charge = sum(n * ion.oxi_state for n, ion in zip(amounts, ions, strict=True))
            if charge == 0 and len({ion.Z for ion in ions}) == len(ions):
                scored.append((sum(score for score, _ in combination), ions))
        scored.sort(key=lambda pair: (-round(pair[0], 9), [(ion.Z, ion.oxi_state) for ion in pair[1]]))
        return [ions for _, ions in scored[:count]]

    def _score(self, new: Any, old: Any) -> float:
        """Logarithm of the probability that `new` stands for `old` in a structure."""
        return math.log(self._table.cond_prob(new, old)) if old in self._table.species else self._table.get_lambda(new, old)

    def decorate(self, prototype: Prototype, ions: tuple[Any, ...]) -> Crystal | None:
        """The prototype with these ions at its predicted volume; None where that is absurd or atoms are too close."""
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
    """The crystal with what can be computed of it: no energy, no gap."""
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
