"""Crystals as pictures: bonds, completed coordination, polyhedra, the card of facts; for notebooks, reports and any page."""
