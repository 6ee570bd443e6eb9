"""Strings of known crystals for the crystals of a data set and for conditions: what the encoder `templates` reads."""
