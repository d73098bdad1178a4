r"""Two correlated normals: Owen's T, the bivariate normal probability, and the normal laws beneath.

Stage: functions of SymPy that closed kernels are written in. One responsibility: their exact
values, derivatives, limits, LaTeX and digits. Conventions: ``u, v`` are standard normal with
correlation ``rho``; ``bivariate_normal(h, k, rho)`` is P(u < h, v < k) and

    owens_t(h, a) = int_0^a exp(-h^2 (1 + x^2)/2)/(1 + x^2) dx / (2 pi).

Digits rest on integrals of entire or meromorphic functions over finite intervals in ball
arithmetic, so that they are rigorous at any precision. Sources: [owen1956]; [price1958] for the
derivative in ``rho``.
"""

from collections.abc import Callable
from typing import Any

from flint import acb, arb
from sympy import (
    Expr,
    Function,
    Heaviside,
    Integer,
    Max,
    Min,
    S,
    asin,
    atan,
    diff,
    erf,
    erfc,
    exp,
    pi,
    sqrt,
    sympify,
)
from sympy.core.function import ArgumentIndexError
from sympy.core.sorting import default_sort_key

from derive.errors import RangeError
from derive.pairs.bivariate_balls import (
    conditional_ball,
    density_ball,
    digits,
    orthant_ball,
    owens_ball,
)

HALF = S.Half


def phi(x: Any) -> Expr:
    """Return the standard normal density at ``x``.

    Example:
        >>> phi(0)
        sqrt(2)/(2*sqrt(pi))
    """
    x = sympify(x, strict=True)
    return S.Zero if x.is_infinite else exp(-(x**2) / 2) / sqrt(2 * pi)


def Phi(x: Any) -> Expr:
    """Return the standard normal distribution function at ``x``, spelled with ``erf``.

    Example:
        >>> from derive.symbols import z
        >>> Phi(z)
        erf(sqrt(2)*z/2)/2 + 1/2
    """
    return (1 + erf(sympify(x, strict=True) / sqrt(2))) / 2


def phi2(h: Any, k: Any, rho: Any) -> Expr:
    """Return the density at ``(h, k)`` of two unit normals of correlation ``rho``, |rho| < 1.

    Example:
        >>> phi2(0, 0, 0)
        1/(2*pi)
    """
    h, k, rho = (sympify(value, strict=True) for value in (h, k, rho))
    if h.is_infinite or k.is_infinite:
        return S.Zero
    return _bell(h, k, rho) / (2 * pi * q(rho))


def _bell(h: Expr, k: Expr, rho: Expr) -> Expr:
    """Return the density over its value at the origin."""
    return exp(-(h**2 - 2 * rho * h * k + k**2) / (2 * (1 - rho) * (1 + rho)))


def q(rho: Any) -> Expr:
    """Return ``sqrt(1 - rho**2)`` as ``sqrt((1 - rho)*(1 + rho))``: no digits lost near ±1."""
    rho = sympify(rho, strict=True)
    return sqrt((1 - rho) * (1 + rho))


def _real(name: str, *values: Expr) -> None:
    for value in values:
        if value.is_extended_real is False and value is not S.NaN:
            raise RangeError(f"{name} at {value}", "not real", "give real arguments")


def _correlation(rho: Expr) -> None:
    if rho.is_number and (abs(rho) - 1).is_extended_positive:
        raise RangeError(f"correlation {rho}", "outside [-1, 1]", "give -1 <= rho <= 1")


class _Continuous(Function):
    """A bounded continuous function of real arguments: limits go inside."""

    _enclosed: Callable[..., arb]

    @property
    def points(self) -> tuple[Any, ...]:
        """The arguments."""
        return self.args

    def _eval_is_extended_real(self) -> bool | None:
        return True if all(x.is_extended_real for x in self.points) else None

    def _eval_is_finite(self) -> bool | None:
        return self._eval_is_extended_real()

    def _eval_evalf(self, prec: int) -> Expr | None:
        return digits(self.points, prec, type(self)._enclosed)

    def _ball(self, evaluate: Callable[[Expr], arb], prec: int) -> arb:
        return type(self)._enclosed(*(evaluate(x) for x in self.points))

    def _acb(self, args: list[acb], analytic: bool) -> acb:
        """Return the value on real balls; holomorphy is not promised."""
        if analytic or not all(x.imag.is_zero() for x in args):
            return acb(arb.nan())
        return acb(type(self)._enclosed(*(x.real for x in args)))

    def _eval_as_leading_term(self, x: Expr, logx: Expr | None, cdir: Expr) -> Expr:
        """Return the value at the limits of the arguments, or the first Taylor term if it is 0."""
        at = self.func(*(arg.limit(x, 0, "-" if cdir == -1 else "+") for arg in self.points))
        if at.is_nonzero:
            return at
        slope = diff(self, x).limit(x, 0, "-" if cdir == -1 else "+")
        if not at.is_zero or not slope.is_nonzero or slope.is_infinite:
            raise NotImplementedError(f"leading term of {self} at {x} = 0")
        return slope * x


class _OfTwoNormals(_Continuous):
    """A nonnegative function of two heights and a correlation."""

    nargs = 3

    @staticmethod
    def _is_undefined(h: Expr, k: Expr, rho: Expr, name: str) -> bool:
        """Refuse what is not real or no correlation; return whether an argument is undefined."""
        _real(name, h, k, rho)
        if S.NaN in (h, k, rho):
            return True
        _correlation(rho)
        return False

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return self._eval_is_extended_real()


class owens_t(_Continuous):  # noqa: N801  (a function, named like those of SymPy)
    r"""Owen's function T(h, a), even in ``h`` and odd in ``a``.

    With ``h`` > 0 and ``a`` > 0 it is the probability that u > h and 0 < v < a u for independent
    unit normals u, v.

    Raises:
        RangeError: on an argument that is known not to be real.

    Source: [owen1956].

    Example:
        >>> from derive.symbols import z
        >>> owens_t(0, 1), owens_t(z, -2)
        (1/8, -owens_t(z, 2))
        >>> owens_t(z, 2).diff(z)
        -sqrt(2)*exp(-z**2/2)*erf(sqrt(2)*z)/(4*sqrt(pi))
        >>> owens_t(1, 2).n(30)
        0.0784681869930840963449419956316
    """

    nargs = 2
    _enclosed = staticmethod(owens_ball)

    @classmethod
    def eval(cls, h: Expr, a: Expr) -> Expr | None:
        """Return the value where it is elementary, and move signs out."""
        _real("owens_t", h, a)
        if S.NaN in (h, a):
            return S.NaN
        if a.is_zero or h.is_infinite:
            return S.Zero
        if h.is_zero:
            return atan(a) / (2 * pi)
        if a is S.One:
            return (1 - erf(h / sqrt(2)) ** 2) / 8
        if a is S.Infinity:
            return erfc(abs(h) / sqrt(2)) / 4
        if a is S.NegativeInfinity or a.could_extract_minus_sign():
            return -cls(h, -a)
        return cls(-h, a) if h.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative in the first or the second argument; both are elementary."""
        h, a = self.points
        if argindex == 1:
            return -phi(h) * erf(a * h / sqrt(2)) / 2
        if argindex == 2:
            return exp(-(h**2) * (1 + a**2) / 2) / (2 * pi * (1 + a**2))
        raise ArgumentIndexError(self, argindex)

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return self.points[1].is_extended_nonnegative

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        h, a = (printer._print(x) for x in self.points)
        return rf"T{'^{' + exp + '}' if exp else ''}\left({h}, {a}\right)"


class bivariate_normal(_OfTwoNormals):  # noqa: N801  (as above)
    r"""P(u < h, v < k) for unit normals u, v of correlation ``rho``.

    The first two arguments are put in a canonical order. Elementary values (independence,
    rho = ±1, infinite arguments, the quadrant) are taken by themselves.

    Raises:
        RangeError: if |rho| > 1, or an argument is known not to be real.

    Source: [owen1956]; derivative in ``rho`` from [price1958].

    Example:
        >>> from sympy import Rational, oo
        >>> from derive.symbols import rho, z
        >>> bivariate_normal(0, 0, rho)
        asin(rho)/(2*pi) + 1/4
        >>> bivariate_normal(z, oo, rho)
        erf(sqrt(2)*z/2)/2 + 1/2
        >>> bivariate_normal(1, 2, Rational(1, 2)).n(30)
        0.831860831130880476924678473301
    """

    _enclosed = staticmethod(orthant_ball)

    @classmethod
    def eval(cls, h: Expr, k: Expr, rho: Expr) -> Expr | None:
        """Return the value where it is elementary, and order the first two arguments."""
        if cls._is_undefined(h, k, rho, "bivariate_normal"):
            return S.NaN
        if S.NegativeInfinity in (h, k):
            return S.Zero
        if S.Infinity in (h, k):
            return Phi(k) if h is S.Infinity else Phi(h)
        if h.is_zero and k.is_zero:
            return Integer(1) / 4 + asin(rho) / (2 * pi)
        if rho.is_zero:
            return Phi(h) * Phi(k)
        if rho == 1:
            return Phi(Min(h, k))
        if rho == -1:
            return Max(0, (erf(h / sqrt(2)) + erf(k / sqrt(2))) / 2)
        return cls(k, h, rho) if default_sort_key(h) > default_sort_key(k) else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative in one of the three arguments; all are elementary or ``erf``."""
        h, k, rho = self.points
        if argindex == 1:
            return phi(h) * Phi((k - rho * h) / q(rho))
        if argindex == 2:
            return phi(k) * Phi((h - rho * k) / q(rho))
        if argindex == 3:
            return phi2(h, k, rho)
        raise ArgumentIndexError(self, argindex)

    def _eval_rewrite_as_owens_t(self, h: Expr, k: Expr, rho: Expr, **hints: Any) -> Expr:
        return phi2_by_owens_t(h, k, rho)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        h, k, rho = (printer._print(x) for x in self.points)
        return rf"\Phi_{{2}}{'^{' + exp + '}' if exp else ''}\left({h}, {k}; {rho}\right)"


class conditional_normal(_OfTwoNormals):  # noqa: N801  (as above)
    r"""P(u < h given v = k) for unit normals u, v of correlation ``rho``.

    It is ``Phi((h - rho*k)/sqrt(1 - rho**2))``, with the step function at rho = ±1 (one half where
    it jumps), so that kernels keep a value on the exact diagonal. ``rewrite(erf)`` writes it out.

    Example:
        >>> from derive.symbols import rho
        >>> conditional_normal(2, 1, 1), conditional_normal(0, 0, rho)
        (1, 1/2)
        >>> conditional_normal(2, 1, rho).rewrite(erf)
        erf(sqrt(2)*(2 - rho)/(2*sqrt((1 - rho)*(rho + 1))))/2 + 1/2
    """

    _enclosed = staticmethod(conditional_ball)

    @classmethod
    def eval(cls, h: Expr, k: Expr, rho: Expr) -> Expr | None:
        """Return the value where the correlation is 0 or ±1, at infinity, and at the origin."""
        if cls._is_undefined(h, k, rho, "conditional_normal"):
            return S.NaN
        if rho in (1, -1):
            return Heaviside(h - rho * k, HALF)
        if rho.is_zero or h.is_infinite:
            return Phi(h)
        return HALF if h.is_zero and k.is_zero else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative in one of the three arguments."""
        h, k, rho = self.points
        slope = phi((h - rho * k) / q(rho)) / q(rho)
        if argindex == 1:
            return slope
        if argindex == 2:
            return -rho * slope
        if argindex == 3:
            return slope * (rho * h - k) / ((1 - rho) * (1 + rho))
        raise ArgumentIndexError(self, argindex)

    def _eval_rewrite_as_erf(self, h: Expr, k: Expr, rho: Expr, **hints: Any) -> Expr:
        return Phi((h - rho * k) / q(rho))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        h, k, rho = self.points
        argument = printer._print((h - rho * k) / q(rho))
        return rf"\Phi{'^{' + exp + '}' if exp else ''}\left({argument}\right)"


class scaled_density(_OfTwoNormals):  # noqa: N801  (as above)
    r"""``(1 - rho**2)*phi2(h, k, rho)``: the density times 1 - rho^2, which vanishes at rho = ±1.

    Example:
        >>> from derive.symbols import rho
        >>> scaled_density(0, 0, rho), scaled_density(1, 2, 1)
        (sqrt((1 - rho)*(rho + 1))/(2*pi), 0)
    """

    _enclosed = staticmethod(density_ball)

    @classmethod
    def eval(cls, h: Expr, k: Expr, rho: Expr) -> Expr | None:
        """Return the value at the origin and where the correlation is 0 or ±1."""
        if cls._is_undefined(h, k, rho, "scaled_density"):
            return S.NaN
        if rho in (1, -1) or h.is_infinite or k.is_infinite:
            return S.Zero
        if rho.is_zero or (h.is_zero and k.is_zero):
            return _bell(h, k, rho) * q(rho) / (2 * pi)
        return cls(k, h, rho) if default_sort_key(h) > default_sort_key(k) else None

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative in one of the three arguments."""
        h, k, rho = self.points
        density = phi2(h, k, rho)
        if argindex == 1:
            return (rho * k - h) * density
        if argindex == 2:
            return (rho * h - k) * density
        if argindex == 3:
            square = (h - rho * k) * (k - rho * h) / ((1 - rho) * (1 + rho))
            return (square - rho) * density
        raise ArgumentIndexError(self, argindex)

    def _eval_rewrite_as_exp(self, h: Expr, k: Expr, rho: Expr, **hints: Any) -> Expr:
        return _bell(h, k, rho) * q(rho) / (2 * pi)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        h, k, rho = (printer._print(x) for x in self.points)
        inner = rf"\left(1 - {rho}^{{2}}\right) \varphi_{{2}}\left({h}, {k}; {rho}\right)"
        return rf"\left[{inner}\right]^{{{exp}}}" if exp else inner


def phi2_by_owens_t(h: Any, k: Any, rho: Any) -> Expr:
    """Return ``bivariate_normal(h, k, rho)`` through Owen's T; ``h*k`` needs a known sign.

    Raises:
        RangeError: if the sign of ``h*k`` is not known, or ``h*k`` is zero.

    Derivation: both sides have the density ``phi2`` as mixed derivative, and agree at infinity.

    Example:
        >>> from sympy import Rational
        >>> phi2_by_owens_t(1, 2, Rational(1, 2)).n(20)
        0.83186083113088047692
    """
    h, k, rho = (sympify(value, strict=True) for value in (h, k, rho))
    if not (h * k).is_nonzero or (h * k).is_positive is None:
        raise RangeError(f"Owen's T form at h*k = {h * k}", "sign not known", "give numbers")
    jump = S.Zero if (h * k).is_positive else HALF
    first = owens_t(h, (k - rho * h) / (h * q(rho)))
    second = owens_t(k, (h - rho * k) / (k * q(rho)))
    return (Phi(h) + Phi(k)) / 2 - first - second - jump
