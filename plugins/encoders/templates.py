"""The templates encoder: strings of known crystals with the asked elements, retrieved for each crystal, token by token.

Shapes: B crystals, M tokens of a crystal's strings, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystalfw.core import CrystalBatch, DataError, Encoder, Memory, Templates
from crystalfw.core.recipe.schema import Count

LEAST = -12.0
"""Natural logarithm below which a string's probability makes no difference."""


class TemplateStrings(Encoder):
    """One token for each token of the strings: itself, the one before it, its place, rank and probability of its string.

    The token before lets attention find "what came after this" in one layer (Olsson et al. 2022, arXiv:2209.11895). The
    memory says its token ids, so that a decoder may copy them. In front stands one learned token: all there is where
    nothing was retrieved. The pooled vector weighs the tokens by probability.
    """

    requires = frozenset({"composition"})

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the templates encoder."""

        templates: Count = 3
        """Strings retrieved for each crystal; equal ones are merged, their probabilities added."""
        dim: Count = 128
        """Width of tokens and pooled vector."""
        vocabulary: Count = 1024
        """Rows of the token table: as many as the representation has tokens, or more."""
        places: Count = 512
        """Rows of the table of places in the string; later tokens share the last."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.dim, self.templates = config, config.dim, config.templates
        self.token = nn.Embedding(config.vocabulary, config.dim)
        self.before = nn.Embedding(config.vocabulary + 1, config.dim)
        self.place = nn.Embedding(config.places, config.dim)
        self.rank = nn.Embedding(config.templates, config.dim)
        self.probability = nn.Linear(1, config.dim)
        self.first = nn.Parameter(torch.randn(config.dim))
        self.mix = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, config.dim), nn.SiLU(),
                                 nn.Linear(config.dim, config.dim))  # fmt: skip

    def forward(self, batch: CrystalBatch) -> Memory:
        """Tokens (B, 1 + M, C), mask, pooled (B, C) and ids. Raises DataError for a batch without templates."""
        found = batch.templates
        if found is None:
            raise DataError("encoder 'templates': the batch holds no templates; retrieve them first (core/retrieval)")
        if found.ids.numel() and int(found.ids.max()) >= self.token.num_embeddings:
            raise DataError(
                f"encoder 'templates': a token has number {int(found.ids.max())}; the table has {self.token.num_embeddings} "
                "rows: raise its option vocabulary"
            )
        mask_BM = found.mask
        tokens_BMC = self.mix(self._embedded(found)).masked_fill(~mask_BM[..., None], 0.0)
        first_B1C = self.first.to(tokens_BMC.dtype).expand(batch.size, 1, -1)
        pooled_BC = first_B1C[:, 0] + (tokens_BMC * self._weights(found)).sum(1)
        return Memory(
            torch.cat([first_B1C, tokens_BMC], dim=1),
            torch.cat([mask_BM.new_ones(batch.size, 1), mask_BM], dim=1),
            pooled_BC,
            torch.cat([found.ids.new_full((batch.size, 1), -1), found.ids], dim=1),
        )

    def _embedded(self, found: Templates) -> Tensor:
        """(B, M, C) sum of what is known of each token."""
        ids_BM = found.ids.clamp_min(0)
        before_BM = torch.where(found.position > 0, ids_BM.roll(1, dims=1), self.token.num_embeddings)
        place_BM = found.position.clamp_max(self.place.num_embeddings - 1)
        rank_BM = found.rank.clamp_max(self.rank.num_embeddings - 1)
        log_BM1 = found.log_probability.clamp_min(LEAST)[..., None].to(self.first.dtype)
        embedded_BMC: Tensor = self.token(ids_BM) + self.before(before_BM) + self.place(place_BM) + self.rank(rank_BM)
        return embedded_BMC + self.probability(log_BM1)

    def _weights(self, found: Templates) -> Tensor:
        """(B, M, 1) share of each token in the pooled vector: probability of its string over the string's length."""
        strings = torch.where(found.mask, found.rank, -1)
        same_BMM = strings[:, :, None] == strings[:, None]
        share_BM = (found.log_probability.exp() / same_BMM.sum(2)).masked_fill(~found.mask, 0.0)
        return share_BM[..., None].to(self.first.dtype)
