"""Energies by potentials: one crystal relaxed, many relaxed over workers, energy above a hull."""
