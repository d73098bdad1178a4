"""What compiled kernels are checked against: exact kernels in units of their largest value.

Stage: beneath compiled kernels; a closed form or a series in, doubles out. A closed form becomes a
straight-line program over balls once, and each value is computed at the first precision that is
enough: many times faster than a substitution followed by digits relative to the value itself.
"""

from fractions import Fraction

from flint import acb, arb, fmpq
from sympy import Expr

from derive.enclosing.ball_program import BallFunction, compile_ball, working_precision
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import exact_number
from derive.kernels import closed_ball
from derive.pairs.kernel_series import KernelSeries
from derive.symbols import rho as correlation
from derive.value import Value

_SPECIAL = (Fraction(0), Fraction(1), Fraction(-1))
_PLACES = (*_SPECIAL, Fraction(1, 2), Fraction(-1, 2))
_NEAR = Fraction(1, 2**160)
_PRECISIONS = (128, 192, 320, 640, 1280, 2560)
_BITS = 80
_DEEPEST = 1100
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
        self._known: dict[Fraction, Fraction] = {}
        self._programs: dict[int, BallFunction] = {}
        self.scale = 0.0
        if isinstance(value, KernelSeries):
            self.scale = float(value.scale)
        else:
            self.scale = max(_SMALLEST, *(abs(self._finite(x)) for x in _PLACES))

    def __call__(self, rho: Fraction) -> float:
        """Return the kernel at a correlation.

        Accuracy: as ``exact``.
        """
        return float(self.exact(rho))

    def exact(self, rho: Fraction) -> Fraction:
        """Return the kernel at a correlation.

        Accuracy: relative 2**-80, or absolute 2**-1100, or for a value that no precision tells from
        zero 2**-80 times ``scale``; for a series 2**-80 of its truncated sum.
        """
        if rho not in self._known:
            self._known[rho] = self._compute(rho)
        return self._known[rho]

    def _finite(self, rho: Fraction) -> float:
        try:
            return self(rho)
        except (OverflowError, RangeError) as error:
            raise _too_large(rho) from error

    def _compute(self, rho: Fraction) -> Fraction:
        if isinstance(self.value, KernelSeries):
            return self.value.ball(rho).mid
        if rho in _SPECIAL:
            return self._special(rho)
        try:
            return self._quick(self.value.expr, fmpq(rho.numerator, rho.denominator))
        except NotSupportedError:
            return closed_ball(self.value, exact_number(rho), 28).mid

    def _special(self, rho: Fraction) -> Fraction:
        """Return the value where the form may be simpler; else that beside it, but for 48 digits.

        A ball that does not tell the value from zero is either of a zero or of a value that is
        tiny, for which a neighbour has the same digits.
        """
        assert isinstance(self.value, Value), "asked only of closed forms"
        found = closed_ball(self.value, exact_number(rho), 28)
        if found.rad <= abs(found.mid) / 2**_BITS or found.rad == 0:
            return found.mid
        near = rho * (1 - _NEAR) if rho else _NEAR
        try:
            return self._quick(self.value.expr, fmpq(near.numerator, near.denominator))
        except (NotConvergedError, NotSupportedError):
            return found.mid

    def _quick(self, expr: Expr, rho: fmpq) -> Fraction:
        found = arb.nan()
        for precision in _PRECISIONS:
            with working_precision(precision):
                if precision not in self._programs:
                    self._programs[precision] = compile_ball(expr, correlation)
                found = self._programs[precision](acb(arb(rho)), False).real
                small = (abs(found.mid()) * arb(2) ** -_BITS).max(arb(2) ** -_DEEPEST)
                if found.is_finite() and found.rad() < small:
                    return _fraction(found.mid())
        if found.is_finite() and found.rad() < arb(self.scale) * arb(2) ** -_BITS:
            return _fraction(found.mid())
        raise NotConvergedError(
            f"the kernel at rho = {float(rho)}", f"no digits at {_PRECISIONS[-1]} bits", "rescale"
        )


def _too_large(rho: Fraction) -> RangeError:
    return RangeError(
        f"the kernel at rho = {rho} as a double",
        "its value is not finite there",
        "compile a rescaled activation, or take digits from Kernel.at",
    )


def _fraction(x: arb) -> Fraction:
    """Return the number; 0 for one far below all doubles, whose fraction may be very long."""
    if abs(x) < arb((1, -_DEEPEST)):
        return Fraction(0)
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
