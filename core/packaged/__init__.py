"""Delivered models: trained models that installed distributions hold, found by name, checked, never read before asked for."""

from crystalfw.core.packaged.card import CARD as CARD
from crystalfw.core.packaged.card import MODEL as MODEL
from crystalfw.core.packaged.card import Card as Card
from crystalfw.core.packaged.card import read_card as read_card
from crystalfw.core.packaged.find import located as located
from crystalfw.core.packaged.find import no_such as no_such
from crystalfw.core.packaged.integrity import verify as verify
