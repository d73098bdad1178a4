"""Laws and spectral curves: series, edges, expansions."""
