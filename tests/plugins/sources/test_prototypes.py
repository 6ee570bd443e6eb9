from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.core.geometry.lattice import shortest_distance
from crystalfw.plugins.sources import prototypes
from crystalfw.plugins.sources.prototypes import Prototypes


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Prototypes, list[Crystal], Path]:
    """The first crystals of a small set, made now."""
    cache = tmp_path_factory.mktemp("prototypes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prototypes, "CHUNK", 32)
        source = Prototypes(Prototypes.Config(max_atoms=6, per_prototype=3, cache=str(cache)))
        return source, list(source.read("train")), cache


def test_crystals_are_small_balanced_and_distinct(made):
    _, crystals, _ = made
    assert len(crystals) > 80
    assert len({c.id for c in crystals}) == len(crystals)
    assert all(2 <= c.n_atoms <= 6 for c in crystals)
    assert all(shortest_distance(c.lattice, c.frac_coords) >= 1.2 for c in crystals)
    for crystal in crystals[::10]:
        # every formula has a charge-balanced reading
        assert crystal.structure.composition.oxi_state_guesses(), crystal.id


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # pymatgen calling spglib
def test_properties_are_what_they_say(made):
    for crystal in made[1][::15]:
        structure = crystal.structure
        assert crystal.properties["volume_per_atom"] == pytest.approx(structure.volume / len(structure))
        assert crystal.properties["density"] == pytest.approx(float(structure.density), rel=1e-4)
        assert crystal.properties["spacegroup.number"] == structure.get_space_group_info(symprec=0.05)[1]


def test_second_reading_comes_from_the_cache_and_is_the_same(made, monkeypatch):
    source, first, _ = made
    monkeypatch.setattr(prototypes, "CHUNK", 32)
    monkeypatch.setattr(Prototypes, "_make", lambda self, skip: pytest.fail("made again"))
    for a, b in zip(first, source.read("train"), strict=True):
        np.testing.assert_array_equal(a.lattice, b.lattice)
        np.testing.assert_array_equal(a.frac_coords, b.frac_coords)
        assert (a.id, dict(a.properties)) == (b.id, dict(b.properties))


def test_an_interrupted_or_damaged_cache_is_completed(made, monkeypatch):
    source, first, cache = made
    monkeypatch.setattr(prototypes, "CHUNK", 32)
    files = sorted(cache.rglob("*.npz"))
    files[-1].unlink()
    files[-2].write_bytes(files[-2].read_bytes()[:500])
    again = list(source.read("train"))
    assert [c.id for c in again] == [c.id for c in first]
    np.testing.assert_array_equal(again[-1].lattice, first[-1].lattice)


def test_fingerprint_follows_the_options():
    fingerprints = {Prototypes(Prototypes.Config(max_atoms=n)).fingerprint() for n in (4, 5, 5)}
    assert len(fingerprints) == 2


def test_a_path_is_refused():
    with pytest.raises(DataError, match="built in and reads no file"):
        Prototypes(Prototypes.Config(), path="x.csv")


@pytest.mark.slow
def test_there_are_at_least_3000(tmp_path):
    source = Prototypes(Prototypes.Config(cache=str(tmp_path)))
    crystals = list(source.read("train"))
    assert len({c.id for c in crystals}) >= 3000
    assert max(c.n_atoms for c in crystals) <= 12
    assert next(source.read("train")).id == crystals[0].id
