"""Training of the decoders, measured beside transformers' GPT-2 and a tuned nanoGPT of the same weights.

  python benchmarks/decoder_train.py fit --data DATA --model FILE   # a tiny model on mp_20 strings, for benchmarks/decoder.py
  python benchmarks/decoder_train.py train --data DATA              # strings trained per second, tokens computed per token
  python benchmarks/decoder_train.py yardstick --data DATA          # the same beside nanoGPT, eager and compiled
  python benchmarks/decoder_train.py scaling                        # memory and time of a training step against size

DATA is a folder like mp_20. One thread, CPU seconds (time.process_time, all threads), repeats interleaved, the fastest taken.
transformers is needed for `train` and `yardstick`; a C++ compiler for the compiled nanoGPT (--no-compile goes without).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decoder_common import (
    VOCABULARY,
    decoder,
    fastest,
    hugging_face,
    our_loss,
    padded,
    pools,
    run_command,
    strings_of,
    their_loss,
    training_step,
)
from decoder_nanogpt import weights_from
from torch import Tensor


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


def yardstick(arguments: argparse.Namespace) -> None:
    """A training step of ours beside nanoGPT's, on the same sorted batches, and beside transformers on random ones."""
    rows, batch = strings_of(arguments.data, arguments.crystals), 32
    # pools of the training set in proportion: short, middling and long batches
    by_pool = {pool: [padded(item) for item in _spread(pools(rows, batch, pool), arguments.batches)] for pool in (1, 32)}
    ours = decoder().train()
    nano, compiled = weights_from(ours), weights_from(ours)
    theirs = hugging_face(ours).train()
    ways = {
        "transformers, sdpa, random batches": (training_step(theirs, their_loss(theirs)), 1),
        "nanoGPT, eager, sorted": (training_step(nano, nano), 32),
        "crystalfw, sorted": (training_step(ours.train(), our_loss(ours)), 32),
    }
    if arguments.compile:
        ways["nanoGPT, compiled, sorted"] = (training_step(compiled, torch.compile(compiled, dynamic=True)), 32)
    steps = {
        f"{name} / {place}": lambda step=step, item=item: step(*item)
        for place in range(arguments.batches)
        for name, (step, pool) in ways.items()
        for item in [by_pool[pool][place]]
    }
    found = fastest(steps, arguments.repeats)
    seconds = {name: sum(spent for key, spent in found.items() if key.startswith(f"{name} / ")) for name in ways}
    strings = arguments.batches * batch
    base, best = seconds["transformers, sdpa, random batches"], min(s for n, s in seconds.items() if n.startswith("nanoGPT"))
    print("| way | strings/s | against transformers | against the faster nanoGPT |\n|---|---|---|---|")
    for name, spent in seconds.items():
        print(f"| {name} | {strings / spent:.0f} | {base / spent:.2f} | {best / spent:.2f} |", flush=True)


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


COMMANDS = {f.__name__: f for f in (fit, train, yardstick, scaling, one)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--crystals", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--size", type=int, nargs=4)
    run_command(parser, COMMANDS)


if __name__ == "__main__":
    main()
