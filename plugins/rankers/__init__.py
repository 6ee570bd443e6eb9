"""Built-in rankers: proposals for a question -> probabilities with reasons."""
