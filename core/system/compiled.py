"""numba's njit with a cache on disk that notices a change in any compiled function of the package, and that many
processes can fill at once.

numba stamps a cached function with its own source file. Its machine code also contains functions that it calls from other
files, so that after an edit of those, or an upgrade in place, the old code would still run. Here the stamp covers all
sources with compiled functions.

numba numbers its files of machine code, and enters the number in an index before it writes the file: of two processes that
compile for different types at the same moment, one can find the other's code under its own number, or code of before an
upgrade. Here a file is named by what it holds and is there before the index names it; at worst an entry is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from glob import escape
from operator import attrgetter
from pathlib import Path
from typing import Any

import numba

PACKAGE = Path(__file__).resolve().parents[2]
_NEEDED = attrgetter("_version", "_data_name", "_save_data", "_save_index", "_load_index", "_index_name", "_cache_path")
"""Raises AttributeError for a numba with other internals."""


def njit(**options: Any) -> Any:
    """`numba.njit(**options)`, for functions of this package."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if options.get("cache"):
            try:
                file = dispatcher._cache._cache_file
                file._source_stamp = (file._source_stamp, sources_digest(PACKAGE))
                _NEEDED(file)
                file.save = partial(_save, file)
            except AttributeError:  # a numba with other internals: compiling each time is slow, a stale cache wrong
                dispatcher = numba.njit(**{**options, "cache": False})(function)
        return dispatcher

    return compiled


def _save(file: Any, key: Any, data: Any) -> None:
    """In place of numba's `IndexDataCacheFile.save`."""
    content = repr((key, file._source_stamp, file._version)).encode()
    name = file._data_name(int.from_bytes(hashlib.sha256(content).digest()[:8], "big"))
    known = file._load_index()
    if not known:  # the first entry, or the first after a change: older files are useless
        for stale in Path(file._cache_path).glob(escape(file._index_name.removesuffix("nbi")) + "*.nbc"):
            stale.unlink(missing_ok=True)
    file._save_data(name, data)
    file._save_index({**known, key: name})


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
