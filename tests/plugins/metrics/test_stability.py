"""Stability with the real potential, where it is installed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from crystalfw.core.crystal import Crystal
from crystalfw.core.errors import DataError
from crystalfw.plugins.metrics import stability
from crystalfw.plugins.metrics.shared.geometry import pack
from crystalfw.plugins.metrics.stability import Stability
from tests.plugins.metrics.crystals import caesium_chloride, rock_salt, sample

SODIUM = Crystal(lattice=4.2 * np.eye(3), frac_coords=np.array([[0, 0, 0], [0.5] * 3]), numbers=np.array([11, 11]), id="Na")
CHLORINE = Crystal(
    lattice=np.diag([6.0, 4.5, 8.0]), frac_coords=np.array([[0, 0, 0], [0, 0, 0.25]]), numbers=np.array([17, 17]), id="Cl2"
)


def test_a_hull_needs_crystals(context):
    pytest.importorskip("chgnet")
    with pytest.raises(DataError, match="hull"):
        Stability(Stability.Config()).compute([sample("0", rock_salt())], [], context)


def test_warnings_of_the_potential_are_not_the_users(monkeypatch):
    class Talkative:
        def predict_structure(self, structure):
            warnings.warn("a part of mine is old", UserWarning, stacklevel=1)
            return {"e": -3.0}

    monkeypatch.setattr(stability, "_model", Talkative)
    assert stability._energy((pack(rock_salt()), (0, 0.1, 60.0))) == {"energy": -3.0, "displacement": 0.0, "problem": ""}


def test_what_was_not_judged_is_counted_in_words():
    assert stability._not_judged({"timeout": 1, "no known crystals of an element": 3, "ValueError": 0}) == (
        "; 4 not judged: timeout 1, no known crystals of an element 3"
    )
    assert stability._not_judged({"timeout": 0}) == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_rock_salt_is_stable_and_caesium_chloride_type_is_not(context):
    """NaCl takes the rock-salt structure; the caesium chloride structure lies about 0.1 eV/atom above it."""
    pytest.importorskip("chgnet")
    samples = [
        sample("0", rock_salt(5.5)),
        sample("1", caesium_chloride(3.5, (11, 17))),
        sample("2", rock_salt(5.5, (19, 17))),
        sample("3", status="parse"),
    ]
    metric = Stability(Stability.Config(steps=30, threshold=0.05))
    result = metric.compute(samples, [rock_salt(5.69, id="NaCl"), SODIUM, CHLORINE], context)
    assert (result["stable"]["count"], result["stable"]["of"]) == (1, 4)
    assert result["sun"]["count"] == 0
    assert result["not_judged"] == {"no known crystals of an element": 1}
    assert "CHGNet" in result["protocol"]["potential"]
