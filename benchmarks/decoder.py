"""The decoders and the sampling engine, measured beside transformers' GPT-2 of the same size and weights.

  python benchmarks/decoder.py sample --model FILE               # strings sampled per second, real stops
  python benchmarks/decoder.py steps --model FILE                # the same per step, every step run
  python benchmarks/decoder.py mask --model FILE                 # the mask's share of a step
  python benchmarks/decoder.py batches --model FILE              # the same samples for any batch size and split
  python benchmarks/decoder.py valid --count 100000              # untrained models: how many strings are valid

FILE is a model that `python benchmarks/decoder_train.py fit` has trained. One thread, CPU seconds (time.process_time), repeats
interleaved and the fastest taken: a shared machine only ever adds. benchmarks/decoder.md holds results.
transformers is needed for the comparison only: pip install transformers.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decoder_common import REPRESENTATION, VOCABULARY, decoder, fastest, hugging_face, run_command
from torch import Tensor

from crystalfw.core.interfaces import Ports
from crystalfw.core.recipe.schema import SampleSection
from crystalfw.core.sample.engine import sample_strings
from crystalfw.plugins.decoders.gpt import GPT
from crystalfw.plugins.representations.slices.slices import read_net


def fitted(arguments: argparse.Namespace) -> GPT:
    model = decoder()
    model.load_state_dict(torch.load(arguments.model, weights_only=True))
    return model.eval()


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
    from crystalfw.core.sample.draw import TokenDraw

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
        ids = TokenDraw().draw(logits, allowed, 0, index, np.full(width, step))
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


COMMANDS = {f.__name__: f for f in (sample, steps, mask, batches, valid)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 64, 128])
    run_command(parser, COMMANDS)


if __name__ == "__main__":
    main()
