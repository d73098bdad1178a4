"""Finite-size twins of what is declared: sampled networks and matrices."""
