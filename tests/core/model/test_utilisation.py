"""Model FLOP utilisation: operations as torch counts them, a peak that a product reaches, a share in the log."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from crystalfw.core.batch import CrystalBatch, Memory, TokenBatch, TrainBatch
from crystalfw.core.commands.cli import main
from crystalfw.core.interfaces import Ports
from crystalfw.core.model.logbook import read_metrics
from crystalfw.core.model.utilisation import matrix_type, measured_peak
from crystalfw.core.records import Vocabulary
from crystalfw.plugins.decoders.gpt import GPT


@pytest.mark.parametrize("tied", [True, False])
def test_operations_are_those_that_torch_counts(tied):
    config = GPT.Config(dim=32, n_layers=3, n_heads=2, max_length=40, tied=tied)
    model = GPT(config, encoder_dim=8, vocabulary=Vocabulary(tuple(f"t{i}" for i in range(50))))
    lengths, nothing = torch.full((4,), 21), torch.zeros(4, dtype=torch.int64)
    crystals = CrystalBatch(torch.zeros(4, 3, 3), torch.zeros(0, 3), nothing[:0], nothing[:0], nothing)
    memory = Memory(torch.zeros(4, 1, 8), torch.ones(4, 1, dtype=torch.bool), torch.zeros(4, 8))
    batch = TrainBatch(crystals, TokenBatch(torch.randint(3, 50, (4, 21)), lengths), nothing)
    with FlopCounterMode(display=False) as counter:
        model.loss(batch, memory, Ports(None, None)).total.backward()
    assert model.training_flops(lengths) == counter.get_total_flops()
    # padding is not the model's work
    assert model.training_flops(torch.tensor([21, 2])) < model.training_flops(torch.tensor([21, 21]))


def test_a_product_reaches_the_peak_and_the_type_follows_the_precision():
    peak = measured_peak(torch.device("cpu"), "32-true")
    assert 1e8 < peak.flops < 1e14
    assert "float32 product of 1024 x 1024 on cpu" in str(peak)
    kinds = [matrix_type(precision) for precision in ("bf16-mixed", "bf16-true", "16-mixed", "64-true", "transformer-engine")]
    assert kinds == [torch.bfloat16, torch.bfloat16, torch.float16, torch.float64, torch.float32]


def test_the_log_of_a_run_has_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["data.max_crystals=40", "fit.steps=4", "fit.log_every=2", "fit.warmup=100", "sample.n=1", "evaluate.metrics=[]"]
    assert main(["run", "smoke", *options, f"run_dir={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "mfu" not in shown
    assert "warm-up of 100 steps" in shown
    noted = json.loads((tmp_path / "smoke" / "provenance.json").read_text())
    assert "decoder's share of" in noted["mfu"]
    assert noted["ranges"]["atoms"][0] >= 1
    shares = read_metrics(tmp_path / "smoke" / "metrics.csv")["mfu"]
    assert len(shares) == 2
    assert all(0 < share < 1 for share in shares)
