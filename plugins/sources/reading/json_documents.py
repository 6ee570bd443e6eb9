"""JSON with one structure or many: pymatgen structures, documents of a database, data frames, JARVIS atoms; JSON lines.

Read here, because pymatgen's own decoder imports whatever module a file names.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.cif import crystal_from_cif

ID_NAMES = ("material_id", "id", "mp_id", "mpid", "jid", "cif_id", "entry_id", "structure_id", "name")
"""Keys, and columns of a table, that identify a crystal, the first one that is there."""
STRUCTURE_NAMES = ("structure", "final_structure", "atoms", "cif")
"""Keys of a document, and columns of a table, that hold its crystal."""
MAX_ATOMS = 10_000
"""Atoms in one cell; more are refused before anything is made of them."""
_LISTS = ("data", "entries", "response", "results", "docs")
"""Keys under which files keep their list of documents."""
_DEEPEST = 24
"""Brackets within brackets; a document of a structure has about six."""
_READ_ERRORS = (ValueError, RecursionError, MemoryError, SyntaxError)


def split_json(text: str) -> Iterator[tuple[int | None, str]]:
    """(row, JSON) of every structure in a file; row is None if the file holds one."""
    try:
        found = documents(json.loads(text))
    except _READ_ERRORS:
        found = None
    if found is None:  # one structure, or broken, which its parser says
        yield None, text
        return
    for row, document in enumerate(found, start=1):
        yield row, json.dumps(document)


def split_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line, JSON) of every line that is not blank."""
    for row, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield row, line


def documents(plain: Any) -> Sequence[Any] | None:
    """The documents of a file that is made for several; None for a file of one.

    Known are a list, {id: document}, a list under a key such as `data`, and pandas' orients records, index, columns, split
    and table.
    """
    if isinstance(plain, list):
        return plain
    if not isinstance(plain, dict) or _is_one(plain):
        return None
    if isinstance(plain.get("columns"), list) and isinstance(plain.get("data"), list):
        return [dict(zip(plain["columns"], row, strict=False)) if isinstance(row, list) else row for row in plain["data"]]
    listed = next((plain[key] for key in _LISTS if isinstance(plain.get(key), list)), None)
    if listed is not None:
        return listed
    if any(isinstance(plain.get(name), dict) for name in STRUCTURE_NAMES):  # {column: {row: value}}
        columns = {name: values for name, values in plain.items() if isinstance(values, dict)}
        rows = next(columns[name] for name in STRUCTURE_NAMES if name in columns)
        return [{name: values.get(row) for name, values in columns.items()} for row in rows]
    if plain and all(isinstance(value, dict) and _is_one(value) for value in plain.values()):
        return [_named(value, key) for key, value in plain.items()]
    return None


def _is_one(plain: Mapping[str, Any]) -> bool:
    """True for a structure, or a document that holds one."""
    if isinstance(plain.get("lattice"), dict) and isinstance(plain.get("sites"), list):
        return True
    if "lattice_mat" in plain:
        return True
    held = [plain[name] for name in STRUCTURE_NAMES if name in plain]
    return any(isinstance(value, str) or (isinstance(value, dict) and _is_one(value)) for value in held)


def _named(document: dict[str, Any], id: str) -> dict[str, Any]:
    """A document that has no id of its own, with the key it stands under."""
    if any(name in document for name in ID_NAMES):
        return document
    return {"id": id, **(document if any(name in document for name in STRUCTURE_NAMES) else {"structure": document})}


def crystal_from_json(text: str, id: str) -> Crystal:
    """The crystal of one document; numbers beside its structure are properties, its own id goes before `id`."""
    try:
        plain = json.loads(text)
    except _READ_ERRORS as error:
        raise DataError(f"broken JSON: {error}") from error
    return _crystal(plain, id)


def crystal_from_text(text: str, *, id: str = "", properties: Mapping[str, float] | None = None) -> Crystal:
    """The crystal in a table's field: CIF text, or a structure as JSON or as Python prints its dictionary."""
    start = text.lstrip()[:14]
    if start.startswith(("Full Formula", "Structure Summ")):
        raise DataError("pymatgen's print of a structure, which is rounded; write structure.to(fmt='cif') into the column")
    if not start.startswith("{"):
        return crystal_from_cif(text, id=id, properties=properties)
    try:
        plain = json.loads(text) if not start.startswith("{'") else _literal(text)
    except _READ_ERRORS as error:
        raise DataError(f"broken JSON: {str(error)[:200]}") from error
    crystal = _crystal(plain, id)
    return Crystal(
        lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=crystal.numbers, id=id,
        properties={**crystal.properties, **(properties or {})},
    )  # fmt: skip


def _literal(text: str) -> Any:
    """A dictionary as Python prints it; only literals are read, and only as deep as a structure goes."""
    depth = deepest = 0
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise DataError(f"broken JSON: {deepest} brackets within one another")
    return ast.literal_eval(text.strip())


def _crystal(plain: Any, id: str) -> Crystal:
    if not isinstance(plain, dict):
        raise DataError(f"not a structure: a JSON {type(plain).__name__}")
    try:
        if "lattice" in plain and isinstance(plain.get("sites"), list):
            return _pymatgen(plain, id)
        if "lattice_mat" in plain:
            return _jarvis(plain, id)
        held = next((plain[name] for name in STRUCTURE_NAMES if plain.get(name)), None)
        own = next((plain[name] for name in ID_NAMES if isinstance(plain.get(name), (str, int))), id)
        if isinstance(held, str):
            return crystal_from_text(held, id=str(own), properties=scalars(plain))
        if isinstance(held, dict) and not any(name in held for name in STRUCTURE_NAMES):
            crystal = _crystal(held, str(own))
            properties = {**crystal.properties, **scalars(plain)}
            return Crystal(
                lattice=crystal.lattice, frac_coords=crystal.frac_coords, numbers=crystal.numbers, id=str(own),
                properties=properties,
            )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"broken pymatgen JSON: {type(error).__name__}: {error}") from error
    raise DataError(
        "not a pymatgen structure: the JSON needs 'lattice' and 'sites', or a document with such a structure under "
        f"{' or '.join(STRUCTURE_NAMES[:1])}"
    )


def _pymatgen(plain: Mapping[str, Any], id: str) -> Crystal:
    refuse_large(len(plain["sites"]))
    own = next((plain[name] for name in ID_NAMES if isinstance(plain.get(name), (str, int))), id)
    kept = plain.get("properties")
    return Crystal(
        lattice=np.array(plain["lattice"]["matrix"], dtype=np.float64).reshape(3, 3),
        frac_coords=np.array([site["abc"] for site in plain["sites"]], dtype=np.float64).reshape(-1, 3),
        numbers=np.array([_site_number(site) for site in plain["sites"]], dtype=np.int64), id=str(own),
        properties=scalars(kept) if isinstance(kept, dict) else {},
    )  # fmt: skip


def _jarvis(plain: Mapping[str, Any], id: str) -> Crystal:
    """JARVIS atoms: lattice_mat, coords, elements, cartesian."""
    refuse_large(len(plain["elements"]))
    lattice = np.array(plain["lattice_mat"], dtype=np.float64).reshape(3, 3)
    coordinates = np.array(plain["coords"], dtype=np.float64).reshape(-1, 3)
    if plain.get("cartesian"):
        if not np.isfinite(lattice).all() or abs(float(np.linalg.det(lattice))) < 1e-9:
            raise DataError("flat cell: the lattice vectors span no volume")
        coordinates = coordinates @ np.linalg.inv(lattice)
    numbers = np.array([atomic_number(str(symbol)) for symbol in plain["elements"]], dtype=np.int64)
    return Crystal(lattice=lattice, frac_coords=coordinates, numbers=numbers, id=id)


def _site_number(site: Any) -> int:
    species = site["species"]
    if len(species) != 1 or float(species[0]["occu"]) != 1:
        shares = ", ".join(f"{item['element']} {float(item['occu']):g}" for item in species)
        raise DataError(f"partial occupancy on site {site.get('label', '')} ({shares}); crystalfw needs ordered crystals")
    return atomic_number(str(species[0]["element"]))


def atomic_number(symbol: str) -> int:
    """Atomic number of a symbol, or of its digits. Raises DataError."""
    from pymatgen.core import Element

    if symbol.isdecimal():
        return min(int(symbol[:9]), 1000)
    if not Element.is_valid_symbol(symbol):
        raise DataError(f"no such element: {symbol[:20]!r}")
    return int(Element(symbol).Z)


def refuse_large(atoms: int) -> None:
    """Raise DataError above MAX_ATOMS."""
    if atoms > MAX_ATOMS:
        raise DataError(f"too large: {atoms:,} atoms or lines, more than {MAX_ATOMS:,}")


def scalars(entries: Mapping[str, Any]) -> dict[str, float]:
    """Entries that are single finite numbers or booleans, or text of one; not those that identify."""
    found: dict[str, float] = {}
    for key, value in entries.items():
        if key in ID_NAMES or not isinstance(value, (bool, int, float, str)):
            continue
        if str(value) in ("T", "F", "True", "False"):
            found[str(key)] = float(str(value) in ("T", "True"))
            continue
        try:
            number = float(value)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number):
            found[str(key)] = number
    return found
