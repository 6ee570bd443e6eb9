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
