"""Parts of the equivariant encoder."""
