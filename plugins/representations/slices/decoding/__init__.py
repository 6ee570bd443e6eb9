"""Quotient graphs to crystals: closed form, bond-length table, least squares, length net."""
