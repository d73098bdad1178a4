"""Means over one normal law: intervals, branches, normal form, moments, Hermite coefficients."""
