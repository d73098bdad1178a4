"""Layers of random networks, one map per kind: what ``derive.layers`` composes."""
