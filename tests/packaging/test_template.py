"""The example plugin package as a stranger meets it: built, installed in a fresh environment, found, lawful, trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crystalfw.core.testing.crystals import small_crystals

TEMPLATE = Path(__file__).parents[2] / "examples" / "crystalfw-plugin-template"
COMPONENTS = {("encoder", "schnet"), ("conditioning", "film"), ("decoder", "lstm"), ("transform", "strain")}


@pytest.mark.slow
def test_the_template_installed_by_a_stranger(stranger, build, tmp_path):
    stranger.install(build(TEMPLATE))
    assert str(stranger.site) in stranger.run("-c", "import crystalfw; print(crystalfw.__file__)")

    found = json.loads(stranger.run("-m", "crystalfw", "plugins", "--json"))
    theirs = {(c["kind"], c["name"]) for c in found["components"] if c["origin"] == "crystalfw-template 0.3.0"}
    assert theirs == COMPONENTS
    assert not found["failures"]

    shutil.copytree(TEMPLATE / "tests", tmp_path / "theirs" / "tests")
    shutil.copy(TEMPLATE / "recipe.yaml", tmp_path / "theirs")
    assert " passed" in stranger.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "theirs")

    out = stranger.run("-m", "crystalfw", "run", str(TEMPLATE / "recipe.yaml"))
    assert "fit: done at step 10" in out
    run = stranger.folder / "runs" / "template"
    record = json.loads((run / "provenance.json").read_text())
    assert record["components"]["encoder schnet"] == "crystalfw-template 0.3.0"
    assert len((run / "samples.csv").read_text().splitlines()) > 4
    (tmp_path / "NaCl.cif").write_text(small_crystals()[0].cif())
    stranger.run("-m", "crystalfw", "sample", str(run), "--n", "2", "--like", str(tmp_path / "NaCl.cif"))

    # One of theirs beside ours, by one line each.
    theirs_alone = [f"model.{part}" for part in ("encoder=schnet", "conditioning=film")]
    out = stranger.run("-m", "crystalfw", "run", "smoke", "--dry-run", *theirs_alone)
    assert "crystalfw_template.film.FiLM" in out
    assert "crystalfw.plugins.decoders.cross_attention_gpt" in out

    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "base: smoke\nset: {fit.steps: 4, sample.n: 1}\nseeds: [0]\n"
        "axes: {conditioning: {ours: {}, film: {model.conditioning: film}}}\n"
    )
    out = stranger.run("-m", "crystalfw", "ablate", str(grid), "--out", str(tmp_path / "ablation"), "--cores", "1")
    assert "film differs from ours" in out

    # Without the package, its checkpoint says what to install.
    shutil.rmtree(stranger.site / "crystalfw_template")
    shutil.rmtree(next(stranger.site.glob("crystalfw_template-*.dist-info")))
    message = stranger.run("-m", "crystalfw", "sample", str(run), "--n", "1", code=2)
    assert "components that are not installed here" in message
    assert "Install crystalfw-template 0.3.0 (encoder schnet, conditioning film, decoder lstm, transform strain)." in message


def test_the_template_imports_nothing_internal():
    """A stranger builds on the public names only."""
    for file in TEMPLATE.rglob("*.py"):
        for line in file.read_text().splitlines():
            if line.startswith(("from crystalfw", "import crystalfw")):
                assert line.split()[1] in ("crystalfw.core", "crystalfw.core.testing", "crystalfw.core.recipe"), (
                    f"{file.name}: {line}"
                )
