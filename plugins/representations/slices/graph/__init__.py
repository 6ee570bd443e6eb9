"""Bonds, contacts and the labelled quotient graph."""
