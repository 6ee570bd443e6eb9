"""Every built-in obeys the laws of its kind, or says why not."""

from __future__ import annotations

import pytest

from crystalfw.core.discovery import registry
from crystalfw.core.testing import laws_of
from crystalfw.core.testing.laws import Subject, run_law

SMALL = {"dim": 32}
OPTIONS = {
    ("encoder", "equivariant"): {"dim": 16, "multiplicities": [8, 4, 2], "layers": 2},
    ("encoder", "properties"): {**SMALL, "columns": ["band_gap", "density"]},
    ("encoder", "precomputed"): {**SMALL, "size": 6},
    ("encoder", "concat"): {**SMALL, "encoders": [{"name": "composition"}, {"name": "properties", "columns": ["band_gap"]}]},
    ("decoder", "gpt"): {**SMALL, "n_layers": 2},
    ("decoder", "cross_attention_gpt"): {**SMALL, "n_layers": 2, "positions": "rotary"},
    ("decoder", "copy_gpt"): {**SMALL, "n_layers": 2},
    ("decoder", "regressor"): {"columns": ["band_gap", "density"], "hidden": 16},
    ("decoder", "denoiser"): {"hidden": 16},
}
RECIPE_METRICS = ("shares", "match", "distributions")  # those of a recipe's default; the others need options or minutes
COMPONENTS = [
    (entry.kind, entry.name)
    for entry in registry().entries()
    if entry.origin.distribution == "crystalfw"
    and (entry.kind != "metric" or entry.name in RECIPE_METRICS)
    and entry.kind != "potential"  # each needs a package or a run: potentials/test_potentials.py
]
CASES = [
    pytest.param(kind, name, law, id=f"{kind}-{name}-{law.name}", marks=[pytest.mark.slow] if kind == "metric" else [])
    for kind, name in COMPONENTS
    for law in laws_of(kind)
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A table and a folder of CIF files with the small crystals, for the sources that read files."""
    import csv

    from crystalfw.core.testing.crystals import small_crystals

    folder = tmp_path_factory.mktemp("sources")
    (folder / "cifs").mkdir()
    with (folder / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["material_id", "cif", "band_gap"])
        for crystal in small_crystals():
            writer.writerow([crystal.id, crystal.cif(), 1.5])
            (folder / "cifs" / f"{crystal.id}.cif").write_text(crystal.cif())
    return {"table": str(folder / "table.csv"), "files": str(folder / "cifs")}


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@pytest.mark.parametrize(("kind", "name", "law"), CASES)
def test_built_in(kind, name, law, files):
    subject = Subject(kind, registry().get(kind, name).load(), OPTIONS.get((kind, name), {}), files.get(name))
    outcome = run_law(law, subject)
    assert outcome.status != "failed", outcome.message
