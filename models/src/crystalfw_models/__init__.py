"""Trained models for crystalfw: every folder here with a card is one, called as its folder."""

from pathlib import Path

from crystalfw.core import hookimpl

CRYSTALFW_INTERFACE = 1
"""The interface version that this package was written for."""


@hookimpl
def crystalfw_register(registry):
    """Deliver the models by name: nothing of them is read until one is asked for."""
    for card in sorted(Path(__file__).parent.glob("*/card.json")):
        registry.add_model(card.parent.name, f"{__name__}:{card.parent.name}")
