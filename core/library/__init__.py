"""Known crystals, one entry for each formula and structure type: built from any source, memory-mapped, checksummed."""

from crystalfw.core.library.entry import Entry as Entry
from crystalfw.core.library.store import Library as Library

__all__ = ["Entry", "Library"]
