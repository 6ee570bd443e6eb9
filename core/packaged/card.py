"""The card of a delivered model: what it answers, what it was trained on, how good it is, and the checksums of its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from crystalfw.core.errors import CheckpointError

FORMAT = 1
CARD = "card.json"
MODEL = "model.pt"
"""The checkpoint of a delivered generator or predictor."""
KINDS = ("generator", "predictor", "retriever")
NOT_STATED = "not stated"
_LARGEST = 1_000_000
"""Bytes of a card above which it is none."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What card.json says; texts are sentences for people."""

    name: str
    kind: Literal["generator", "predictor", "retriever"]
    answers: str = NOT_STATED
    """What a user can ask it, in one line."""
    trained_on: str = NOT_STATED
    headline: str = NOT_STATED
    """How good it is, in one line."""
    figures: dict[str, str] = field(default_factory=dict)
    """What was measured -> value with unit, protocol and baseline."""
    licence: str = NOT_STATED
    citations: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    leakage: str = NOT_STATED
    """What keeps test crystals out of training, and what does not."""
    recipe: str = NOT_STATED
    seed: int = 0
    hours: float = 0.0
    """Wall time of the training."""
    parameters: int = 0
    components: dict[str, str] = field(default_factory=dict)
    """Kind and name of each component -> distribution and version that it was trained with."""
    crystalfw: str = ""
    """Version of crystalfw that wrote the model."""
    files: dict[str, str] = field(default_factory=dict)
    """File beside the card -> its SHA-256."""
    format: int = FORMAT

    def text(self) -> str:
        """The card as JSON, the same bytes for the same card."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def read_card(folder: Path) -> Card:
    """The card of a model's folder. Raises CheckpointError where it is missing, damaged, or of a newer format."""
    path = folder / CARD
    try:
        if path.stat().st_size > _LARGEST:
            raise CheckpointError(f"{path}: larger than any card; this is not a model that `crystalfw export` wrote")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: holds no {CARD}; `crystalfw export RUN` writes a model with its card") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({type(error).__name__}); install the model again") from error
    return _checked(found, path)


def _checked(found: Any, path: Path) -> Card:
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise CheckpointError(f"{path}: not the card of a crystalfw model")
    if found["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: a card of format {found['format']}; this crystalfw reads up to {FORMAT}. Install a newer crystalfw."
        )
    wrong = [f.name for f in fields(Card) if not _fits(found.get(f.name, _DEFAULTS.get(f.name)), _DEFAULTS[f.name])]
    if wrong or found["kind"] not in KINDS:
        raise CheckpointError(f"{path}: damaged ({', '.join(wrong) or 'kind'} cannot be read); install the model again")
    return Card(**{f.name: found[f.name] for f in fields(Card) if f.name in found})


_DEFAULTS: dict[str, Any] = asdict(Card(name="", kind="generator"))


def _fits(value: Any, default: Any) -> bool:
    """True where a value has the type of the field's default; numbers may be whole."""
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, dict):
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, type(default))
