"""The decoders and the sampling engine, measured beside transformers' GPT-2 of the same size and weights.

  python benchmarks/decoder.py fit --data DATA --model FILE      # a tiny model on mp_20 strings, for the commands below
  python benchmarks/decoder.py train --data DATA                 # strings trained per second, tokens computed per token
  python benchmarks/decoder.py sample --model FILE               # strings sampled per second, real stops
  python benchmarks/decoder.py steps --model FILE                # the same per step, every step run
  python benchmarks/decoder.py mask --model FILE                 # the mask's share of a step
  python benchmarks/decoder.py batches --model FILE              # the same samples for any batch size and split
  python benchmarks/decoder.py valid --count 100000              # untrained models: how many strings are valid
  python benchmarks/decoder.py scaling                           # memory and time of a training step against size

DATA is a folder like mp_20 (train.csv.gz with a column `cif`). One thread, CPU seconds (time.process_time), repeats
interleaved and the fastest taken: a shared machine only ever adds. benchmarks/decoder.md holds results.
transformers is needed for the comparison only: pip install transformers.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from crystalfw.core.batch import CrystalBatch, Memory, TokenBatch, TrainBatch
from crystalfw.core.crystal import Crystal
from crystalfw.core.interfaces import Ports
from crystalfw.core.sampling import sample_strings
from crystalfw.core.schema import SampleSection
from crystalfw.plugins.decoders.gpt import GPT
from crystalfw.plugins.representations.slices.slices import Slices, read_net

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


def fit(arguments: argparse.Namespace) -> None:
    """Train the tiny model that the sampling benchmarks use."""
    rows = strings_of(arguments.data, arguments.crystals)
    model = decoder().train()
    step = training_step(model, our_loss(model))
    done, epoch = 0, 0
    while done < arguments.steps:
        for batch in pools(rows, 32, 32, seed=epoch):
            loss = step(*padded(batch))
            done += 1
            if done % 100 == 0:
                print(f"step {done}: {loss:.3f} nats/token", flush=True)
                torch.save(model.state_dict(), arguments.model)
            if done == arguments.steps:
                break
        epoch += 1
    torch.save(model.state_dict(), arguments.model)


def fitted(arguments: argparse.Namespace) -> GPT:
    model = decoder()
    model.load_state_dict(torch.load(arguments.model, weights_only=True))
    return model.eval()


def train(arguments: argparse.Namespace) -> None:
    """Strings trained per second over the same strings, each way of batching with its padding."""
    rows = strings_of(arguments.data, arguments.crystals)
    ours, batch = decoder().train(), 32
    ways: dict[str, tuple[Callable[[Tensor, Tensor], float], int]] = {
        "transformers, sdpa, random batches": (None, 1),  # type: ignore[dict-item]
        "transformers, eager, random batches": (None, 1),  # type: ignore[dict-item]
        "transformers, eager, pools of 32 batches": (None, 32),  # type: ignore[dict-item]
    }
    for name in ways:
        model = hugging_face(ours, "sdpa" if "sdpa" in name else "eager").train()
        ways[name] = training_step(model, their_loss(model)), ways[name][1]
    step = training_step(ours.train(), our_loss(ours))
    ways |= {"crystalfw, random batches": (step, 1), "crystalfw, pools of 32 batches": (step, 32)}
    samples = {pool: [padded(rows) for rows in _spread(pools(rows, batch, pool), arguments.batches)] for pool in (1, 32)}
    seconds = fastest(
        {name: lambda step=step, pool=pool: [step(*item) for item in samples[pool]] for name, (step, pool) in ways.items()},
        arguments.repeats,
    )
    print("| way | strings/s | tokens/s | tokens computed per token | ratio |\n|---|---|---|---|---|")
    reference = arguments.batches * batch / seconds["transformers, sdpa, random batches"]
    for name, (_, pool) in ways.items():
        whole = pools(rows, batch, pool)
        computed = sum(max(map(len, item)) * len(item) for item in whole) / sum(len(row) for item in whole for row in item)
        tokens = sum(int(lengths.sum()) for _, lengths in samples[pool])
        rate = arguments.batches * batch / seconds[name]
        print(f"| {name} | {rate:.0f} | {tokens / seconds[name]:.0f} | {computed:.3f} | {rate / reference:.2f} |", flush=True)


def _spread(batches: list[Any], count: int) -> list[Any]:
    """Batches from all over the list: short and long ones in proportion."""
    return [batches[place] for place in np.linspace(0, len(batches) - 1, count).round().astype(int)]


def settings(n: int, **options: Any) -> SampleSection:
    return SampleSection(n=n, **({"max_length": 400} | options))


def write(model: GPT, n: int, constraints: Any = None, **options: Any) -> list[Any]:
    constraints_for = None if constraints is None else lambda indices: [constraints] * len(indices)
    chosen = settings(n, **options)
    return list(
        sample_strings(model, None, REPRESENTATION, indices=range(n), settings=chosen, seed=0, constraints_for=constraints_for)
    )


def sample(arguments: argparse.Namespace) -> None:
    """Strings per second until all are finished, batches of 64."""
    ours = fitted(arguments)
    theirs = hugging_face(ours)
    begin = torch.full((64, 1), VOCABULARY.begin)
    lengths: dict[str, list[int]] = {}

    def generate() -> None:
        torch.manual_seed(0)
        lengths["transformers"] = []
        for _ in range(arguments.count // 64):
            ids = theirs.generate(begin, attention_mask=torch.ones_like(begin), do_sample=True, max_length=400, top_k=0)
            lengths["transformers"] += (ids != VOCABULARY.pad).sum(1).tolist()

    def engine() -> None:
        lengths["crystalfw"] = [len(item.ids) + 2 for item in write(ours, arguments.count, batch_size=64)]

    seconds = fastest({"transformers, KV cache": generate, "crystalfw, full mask": engine}, arguments.repeats)
    for name, found in lengths.items():
        print(f"{name}: {arguments.count} strings, mean {np.mean(found):.0f} tokens, longest {max(found)}")
    _table(seconds, arguments.count, "strings/s")


def _table(seconds: dict[str, float], count: int, unit: str) -> None:
    print(f"| way | {unit} | ratio |\n|---|---|---|")
    reference = next(iter(seconds.values()))
    for name, spent in seconds.items():
        print(f"| {name} | {count / spent:.1f} | {reference / spent:.2f} |", flush=True)


def steps(arguments: argparse.Namespace) -> None:
    """Time of a decoding step when every one of 256 steps is run."""
    ours = fitted(arguments)
    theirs = hugging_face(ours)
    for rows in arguments.rows:
        begin = torch.full((rows, 1), VOCABULARY.begin)

        def generate(begin: Tensor = begin) -> None:
            options = {"do_sample": True, "min_new_tokens": 256, "max_new_tokens": 256, "top_k": 0}
            theirs.generate(begin, attention_mask=torch.ones_like(begin), **options)

        def engine(rows: int = rows) -> None:
            _run_steps(ours, rows, 256)

        print(f"batch {rows}")
        names = {"transformers, KV cache": generate, "crystalfw, full mask": engine}
        _table(fastest(names, arguments.repeats), 256, "steps/s")


@torch.inference_mode()
def _run_steps(model: GPT, rows: int, count: int, parts: dict[str, float] | None = None) -> None:
    """The engine's step without stops: decoder, mask, draw, advance."""
    from crystalfw.core.choice import Choice

    parts = {} if parts is None else parts
    width = max(rows, 8)
    ports = Ports(None, None)
    # Enough atoms that no graph is full before the last step; the end is not taken.
    cache, grammar = (
        model.new_cache(width, count + 4, ports),
        REPRESENTATION.grammar(width, 5000, [{"n_atoms": [6, 20]}] * width),
    )
    ids, index = np.full(width, VOCABULARY.begin), np.arange(width)
    for step in range(count):
        marks = [time.process_time()]
        logits = model(torch.from_numpy(ids[:, None]), ports, cache)[:, -1].float().numpy()
        marks.append(time.process_time())
        allowed = grammar.mask()
        allowed[:, VOCABULARY.end] = False
        marks.append(time.process_time())
        ids = Choice().draw(logits, allowed, 0, index, np.full(width, step))
        marks.append(time.process_time())
        grammar.advance(ids)
        marks.append(time.process_time())
        for name, spent in zip(("decoder", "mask", "draw", "advance"), np.diff(marks), strict=True):
            parts[name] = parts.get(name, 0.0) + spent


def mask(arguments: argparse.Namespace) -> None:
    """The shares of a step at batch 64, over strings as the fitted model writes them."""
    model = fitted(arguments)
    print("| batch | decoder, us | draw, us | mask, us | mask / step |\n|---|---|---|---|---|")
    for rows in arguments.rows:
        best: dict[str, float] = {}
        for repeat in range(arguments.repeats + 1):
            parts: dict[str, float] = {}
            _run_steps(model, rows, 150, parts)
            if repeat:
                best = {name: min(spent, best.get(name, spent)) for name, spent in parts.items()}
        masked = best["mask"] + best["advance"]
        total = masked + best["decoder"] + best["draw"]
        micro = [1e6 * spent / 150 for spent in (best["decoder"], best["draw"], masked)]
        print(f"| {rows} | {micro[0]:.0f} | {micro[1]:.0f} | {micro[2]:.0f} | {masked / total:.1%} |", flush=True)


def batches(arguments: argparse.Namespace) -> None:
    """Identical samples for batch sizes 1, 16, 128, and for two interleaved halves as two processes would write them."""
    model, n = fitted(arguments), arguments.count
    reference = {item.index: item for item in write(model, n, batch_size=16)}
    for batch_size in (1, 128):
        again = {item.index: item for item in write(model, n, batch_size=batch_size)}
        _compare(f"batch {batch_size} against 16", again, reference)
    halves = {}
    for first in (0, 1):
        found = sample_strings(model, None, REPRESENTATION, indices=range(first, n, 2), settings=settings(n), seed=0)
        halves |= {item.index: item for item in found}
    _compare("two halves against one run", halves, reference)


def _compare(what: str, found: dict[int, Any], reference: dict[int, Any]) -> None:
    same = sum(found[index].ids == reference[index].ids for index in reference)
    difference = max(abs(found[index].log_prob - reference[index].log_prob) for index in reference)
    print(f"{what}: {same} of {len(reference)} identical, log-probabilities differ by at most {difference:.1e}", flush=True)


def valid(arguments: argparse.Namespace) -> None:
    """Strings of untrained models that parse, are one three-dimensional net, and obey their composition."""
    print("| model | limit | condition | strings | valid | condition obeyed |\n|---|---|---|---|---|---|")
    plans: list[tuple[str, float, int, Any]] = [
        ("uniform", 0.0, 60, None),
        ("random weights, temperature 1", 1.0, 100, None),
        ("random weights, temperature 0.1", 0.1, 100, None),
        ("random weights, temperature 5", 5.0, 40, None),
        ("random weights, temperature 1", 1.0, 80, {"composition": {"Sr": 1, "Ti": 1, "O": 3}}),
    ]
    count = arguments.count // len(plans)
    for name, temperature, limit, condition in plans:
        model = decoder("tiny", dim=32, n_layers=1).eval()
        for weight in model.parameters():
            weight.data *= 0.0 if name == "uniform" else 8.0
        options = {"temperature": temperature or 1.0, "max_length": limit, "batch_size": 256}
        good = obeyed = 0
        for item in write(model, count, condition, **options):
            graph = read_net(item.string)  # raises where the string does not parse or is no three-dimensional net
            good += item.finished
            obeyed += condition is None or sorted(graph.numbers.tolist()) == [8, 8, 8, 22, 38]
        print(f"| {name} | {limit} | {condition or ''} | {count} | {good / count:.2%} | {obeyed / count:.2%} |", flush=True)


def scaling(arguments: argparse.Namespace) -> None:
    """Peak memory and CPU time of a training step, each size in a process of its own."""
    print("| width | layers | length | checkpointed | parameters | s/step | tokens/s | peak memory, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for width, layers, length, checkpointed in [
        (128, 4, 128, 0), (128, 4, 256, 0), (128, 4, 512, 0), (256, 4, 256, 0), (512, 8, 256, 0), (512, 8, 256, 1),
        (768, 12, 256, 0), (768, 12, 256, 1),
    ]:  # fmt: skip
        command = [sys.executable, __file__, "one", "--size", *map(str, (width, layers, length, checkpointed))]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


def one(arguments: argparse.Namespace) -> None:
    """One line of `scaling`."""
    width, layers, length, checkpointed = arguments.size
    sizes = {"dim": width, "n_layers": layers, "n_heads": width // 64, "checkpoint_activations": bool(checkpointed)}
    model = decoder("tiny", **sizes).train()
    step = training_step(model, our_loss(model))
    ids = torch.randint(3, len(VOCABULARY), (8, length))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = fastest({"step": lambda: step(ids, torch.full((8,), length))}, 3)["step"]
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    count = sum(weight.numel() for weight in model.parameters()) / 1e6
    cells = [width, layers, length, "yes" if checkpointed else "", f"{count:.1f} M", f"{seconds:.2f}"]
    print("| " + " | ".join(map(str, [*cells, f"{8 * length / seconds:.0f}", f"{peak:.0f}"])) + " |")


COMMANDS = {f.__name__: f for f in (fit, train, sample, steps, mask, batches, valid, scaling, one)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--crystals", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 64, 128])
    parser.add_argument("--size", type=int, nargs=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    COMMANDS[arguments.command](arguments)


if __name__ == "__main__":
    main()
