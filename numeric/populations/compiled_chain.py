"""Spectral functions of any declared chain of layers, through its compiled equations.

Stage: the System of ``derive.chains.spectral_route`` and widths in, ``SpectralFunctions`` out. Used
where the explicit form of ``populations.architecture`` does not reach: neurons with biases and
norms of their own (activations with a mean above the first layer among them), rows with a
covariance.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.chains.layer_chain import Chain
from derive.chains.spectral_route import spectral_system
from derive.program import program
from numeric.compiled import Evaluator, compile
from numeric.solution import Solution
from numeric.spectral_functions import Sums

Array = NDArray[np.float64]
_CLOSE = 1e-13  # where x = 0 is asked for, x is taken as this share of the mean eigenvalue
_FULL = 1e-6
_FAR = 1e14  # where x is far above all eigenvalues: x df1 is their mean, U all of the target


@dataclass(frozen=True, eq=False)
class CompiledSpectrum:
    """Spectral functions of a chain; made by ``compiled_spectrum``.

    Attributes:
        evaluator: compiled equations, with control x.
        gamma: widths over the input dimension.
        rho: second moment of the target without label noise.
        mean: mean eigenvalue of the features' covariance.
        rank: limit of df1 at x = 0.
    """

    evaluator: Evaluator
    gamma: tuple[float, ...]
    rho: float
    mean: float
    rank: float = 1.0

    def __call__(self, x: ArrayLike) -> Sums:
        """Return the sums at x >= 0, of any shape.

        Raises:
            NotConvergedError: naming the first point that did not converge.
        """
        found = self.at(np.maximum(np.asarray(x, dtype=float), _CLOSE * self.mean))
        df1, bent, left, fitted = (found[name] for name in ("df1", "bent", "U", "T"))
        rest1 = np.maximum(found["rest1"] - (1 - self.rank), 0.0)
        return Sums(
            df1=df1,
            df2=np.maximum(df1 - bent, 0.0),
            T=fitted,
            T2=np.maximum(left - self.rho + 2 * fitted, 0.0),
            unexplained=left,
            rest1=rest1,
            rest2=rest1 + bent,
        )

    def at(self, x: Array) -> Solution:
        """Return the solved equations at x > 0; raises where they did not converge."""
        controls: dict[str, Any] = {"x": x}
        if self.gamma:
            controls["gamma"] = self.gamma
        return self.evaluator(**controls).check()


def compiled_spectrum(chain: Chain, gamma: tuple[float, ...]) -> CompiledSpectrum:
    """Compile the spectral functions of a chain of layers.

    Args:
        chain: from ``DeepFeatures.chain()``.
        gamma: width of each layer over the input dimension.

    Accuracy: about 1e-14 relative in df1, 1 - df1, df1 - df2, U and T; T2 and df2 are differences.
    """
    evaluator = compile(program(spectral_system(chain), "x"), errors=False, slopes=False)
    raw = CompiledSpectrum(evaluator, gamma, rho=1.0, mean=1.0)
    rough = _FAR * float(raw.at(np.array(_FAR))["df1"])
    far = raw.at(np.array(_FAR * rough))
    mean, rho = _FAR * rough * float(far["df1"]), float(far["U"])
    empty = float(raw.at(np.array(_CLOSE * mean))["rest1"])
    rank = 1.0 if empty < _FULL else 1 - empty
    return CompiledSpectrum(evaluator, gamma, rho, mean, rank)
