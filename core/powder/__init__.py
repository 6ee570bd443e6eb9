"""Powder diffraction: computed lines and profiles, measured patterns, the fit of a cell, the search for a structure."""
