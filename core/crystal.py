"""Crystal: one ordered periodic structure, as arrays, with its way from and to pymatgen and ASE.

Lengths are in angstrom, angles in degrees. Shapes: N atoms.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal_forms import SpaceGroup, file_text, one_line, space_group, symmetrised_cif
from crystalfw.core.crystal_forms import lattice_to_parameters as lattice_to_parameters
from crystalfw.core.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def lattice_from_parameters(lengths: FloatArray, angles: FloatArray) -> FloatArray:
    """Lattice rows (..., 3, 3) from lengths a, b, c and angles alpha, beta, gamma, each (..., 3).

    Convention of the International Tables (vol. B, 3.1): a along x, b in the xy plane. Raises DataError where no
    cell with these angles exists.
    """
    lengths, angles = np.asarray(lengths, dtype=np.float64), np.asarray(angles, dtype=np.float64)
    cos_a, cos_b, cos_g = np.moveaxis(np.cos(np.deg2rad(angles)), -1, 0)
    sin_g = np.sin(np.deg2rad(angles[..., 2]))
    c_y = (cos_a - cos_b * cos_g) / sin_g
    c_z_squared = 1 - cos_b**2 - c_y**2
    if np.any(c_z_squared <= 0) or np.any(lengths <= 0):
        raise DataError(f"no cell has lengths {lengths.tolist()} angstrom and angles {angles.tolist()} degrees")
    zero, one = np.zeros_like(cos_a), np.ones_like(cos_a)
    rows = [[one, zero, zero], [cos_g, sin_g, zero], [cos_b, c_y, np.sqrt(c_z_squared)]]
    directions = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    return lengths[..., :, None] * directions


MOST_EXPANDED = 20_000
"""Sites times symmetry operations of a CIF; pymatgen compares each with all others, 20,000 take half a minute."""


def _refuse_expansion(parser: Any) -> None:
    """Raise DataError where a short CIF stands for a huge cell."""
    expanded = 0
    for block in parser._cif.data.values():
        sites = max((len(values) for key, values in block.data.items() if key.startswith("_atom_site_fract")), default=0)
        # looking up the operations takes time for every block: not asked for where there is one site
        expanded += sites * len(parser.get_symops(block)) if sites > 1 else sites
        if expanded > MOST_EXPANDED:
            raise DataError(f"too large: its symmetry makes {expanded:,} positions of {sites:,} sites")


READER = "crystalfw.core.data.reading:read_one"
"""Who reads a file for `Crystal`: named as entry points are, since it knows sources, of which this file knows nothing."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Crystal:
    """One crystal. Positions are fractional and may lie outside [0, 1): wrapping is a choice, not a requirement.

    Two are equal when every field is, to the last bit; NaN equals NaN. Whether two describe the same material is a
    question for `crystalfw.slices.key` or pymatgen's StructureMatcher.
    """

    lattice: FloatArray
    """(3, 3) lattice vectors as rows, angstrom."""
    frac_coords: FloatArray
    """(N, 3) fractional coordinates."""
    numbers: IntArray
    """(N,) atomic numbers."""
    id: str = ""
    """Identifier in its source, e.g. mp-1234; empty when there is none."""
    properties: Mapping[str, float] = field(default_factory=dict)
    """Named scalars, NaN where missing; `spacegroup.number` among them when known."""
    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Named vectors (K,) or token sets (M, K), e.g. precomputed embeddings."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lattice", np.ascontiguousarray(self.lattice, dtype=np.float64))
        object.__setattr__(self, "frac_coords", np.ascontiguousarray(self.frac_coords, dtype=np.float64))
        object.__setattr__(self, "numbers", np.ascontiguousarray(self.numbers, dtype=np.int64))
        n_atoms = len(self.numbers)
        if self.lattice.shape != (3, 3) or self.frac_coords.shape != (n_atoms, 3):
            shapes = f"lattice {self.lattice.shape}, frac_coords {self.frac_coords.shape}, numbers {self.numbers.shape}"
            raise DataError(f"a crystal needs lattice (3, 3), frac_coords (N, 3), numbers (N,); got {shapes}")

    def __getstate__(self) -> dict[str, Any]:
        # views of dictionaries cannot be pickled, and crystals go to other processes and to disk
        return {**vars(self), "properties": dict(self.properties), "arrays": dict(self.arrays)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Crystal):
            return NotImplemented
        return (
            self.id == other.id
            and np.array_equal(self.numbers, other.numbers)
            and np.array_equal(self.lattice, other.lattice, equal_nan=True)
            and np.array_equal(self.frac_coords, other.frac_coords, equal_nan=True)
            and _same(self.properties, other.properties)
            and _same(self.arrays, other.arrays)
        )

    def __hash__(self) -> int:
        # -0.0 equals 0.0 and NaN equals NaN here, so they must not differ in their bytes
        lattice = np.nan_to_num(self.lattice) + 0.0
        return hash((self.id, self.numbers.tobytes(), lattice.tobytes()))

    def __repr__(self) -> str:
        return f"Crystal({one_line(self)})"

    def _repr_html_(self) -> str:
        """The picture that notebooks show."""
        from crystalfw.core.drawing.card import notebook_picture

        return str(notebook_picture(self))

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume in cubic angstrom, positive for either handedness."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def cart_coords(self) -> FloatArray:
        """(N, 3) Cartesian positions, angstrom."""
        return np.asarray(self.frac_coords @ self.lattice, dtype=np.float64)

    @property
    def formula(self) -> str:
        """Reduced formula in pymatgen's convention, e.g. SrTiO3."""
        from pymatgen.core import Composition, Element

        counts: dict[Any, float] = {}
        for number in self.numbers.tolist():
            element = Element.from_Z(number)
            counts[element] = counts.get(element, 0) + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen sorts by electronegativity and warns that noble gases have none
            return str(Composition(counts).reduced_formula)

    @property
    def space_group(self) -> SpaceGroup | None:
        """Symbol and number by spglib at 0.1 angstrom, e.g. ("Fm-3m", 225); None where spglib finds none."""
        return space_group(self)

    @property
    def structure(self) -> Structure:
        """The same crystal as a pymatgen Structure."""
        from pymatgen.core import Lattice, Structure

        return Structure(Lattice(self.lattice), self.numbers.tolist(), self.frac_coords)

    @property
    def atoms(self) -> Atoms:
        """The same crystal as ASE Atoms; needs the extra `crystalfw[ase]`."""
        try:
            from ase import Atoms
        except ImportError as error:
            raise DataError("ASE is not installed: pip install 'crystalfw[ase]'") from error
        return Atoms(numbers=self.numbers, scaled_positions=self.frac_coords, cell=self.lattice, pbc=True)

    @classmethod
    def from_file(cls, path: str | Path) -> Crystal:
        """The one crystal of a file: CIF, POSCAR, extxyz, pymatgen JSON. Raises DataError where there is none, or several."""
        found = resolve_name(READER)(path)
        assert isinstance(found, cls)
        return found

    @classmethod
    def from_structure(cls, structure: Structure, *, id: str = "", properties: Mapping[str, float] | None = None) -> Crystal:
        """From a pymatgen Structure; raises DataError for partial occupancy, naming the site."""
        for site in structure:
            if not site.is_ordered:
                occupancy = ", ".join(f"{species} {share:g}" for species, share in site.species.items())
                raise DataError(f"partial occupancy on site {site.label} ({occupancy}); crystalfw needs ordered crystals")
        numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
        return cls(
            lattice=structure.lattice.matrix,
            frac_coords=structure.frac_coords,
            numbers=numbers,
            id=id,
            properties=MappingProxyType(dict(properties or {})),
        )

    @classmethod
    def from_cif(cls, text: str, *, id: str = "", properties: Mapping[str, float] | None = None) -> Crystal:
        """From CIF text; raises DataError with pymatgen's reason when it does not parse, or would take minutes."""
        from pymatgen.io.cif import CifParser

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parser = CifParser.from_str(text)
                _refuse_expansion(parser)
                structures = parser.parse_structures(primitive=False)
        except DataError:
            raise
        except Exception as error:
            # pymatgen raises whatever its parsing runs into; the file is at fault, and the reason is kept
            raise DataError(f"broken CIF: {str(error) or type(error).__name__}") from error
        if not structures:
            raise DataError("broken CIF: it holds no structure")
        return cls.from_structure(structures[0], id=id, properties=properties)

    @classmethod
    def from_atoms(cls, atoms: Atoms, *, id: str = "", properties: Mapping[str, float] | None = None) -> Crystal:
        """From ASE Atoms with a three-dimensional cell; raises DataError when the cell is flat."""
        cell = np.asarray(atoms.cell.array)
        if abs(np.linalg.det(cell)) < 1e-6:
            raise DataError("the structure has no three-dimensional cell")
        return cls(
            lattice=cell,
            frac_coords=atoms.get_scaled_positions(wrap=False),
            numbers=atoms.numbers,
            id=id,
            properties=MappingProxyType(dict(properties or {})),
        )

    def cif(self, symprec: float | None = None) -> str:
        """CIF text in P1, one site per atom; with `symprec` (angstrom) in the conventional cell of its space group."""
        if symprec is not None:
            return symmetrised_cif(self, symprec)
        from pymatgen.io.cif import CifWriter

        return str(CifWriter(self.structure))

    def write(self, path: str | Path, symprec: float | None = None) -> Path:
        """Write a file whose format its ending names: .cif, .vasp or POSCAR, .extxyz, .json; returns its path.

        `symprec` (angstrom): a CIF in the conventional cell of the space group found at this tolerance; otherwise in P1.
        """
        path = Path(path)
        text = self.cif(symprec) if path.suffix.lower() == ".cif" else file_text(self, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """The same names with the same numbers."""
    return first.keys() == second.keys() and all(
        np.array_equal(np.asarray(value, dtype=np.float64), np.asarray(second[name], dtype=np.float64), equal_nan=True)
        for name, value in first.items()
    )
