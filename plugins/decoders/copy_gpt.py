"""A GPT that can copy: its distribution is a mixture of the vocabulary's softmax and of the strings that the memory spells.

The mixture of See et al. 2017 (arXiv:1704.04368) with the gate of Merity et al. 2016 (arXiv:1609.07843): one softmax over
all tokens that may be copied and a sentinel; what the sentinel gets goes to the vocabulary. A token's score is built on how
much of the string so far agrees with the memory's string in front of that token, so that continuing a template needs not to
be learned from nothing: an explicit form of induction heads (Olsson et al. 2022, arXiv:2209.11895).

Shapes: B strings, T tokens, M memory tokens, V vocabulary, D width, C encoder width, K width of copy keys, G grades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from crystalfw.core.batch import Memory
from crystalfw.core.interfaces import DecodingCache, Ports
from crystalfw.core.model.attention import softmax_where
from crystalfw.core.recipe.schema import Count
from crystalfw.core.records import Vocabulary
from crystalfw.plugins.decoders.backbone import BackboneConfig
from crystalfw.plugins.decoders.cache.static import KVCache
from crystalfw.plugins.decoders.cross_attention_gpt import CrossAttentionGPT

GRADES = (1, 2, 3, 5, 9, 17)
"""A token has one grade more for each of these numbers of agreeing tokens that it reaches."""


class CopyGPT(CrossAttentionGPT):
    """The GPT with all ports, and a copy head over the memory's token ids (`Memory.ids`); without them it is a plain GPT.

    Its outputs are log-probabilities wherever there is something to copy.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BackboneConfig):
        """Options of the GPT with a copy head."""

        copy_width: Count = 32
        """Width of the queries and keys that tell memory tokens apart beyond agreement."""

    def __init__(self, config: Config, *, encoder_dim: int, vocabulary: Vocabulary) -> None:
        super().__init__(config, encoder_dim=encoder_dim, vocabulary=vocabulary)
        self.begin = vocabulary.begin
        self.copy = CopyHead(config.dim, encoder_dim, config.copy_width)

    def forward(self, ids_BT: Tensor, ports: Ports, cache: KVCache | CopyCache | None = None) -> Tensor:
        """Logits (B, T, V), which are log-probabilities where the memory says token ids."""
        copy_cache, inner = (cache, cache.inner) if isinstance(cache, CopyCache) else (None, cache)
        h_BTD = self.hidden(ids_BT, ports, inner)
        logits_BTV = self.logits(h_BTD)
        memory = ports.copied
        if memory is None or memory.ids is None:
            return logits_BTV
        before_BM = copy_cache.agreement_before(memory) if copy_cache is not None else None
        agreement_BTM = agreement(ids_BT, memory.ids, self.begin, before_BM)
        if copy_cache is not None:
            copy_cache.agreement_BM = agreement_BTM[:, -1]
        mixed: Tensor = self.copy(self.norm(h_BTD), logits_BTV, memory, memory.ids, agreement_BTM, self.begin)
        return mixed

    def new_cache(self, batch_size: int, length: int, ports: Ports) -> CopyCache:  # type: ignore[override]
        """An empty cache that also keeps how far each memory token agrees with the string so far."""
        return CopyCache(super().new_cache(batch_size, length, ports))


class CopyHead(nn.Module):
    """Scores of memory tokens and of the sentinel, and the mixture."""

    def __init__(self, dim: int, encoder_dim: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, width, bias=False)
        self.key = nn.Sequential(nn.LayerNorm(encoder_dim), nn.Linear(encoder_dim, width, bias=False))
        self.trust = nn.Sequential(nn.LayerNorm(encoder_dim), nn.Linear(encoder_dim, 1))
        self.grade = nn.Parameter(torch.linspace(-6.0, 3.0, len(GRADES) + 1))
        self.whole = nn.Parameter(torch.tensor(3.0))
        self.sentinel = nn.Linear(dim, 1)
        nn.init.zeros_(self.query.weight)

    def forward(
        self, h_BTD: Tensor, logits_BTV: Tensor, memory: Memory, ids_BM: Tensor, agreement_BTM: Tensor, begin: int
    ) -> Tensor:
        """(B, T, V) logarithm of the mixture of both distributions."""
        copied_BM = memory.mask & (ids_BM >= 0) & (ids_BM != begin)
        sentinel_BT1 = self.sentinel(h_BTD)
        scores_BTM = self._scores(h_BTD, memory.tokens.masked_fill(~memory.mask[..., None], 0.0), agreement_BTM)
        allowed_BTS = functional.pad(copied_BM, (1, 0), value=True)[:, None]
        share_BTS = softmax_where(torch.cat([sentinel_BT1, scores_BTM], dim=2).to(_exact(h_BTD)), allowed_BTS)
        with torch.autocast(h_BTD.device.type, enabled=False):
            own_BTV = logits_BTV.to(share_BTS.dtype).softmax(-1) * share_BTS[..., :1]
            index_BTM = ids_BM.clamp_min(0)[:, None].expand_as(scores_BTM)
            mixed_BTV = own_BTV.scatter_add(2, index_BTM, share_BTS[..., 1:])
            return mixed_BTV.clamp_min(torch.finfo(mixed_BTV.dtype).tiny).log()

    def _scores(self, h_BTD: Tensor, tokens_BMC: Tensor, agreement_BTM: Tensor) -> Tensor:
        """(B, T, M) how much speaks for copying each memory token."""
        query_BTK, key_BMK = self.query(h_BTD), self.key(tokens_BMC)
        content_BTM = query_BTK @ key_BMK.transpose(1, 2) / math.sqrt(query_BTK.shape[-1])
        reached = torch.tensor(GRADES, device=agreement_BTM.device)
        grade_BTM = torch.bucketize(agreement_BTM & _COUNT, reached, right=True)
        whole_BTM = (agreement_BTM > _COUNT).to(content_BTM.dtype)
        return content_BTM + self.grade[grade_BTM] + self.whole * whole_BTM + self.trust(tokens_BMC).transpose(1, 2)


class CopyCache(DecodingCache):
    """A KVCache, and the agreement of each row's string with the memory up to its last token."""

    def __init__(self, inner: KVCache) -> None:
        self.inner = inner
        self.agreement_BM: Tensor | None = None

    @property
    def positions(self) -> Tensor:  # type: ignore[override]
        """(B,) tokens that each row has seen."""
        return self.inner.positions

    def agreement_before(self, memory: Memory) -> Tensor | None:
        """The agreement (B, M) so far; a memory may have become wider, never narrower."""
        if self.agreement_BM is None:
            return None
        missing = memory.mask.shape[1] - self.agreement_BM.shape[1]
        return functional.pad(self.agreement_BM, (0, missing))

    def select(self, index: Tensor) -> None:
        """Keep the rows `index` (R,), in this order; a row may occur twice."""
        self.inner.select(index)
        if self.agreement_BM is not None:
            self.agreement_BM = self.agreement_BM[index.to(self.agreement_BM.device)]

    def reset(self, rows: Tensor) -> None:
        """Empty these rows."""
        self.inner.reset(rows)
        if self.agreement_BM is not None:
            self.agreement_BM = self.agreement_BM.index_fill(0, rows.to(self.agreement_BM.device), 0)


_COUNT = (1 << 16) - 1
_WHOLE = 1 << 16
"""Bit that says: the string agrees with the memory's string from its beginning on."""


def agreement(ids_BT: Tensor, memory_BM: Tensor, begin: int, before_BM: Tensor | None = None) -> Tensor:
    """(B, T, M) after each token of the string: how many tokens up to it agree with those in front of each memory token.

    Beside the number stands a bit above it where all agree, from `begin` on. `before_BM`: the result after the tokens that
    came before these, where there were any.
    """
    previous_BM = functional.pad(memory_BM, (1, 0), value=-1)[:, :-1]
    last_BM = torch.zeros_like(memory_BM) if before_BM is None else before_BM
    found = []
    for token_B in ids_BT.unbind(1):
        same_BM = previous_BM == token_B[:, None]
        longer_BM = functional.pad(last_BM, (1, 0))[:, :-1] + 1
        longer_BM = torch.where(token_B[:, None] == begin, _WHOLE + 1, longer_BM)
        last_BM = torch.where(same_BM, longer_BM, 0)
        found.append(last_BM)
    return torch.stack(found, dim=1)


def _exact(h_BTD: Tensor) -> torch.dtype:
    return torch.float64 if h_BTD.dtype == torch.float64 else torch.float32
