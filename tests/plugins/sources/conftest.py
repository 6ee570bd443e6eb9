from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.testing.crystals import small_crystals


@pytest.fixture(scope="session")
def crystals() -> list[Crystal]:
    return small_crystals()


@pytest.fixture(scope="session")
def rows(crystals) -> list[dict[str, str]]:
    """Rows as the CDVAE tables have them; one property is missing once, one formula reads NaN."""
    gaps = ["5.0", "0.0", "", "0.3"]
    return [
        {
            "material_id": f"id-{k}", "cif": crystal.cif(), "pretty_formula": "NaN" if k == 1 else crystal.formula,
            "band_gap": gaps[k], "theoretical": str(k % 2 == 0), "note": f"text {k}",
        }
        for k, crystal in enumerate(crystals)
    ]  # fmt: skip


WriteTable = Callable[..., Path]


@pytest.fixture
def write_table(tmp_path) -> WriteTable:
    def write(rows: list[dict[str, str]], name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", newline="") if name.endswith(".gz") else open(path, "w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        return path

    return write
