"""Small libraries written where a test wants them."""

from __future__ import annotations

from pathlib import Path

from crystalfw.core.library import Library
from crystalfw.core.library.build import Origin, build_library
from crystalfw.core.recipe.options import create


def written(library: Library, folder: Path) -> Library:
    """The same entries, built from CIF files."""
    (folder / "cifs").mkdir(parents=True)
    for entry in library:
        (folder / "cifs" / f"{entry.id}.cif").write_text(entry.crystal().cif())
    source = create("source", "files", path=str(folder / "cifs"))
    return build_library([Origin(source, "small")], folder / "built", workers=1)
