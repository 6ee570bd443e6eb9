"""Metrics over samples, and the pages that show them."""
