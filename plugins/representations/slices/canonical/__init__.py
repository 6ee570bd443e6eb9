"""One graph, one canonical form; random equivalents."""
