"""Crystals as numbers: lattices, neighbours, CIF text, space groups, equality."""
