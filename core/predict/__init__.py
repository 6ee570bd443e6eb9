"""Composition -> ranked crystals: questions, a retriever with its library, a table of answers."""
