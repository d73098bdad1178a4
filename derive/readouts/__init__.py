"""Readouts: convex losses and the limits of their learning curves."""
