"""Populations: from weights, samples or an architecture to the spectral functions of a readout."""
