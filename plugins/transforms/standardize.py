"""One cell per crystal: primitive, then Niggli- or Minkowski-reduced, right-handed. Space itself is not rotated."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError, PluginError, Reject
from crystalfw.core.geometry.lattice import minkowski_reduce, wrap
from crystalfw.core.interfaces import Transform
from crystalfw.core.recipe.schema import Bounds


class Standardize(Transform):
    """The same atoms in the same places, described by a primitive, reduced cell.

    The change of basis is an integer matrix with determinant 1 or -1 (then all three vectors are reversed), so chiral
    crystals keep their hand. Sources: Krivy & Gruber (1976) as implemented in spglib; Semaev (2001).
    """

    commutes_with_rotation: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `standardize`."""

        cell: Literal["niggli", "minkowski", "keep"] = "niggli"
        """`niggli`, `minkowski`, or `keep` (only the primitive cell is taken)."""
        primitive: bool = True
        """True replaces a centred cell or a supercell by the primitive one."""
        symprec: Annotated[float, Bounds(1e-6, 1.0)] = 0.01
        """Distance in angstrom within which atoms count as translation images of each other."""

    def __init__(self, config: Config) -> None:
        if config.cell not in ("niggli", "minkowski", "keep"):
            raise PluginError(f"standardize: cell must be niggli, minkowski or keep; got {config.cell!r}")
        self.config = config

    def __call__(self, crystal: Crystal, rng: np.random.Generator) -> Crystal:
        """The crystal in its standard cell; raises Reject if the cell is flat or atoms coincide."""
        if self.config.primitive and has_translation(crystal, self.config.symprec):
            crystal = _primitive(crystal, self.config.symprec)
        if self.config.cell == "keep":
            return crystal
        return change_basis(crystal, _reduction(crystal.lattice, self.config.cell))


def change_basis(crystal: Crystal, transform: NDArray[np.int64]) -> Crystal:
    """The same crystal with lattice transform @ lattice (det 1 or -1), with all vectors reversed if left-handed."""
    lattice = transform @ crystal.lattice
    if np.linalg.det(lattice) < 0:
        transform, lattice = -transform, -lattice
    frac = crystal.frac_coords @ np.linalg.inv(transform.astype(np.float64))
    return replace(crystal, lattice=lattice, frac_coords=wrap(frac))


def _reduction(lattice: NDArray[np.float64], cell: str) -> NDArray[np.int64]:
    try:
        if cell == "minkowski":
            return minkowski_reduce(lattice)[1]
        # Niggli's steps need many rounds for skewed cells; a Minkowski cell is nearly there
        reduced, first = minkowski_reduce(lattice)
    except DataError as error:
        raise Reject(f"flat cell: {error}") from error
    niggli = _spglib("niggli_reduce", reduced, eps=1e-5)
    if niggli is None:
        raise Reject("no Niggli cell: spglib cannot reduce the lattice")
    return np.asarray(np.rint(niggli @ np.linalg.inv(reduced)).astype(np.int64) @ first)


def has_translation(crystal: Crystal, symprec: float) -> bool:
    """True if a translation inside the cell maps every atom onto one of its element within `symprec` angstrom.

    It is much faster than a full symmetry search, which only centred cells and supercells then need.
    """
    species, counts = np.unique(crystal.numbers, return_counts=True)
    if math.gcd(*counts.tolist()) == 1:
        return False
    rarest = crystal.frac_coords[crystal.numbers == species[np.argmin(counts)]]
    groups = [crystal.frac_coords[crystal.numbers == number] for number in species]
    return any(all(_maps(group, shift, crystal.lattice, symprec) for group in groups) for shift in rarest[1:] - rarest[0])


def _maps(frac: NDArray[np.float64], shift: NDArray[np.float64], lattice: NDArray[np.float64], symprec: float) -> bool:
    difference = frac[:, None] + shift - frac[None]
    distances = np.linalg.norm((difference - np.round(difference)) @ lattice, axis=-1)
    return bool((distances.min(axis=1) <= symprec).all())


def _primitive(crystal: Crystal, symprec: float) -> Crystal:
    cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    found = _spglib("standardize_cell", cell, to_primitive=True, no_idealize=True, symprec=symprec)
    if found is None:
        raise Reject("no symmetry found: atoms coincide or the cell is flat")
    lattice, frac, numbers = found
    if len(numbers) >= crystal.n_atoms:
        # already primitive: keep the cell as given, to the last digit
        return crystal
    return replace(crystal, lattice=lattice, frac_coords=frac, numbers=numbers)


def _spglib(name: str, *arguments: object, **options: object) -> Any:
    """Call spglib; None if it finds nothing, which older versions report by None and newer ones by an exception."""
    import spglib

    # the C library prints its failed attempts to the screen; the final result is checked here
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    failure = getattr(spglib, "SpglibError", ValueError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return getattr(spglib, name)(*arguments, **options)
        except failure:
            return None
