"""Conditions -> strings -> crystals -> samples.csv."""
