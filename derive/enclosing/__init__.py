"""Rigorous numbers: expressions on balls, envelopes of tails, proved integrals and roots."""
