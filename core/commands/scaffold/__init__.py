"""Templates of a plugin package, one component per kind; `crystalfw new plugin` fills them in."""
