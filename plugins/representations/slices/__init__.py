"""SLICES: crystals as strings of atoms and labelled bonds, and back; see docs/slices.md."""
