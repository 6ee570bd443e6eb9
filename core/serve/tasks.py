"""Short questions about crystals and strings, answered in the worker process (`workers.py`): everything that parses what a
stranger sent is here. Functions of plain values, so that they and their answers can be pickled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from crystalfw.core.errors import ConditionError, CrystalfwError
from crystalfw.core.serve.scene import bond_ends, scene

MAX_CIF = 200_000
MAX_STRING = 20_000
MAX_ATOMS = 400
FORMS = {"cif": "crystal.cif", "poscar": "POSCAR", "extxyz": "crystal.extxyz"}
"""Formats to take a crystal along in, with the file's name."""


def crystal_of(cif: str) -> Any:
    """The crystal of a CIF text, checked as the readers of data check it. Raises CrystalfwError with a sentence."""
    from crystalfw.core.data.reading import check_sound
    from crystalfw.core.errors import Reject
    from crystalfw.core.geometry.cif import crystal_from_cif

    if len(cif) > MAX_CIF:
        raise ConditionError(f"the CIF has {len(cif):,} characters; at most {MAX_CIF:,} are read here")
    crystal = crystal_from_cif(cif)
    try:
        check_sound(crystal, max_atoms=MAX_ATOMS)
    except Reject as error:
        raise ConditionError(str(error)) from error
    return crystal


def ready() -> None:
    """Nothing: the first answer of a process waits for its imports, which may as well be done while a job computes."""
    import spglib  # noqa: F401

    from crystalfw.core.data import reading  # noqa: F401
    from crystalfw.core.geometry import cif  # noqa: F401


def show(cif: str, supercell: tuple[int, int, int]) -> dict[str, Any]:
    """What the viewer draws, with the facts beside it."""
    return scene(crystal_of(cif), supercell)


def picture(cif: str) -> str:
    """The picture of a crystal as markup that may stand in a page."""
    return str(crystal_of(cif)._repr_html_())


def write(cif: str, form: str) -> str:
    """The crystal as text in one of FORMS."""
    from crystalfw.core.crystal_forms import file_text

    return file_text(crystal_of(cif), Path(FORMS[form]))


def encode(cif: str, dialect: str, space_group: bool) -> dict[str, Any]:
    """The string of a crystal and what each piece of it says."""
    representation = _representation(dialect, space_group)
    crystal = crystal_of(cif)
    encoded = representation.encode([crystal])[0]
    if not encoded.ok:
        reasons = type(representation).reasons
        raise ConditionError(f"the crystal has no string in this dialect: {reasons.get(encoded.reason, encoded.reason)}")
    return decode(encoded.string)


def decode(string: str) -> dict[str, Any]:
    """The crystal of a string, and what each piece of the string says."""
    from crystalfw.core.errors import DecodeError

    if len(string) > MAX_STRING:
        raise ConditionError(f"the string has {len(string):,} characters; at most {MAX_STRING:,} are read here")
    representation = _representation("plain", False)
    try:
        pieces = representation.explain(string)
    except DecodeError as error:
        raise ConditionError(f"the string cannot be read: {error}") from error
    decoded = representation.decode([string])[0]
    # the picture is of the CIF, whose axes may stand otherwise than those of the decoded crystal
    cif = decoded.crystal.cif() if decoded.crystal is not None else None
    crystal = None if cif is None else replace(decoded.crystal, lattice=crystal_of(cif).lattice)
    shown = []
    for piece in pieces:
        ends = None
        if crystal is not None and decoded.frame is not None and piece.shift is not None:
            first, second = piece.atoms
            ends = bond_ends(crystal, first, second, decoded.frame.cell(first, second, piece.shift))
        shown.append({"text": piece.text, "says": piece.says, "atoms": piece.atoms, "bond": ends})
    reason = "" if cif is not None else (decoded.message or decoded.reason)
    return {"string": string, "pieces": shown, "cif": cif, "reason": reason}


def describe(run: str) -> dict[str, Any]:
    """What a trained model can be asked: its conditions with the ranges of its training data."""
    from crystalfw.core.sample.conditions import typed_name
    from crystalfw.core.sample.trained import Trained

    trained = Trained.load(run)
    ranges = trained.ranges
    columns = [name.removeprefix("properties.") for name in sorted(trained.requires) if name.startswith("properties.")]
    properties = {typed_name(column): ranges.get("properties", {}).get(column) for column in columns}
    return {
        "model": repr(trained), "properties": properties, "composition": "composition" in trained.requires,
        "geometry": "geometry" in trained.requires, "atoms": ranges.get("atoms"),
        "conditioned": bool(trained.requires), "dropout": float(trained.recipe.model.condition_dropout),
        "generates": trained.generator.decoder.needs_tokens,
        "candidates": trained.recipe.sample.candidates, "keep": trained.recipe.sample.keep,
    }  # fmt: skip


def _representation(dialect: str, space_group: bool) -> Any:
    from crystalfw.core.recipe.options import create

    return create("representation", "slices", {"dialect": dialect, "space_group": space_group})


def count_of_file(path: str) -> dict[str, Any]:
    """How many crystals an uploaded file holds, and the first reasons of those that cannot be read."""
    from crystalfw.core.data.reading import open_source, read_sound
    from crystalfw.core.records import Rejected

    source = open_source(str(Path(path)))
    sound, reasons = 0, []
    for part in source.parts():
        for record in source.records(part):
            item = read_sound(source, record, max_atoms=MAX_ATOMS)
            if isinstance(item, Rejected):
                reasons.append(item.reason)
            else:
                sound += 1
    if not sound and not reasons:
        raise CrystalfwError("the file holds no crystals")
    return {"crystals": sound, "rejected": len(reasons), "reasons": reasons[:3]}
