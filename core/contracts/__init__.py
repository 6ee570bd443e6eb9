"""Contracts in files of their own; a plugin imports all of them from `crystalfw.core.interfaces`."""
