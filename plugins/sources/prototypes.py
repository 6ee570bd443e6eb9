"""The embedded default: crystals made from AFLOW prototypes by ionic substitution, offline, the same on every machine.

They are plausible, not measured and not relaxed: they serve for learning the framework, for tests and for demonstrations; a
model trained on them tells nothing about real materials.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from crystalfw.core.crystal import Crystal
from crystalfw.core.data.block import load_block, make_block, save_block
from crystalfw.core.errors import DataError
from crystalfw.core.interfaces import Source
from crystalfw.core.recipe.schema import Bounds
from crystalfw.core.records import Rejected
from crystalfw.core.system.files import digest
from crystalfw.core.system.progress import Progress
from crystalfw.core.system.user_cache import user_cache

VERSION = 1
"""Increased when the same options give other crystals."""
CHUNK = 256
"""Crystals per cache file, so that the first ones can be read before the last ones are made."""


class Prototypes(Source):
    """Charge-balanced decorations of the AFLOW prototypes in pymatgen, the most probable ones first.

    Columns: volume_per_atom (cubic angstrom, predicted), density (g/cm3), electronegativity_difference (Pauling, largest
    minus smallest), spacegroup.number (of the prototype). One part; the core splits it by formula. Made once in about half a
    minute and kept as files; only as many as are read.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `prototypes`."""

        max_atoms: Annotated[int, Bounds(2)] = 12
        """Largest prototype, atoms per cell."""
        per_prototype: Annotated[int, Bounds(0)] = 45
        """Maximum number of decorations of one prototype; 45 give about 4,000 crystals. 0 gives the prototypes themselves,
        with the elements of the real crystals that they are named after."""
        cache: str | None = None
        """Folder for the made crystals; default: the user's cache folder ($XDG_CACHE_HOME or ~/.cache)."""

    def __init__(self, config: Config, *, path: str | None = None) -> None:
        if path is not None:
            raise DataError(f"source 'prototypes' is built in and reads no file; leave out data.path (it is {path!r})")
        if config.max_atoms < 2 or config.per_prototype < 0:
            raise DataError("source 'prototypes': max_atoms must be 2 or more and per_prototype 0 or more")
        self.config = config

    def parts(self) -> tuple[str, ...]:
        """One part: the core cuts validation and test out of it by formula."""
        return ("train",)

    def fingerprint(self) -> str:
        """Hash of the options and of the versions that decide what is made."""
        key = (VERSION, self.config.max_atoms, self.config.per_prototype, importlib.metadata.version("pymatgen"))
        return digest(repr(key).encode())

    def read(self, part: str) -> Iterator[Crystal | Rejected]:
        """The crystals in a fixed order: from the cache as far as it goes, then made and cached."""
        if self.config.per_prototype == 0:
            from crystalfw.plugins.sources.reading.decorate import namesakes

            yield from namesakes(self.config.max_atoms)
            return
        folder = self._folder()
        done = 0
        while folder is not None and (block := load_block(folder / f"{done:04d}.npz")) is not None:
            yield from block.crystals()
            done += 1
            if len(block.part) < CHUNK:
                return
        made = self._make(skip=done * CHUNK)
        while chunk := list(islice(made, CHUNK)):
            if folder is not None:
                places = range(len(chunk))
                block = make_block(chunk, [0] * len(chunk), places, [], [], [], len(chunk))
                save_block(block, folder / f"{done:04d}.npz")
            yield from chunk
            done += 1

    def _folder(self) -> Path | None:
        """The cache folder of these options; None if it cannot be written; then nothing is cached."""
        base = Path(self.config.cache).expanduser() / "crystalfw" if self.config.cache else user_cache()
        folder = base / f"prototypes-{self.fingerprint()[:16]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return folder if os.access(folder, os.W_OK) else None

    def _make(self, skip: int) -> Iterator[Crystal]:
        """Decorate prototypes, distinct in prototype and formula; the first `skip` crystals are not yielded again."""
        from crystalfw.plugins.sources.reading.decorate import candidates, with_properties

        decorator, ranked = candidates(self.config.max_atoms, self.config.per_prototype)
        progress = Progress("making prototypes", len(ranked))
        seen: set[str] = set()
        for done, (prototype, ions) in enumerate(ranked, start=1):
            crystal = decorator.decorate(prototype, ions)
            progress.update(done)
            if crystal is None or crystal.id in seen:
                continue
            seen.add(crystal.id)
            if len(seen) > skip:
                yield with_properties(prototype, crystal)
        progress.close()
