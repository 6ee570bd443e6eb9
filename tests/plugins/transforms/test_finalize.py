from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalfw.core.batch import CrystalBatch
from crystalfw.core.crystal import Crystal, lattice_from_parameters
from crystalfw.core.crystal import lattice_to_parameters as numpy_parameters
from crystalfw.core.errors import Reject
from crystalfw.core.geometry.lattice import lattice_to_parameters, parameters_to_lattice
from crystalfw.plugins.transforms.finalize import Finalize

RNG = np.random.default_rng(0)
ANY = st.floats(-1e6, 1e6)


def make(**options: object) -> Finalize:
    return Finalize(Finalize.Config(**options))


def test_a_good_crystal_passes_to_the_last_digit(low_symmetry):
    done = make()(low_symmetry, RNG)
    np.testing.assert_array_equal(done.lattice, low_symmetry.lattice)
    np.testing.assert_array_equal(done.frac_coords, low_symmetry.frac_coords)


@given(st.lists(ANY, min_size=3, max_size=3), st.lists(ANY, min_size=3, max_size=3), st.lists(ANY, min_size=3, max_size=3))
@settings(max_examples=200, deadline=None)
def test_raw_parameters_always_become_a_real_cell(lengths, angles, frac):
    tensors = (torch.tensor([values], dtype=torch.float64) for values in (lengths, angles, frac))
    lengths_B3, angles_B3, frac_N3 = make().parameters(*tensors)
    assert ((lengths_B3 >= 1) & (lengths_B3 <= 50)).all()
    assert ((angles_B3 >= 30) & (angles_B3 <= 150)).all()
    assert ((frac_N3 >= 0) & (frac_N3 < 1)).all()
    volume = torch.linalg.det(parameters_to_lattice(lengths_B3, angles_B3))
    assert (volume > 1e-3 * lengths_B3.prod(-1)).all()


def test_raw_lengths_are_made_positive_and_offset():
    lengths_B3, _, _ = make().parameters(torch.tensor([[-3.0, 0.0, 70.0]]), torch.full((1, 3), 90.0), torch.zeros(1, 3))
    torch.testing.assert_close(lengths_B3, torch.tensor([[3.1, 1.0, 50.0]]))


def test_not_finite_raw_numbers_become_finite():
    nan = torch.full((1, 3), float("nan"))
    inf = torch.full((1, 3), float("inf"))
    for bad in (nan, inf, -inf):
        assert all(torch.isfinite(tensor).all() for tensor in make().parameters(bad, bad, bad))


@pytest.mark.parametrize("angles", [(140.0, 140.0, 140.0), (30.0, 30.0, 140.0), (20.0, 160.0, 90.0), (150.0, 30.0, 31.0)])
def test_impossible_angles_are_drawn_to_a_real_cell(angles):
    """One Crystal and the batch agree, for cells whose angles are clamped or nearly flat."""
    raw = torch.tensor([angles], dtype=torch.float64)
    lengths_B3, angles_B3, _ = make().parameters(torch.full((1, 3), 5.0, dtype=torch.float64), raw, torch.zeros(1, 3))
    lattice = parameters_to_lattice(lengths_B3, angles_B3)[0].numpy()
    assert np.linalg.det(lattice) > 0
    again, _ = make(min_distance=0.0).batch(CrystalBatch.from_crystals([_one_atom(lattice)], torch.float64))
    np.testing.assert_allclose(again.lattice[0].numpy(), lattice, atol=1e-9)


def _one_atom(lattice: np.ndarray) -> Crystal:
    return Crystal(lattice=lattice, frac_coords=np.zeros((1, 3)), numbers=np.array([6]))


def _crystals() -> list[Crystal]:
    rng = np.random.default_rng(1)
    crystals = []
    for lengths, angles in [
        ((4, 5, 6), (80, 95, 100)), ((0.3, 5, 6), (90, 90, 90)), ((4, 80, 6), (90, 120, 90)), ((5, 5, 5), (25, 90, 90)),
        ((5, 6, 7), (165, 92, 91)),
    ]:  # fmt: skip
        lattice = lattice_from_parameters(np.array(lengths, dtype=float), np.array(angles, dtype=float))
        crystals.append(Crystal(lattice=lattice, frac_coords=rng.random((2, 3)) * 3 - 1, numbers=np.array([6, 8])))
    crystals.append(replace(crystals[0], lattice=crystals[0].lattice[[1, 0, 2]]))
    crystals.append(replace(crystals[3], lattice=crystals[3].lattice[[1, 0, 2]]))
    return crystals


def test_batch_and_single_crystals_agree():
    crystals = _crystals()
    finalize = make(min_distance=0.0)
    batch, valid_B = finalize.batch(CrystalBatch.from_crystals(crystals, torch.float64))
    assert valid_B.all()
    for k, crystal in enumerate(crystals):
        done = finalize(crystal, RNG)
        np.testing.assert_allclose(batch.frac_coords[2 * k : 2 * k + 2].numpy(), done.frac_coords, atol=1e-12)
        # orientation of a rebuilt cell is a convention: compare the metric and the hand
        ours, theirs = batch.lattice[k].numpy(), done.lattice
        np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-8)
        assert np.sign(np.linalg.det(ours)) == np.sign(np.linalg.det(theirs)) == np.sign(np.linalg.det(crystal.lattice))
        lengths, angles = numpy_parameters(theirs)
        assert (lengths >= 1 - 1e-9).all()
        assert (lengths <= 50 + 1e-9).all()
        assert (angles >= 30 - 1e-9).all()
        assert (angles <= 150 + 1e-9).all()


def test_overlapping_atoms_are_set_aside_and_masked(low_symmetry):
    close = replace(low_symmetry, frac_coords=low_symmetry.frac_coords[[0, 0, 2, 3]] + 1e-4)
    with pytest.raises(Reject, match=r"atoms closer than 0.5 angstrom: 0.000"):
        make()(close, RNG)
    _, valid_B = make().batch(CrystalBatch.from_crystals([low_symmetry, close], torch.float64))
    assert valid_B.tolist() == [True, False]


def test_distance_sees_the_images_of_an_atom():
    flat = Crystal(lattice=np.diag([1.0, 9.0, 9.0]), frac_coords=np.zeros((1, 3)), numbers=np.array([6]))
    with pytest.raises(Reject, match=r"1\.000"):
        make(min_distance=1.2)(flat, RNG)


def test_not_finite_crystals_are_set_aside(low_symmetry):
    lattice = low_symmetry.lattice.copy()
    lattice[0, 0] = np.nan
    with pytest.raises(Reject, match="not finite"):
        make()(replace(low_symmetry, lattice=lattice), RNG)
    batch = CrystalBatch.from_crystals([replace(low_symmetry, lattice=lattice)], torch.float64)
    assert make().batch(batch)[1].tolist() == [False]


def test_offset_is_an_option_and_off(rock_salt):
    assert make()(rock_salt, RNG).volume == pytest.approx(rock_salt.volume)
    lengths, _ = numpy_parameters(make(length_offset=0.1)(rock_salt, RNG).lattice)
    np.testing.assert_allclose(lengths, numpy_parameters(rock_salt.lattice)[0] + 0.1)


def test_clamped_left_handed_cell_keeps_the_crystals_hand():
    crystal = _crystals()[-1]
    done = make(min_distance=0.0, max_length=4.0)(crystal, RNG)
    assert np.linalg.det(done.lattice) < 0
    assert np.linalg.det(crystal.lattice) < 0


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_parameters_and_matrix_round_trip(seed):
    rng = np.random.default_rng(seed)
    lattice = rng.standard_normal((4, 3, 3)) * 4 + np.eye(3) * 6
    lengths_B3, angles_B3 = lattice_to_parameters(torch.tensor(lattice))
    np.testing.assert_allclose(lengths_B3.numpy(), numpy_parameters(lattice)[0], rtol=1e-12)
    np.testing.assert_allclose(angles_B3.numpy(), numpy_parameters(lattice)[1], rtol=1e-12)
    again = parameters_to_lattice(lengths_B3, angles_B3)
    np.testing.assert_allclose(
        again.numpy() @ again.numpy().transpose(0, 2, 1), lattice @ lattice.transpose(0, 2, 1), atol=1e-8
    )


def test_parameters_are_differentiable():
    lengths = torch.tensor([[4.0, 5.0, 6.0]], dtype=torch.float64, requires_grad=True)
    angles = torch.tensor([[80.0, 95.0, 100.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(parameters_to_lattice, (lengths, angles))
    assert torch.autograd.gradcheck(lambda a, b: lattice_to_parameters(parameters_to_lattice(a, b)), (lengths, angles))


def test_same_crystal_for_the_matcher(rock_salt):
    assert StructureMatcher().fit(make()(rock_salt, RNG).structure, rock_salt.structure)
