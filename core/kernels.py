"""numba's njit with a cache on disk that notices a change in any compiled function of the package.

numba stamps a cached function with its own source file. What it calls from other files is part of its machine code, so that
an edit there, or an upgrade in place, would leave the old code running, with its mistakes. Here the stamp is of all
sources that hold compiled functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

PACKAGE = Path(__file__).resolve().parents[1]


def njit(**options: Any) -> Any:
    """`numba.njit(**options)`, for functions of this package."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if options.get("cache"):
            try:
                file = dispatcher._cache._cache_file
                file._source_stamp = (file._source_stamp, sources_digest(PACKAGE))
            except AttributeError:  # another numba: compiling anew each time is slow, a stale cache would be wrong
                dispatcher = numba.njit(**{**options, "cache": False})(function)
        return dispatcher

    return compiled


@lru_cache(maxsize=8)
def sources_digest(package: Path) -> str:
    """SHA-256 over the sources under `core` and `plugins` that hold compiled functions, in the order of their names."""
    digest = hashlib.sha256()
    for folder in (package / "core", package / "plugins"):
        for path in sorted(folder.rglob("*.py")):
            source = path.read_bytes()
            if b"njit" in source:
                digest.update(path.relative_to(package).as_posix().encode() + b"\0" + source)
    return digest.hexdigest()
