"""Bugs that can be planted into a sound component of any kind."""

from __future__ import annotations


def other_config(sound):
    """A subclass that keeps something else than the Config that it was given."""

    class OtherConfig(sound):
        def __init__(self, config, **dimensions):
            super().__init__(config, **dimensions)
            self.config = {"options": config}

    return OtherConfig


def unordered_version(sound):
    """A subclass whose version cannot be compared with another."""

    class UnorderedVersion(sound):
        version = "the latest"

    return UnorderedVersion
