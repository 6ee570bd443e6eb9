"""fit.compile changes the time of a step and nothing else, with the equivariant encoder and both decoders."""

import shutil
from functools import partial

import pytest
import torch

from crystalfw.core.commands.cli import main
from crystalfw.core.model.logbook import read_metrics

MODELS = {
    "cross-attention": ["model.decoder.name=cross_attention_gpt", "model.conditioning=cross_attention"],
    "additive": ["model.decoder.name=gpt", "model.conditioning=additive"],
}
NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="inductor compiles C++: g++ is not installed")


# dynamo itself looks at .grad of what the encoder, which it leaves alone, hands on
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is:DeprecationWarning")  # torch's own, as inductor is imported
@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("cross-attention", "aot_eager"),
        ("additive", "aot_eager"),
        # inductor compiles for a minute and more: once
        pytest.param("cross-attention", "inductor", marks=[pytest.mark.slow, NEEDS_COMPILER]),
    ],
)
def test_losses_are_those_of_the_plain_model(command, tmp_path, monkeypatch, model, backend):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    options = [*MODELS[model], "fit.steps=6", "fit.log_every=1", "sample.n=1", "evaluate.metrics=[]"]
    for name, compiled in (("plain", "false"), ("compiled", "true")):
        assert main(command(f"name={name}", f"fit.compile={compiled}", *options)) == 0
    plain, compiled = (read_metrics(tmp_path / "runs" / name / "metrics.csv") for name in ("plain", "compiled"))
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    assert compiled["val_loss"][-1] == pytest.approx(plain["val_loss"][-1], rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
