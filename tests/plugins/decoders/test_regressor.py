"""The regressor: units, missing targets, statistics, errors."""

import numpy as np
import pytest
import torch

from crystalfw.core.batch import CrystalBatch, Memory, TrainBatch
from crystalfw.core.errors import DataError, PluginError
from crystalfw.core.interfaces import Ports
from crystalfw.plugins.decoders.regressor import Regressor

NAN = float("nan")


def make(**options):
    torch.manual_seed(0)
    return Regressor(Regressor.Config(**({"columns": ("gap", "density")} | options)), encoder_dim=8)


def batch_of(properties):
    size = len(next(iter(properties.values())))
    ones = torch.ones(size, dtype=torch.int64)
    crystals = CrystalBatch(
        torch.eye(3).repeat(size, 1, 1), torch.zeros(size, 3), ones, torch.arange(size), ones,
        properties={name: torch.tensor(values) for name, values in properties.items()},
    )  # fmt: skip
    return TrainBatch(crystals, None, torch.arange(size))


def memory_of(size):
    pooled = torch.randn(size, 8, generator=torch.Generator().manual_seed(1))
    return Memory(pooled[:, None], torch.ones(size, 1, dtype=torch.bool), pooled)


def test_errors_are_in_the_columns_unit_and_missing_targets_have_no_weight():
    model = make()
    model.fit_statistics({"gap": np.array([1.0, 3.0, NAN]), "density": np.array([100.0, 300.0, 500.0])})
    memory = memory_of(3)
    gap, density = [0.5, NAN, 2.0], [200.0, 250.0, NAN]
    loss = model.loss(batch_of({"gap": gap, "density": density}), memory, Ports(None, None))
    predicted = model.predict(memory)
    assert set(predicted) == {"gap", "density"}
    for name, targets in {"gap": gap, "density": density}.items():
        errors = [abs(p - t) for p, t in zip(predicted[name].tolist(), targets, strict=True) if t == t]
        total, weight = loss.parts[f"mae.{name}"]
        assert total.item() == pytest.approx(sum(errors), rel=1e-4)
        assert weight == 2
    assert loss.weight == 4
    loss.total.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_statistics_are_kept_in_the_checkpoint():
    model = make()
    model.fit_statistics({"gap": np.array([1.0, 3.0]), "density": np.array([5.0, 5.0])})
    other = make()
    other.load_state_dict(model.state_dict())
    assert other.mean_Y.tolist() == [2.0, 5.0]
    assert other.std_Y.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_it_learns_a_linear_law(loss):
    model, memory = make(loss=loss, columns=("gap",)), memory_of(64)
    target = 40.0 + 7.0 * memory.pooled[:, 0]
    model.fit_statistics({"gap": target.numpy()})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = batch_of({"gap": target.tolist()})
    for _ in range(150):
        optimizer.zero_grad()
        result = model.loss(batch, memory, Ports(None, None))
        (result.total / result.weight).backward()
        optimizer.step()
    assert (model.predict(memory)["gap"] - target).abs().mean() < 1.0


def test_mistakes_are_named():
    with pytest.raises(PluginError, match="at least one property column"):
        make(columns=())
    with pytest.raises(PluginError, match="l1, huber"):
        make(loss="l3")
    with pytest.raises(DataError, match="'density' has no value"):
        make().fit_statistics({"gap": np.ones(3), "density": np.full(3, NAN)})
    with pytest.raises(DataError, match="no column density"):
        make().loss(batch_of({"gap": [1.0]}), memory_of(1), Ports(None, None))


def test_the_spread_learns_who_is_hard_and_leaves_the_values_alone():
    """Of two kinds of crystals one has ten times the noise; values and their gradients are those of a model without it."""
    rng = torch.Generator().manual_seed(0)
    kind_B = torch.arange(256) % 2
    pooled_BC = torch.randn(256, 4, generator=rng)
    pooled_BC[:, 0] = 4.0 * kind_B
    target_B = torch.randn(256, generator=rng) * torch.where(kind_B > 0, 1.0, 0.1)
    batch = batch_of({"y": target_B.tolist()})
    memory = Memory(pooled_BC[:, None], torch.ones(256, 1, dtype=torch.bool), pooled_BC)
    made = {}
    for spread in (False, True):
        torch.manual_seed(1)
        decoder = Regressor(Regressor.Config(columns=("y",), hidden=16, spread=spread), encoder_dim=4)
        optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
        for _ in range(150):
            loss = decoder.loss(batch, memory, Ports(None, None))
            optimizer.zero_grad()
            (loss.total / loss.weight).backward()
            optimizer.step()
        made[spread] = decoder.eval()
    torch.testing.assert_close(made[True].predict(memory)["y"], made[False].predict(memory)["y"])
    assert made[False].spread(memory) == {}
    scale_B = made[True].spread(memory)["y"]
    assert (scale_B > 0).all()
    assert scale_B[kind_B > 0].mean() > 3 * scale_B[kind_B == 0].mean()
