"""Formats, archives, columns: what the sources read with."""
