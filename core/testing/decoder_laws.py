"""The laws of decoders, checked in float64: strings (causality, cache, ports) and losses.

Shapes: B crystals, T tokens, V vocabulary, D decoder width, C encoder width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystalfw.core.batch import CrystalBatch, Memory, TokenBatch, TrainBatch, masked_mean
from crystalfw.core.interfaces import Conditioning, Decoder, DecodingCache, Ports, PropertyDecoder, SequenceDecoder
from crystalfw.core.records import Loss, Vocabulary
from crystalfw.core.testing import crystals as ops
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

ENCODER_DIM = 24
VOCABULARY = Vocabulary(tokens=("<pad>", "<begin>", "<end>", *"abcdefgh"))


class Probe(Conditioning):
    """Fills any port with a projection of the pooled vector, and counts its calls per layer."""

    def __init__(self, port: str, decoder_dim: int) -> None:
        super().__init__()
        self.port = port  # type: ignore[misc]
        self.project = nn.Linear(ENCODER_DIM, decoder_dim)
        self.calls: list[int] = []

    def forward(self, h: Tensor, memory: Any, layer: int = 0) -> Tensor:
        """The condition for the port, different in every layer."""
        self.calls.append(layer)
        vector_B1D = torch.tanh(self.project(memory.pooled) * (layer + 1.0))[:, None]
        if self.port == "input":
            return h + vector_B1D
        return torch.cat([vector_B1D, -vector_B1D], dim=1) if self.port == "prefix" else vector_B1D.expand_as(h)


def make(subject: Subject, seed: int = 0) -> Decoder:
    """A decoder with random parameters, statistics fitted, float64, evaluation mode."""
    decoder = seeded(lambda: subject.make(encoder_dim=ENCODER_DIM, vocabulary=VOCABULARY), seed)
    randomise(decoder)
    decoder.fit_statistics({name: np.array([0.5, 1.0, 2.5, np.nan]) for name in targets_of(decoder)})
    assert isinstance(decoder, Decoder)
    return decoder.double()


def targets_of(decoder: Decoder) -> tuple[str, ...]:
    """The columns that it predicts; none for a decoder that is no PropertyDecoder."""
    return decoder.targets if isinstance(decoder, PropertyDecoder) else ()


def make_sequence(subject: Subject) -> SequenceDecoder:
    """The decoder where it writes strings; raises NotApplicable where it predicts."""
    decoder = make(subject)
    if not isinstance(decoder, SequenceDecoder):
        raise NotApplicable("it predicts properties")
    return decoder


def make_memory(decoder: Decoder | None = None, seed: int = 0) -> Memory:
    """A memory of two tokens for each of four crystals, or of one for each of their atoms where the decoder reads these.

    It says token ids, so that a decoder that copies does so: begin, letters, and nothing for the last token of all.
    """
    generator = torch.Generator().manual_seed(seed)
    per_atom = decoder is not None and decoder.reads_atoms
    counts = torch.tensor([crystal.n_atoms if per_atom else 2 for crystal in ops.small_crystals()])
    mask = torch.arange(int(counts.max())) < counts[:, None]
    tokens = torch.randn(*mask.shape, ENCODER_DIM, generator=generator, dtype=torch.float64)
    ids = torch.randint(3, len(VOCABULARY), mask.shape, generator=generator)
    ids[:, 0], ids[-1, -1] = VOCABULARY.begin, -1
    return Memory(tokens, mask, masked_mean(tokens, mask), ids)


def make_ids(seed: int = 0) -> Tensor:
    """(4, 7) begin and six letters."""
    letters = torch.randint(3, len(VOCABULARY), (4, 6), generator=torch.Generator().manual_seed(seed))
    return torch.cat([torch.full((4, 1), VOCABULARY.begin), letters], dim=1)


def bound(decoder: Decoder, port: str, memory: Memory) -> Ports:
    """Ports of the decoder filled by a probe."""
    probe = seeded(lambda: Probe(port, decoder.dim))
    return Ports.bind(probe, memory)


def make_batch(decoder: Decoder) -> TrainBatch:
    """Four crystals with strings of 7, 5, 4 and 2 tokens and every target column; one target is missing."""
    crystals = CrystalBatch.from_crystals(ops.small_crystals(), dtype=torch.float64)
    values = torch.tensor([0.3, 1.1, float("nan"), 2.2], dtype=torch.float64)
    properties = dict.fromkeys(targets_of(decoder), values)
    crystals = CrystalBatch(**{**vars(crystals), "properties": properties})
    lengths = torch.tensor([7, 5, 4, 2])
    ids = torch.where(torch.arange(7) < lengths[:, None], make_ids(), VOCABULARY.pad)
    return TrainBatch(crystals, TokenBatch(ids, lengths) if decoder.needs_tokens else None, torch.arange(4))


def loss_of(decoder: Decoder, batch: TrainBatch, memory: Memory, ports: Ports) -> Loss:
    """The loss as the generator asks for it: what the decoder hides is hidden first."""
    return decoder.loss(decoder.hide(batch), memory, ports)


def _row(batch: TrainBatch, row: int) -> TrainBatch:
    """One crystal of a batch, its string without padding."""
    crystals, tokens = batch.crystals, batch.tokens
    atoms = crystals.crystal_index == row
    alone = CrystalBatch(
        crystals.lattice[row : row + 1], crystals.frac_coords[atoms], crystals.numbers[atoms],
        torch.zeros_like(crystals.crystal_index[atoms]), crystals.n_atoms[row : row + 1],
        {name: values[row : row + 1] for name, values in crystals.properties.items()},
    )  # fmt: skip
    if tokens is not None:
        tokens = TokenBatch(tokens.ids[row : row + 1, : int(tokens.lengths[row])], tokens.lengths[row : row + 1])
    return TrainBatch(alone, tokens, batch.index[row : row + 1])


@law(
    "decoder",
    "Logits have shape (B, T, vocabulary), `dim` is positive, `ports` names known ports.",
    "See crystalfw.core.interfaces.SequenceDecoder; ports are input, prefix, layer, none.",
)
def dimensions(subject: Subject) -> None:  # noqa: D103
    decoder = make_sequence(subject)
    unknown = decoder.ports - {"input", "prefix", "layer", "none"}
    if unknown or decoder.dim < 1 or decoder.max_length < 8:
        raise Broken(f"ports {sorted(decoder.ports)}, dim {decoder.dim}, max_length {decoder.max_length}.")
    logits = decoder(make_ids(), Ports(None, None))
    if logits.shape != (4, 7, len(VOCABULARY)):
        raise Broken(f"logits have shape {tuple(logits.shape)} for ids (4, 7) and {len(VOCABULARY)} tokens.")
    must_be_finite(logits, "a logit")


@law(
    "decoder",
    "A logit depends on the tokens up to it, never on later ones.",
    "Mask attention with a triangle; no convolution or norm over the length that looks ahead.",
)
def causality(subject: Subject) -> None:  # noqa: D103
    decoder = make_sequence(subject)
    first, other = make_ids(0), torch.cat([make_ids(0)[:, :4], make_ids(9)[:, 4:]], dim=1)
    for port in sorted(decoder.ports):
        ports = bound(decoder, port, make_memory())
        must_agree(
            decoder(other, ports)[:, :4], decoder(first, ports)[:, :4], f"with other later tokens (port {port}), a logit"
        )


@law(
    "decoder",
    "Logits with a cache equal those without, token by token and in pieces.",
    "Count positions from `cache.positions`; store keys after the rotary turn; apply every port to the new tokens.",
)
def cache(subject: Subject) -> None:  # noqa: D103
    decoder, ids = make_sequence(subject), make_ids()
    for port in sorted(decoder.ports):
        ports = bound(decoder, port, make_memory())
        full = decoder(ids, ports)
        for pieces in ([1] * 7, [3, 4]):
            store = decoder.new_cache(4, 7, ports)
            parts = [decoder(piece, ports, store) for piece in ids.split(pieces, dim=1)]
            must_agree(torch.cat(parts, dim=1), full, f"in pieces of {pieces[0]} (port {port}), a logit")


@law(
    "decoder",
    "Rows of a cache can be picked and restarted, independently of the others.",
    "Keep `positions` per row; select(index) picks every tensor of the state; reset(rows) makes these rows empty.",
)
def cache_rows(subject: Subject) -> None:  # noqa: D103
    decoder, ids = make_sequence(subject), make_ids()
    for port in sorted(decoder.ports):
        ports = bound(decoder, port, make_memory())
        store = decoder.new_cache(4, 7, ports)
        decoder(ids[:, :3], ports, store)
        index = torch.tensor([2, 0])
        store.select(index)
        found = decoder(ids[index, 3:5], ports.select(index), store)
        must_agree(found, decoder(ids[:, :5], ports)[index, 3:5], f"after select (port {port}), a logit")
        store.reset(torch.tensor([1]))
        again = torch.stack([ids[2, 5:7], ids[1, 0:2]])
        fresh = torch.tensor([2, 0])
        found = decoder(again, ports.select(fresh), store)
        must_agree(found[0], decoder(ids, ports)[2, 5:7], f"in the row beside a reset one (port {port}), a logit")
        alone = decoder(ids[1:2, :2], ports.select(torch.tensor([0])))
        must_agree(found[1], alone[0], f"in a row after reset (port {port}), a logit")


@law(
    "decoder",
    "The cache is a DecodingCache whose `positions` count each row's tokens through select and reset.",
    "Subclass crystalfw.core.DecodingCache; add the new tokens in forward(), pick rows in select(), write 0 in reset().",
)
def cache_positions(subject: Subject) -> None:  # noqa: D103
    decoder, ids, ports = make_sequence(subject), make_ids(), Ports(None, None)
    store = decoder.new_cache(4, 7, ports)
    if not isinstance(store, DecodingCache):
        raise Broken(f"new_cache returns a {type(store).__name__}.")

    def expect(counts: list[int], when: str) -> None:
        if store.positions.tolist() != counts:
            raise Broken(f"{when}, positions are {store.positions.tolist()} instead of {counts}.")

    expect([0, 0, 0, 0], "when it is new")
    decoder(ids[:, :3], ports, store)
    expect([3, 3, 3, 3], "after three tokens")
    store.reset(torch.tensor([1, 3]))
    expect([3, 0, 3, 0], "after reset of rows 1 and 3")
    decoder(ids[:, 3:4], ports, store)
    expect([4, 1, 4, 1], "after one more token")
    store.select(torch.tensor([3, 0, 0]))
    expect([1, 4, 4], "after select of rows 3, 0 and 0")


@law("decoder", "A string's logits do not depend on the others in the batch.", "Use layer norm instead of batch norm.")
def batch_independence(subject: Subject) -> None:  # noqa: D103
    decoder, ids = make_sequence(subject), make_ids()
    for port in sorted(decoder.ports):
        ports = bound(decoder, port, make_memory())
        together = decoder(ids, ports)
        for row in range(2):
            alone = decoder(ids[row : row + 1], ports.select(torch.tensor([row])))
            must_agree(alone[0], together[row], f"alone (port {port}), a logit")


@law(
    "decoder",
    "A memory's token ids are read where its tokens are real, and no others.",
    "Copy from ports.copied.ids only where ports.copied.mask says so.",
)
def copied(subject: Subject) -> None:  # noqa: D103
    decoder, ids, memory = make_sequence(subject), make_ids(), make_memory()
    port = sorted(decoder.ports)[0]
    without = decoder(ids, bound(decoder, port, Memory(memory.tokens, memory.mask, memory.pooled)))
    told = decoder(ids, bound(decoder, port, memory))
    if relative_difference(told, without) < 1e-9:
        raise NotApplicable("it copies nothing")
    wider = memory.padded(4)
    filled = Memory(wider.tokens, wider.mask, wider.pooled, wider.named().masked_fill(~wider.mask, 5))
    must_agree(decoder(ids, bound(decoder, port, filled)), told, "beside masked tokens with ids, a logit")


@law(
    "decoder",
    "Every port that is offered is used: the condition changes the logits; `layer` is called once per block.",
    "Call ports.input(h), ports.prefix(h) and ports.layer(h, i) for i below n_layers, or offer fewer ports.",
)
def conditioning_used(subject: Subject) -> None:  # noqa: D103
    decoder, ids = make_sequence(subject), make_ids()
    for port in sorted(decoder.ports - {"none"}):
        ports = bound(decoder, port, make_memory(seed=0))
        first = decoder(ids, ports)
        if relative_difference(decoder(ids, bound(decoder, port, make_memory(seed=3))), first) < 1e-9:
            raise Broken(f"another condition at port {port!r} gives the same logits.")
        assert isinstance(ports.conditioning, Probe)
        calls = ports.conditioning.calls
        if port == "layer" and calls != list(range(decoder.n_layers)):
            raise Broken(f"the port layer was called for layers {calls}, n_layers is {decoder.n_layers}.")


@law(
    "decoder",
    "`blocks` are distinct submodules of the decoder, and the loss calls each through its forward().",
    "Register them (nn.ModuleList), call block(...) instead of a method of it, or leave `blocks` empty.",
)
def blocks(subject: Subject) -> None:  # noqa: D103
    decoder = make(subject)
    stated, own = list(decoder.blocks), set(decoder.modules()) - {decoder}
    if not all(block in own for block in stated) or len(set(stated)) != len(stated):
        raise Broken(f"of {len(stated)} blocks, {len(set(stated) & own)} are submodules.")
    entered: set[nn.Module] = set()
    for block in stated:
        block.register_forward_hook(lambda module, *_: entered.add(module))
    memory = make_memory(decoder)
    loss_of(decoder, make_batch(decoder), memory, bound(decoder, sorted(decoder.ports)[0], memory))
    if len(entered) != len(stated):
        raise Broken(f"{len(stated) - len(entered)} of {len(stated)} are never called.")


@law(
    "decoder",
    "A PropertyDecoder predicts each of its `targets`, finite, (B,), for every crystal by itself.",
    "Set `targets` in the constructor; return {name: values (B,)} in their order; use layer norm instead of batch norm.",
)
def prediction(subject: Subject) -> None:  # noqa: D103
    decoder = make(subject)
    if not isinstance(decoder, PropertyDecoder):
        raise NotApplicable("it predicts no properties")
    if not decoder.targets or not all(isinstance(name, str) for name in decoder.targets):
        raise Broken(f"targets are {decoder.targets!r}.")
    memory = make_memory(decoder)
    found = decoder.predict(memory)
    if tuple(found) != tuple(decoder.targets):
        raise Broken(f"targets are {', '.join(decoder.targets)}; it predicts {', '.join(found) or 'none'}.")
    for name, values in found.items():
        if values.shape != (4,):
            raise Broken(f"for four crystals, {name} has shape {tuple(values.shape)}.")
        must_be_finite(values, f"a value of {name}")
        alone = [decoder.predict(memory.select(torch.tensor([row])))[name] for row in range(4)]
        must_agree(torch.cat(alone), values, f"alone, {name}")


@law(
    "decoder",
    "The loss of a batch is the sum over its crystals; padding has no weight.",
    "Return Loss(sum, weight), not a mean; multiply by the token mask.",
)
def additive_loss(subject: Subject) -> None:  # noqa: D103
    decoder = make(subject)
    batch, memory = make_batch(decoder), make_memory(decoder)
    port = sorted(decoder.ports)[0]
    ports = bound(decoder, port, memory)
    together = loss_of(decoder, batch, memory, ports)
    rows = [torch.tensor([row]) for row in range(4)]
    alone = [loss_of(decoder, _row(batch, int(row)), memory.select(row), ports.select(row)) for row in rows]
    must_agree(torch.stack([loss.total for loss in alone]).sum(), together.total, "the sum of the losses alone")
    must_agree(sum(loss.weight for loss in alone) + torch.zeros(()), together.weight + torch.zeros(()), "the weight alone")


@law(
    "decoder",
    "The loss and its gradients are finite, with missing targets and strings of two tokens.",
    "Replace missing values before the loss: zero times NaN is NaN in the gradient.",
)
def gradients(subject: Subject) -> None:  # noqa: D103
    decoder = make(subject)
    memory = make_memory(decoder)
    loss = loss_of(decoder, make_batch(decoder), memory, bound(decoder, sorted(decoder.ports)[0], memory))
    must_be_finite(loss.total, "the loss")
    check_gradients(decoder, loss.total)


@law(
    "decoder",
    "The state_dict holds everything that the output depends on.",
    "Register tensors as parameters or buffers; keep no state in plain attributes.",
)
def state_dict(subject: Subject) -> None:  # noqa: D103
    def output(module: Decoder) -> Tensor:
        return loss_of(module, make_batch(module), make_memory(module), Ports(None, None)).total

    check_state_dict(lambda seed: make(subject, seed), output)


@law("decoder", "In evaluation mode, twice the same input gives the same loss.", "Draw random numbers in training mode only.")
def determinism(subject: Subject) -> None:  # noqa: D103
    decoder = make(subject)
    batch, memory = make_batch(decoder), make_memory(decoder)
    first, second = (loss_of(decoder, batch, memory, Ports(None, None)).total for _ in range(2))
    must_agree(second, first, "the second loss")
