"""Built-in baselines: what could be had without training."""
