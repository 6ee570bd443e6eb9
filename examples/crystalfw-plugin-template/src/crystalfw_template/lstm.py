"""A stacked LSTM as decoder (Hochreiter & Schmidhuber 1997): the state is the cache, of constant size.

Shapes: B strings, T tokens, V vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystalfw.core import DecodingCache, Ports, SequenceDecoder, Vocabulary


class State(DecodingCache):
    """Hidden and cell state of every layer, row by row."""

    def __init__(self, n_layers: int, rows: int, dim: int, like: Tensor) -> None:
        self.positions = torch.zeros(rows, dtype=torch.int64)
        self.layers = [(like.new_zeros(rows, dim), like.new_zeros(rows, dim)) for _ in range(n_layers)]

    def select(self, index: Tensor) -> None:
        """Keep the rows `index`, in this order."""
        self.positions = self.positions[index.cpu()]
        self.layers = [(h[index.to(h.device)], c[index.to(c.device)]) for h, c in self.layers]

    def reset(self, rows: Tensor) -> None:
        """Empty these rows."""
        self.positions[rows.cpu()] = 0
        for h, c in self.layers:
            h[rows.to(h.device)], c[rows.to(c.device)] = 0.0, 0.0


class LSTM(SequenceDecoder):
    """Each layer adds to the stream; conditioning may enter at the input and between layers."""

    ports = frozenset({"none", "input", "layer"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the LSTM."""

        dim: int = 128
        """Width of embedding and state."""
        n_layers: int = 2
        """Stacked layers."""
        max_length: int = 512
        """Longest string in tokens, begin and end included."""

    def __init__(self, config: Config, *, encoder_dim: int, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.dim, self.n_layers, self.max_length = config.dim, config.n_layers, config.max_length
        self.token = nn.Embedding(len(vocabulary), config.dim)
        self.norms = nn.ModuleList([nn.LayerNorm(config.dim) for _ in range(config.n_layers)])
        self.layers = nn.ModuleList([nn.LSTM(config.dim, config.dim, batch_first=True) for _ in range(config.n_layers)])
        self.head = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, len(vocabulary)))

    def new_cache(self, batch_size: int, length: int, ports: Ports) -> State:
        """An empty state; its size does not depend on the length."""
        return State(self.n_layers, batch_size, self.dim, self.token.weight)

    def forward(self, ids_BT: Tensor, ports: Ports, cache: State | None = None) -> Tensor:
        """Logits (B, T, V); with a cache, ids are the new tokens and the state is advanced."""
        state = cache if cache is not None else self.new_cache(len(ids_BT), ids_BT.shape[1], ports)
        h_BTD = ports.input(self.token(ids_BT))
        for i, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            hidden_BD, cell_BD = state.layers[i]
            out_BTD, (hidden_1BD, cell_1BD) = layer(norm(h_BTD), (hidden_BD[None], cell_BD[None]))
            state.layers[i] = (hidden_1BD[0], cell_1BD[0])
            h_BTD = ports.layer(h_BTD + out_BTD, i)
        state.positions += ids_BT.shape[1]
        return self.head(h_BTD)
