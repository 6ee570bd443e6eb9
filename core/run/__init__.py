"""One run from recipe to report, in a folder that reproduces it."""
