"""Tokens, grammar tables, reader and printer of SLICES strings."""
