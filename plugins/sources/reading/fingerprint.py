"""Content hash of input files, so that prepared data is reused only for the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from crystalfw.core.errors import DataError
from crystalfw.core.system.files import file_digest


def fingerprint_files(paths: Iterable[Path], options: str) -> str:
    """SHA-256 over names, sizes and bytes of the files and over `options`; raises DataError if one is missing."""
    digest = hashlib.sha256(os.fsencode(options))
    for path in paths:
        try:
            content = bytes.fromhex(file_digest(path))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        digest.update(os.fsencode(path.name) + b"\0" + content)
    return digest.hexdigest()
