"""The compiled CrystalNN fingerprint against pymatgen's classes, and what it must not depend on."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.local_env import CN_OPT_PARAMS, CrystalNN, LocalStructOrderParams

from crystalfw.plugins.metrics.shared.crystal_nn import SIZE, site_fingerprints
from crystalfw.plugins.metrics.shared.fingerprints import structure_fingerprint
from crystalfw.plugins.metrics.shared.order_parameters import MAX_COORDINATION, MOTIFS, motif_tables, order_parameters
from crystalfw.plugins.metrics.shared.voronoi import voronoi_faces
from tests.plugins.metrics.crystals import caesium_chloride, moved, perovskite, rock_salt


def pymatgen_parameters(coordination, coords):
    """Order parameters of a centre at the origin by pymatgen, one for each motif."""
    from pymatgen.core import Lattice, PeriodicSite

    box = Lattice.cubic(50)
    sites = [PeriodicSite("Na", point, box, coords_are_cartesian=True) for point in [[0, 0, 0], *coords]]
    found = []
    for motif in MOTIFS[coordination]:
        name, *settings = CN_OPT_PARAMS.get(coordination, {}).get(motif, [motif])
        parameter = LocalStructOrderParams([name], parameters=[settings[0] if settings else None])
        found.append(parameter.get_order_parameters(sites, 0, indices_neighs=list(range(1, len(sites))))[0] or 0.0)
    return found


def pymatgen_fingerprint(crystal):
    """(N, 61) by CrystalNN and LocalStructOrderParams, what matminer's preset `ops` does."""
    structure, rows = crystal.structure, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for site in range(len(structure)):
            data, row = CrystalNN().get_nn_data(structure, site), []
            for coordination in range(1, MAX_COORDINATION + 1):
                weight = data.cn_weights.get(coordination, 0.0)
                row.append(weight)
                if coordination not in MOTIFS:
                    continue
                centre = structure[site].coords
                coords = [near["site"].coords - centre for near in data.cn_nninfo.get(coordination, [])]
                values = pymatgen_parameters(coordination, coords) if weight else [0.0] * len(MOTIFS[coordination])
                row += [weight * value for value in values]
            rows.append(row)
    return np.array(rows)


def shaken(crystal, seed):
    """Atoms moved by 0.1 angstrom, so that nothing is symmetric."""
    step = np.random.default_rng(seed).normal(scale=0.1, size=crystal.frac_coords.shape)
    return replace(crystal, frac_coords=crystal.frac_coords + step @ np.linalg.inv(crystal.lattice))


@pytest.mark.parametrize("coordination", sorted(MOTIFS))
def test_order_parameters_are_pymatgens(coordination):
    starts, kinds, rows = motif_tables()
    first, last = starts[coordination], starts[coordination + 1]
    for seed in range(5):
        units = np.random.default_rng(seed).normal(size=(coordination, 3))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        found = np.empty(last - first)
        order_parameters(units, kinds[first:last], rows[first:last], found)
        np.testing.assert_allclose(found, pymatgen_parameters(coordination, units), atol=1e-9)


@pytest.mark.parametrize("crystal", [rock_salt(), caesium_chloride(), perovskite(shift=0.2), shaken(perovskite(), 1),
                                     shaken(rock_salt(numbers=(12, 8)), 2)])  # fmt: skip
def test_the_fingerprint_is_pymatgens(crystal):
    ours = site_fingerprints(crystal.lattice, crystal.frac_coords, crystal.numbers)
    assert ours.shape == (crystal.n_atoms, SIZE)
    np.testing.assert_allclose(ours, pymatgen_fingerprint(crystal), atol=1e-6)


def test_it_depends_neither_on_the_cell_nor_on_the_orientation():
    # small displacements, so that no weights are equal: the motif bcc depends on the order of equal neighbours
    crystal = shaken(perovskite(), 3)
    np.testing.assert_allclose(structure_fingerprint(moved(crystal)), structure_fingerprint(crystal), atol=1e-6)


def test_the_cell_of_a_simple_cubic_lattice_is_a_cube():
    steps = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)], dtype=float)
    near = steps[np.argsort(np.linalg.norm(steps, axis=1))][1:]
    angles, areas, closed = voronoi_faces(near)
    assert closed
    assert (areas > 0).sum() == 6  # planes that only touch an edge or a corner make no face
    np.testing.assert_allclose(areas[:6], 1.0)
    np.testing.assert_allclose(angles[:6], 4 * np.pi / 6)


def test_neighbours_on_one_side_leave_the_cell_open():
    near = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 1], [1, -1, -1]])
    assert not voronoi_faces(near)[2]


def test_a_sparse_crystal_is_searched_farther_out():
    """Nearest neighbours beyond the first cut-off."""
    sparse = caesium_chloride(a=8.5)
    np.testing.assert_allclose(
        site_fingerprints(sparse.lattice, sparse.frac_coords, sparse.numbers), pymatgen_fingerprint(sparse), atol=1e-6
    )


def test_coincident_atoms_are_refused():
    crystal = rock_salt()
    with pytest.raises(ValueError, match="two atoms at one place"):
        structure_fingerprint(replace(crystal, frac_coords=np.zeros((2, 3))))
