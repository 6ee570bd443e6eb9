"""What stands below a picture: lattice parameters, space group with its tolerance, the names of the colours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal_forms import MOST_ATOMS_NAMED, SYMPREC, lattice_to_parameters, one_line, space_group
from crystalfw.core.drawing.elements import gradients, key
from crystalfw.core.drawing.markup import Markup, asset, join, tag, text
from crystalfw.core.drawing.scene import MAX_ATOMS
from crystalfw.core.drawing.svg import picture

if TYPE_CHECKING:
    from crystalfw.core.crystal import Crystal


def drawable(crystal: Crystal) -> bool:
    """False for a crystal without a geometry, or with more atoms than a picture can show."""
    finite = np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()
    return bool(finite and 0 < crystal.n_atoms <= MAX_ATOMS and abs(np.linalg.det(crystal.lattice)) > 1e-6)


def facts(crystal: Crystal) -> Markup:
    """Space group, lattice parameters, atoms and volume as short lines."""
    group = space_group(crystal) if crystal.n_atoms <= MOST_ATOMS_NAMED else None
    atoms = f"{crystal.n_atoms} atom{'' if crystal.n_atoms == 1 else 's'}, {crystal.volume:.1f} Å³"
    lines = [tag("p", join([hermann_mauguin(group.symbol), text(f" ({group.number}), to {SYMPREC:g} Å")]))] if group else []
    return join([*lines, *(tag("p", _unbroken(line)) for line in (*lattice_lines(crystal), atoms))])


def _unbroken(line: str) -> str:
    """Breaks after commas only: a number stays with its name and unit."""
    return ", ".join(part.replace(" ", "\u00a0") for part in line.split(", "))


def lattice_lines(crystal: Crystal) -> tuple[str, str]:
    """`a = b = c = 5.64 Å` and `α = β = γ = 90.0°`, those equal to the digits shown together."""
    lengths, angles = lattice_to_parameters(crystal.lattice)
    return _equal_together("abc", lengths, 2, " Å"), _equal_together("αβγ", angles, 1, "°")


def _equal_together(names: str, values: NDArray[np.float64], digits: int, unit: str) -> str:
    shown: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        shown.setdefault(f"{value:.{digits}f}", []).append(name)
    return ", ".join(f"{' = '.join(same)} = {value}{unit}" for value, same in shown.items())


def hermann_mauguin(symbol: str) -> Markup:
    """Fm-3m with a bar over the 3, P6_3/mmc with the 3 set low, as the International Tables write them."""
    marked = re.sub(r"-(\d)", r'<span class="bar">\1</span>', str(text(symbol)))
    return tag("span", Markup(re.sub(r"_(\d)", r"<sub>\1</sub>", marked)), class_="hm", title=symbol)


def formula_words(formula: str) -> Markup:
    """The formula with its numbers set low."""
    return Markup(re.sub(r"(\d+(?:\.\d+)?)", r"<sub>\1</sub>", str(text(formula))))


def notebook_picture(crystal: Crystal) -> Markup:
    """The picture with its facts and styles of its own, for a notebook; one line alone where nothing can be drawn."""
    caption = tag("figcaption", one_line(crystal))
    if not drawable(crystal):
        return tag("figure", caption)
    numbers = set(crystal.numbers.tolist())
    drawn = picture(crystal, f"Crystal structure of {crystal.formula}")
    style = Markup(f"<style>{_NOTEBOOK_STYLE}{asset('crystal.css')}</style>")
    return tag("figure", style, gradients(numbers), drawn, key(numbers), caption, facts(crystal), class_="crystalfw")


_NOTEBOOK_STYLE = (
    ".crystalfw { margin: 0; max-width: 18em; } .crystalfw svg.crystal { width: 16em; } "
    ".crystalfw p { margin: 0; font-size: 0.85em; } .crystalfw .legend svg { width: 1em; }\n"
)
