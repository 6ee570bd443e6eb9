"""What the decoder benchmarks share: strings, models of equal weights, batches, and CPU time of interleaved repeats."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from crystalfw.core.batch import CrystalBatch, Memory, TokenBatch, TrainBatch
from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Ports
from crystalfw.plugins.decoders.gpt import GPT
from crystalfw.plugins.representations.slices.slices import Slices

REPRESENTATION = Slices(Slices.Config())
VOCABULARY = REPRESENTATION.vocabulary
SIZES = {
    "tiny": {"n_layers": 4, "n_heads": 4, "dim": 128},
    "small": {"n_layers": 8, "n_heads": 8, "dim": 512},
    "base": {"n_layers": 12, "n_heads": 12, "dim": 768},
}
Step = Callable[[], Any]


def strings_of(data: Path, count: int) -> list[list[int]]:
    """Token ids, begin and end included, of the first crystals of a table."""
    rows = pd.read_csv(data / "train.csv.gz", nrows=count)["cif"]
    encoded = REPRESENTATION.encode([Crystal.from_cif(cif) for cif in rows])
    found = [REPRESENTATION.tokenize(item.string) for item in encoded if item.ok]
    lengths = np.array([len(ids) + 2 for ids in found])
    print(f"{len(found)} strings of {count} crystals, tokens: mean {lengths.mean():.0f}, longest {lengths.max()}")
    return [[VOCABULARY.begin, *ids, VOCABULARY.end] for ids in found]


def decoder(size: str = "tiny", **options: Any) -> GPT:
    torch.manual_seed(0)
    config = GPT.Config(**(SIZES[size] | {"max_length": 512} | options))
    return GPT(config, encoder_dim=8, vocabulary=VOCABULARY)


def hugging_face(ours: GPT, attention: str = "sdpa") -> nn.Module:
    """transformers' GPT-2 with the weights of our decoder: the same function."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.GPT2Config(
        vocab_size=len(VOCABULARY), n_positions=ours.max_length, n_embd=ours.dim, n_layer=ours.n_layers,
        n_head=ours.config.n_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, activation_function="gelu",
        bos_token_id=VOCABULARY.begin, eos_token_id=VOCABULARY.end, pad_token_id=VOCABULARY.pad,
        attn_implementation=attention, loss_type="ForCausalLM",
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config)
    body = theirs.transformer
    assert ours.position is not None
    with torch.no_grad():
        body.wte.weight.copy_(ours.token.weight)
        body.wpe.weight.copy_(ours.position.weight)
        _copy(body.ln_f, ours.norm)
        for block, mine in zip(body.h, ours.blocks, strict=True):
            _copy(block.ln_1, mine.norm_attention)
            _copy(block.ln_2, mine.norm_mlp)
            pairs = [(block.attn.c_attn, mine.qkv), (block.attn.c_proj, mine.out)]
            for conv, linear in [*pairs, (block.mlp.c_fc, mine.grow), (block.mlp.c_proj, mine.shrink)]:
                conv.weight.copy_(linear.weight.T)
                conv.bias.copy_(linear.bias)
    ids = torch.randint(3, len(VOCABULARY), (2, 20))
    with torch.no_grad():
        difference = (theirs.eval()(ids).logits - ours.eval()(ids, Ports(None, None))).abs().max()
    assert difference < 1e-4, f"the two models differ by {difference}"
    return theirs


def _copy(target: nn.Module, source: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def fastest(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    """CPU seconds of each, interleaved, the fastest of several."""
    best = dict.fromkeys(steps, float("inf"))
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if repeat:  # the first warms up
                best[name] = min(best[name], time.process_time() - start)
    return best


def padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), VOCABULARY.pad)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids, lengths


def pools(rows: list[list[int]], batch: int, pool: int, seed: int = 0) -> list[list[list[int]]]:
    """Batches of similar length: pools of `pool` batches, sorted; pool 1 leaves the random order."""
    order = np.random.default_rng(seed).permutation(len(rows))[: len(rows) // (batch * pool) * batch * pool]
    batches = []
    for chunk in np.split(order, len(order) // (batch * pool)):
        by_length = sorted(chunk.tolist(), key=lambda place: len(rows[place]))
        batches += [[rows[p] for p in by_length[k : k + batch]] for k in range(0, len(by_length), batch)]
    return batches


def training_step(model: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step(ids: Tensor, lengths: Tensor) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(ids, lengths)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def our_loss(model: GPT) -> Callable[[Tensor, Tensor], Tensor]:
    def loss_of(ids: Tensor, lengths: Tensor) -> Tensor:
        size = len(ids)
        none = torch.zeros(size, dtype=torch.int64)
        crystals = CrystalBatch(torch.zeros(size, 3, 3), torch.zeros(0, 3), none[:0], none[:0], none)
        memory = Memory(torch.zeros(size, 1, 8), torch.ones(size, 1, dtype=torch.bool), torch.zeros(size, 8))
        loss = model.loss(TrainBatch(crystals, TokenBatch(ids, lengths), none), memory, Ports(None, None))
        return loss.total / loss.weight

    return loss_of


def their_loss(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def loss_of(ids: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        loss: Tensor = model(input_ids=ids, attention_mask=real.long(), labels=ids.masked_fill(~real, -100)).loss
        return loss

    return loss_of


def run_command(parser: argparse.ArgumentParser, commands: Mapping[str, Callable[[argparse.Namespace], None]]) -> None:
    """Run the command that the command line names, on one thread and without the network."""
    parser.add_argument("command", choices=commands)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    commands[arguments.command](arguments)
