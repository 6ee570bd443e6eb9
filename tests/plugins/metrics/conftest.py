"""Small crystals whose metrics are known by construction."""

import numpy as np
import pytest
from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Sample
from crystalfw.core.workbench import Workbench


def rock_salt(a: float = 5.64, numbers=(11, 17), id: str = "") -> Crystal:
    lattice = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice=lattice, frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array(numbers), id=id)


def caesium_chloride(a: float = 4.1, numbers=(55, 17), id: str = "") -> Crystal:
    return Crystal(
        lattice=a * np.eye(3), frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), numbers=np.array(numbers), id=id
    )


def perovskite(a: float = 3.9, numbers=(38, 22, 8), shift: float = 0.0, id: str = "") -> Crystal:
    """Cubic ABX3, B displaced along z by `shift` angstrom."""
    first, second, third = numbers
    positions = [[0, 0, 0], [0.5, 0.5, 0.5 + shift / a], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal(
        lattice=a * np.eye(3), frac_coords=np.array(positions), numbers=np.array([first, second, third, third, third]), id=id
    )


def sample(id: str, crystal: Crystal | None = None, *, status: str = "ok", reason: str = "", reference_id: str = "") -> Sample:
    return Sample(id=id, seed=0, string="", status=status, reason=reason, crystal=crystal, reference_id=reference_id)


@pytest.fixture()
def bench():
    with Workbench(quiet=True) as workbench:
        yield workbench


@pytest.fixture()
def context(bench):
    return {"bench": bench, "train": [], "key": None, "run_dir": None}
