"""CIF text to Crystal, fast: pymatgen's own P1 output is read directly, everything else goes through pymatgen.

Both ways give the same crystal to the last digit, atom order included (tests compare them): lattice, 1/3 and 2/3 restored
from rounded coordinates, coordinates wrapped, atoms sorted by electronegativity. pymatgen reads whatever the fast way does
not know for certain: symmetry operations, occupancies, charges, uncertainties, unknown tags, coinciding sites.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError

MAX_CHARACTERS = 1_000_000
"""Characters above which a CIF is refused unread: about 15,000 sites, which take pymatgen half a minute."""
MAX_QUOTES = 1_000
"""Quotation marks in one line: the time of pymatgen's tokenizer grows with their number times the line's length."""

_NUMBER = r"(-?\d+(?:\.\d*)?)"
_CELL = "".join(
    rf"_cell_{name} +{_NUMBER}\n" for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
)
_HEAD = re.compile(
    r"(?:# generated using pymatgen\n)?"
    r"data_[\w.()+-]*\n"
    r"_symmetry_space_group_name_H-M +'P 1'\n" + _CELL.replace("{n}", _NUMBER) + r"_symmetry_Int_Tables_number +1\n"
    r"_chemical_formula_structural +[\w().'\"+-]+\n"
    r"_chemical_formula_sum +'?[A-Za-z0-9][A-Za-z0-9 ]*'?\n"
    r"_cell_volume +\d+(?:\.\d*)?\n"
    r"_cell_formula_units_Z +\d+\n"
    r"loop_\n"
    r" _symmetry_equiv_pos_site_id\n"
    r" _symmetry_equiv_pos_as_xyz\n"
    r"  1  'x, y, z'\n"
    r"loop_\n"
    r" _atom_site_type_symbol\n"
    r" _atom_site_label\n"
    r" _atom_site_symmetry_multiplicity\n"
    r" _atom_site_fract_x\n"
    r" _atom_site_fract_y\n"
    r" _atom_site_fract_z\n"
    r" _atom_site_occupancy\n"
)
_SITE = rf" *([A-Z][a-z]?) +[A-Z][a-z]?\d+ +1 +{_NUMBER} +{_NUMBER} +{_NUMBER} +1(?:\.0*)?[ \r]*"
_SITES = re.compile(rf"(?:{_SITE}(?:\n|$))+\s*")
_ONE_SITE = re.compile(_SITE)
_COINCIDE = 2e-4
"""pymatgen merges sites within 1e-4 in every fractional coordinate; it reads any file with sites that close."""


def crystal_from_cif(text: str, *, id: str = "", properties: Mapping[str, float] | None = None) -> Crystal:
    """The first structure of a CIF; raises DataError as `Crystal.from_cif` does, with the same result and more speed."""
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"too large: a CIF of {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    if text.count("'") + text.count('"') > MAX_QUOTES:
        quotes = max(line.count("'") + line.count('"') for line in text.splitlines())
        if quotes > MAX_QUOTES:
            raise DataError(f"broken CIF: {quotes:,} quotation marks in one line")
    return _plain(text, id, properties or {}) or Crystal.from_cif(text, id=id, properties=properties)


def _plain(text: str, id: str, properties: Mapping[str, float]) -> Crystal | None:
    """The crystal of a plain P1 text, or None if pymatgen has to decide."""
    head = _HEAD.match(text)
    if head is None or _SITES.fullmatch(text, head.end()) is None:
        return None
    sites = _ONE_SITE.findall(text, head.end())
    symbols = [site[0] for site in sites]
    if not all(symbol in _elements() for symbol in symbols) or len(sites) > 1000:
        return None
    frac = np.array([[_ideal(float(value)) for value in site[1:4]] for site in sites])
    frac = frac - np.floor(frac)
    lattice = _lattice(*(float(head.group(k)) for k in range(1, 7)))
    if lattice is None or _coincide(frac):
        return None
    order = sorted(range(len(symbols)), key=lambda k: _elements()[symbols[k]][0])
    numbers = np.array([_elements()[symbols[k]][1] for k in order], dtype=np.int64)
    return Crystal(lattice=lattice, frac_coords=frac[order], numbers=numbers, id=id, properties=dict(properties))


def _ideal(value: float) -> float:
    for ideal in (1 / 3, 2 / 3):
        if math.isclose(value / ideal, 1, abs_tol=1e-4, rel_tol=0):
            return ideal
    return value


def _coincide(frac: NDArray[np.float64]) -> bool:
    difference = frac[:, None] - frac[None]
    near = (np.abs(difference - np.round(difference)) < _COINCIDE).all(-1)
    return int(near.sum()) > len(frac)


def _lattice(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64] | None:
    """Lattice rows in pymatgen's orientation (c along z, a in the xz plane), by its formula, digit for digit."""
    cos_alpha, cos_beta, cos_gamma = np.cos(np.radians([alpha, beta, gamma]))
    sin_alpha, sin_beta, _ = np.sin(np.radians([alpha, beta, gamma]))
    if min(a, b, c) < 0.1 or sin_alpha <= 0 or sin_beta <= 0:
        return None
    value = (cos_alpha * cos_beta - cos_gamma) / (sin_alpha * sin_beta)
    if not -0.9999 < value < 0.9999:
        return None
    gamma_star = np.arccos(value)
    rows = [
        [a * sin_beta, 0.0, a * cos_beta],
        [-b * sin_alpha * np.cos(gamma_star), b * sin_alpha * np.sin(gamma_star), b * cos_alpha],
        [0.0, 0.0, c],
    ]
    return np.array(rows, dtype=np.float64)


@cache
def _elements() -> dict[str, tuple[tuple[float, str], int]]:
    """Symbol -> (sort key of pymatgen's sites, atomic number); without D, T and elements of unknown electronegativity."""
    from pymatgen.core import Element

    known = {}
    for element in Element:
        if element.symbol not in ("D", "T") and not math.isnan(_electronegativity(element)):
            known[element.symbol] = ((_electronegativity(element), element.symbol), int(element.Z))
    return known


def _electronegativity(element: object) -> float:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(element.X)  # type: ignore[attr-defined]
