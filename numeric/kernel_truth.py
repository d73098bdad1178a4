"""What compiled kernels are checked against: exact kernels in units of their largest value.

Stage: beneath compiled kernels; a closed form or a series in, doubles out. A closed form becomes a
straight-line program over balls once, and each value is computed at the first precision that is
enough: many times faster than a substitution followed by digits relative to the value itself.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import acb, arb, fmpq
from mpmath import mp
from sympy import Expr

from derive.enclosing.ball_program import BallFunction, compile_ball, working_precision
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import exact_number
from derive.kernels import closed_ball
from derive.pairs.kernel_series import KernelSeries
from derive.symbols import rho as correlation
from derive.value import Value

_ENDS = (Fraction(1), Fraction(-1))
_PRECISIONS = (128, 192, 320, 640, 1280, 2560)
_BITS = 62
_SMALLEST = 5e-324


class Truth:
    """A kernel at rational correlations, remembered.

    Attributes:
        scale: largest absolute value at rho = ±1, ±1/2 and 0; the least double if all underflow.

    Raises:
        RangeError: if the kernel is too large for doubles.

    Example:
        >>> from sympy import Max
        >>> from derive.kernels import kernel
        >>> from derive.symbols import z
        >>> truth = Truth(kernel(Max(z, 0)).value)
        >>> round(truth(Fraction(1, 2)), 14)
        0.30449889052211
    """

    def __init__(self, value: Value | KernelSeries) -> None:
        self.value = value
        self._known: dict[Fraction, float] = {}
        self._programs: dict[int, BallFunction] = {}
        self.scale = max(abs(self._whole(x)) for x in (*_ENDS, *(x / 2 for x in _ENDS)))
        self.scale = max(self.scale, abs(self._whole(Fraction(0))), _SMALLEST)
        if isinstance(value, KernelSeries):
            self.scale = float(value.scale)

    def __call__(self, rho: Fraction) -> float:
        """Return the kernel at a correlation.

        Accuracy: absolute 2e-16 times ``scale``; to one rounding at rho = 0, ±1/2 and ±1.
        """
        if rho not in self._known:
            self._known[rho] = self._compute(rho)
        return self._known[rho]

    def _whole(self, rho: Fraction) -> float:
        """Return the kernel with all digits of a double; 0 where it has none."""
        try:
            if isinstance(self.value, KernelSeries):
                found = float(self.value.ball(rho))
            else:
                found = float(closed_ball(self.value, exact_number(rho), 18))
        except (OverflowError, RangeError) as error:
            raise _too_large(rho) from error
        if not math.isfinite(found):
            raise _too_large(rho)
        self._known[rho] = found
        return found

    def _compute(self, rho: Fraction) -> float:
        if isinstance(self.value, KernelSeries):
            return float(self.value.ball(rho))
        try:
            return self._quick(self.value.expr, fmpq(rho.numerator, rho.denominator))
        except NotSupportedError:
            return self._whole(rho)

    def _quick(self, expr: Expr, rho: fmpq) -> float:
        allowed = arb(self.scale) * arb(2) ** -_BITS
        for precision in _PRECISIONS:
            with working_precision(precision):
                if precision not in self._programs:
                    self._programs[precision] = compile_ball(expr, correlation)
                found = self._programs[precision](acb(arb(rho)), False).real
                if found.is_finite() and found.rad() < allowed:
                    return float(found.mid())
        raise NotConvergedError(
            f"the kernel at rho = {float(rho)}", f"no digits at {_PRECISIONS[-1]} bits", "rescale"
        )


def _too_large(rho: Fraction) -> RangeError:
    return RangeError(
        f"the kernel at rho = {rho} as a double",
        "its value is not finite there",
        "compile a rescaled activation, or take digits from Kernel.at",
    )


def cosine(turn: Callable[[], Any]) -> Fraction:
    """Return the cosine of an angle, computed with 30 digits, as a fraction."""
    with mp.workdps(30):
        negative, mantissa, exponent, _ = mp.cos(turn())._mpf_
        return Fraction((-1) ** negative * int(mantissa)) * Fraction(2) ** int(exponent)
