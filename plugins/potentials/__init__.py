"""Potentials: crystals -> energies, forces, stresses."""
