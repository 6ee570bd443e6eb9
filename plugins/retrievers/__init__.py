"""Built-in retrievers: composition -> known structure types, ranked."""
