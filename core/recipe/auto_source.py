"""Which source reads a path; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

TABLES = (".csv", ".csv.gz", ".csv.xz", ".csv.bz2", ".parquet")


def source_name(path: str | None) -> str:
    """The source that `auto` means: prototypes without a path, table for tabular files and CDVAE folders, otherwise files."""
    if path is None:
        return "prototypes"
    location = Path(path)
    if location.is_dir():
        return "table" if any((location / f"train{suffix}").exists() for suffix in TABLES) else "files"
    return "table" if location.name.lower().endswith(TABLES) else "files"
