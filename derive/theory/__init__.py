"""The systems, each stated in the words of the modules of ``derive``."""

from derive.theory.deep_features import deep_features as deep_features

__all__ = ["deep_features"]
