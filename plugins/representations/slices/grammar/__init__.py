"""The mask of allowed tokens while a string is sampled, with its hard conditions."""
