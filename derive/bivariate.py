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

from flint import acb, arb, ctx
from mpmath import mp
from sympy import (
    Expr,
    Float,
    Function,
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
)
from sympy.core.function import ArgumentIndexError
from sympy.core.sorting import default_sort_key

from derive.errors import NotConvergedError, RangeError

HALF = S.Half


def phi(x: Any) -> Expr:
    """Return the standard normal density at ``x``.

    Example:
        >>> phi(0)
        sqrt(2)/(2*sqrt(pi))
    """
    x = S(x)
    return S.Zero if x.is_infinite else exp(-(x**2) / 2) / sqrt(2 * pi)


def Phi(x: Any) -> Expr:
    """Return the standard normal distribution function at ``x``, spelled with ``erf``.

    Example:
        >>> from derive.symbols import z
        >>> Phi(z)
        erf(sqrt(2)*z/2)/2 + 1/2
    """
    return (1 + erf(S(x) / sqrt(2))) / 2


def phi2(h: Any, k: Any, rho: Any) -> Expr:
    """Return the density at ``(h, k)`` of two unit normals of correlation ``rho``, |rho| < 1.

    Example:
        >>> phi2(0, 0, 0)
        1/(2*pi)
    """
    h, k, rho = S(h), S(k), S(rho)
    if h.is_infinite or k.is_infinite:
        return S.Zero
    square = h**2 - 2 * rho * h * k + k**2
    return exp(-square / (2 * (1 - rho) * (1 + rho))) / (2 * pi * q(rho))


def q(rho: Any) -> Expr:
    """Return ``sqrt(1 - rho**2)`` as ``sqrt((1 - rho)*(1 + rho))``: no digits lost near ±1."""
    rho = S(rho)
    return sqrt((1 - rho) * (1 + rho))


def _real(name: str, *values: Expr) -> None:
    for value in values:
        if value.is_extended_real is False and value is not S.NaN:
            raise RangeError(f"{name} at {value}", "not real", "give real arguments")


class _Continuous(Function):
    """A bounded continuous function of real arguments: limits go inside."""

    @property
    def points(self) -> tuple[Any, ...]:
        """The arguments."""
        return self.args

    def _eval_is_extended_real(self) -> bool | None:
        return True if all(x.is_extended_real for x in self.points) else None

    def _eval_is_finite(self) -> bool | None:
        return self._eval_is_extended_real()

    def _eval_as_leading_term(self, x: Expr, logx: Expr | None, cdir: Expr) -> Expr:
        """Return the value at the limits of the arguments, or the first Taylor term if it is 0."""
        at = self.func(*(arg.limit(x, 0, "-" if cdir == -1 else "+") for arg in self.points))
        if at.is_nonzero:
            return at
        slope = diff(self, x).limit(x, 0, "-" if cdir == -1 else "+")
        if not at.is_zero or not slope.is_nonzero or slope.is_infinite:
            raise NotImplementedError(f"leading term of {self} at {x} = 0")
        return slope * x


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

    def _eval_evalf(self, prec: int) -> Expr | None:
        return _digits(self, prec, _owens_ball)

    def _ball(self, evaluate: Callable[[Expr], arb], prec: int) -> arb:
        return _owens_ball(*(evaluate(x) for x in self.points))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        h, a = (printer._print(x) for x in self.points)
        return rf"T{'^{' + exp + '}' if exp else ''}\left({h}, {a}\right)"


class bivariate_normal(_Continuous):  # noqa: N801  (as above)
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

    nargs = 3

    @classmethod
    def eval(cls, h: Expr, k: Expr, rho: Expr) -> Expr | None:
        """Return the value where it is elementary, and order the first two arguments."""
        _real("bivariate_normal", h, k, rho)
        if S.NaN in (h, k, rho):
            return S.NaN
        if rho.is_number and (abs(rho) - 1).is_extended_positive:
            raise RangeError(f"correlation {rho}", "outside [-1, 1]", "give -1 <= rho <= 1")
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

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return self._eval_is_extended_real()

    def _eval_evalf(self, prec: int) -> Expr | None:
        return _digits(self, prec, _phi2_ball)

    def _ball(self, evaluate: Callable[[Expr], arb], prec: int) -> arb:
        return _phi2_ball(*(evaluate(x) for x in self.points))

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        h, k, rho = (printer._print(x) for x in self.points)
        return rf"\Phi_{{2}}{'^{' + exp + '}' if exp else ''}\left({h}, {k}; {rho}\right)"


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
    h, k, rho = S(h), S(k), S(rho)
    if not (h * k).is_nonzero or (h * k).is_positive is None:
        raise RangeError(f"Owen's T form at h*k = {h * k}", "sign not known", "give numbers")
    jump = S.Zero if (h * k).is_positive else HALF
    first = owens_t(h, (k - rho * h) / (h * q(rho)))
    second = owens_t(k, (h - rho * k) / (k * q(rho)))
    return (Phi(h) + Phi(k)) / 2 - first - second - jump


# --- digits -------------------------------------------------------------------------------------


def _digits(value: _Continuous, prec: int, ball: Callable[..., arb]) -> Expr | None:
    """Return ``prec`` correct bits of a function at real numbers, raising the working precision."""
    points = []
    for x in value.points:
        number = x._to_mpmath(prec + 16, allow_ints=False)
        if not isinstance(number, mp.mpf) or not mp.isfinite(number):
            return None
        sign, man, exponent, _ = number._mpf_
        points.append(arb((-man if sign else man, exponent)))
    found = refine(lambda: ball(*points), prec)
    man, exponent = found.mid().man_exp()
    with mp.workprec(prec):
        return Float._new(mp.mpf((int(man), int(exponent)))._mpf_, prec)


def refine(ball: Callable[[], arb], bits: int, limit: int = 1 << 16) -> arb:
    """Return ``ball()`` at the first working precision that gives ``bits`` relative bits.

    Raises:
        NotConvergedError: if ``limit`` bits of working precision do not suffice.
    """
    work = bits + 24
    while work <= limit:
        with ctx.workprec(work):
            found = ball()
        if found.is_exact() or found.rel_accuracy_bits() >= bits:
            return found
        work *= 2
    raise NotConvergedError(f"{bits} bits", f"working precision {limit} reached", "ask for less")


def _ends(ball: arb) -> tuple[arb, arb]:
    """Return exact numbers below and above every number of a ball."""
    return (ball, ball) if ball.is_exact() else (ball.lower(), ball.upper())


def _owens_ball(h: arb, a: arb) -> arb:
    """Enclose T over balls: increasing in ``a``, and in ``|h|`` moving towards zero."""
    if not (h.is_finite() and a.is_finite()):
        return arb.nan()
    near, far = arb(h.abs_lower()), arb(h.abs_upper())
    low, high = _ends(a)
    below = _owens_point(near if low < 0 else far, low)
    if h.is_exact() and a.is_exact():
        return below
    return below.union(_owens_point(far if high < 0 else near, high))


def _owens_point(h: arb, a: arb) -> arb:
    """Enclose T at exact ``h >= 0`` and ``a``; |a| > 1 is mapped to 1/|a| first."""
    if a < 0:
        return -_owens_point(h, -a)
    if a > 1:
        one, two = (x / arb(2).sqrt() for x in (h, a * h))
        tails = (one.erfc() + two.erfc()) / 4 - one.erfc() * two.erfc() / 4
        return tails - _owens_integral(a * h, 1 / a)
    return _owens_integral(h, a)


def _owens_integral(h: arb, a: arb) -> arb:
    half = acb(h * h / 2)

    def integrand(x: acb, analytic: bool) -> acb:
        return (-half * x * x).exp() / (1 + x * x)

    return (-h * h / 2).exp() * acb.integral(integrand, 0, a).real / (2 * arb.pi())


def _phi2_ball(h: arb, k: arb, rho: arb) -> arb:
    """Enclose the probability over balls; it increases in each argument."""
    if not (h.is_finite() and k.is_finite() and rho.is_finite()):
        return arb.nan()
    (h0, h1), (k0, k1), (r0, r1) = _ends(h), _ends(k), _ends(rho)
    below = _phi2_point(h0, k0, r0)
    if h.is_exact() and k.is_exact() and rho.is_exact():
        return below
    return below.union(_phi2_point(h1, k1, r1))


def _phi2_point(h: arb, k: arb, rho: arb) -> arb:
    """Enclose the probability at exact arguments: independence plus Price's integral in acos."""
    cdf_h, cdf_k = ((-x / arb(2).sqrt()).erfc() / 2 for x in (h, k))
    if rho >= 1:
        return cdf_h.min(cdf_k)
    if rho <= -1:
        return (cdf_h - (k / arb(2).sqrt()).erfc() / 2).max(arb(0))
    sign = 1 if rho >= 0 else -1
    gap, product = acb((h - sign * k) ** 2 / 2), acb(sign * h * k)

    def integrand(angle: acb, analytic: bool) -> acb:
        sine = angle.sin()
        return (-gap / (sine * sine) - product / (1 + angle.cos())).exp()

    price = acb.integral(integrand, abs(rho).acos(), arb.pi() / 2).real / (2 * arb.pi())
    return cdf_h * cdf_k + sign * price
