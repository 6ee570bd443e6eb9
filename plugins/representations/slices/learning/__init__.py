"""Fitting the bond table and the length net."""
