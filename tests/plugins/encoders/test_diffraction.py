"""The diffraction encoder is a function of a set of lines."""

from dataclasses import replace

import numpy as np
import torch

from crystalfw.core.batch import CrystalBatch
from crystalfw.core.recipe.options import create
from crystalfw.core.testing.crystals import small_crystals


def encoded(encoder, *tables):
    crystals = [_with(crystal, table) for crystal, table in zip(small_crystals(), tables, strict=False)]
    return encoder(CrystalBatch.from_crystals(crystals, torch.float64))


def _with(crystal, table):
    return replace(crystal, arrays={"powder": np.asarray(table, dtype=np.float32)})


def lines(count=10, total=20, seed=0):
    rng = np.random.default_rng(seed)
    table = np.full((total, 3), np.nan)
    table[:count] = np.stack([rng.uniform(1, 6, count), rng.random(count), np.full(count, 0.1)], 1)
    return table


def make():
    torch.manual_seed(0)
    return create("encoder", "diffraction", {"dim": 32}).double().eval()


def test_order_and_padding_do_not_matter():
    encoder, table = make(), lines()
    first, second = encoded(encoder, table), encoded(encoder, np.random.default_rng(1).permutation(table))
    torch.testing.assert_close(first.pooled, second.pooled)
    longer = encoded(encoder, np.concatenate([table, np.full((7, 3), np.nan)]))
    torch.testing.assert_close(first.pooled, longer.pooled)


def test_a_pattern_without_lines_has_one_token():
    memory = encoded(make(), np.full((20, 3), np.nan), lines())
    assert memory.mask.sum(1).tolist() == [1, 10]
    assert memory.pooled.isfinite().all()


def test_one_moved_line_is_noticed():
    encoder, table = make(), lines()
    moved = table.copy()
    moved[3, 0] *= 1.01
    assert (encoded(encoder, table).pooled - encoded(encoder, moved).pooled).abs().max() > 1e-4
