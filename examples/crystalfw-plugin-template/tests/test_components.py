"""The laws of each kind, from crystalfw, and what only these components promise."""

import numpy as np
import torch

from crystalfw.core.testing import ConditioningTests, DecoderTests, EncoderTests, TransformTests


class TestSchNet(EncoderTests):
    name = "schnet"
    options = {"dim": 16, "layers": 2}


class TestFiLM(ConditioningTests):
    name = "film"

    def test_scales_and_shifts(self, h_BTD, memory):
        film = self.make(hidden=8)
        torch.nn.init.normal_(film.write.weight)
        scale_shift = film.prepare(memory)[:, 1]
        expected = scale_shift[:, 0, None] * film.norm(h_BTD) + scale_shift[:, 1, None]
        torch.testing.assert_close(film(h_BTD, film.prepare(memory), 1), expected)


class TestLSTM(DecoderTests):
    name = "lstm"
    options = {"dim": 16}


class TestStrain(TransformTests):
    name = "strain"

    def test_keeps_the_volume(self):
        from crystalfw.core import Crystal

        cube = Crystal(lattice=4 * np.eye(3), frac_coords=np.zeros((1, 3)), numbers=np.array([29]))
        strained = self.make(size=0.2)(cube, np.random.default_rng(0))
        assert abs(strained.volume - cube.volume) < 1e-9
        assert not np.allclose(strained.lattice, cube.lattice)
