"""The laws of conditioning strategies, checked in float64 on random memories.

Shapes: B crystals, M memory tokens, T string tokens, C encoder width, D decoder width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crystalfw.core.batch import Memory
from crystalfw.core.interfaces import Conditioning, select_rows
from crystalfw.core.testing.compare import (
    check_gradients,
    check_state_dict,
    must_agree,
    must_be_finite,
    randomise,
    relative_difference,
    seeded,
)  # fmt: skip
from crystalfw.core.testing.laws import Broken, NotApplicable, Subject, law

PORTS = ("input", "prefix", "layer", "none")
ENCODER_DIM, DECODER_DIM, LAYERS = 24, 32, 2


def make(subject: Subject, seed: int = 0, *, fresh: bool = False) -> Conditioning:
    """A strategy in float64 and evaluation mode; its parameters random unless fresh."""
    module = seeded(lambda: subject.make(encoder_dim=ENCODER_DIM, decoder_dim=DECODER_DIM, n_layers=LAYERS), seed)
    if not fresh:
        randomise(module)
    assert isinstance(module, Conditioning)
    return module


def make_memory(seed: int = 0) -> Memory:
    """Three crystals with 4, 2 and 1 tokens."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(4) < torch.tensor([4, 2, 1])[:, None]
    tokens = torch.randn(3, 4, ENCODER_DIM, generator=generator, dtype=torch.float64)
    return Memory(tokens, mask, torch.randn(3, ENCODER_DIM, generator=generator, dtype=torch.float64))


def make_h(seed: int = 1) -> Tensor:
    """Embedded tokens (3, 5, D)."""
    return torch.randn(3, 5, DECODER_DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fill(module: Conditioning, h_BTD: Tensor, memory: Memory) -> Tensor:
    """What the strategy gives its port, all layers side by side; masked prefix tokens as zeros. Raises NotApplicable."""
    return fill_prepared(module, h_BTD, module.prepare(memory))


def fill_prepared(module: Conditioning, h_BTD: Tensor, prepared: Any) -> Tensor:
    """The same from what `prepare` returned."""
    if module.port == "none":
        raise NotApplicable("it fills no port")
    layers = range(LAYERS) if module.port == "layer" else [0]
    filled = torch.cat([module(h_BTD, prepared, layer) for layer in layers], dim=-1)
    mask = module.prefix_mask(prepared) if module.port == "prefix" else None
    return filled if mask is None else filled.masked_fill(~mask[..., None], 0.0)


@law(
    "conditioning",
    "It fills one port, with tensors of the decoder's width.",
    "Set `port` to input, prefix, layer or none; see crystalfw.core.interfaces.Conditioning for what each returns.",
)
def port(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, memory = make(subject), make_h(), make_memory()
    if module.port not in PORTS:
        raise Broken(f"the port is {module.port!r}.")
    filled = fill(module, h_BTD, memory)
    width = DECODER_DIM * (LAYERS if module.port == "layer" else 1)
    rows, length, found = filled.shape
    if (rows, found) != (3, width) or (module.port != "prefix" and length != 5):
        raise Broken(f"port {module.port!r} got shape {tuple(filled.shape)} for h (3, 5, {DECODER_DIM}).")
    must_be_finite(filled, "what it returns")


@law(
    "conditioning",
    "Where zero_init is claimed, a fresh instance changes nothing.",
    "Start the output projection at zero with nn.init.zeros_, or do not claim zero_init.",
)
def zero_init(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, memory = make(subject, fresh=True), make_h(), make_memory()
    if not module.zero_init:
        raise NotApplicable("zero_init is not claimed")
    filled = fill(module, h_BTD, memory)
    neutral = h_BTD if module.port == "input" else torch.zeros_like(filled)
    must_agree(filled, neutral, "a fresh instance's effect")


@law(
    "conditioning",
    "The condition has an influence, and gradients flow back into the memory.",
    "Read memory.tokens or memory.pooled; detach nothing.",
)
def influence(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, first = make(subject), make_h(), make_memory(0)
    if relative_difference(fill(module, h_BTD, make_memory(5)), fill(module, h_BTD, first)) < 1e-9:
        raise Broken("two different memories have the same effect.")
    memory = Memory(first.tokens.clone().requires_grad_(), first.mask, first.pooled.clone().requires_grad_())
    weighted = fill(module, h_BTD, memory)
    gradients = torch.autograd.grad((weighted * torch.sin(weighted)).sum(), [memory.tokens, memory.pooled], allow_unused=True)
    if all(gradient is None or not bool(gradient.any()) for gradient in gradients):
        raise Broken("no gradient reaches the memory.")


@law(
    "conditioning",
    "Masked memory tokens have no influence, whatever they hold.",
    "Replace them before use (masked_fill): zero times infinity is not zero. For prefixes, return `prefix_mask`.",
)
def mask(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, memory = make(subject), make_h(), make_memory()
    before = fill(module, h_BTD, memory)
    for value in (1e3, float("nan")):
        tokens = memory.tokens.masked_fill(~memory.mask[..., None], value)
        must_agree(
            fill(module, h_BTD, Memory(tokens, memory.mask, memory.pooled)), before, f"with masked tokens at {value}, it"
        )


@law(
    "conditioning",
    "A crystal's condition does not depend on the others in the batch, nor on padding.",
    "Normalise within a crystal only; let the mask decide.",
)
def batch_independence(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, memory = make(subject), make_h(), make_memory()
    together = fill(module, h_BTD, memory)
    for row, count in enumerate([4, 2, 1]):
        alone = Memory(memory.tokens[row : row + 1, :count], memory.mask[row : row + 1, :count], memory.pooled[row : row + 1])
        found = fill(module, h_BTD[row : row + 1], alone)
        must_agree(found[0], together[row, : found.shape[1]], f"a crystal of {count} tokens alone")


@law(
    "conditioning",
    "What `prepare` returns can be picked row by row: sampling drops and repeats rows.",
    "Return tensors with leading dimension B, or lists, tuples, dicts of them.",
)
def rows(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, memory = make(subject), make_h(), make_memory()
    index = torch.tensor([2, 0, 0])
    picked = fill_prepared(module, h_BTD[index], select_rows(module.prepare(memory), index))
    must_agree(picked, fill(module, h_BTD, memory)[index], "after picking rows, it")


@law(
    "conditioning",
    "A token is not influenced by later tokens: the decoder stays causal.",
    "Mix over memory tokens, never over string tokens.",
)
def causality(subject: Subject) -> None:  # noqa: D103
    module, h_BTD, memory = make(subject), make_h(), make_memory()
    if module.port == "prefix":
        raise NotApplicable("a prefix stands before the string")
    changed = torch.cat([h_BTD[:, :3], make_h(7)[:, 3:]], dim=1)
    must_agree(
        fill(module, changed, memory)[:, :3], fill(module, h_BTD, memory)[:, :3], "with other later tokens, an earlier one"
    )
    must_agree(fill(module, h_BTD[:, 3:4], memory), fill(module, h_BTD, memory)[:, 3:4], "one token at a time, it")


@law("conditioning", "Gradients are finite.", "Guard divisions and square roots; a crystal may have a single token.")
def gradients(subject: Subject) -> None:  # noqa: D103
    module = make(subject)
    filled = fill(module, make_h(), make_memory())
    check_gradients(module, (filled * torch.linspace(-1, 1, filled.shape[-1], dtype=torch.float64)).sum())


@law(
    "conditioning",
    "The state_dict holds everything that the output depends on.",
    "Register tensors as parameters or buffers; keep no state in plain attributes.",
)
def state_dict(subject: Subject) -> None:  # noqa: D103
    check_state_dict(lambda seed: make(subject, seed, fresh=True), lambda module: fill(module, make_h(), make_memory()))
