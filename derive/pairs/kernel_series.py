r"""Kernels without closed form: a series in the correlation with a proved tail.

Stage: activations and normal laws come in, a ``KernelSeries`` goes out. With c_k and d_k the
normalised Hermite coefficients of f(z) = s(m + sqrt(a) z) and of g, Mehler's formula and the
inequality of Cauchy and Schwarz give, on the closed interval -1 <= rho <= 1,

.. math:: \Big|\mathbb{E}[f(u) g(v)] - \sum_{k\le n} c_k d_k \rho^k\Big|
          \le |\rho|^{n+1} \sqrt{T_f T_g}, \qquad T_f = \mathbb{E} f^2 - \sum_{k\le n} c_k^2 .

Where both functions have kinks this converges too slowly. Then f = p + q with p the piecewise
polynomial that carries the first jumps: the kernel of p is known, the series holds
c_k d_k less the products of the coefficients of the two p, and the tail is at most
sqrt(T_p T_q') + sqrt(T_q T_p') + sqrt(T_q T_q'). Source: [mehler1866].
"""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from flint import arb, fmpq
from sympy import Expr, Symbol

from derive.balls import Ball
from derive.enclosing.ball_program import Evaluation, working_precision
from derive.errors import RangeError
from derive.exact import Number, exact_number
from derive.pairs.kernel_expansion import Side, Terms, plain, side, split
from derive.pairs.kink_kernel import Kink, kink_kernel
from derive.provenance import MEHLER_1866, PRICE_1958
from derive.rewrite import Log, Step
from derive.symbols import z
from derive.value import Kind

_FIRST_ORDER = 48
_STEEP_DEGREES = (6, 2, 0)
"""Degrees of the kinks that are tried where the usual one fails; 0 leaves the kinks in."""
_PRECISION = 256
_LARGEST = 8192
_ROUNDING = Fraction(2**16 + 1, 2**16)


@dataclass(frozen=True)
class KernelSeries:
    r"""A kernel E[s(u) t(v)] as ``kinks + sum_k coefficients[k] rho^k + tail``.

    Attributes:
        coefficients: balls, k = 0..n; exact zeros are proved by parity.
        tail: what is left out at |rho| = 1 is at most this; at rho, times |rho|^(n+1).
        scale: sqrt(E s^2 E t^2), an upper bound of the kernel, rounded to a binary fraction.
        accuracy: the certified error on the whole of -1 <= rho <= 1 in units of ``scale``.
        reason: why the kernel is a series, and what limits it, one sentence or two.
        kinks: the piecewise polynomials whose closed kernel is added; empty for smooth pairs.
        log: steps of the derivation.

    Example:
        >>> from sympy import tanh
        >>> kernel = kernel_series(tanh(z))
        >>> kernel.ball("1/2").str(10), kernel.accuracy <= 1e-12
        ('0.1863244132', True)
    """

    coefficients: tuple[Ball, ...]
    tail: Fraction
    scale: Fraction
    accuracy: Fraction
    reason: str
    kinks: tuple[tuple[Kink, ...], tuple[Kink, ...]] = ((), ())
    log: Log = field(default=Log(), compare=False)

    @property
    def kind(self) -> Kind:
        """What the digits rest on: always certified balls."""
        return Kind.BALL

    @property
    def order(self) -> int:
        """Largest power of rho."""
        return len(self.coefficients) - 1

    @property
    def error(self) -> float:
        """The certified absolute error on -1 <= rho <= 1.

        Accuracy: rounded up, so that it stays a bound.
        """
        return math.nextafter(float(self.accuracy * self.scale), math.inf)

    @cached_property
    def _arbs(self) -> tuple[arb, ...]:
        with working_precision(_PRECISION):
            return tuple(c.arb() for c in self.coefficients)

    def ball(self, rho: Number | Fraction) -> Ball:
        """Return a ball that holds the kernel at a correlation.

        Args:
            rho: exact number, -1 <= rho <= 1; floats are read as the decimal they print.

        Raises:
            RangeError: if |rho| > 1.

        Accuracy: proved; radius at most ``accuracy * scale``.
        """
        point = _correlation(rho)
        precision = _PRECISION
        while True:
            with working_precision(precision):
                total, radius = self._sum(Evaluation(precision)(point))
                if radius < _arb(self.accuracy * self.scale) / 64 or precision > _LARGEST:
                    return _as_ball(total)
            precision *= 2

    def _sum(self, x: arb) -> tuple[arb, arb]:
        """Return the kernel, and the radius of the part that precision can reduce."""
        total = arb(0)
        for c in reversed(self._arbs):
            total = total * x + c
        left_out = abs(x) ** (self.order + 1) * _arb(self.tail)
        total += arb(0, left_out.upper())
        if self.kinks == ((), ()):
            return total, arb(0)
        known = kink_kernel(*self.kinks, x)
        return total + known, arb(known.rad())

    def enclose(self, rho: arb) -> arb:
        """Return the kernel over a ball of correlations, at the current precision.

        Accuracy: proved.
        """
        return self._sum(rho)[0]

    def evaluate(self, rho: float) -> float:
        """Return the kernel at a correlation as a double.

        Accuracy: ``error`` plus one rounding.
        """
        return float(self.ball(Fraction(rho)))

    def __str__(self) -> str:
        shown = [
            f"{c.str(6)}*rho**{k}" if k else c.str(6)
            for k, c in enumerate(self.coefficients)
            if c.mid
        ]
        split = "closed kernel of the kinks + " if self.kinks != ((), ()) else ""
        head = " + ".join(shown[:4])
        return f"{split}{head} + ... ({self.order + 1} terms, error <= {self.error:.1e})"

    __repr__ = __str__

    def latex(self, terms: int = 4) -> str:
        r"""Return LaTeX of the first terms and of the bound of the rest.

        Example:
            >>> from sympy import tanh
            >>> print(kernel_series(tanh(z)).latex(2)[:40])
            K(\rho) = 0.366879\,\rho + 0.0220336\,\r
        """
        shown = [
            f"{c.str(6)}" + ("" if k == 0 else r"\,\rho" if k == 1 else rf"\,\rho^{{{k}}}")
            for k, c in enumerate(self.coefficients)
            if c.mid
        ][:terms]
        split = r"K_{\mathrm{kinks}}(\rho) + " if self.kinks != ((), ()) else ""
        body = " + ".join(shown).replace("+ -", "- ")
        power, digits = f"{self.error:.1e}".split("e")[1], f"{self.error:.1e}".split("e")[0]
        return (
            rf"K(\rho) = {split}{body} + \dots + R(\rho), \qquad "
            rf"|R(\rho)| \le {digits} \cdot 10^{{{int(power)}}}"
        )

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"


def _correlation(rho: Any) -> Expr:
    point: Expr = exact_number(rho)
    if not point.is_number or not point.is_extended_real:
        raise RangeError(f"correlation {rho}", "not a real number", "give a number")
    if (abs(point) - 1).is_positive:
        raise RangeError(f"correlation {rho}", "outside [-1, 1]", "give -1 <= rho <= 1")
    return point


def kernel_series(
    s: Any,
    t: Any = None,
    *,
    variances: tuple[Number, Number] = (1, 1),
    means: tuple[Number, Number] = (0, 0),
    accuracy: float = 1e-12,
    limit: int = 1536,
    variable: Symbol = z,
) -> KernelSeries:
    """Return E[s(u) t(v)] as a series in the correlation of u ~ N(m1, a) and v ~ N(m2, b).

    Args:
        s: expression in the variable, without parameters.
        t: the other function; s itself if None.
        variances: a, b > 0, exact numbers.
        means: m1, m2.
        accuracy: error asked for on all of -1 <= rho <= 1, in units of sqrt(E s^2 E t^2).
        limit: largest power of rho to use.
        variable: the argument of s and t.

    Returns:
        The series. Where the limit is reached first, ``accuracy`` of the result is larger than
        asked for and ``reason`` says so.

    Raises:
        NotIntegrableError: if a second moment does not exist.
        NotConvergedError, NotSupportedError: if no coefficient can be certified.
        RangeError: on bad variances or accuracy.

    Accuracy: proved; see ``KernelSeries.accuracy``.

    Example:
        >>> from sympy import Abs, tanh
        >>> kernel_series(Abs(tanh(z)), tanh(z)).coefficients[1].str()
        '0'
    """
    if not 1e-60 <= accuracy < 1:
        raise RangeError(f"accuracy = {accuracy}", "out of range", "give 1e-60 <= accuracy < 1")
    if limit < 1:
        raise RangeError(f"limit = {limit}", "out of range", "give limit >= 1")
    f = side(s, means[0], variances[0], variable)
    same = t is None and means[0] == means[1] and variances[0] == variances[1]
    g = f if same else side(s if t is None else t, means[1], variances[1], variable)
    goal = Fraction(accuracy)
    best: KernelSeries | None = None
    order = min(_FIRST_ORDER, limit)
    while True:
        found, following = _attempt(f, g, order, goal)
        if best is None or found.accuracy < best.accuracy:
            best = found
        if best.accuracy <= goal:
            return best
        if order >= limit:
            break
        order = min(limit, following)
    if best.kinks != ((), ()):
        tries = [_attempt(f, g, limit, goal, degree)[0] for degree in _STEEP_DEGREES]
        best = min([best, *tries], key=lambda found: found.accuracy)
    note = (
        f"{best.reason}; {accuracy:.0e} would need powers beyond {limit}, "
        f"certified is {float(best.accuracy):.1e}"
    )
    return replace(best, reason=note)


def _attempt(
    f: Side, g: Side, order: int, goal: Fraction, degree: int | None = None
) -> tuple[KernelSeries, int]:
    """Return the series of one order, with whatever accuracy it has, and the order to try next."""
    terms, slow = None, ""
    if f.has_kinks and g.has_kinks:
        terms = split(f, g, order, goal, degree) if degree != 0 else None
        slow = (
            "; a kink that is not a jump of derivatives makes it slow"
            if terms is None and degree != 0
            else ""
        )
    terms = terms or plain(f, g, order, goal)
    scale = _below((f.mass * g.mass).sqrt())
    errors = _errors(terms)
    enough = (n for n, error in enumerate(errors) if error <= goal * scale)
    n = next(enough, len(errors) - 1)
    log = Log((Step("expand in Hermite polynomials", f"orders 0..{n}", MEHLER_1866),))
    if terms.kinks != ((), ()):
        count = sum(len(part) for part in terms.kinks)
        log = log.then(Step("take off the first jumps", f"{count} kinks", PRICE_1958))
    log = log.then(Step("bound the tail by the missing second moments", f"{float(errors[n]):.1e}"))
    found = KernelSeries(
        tuple(_as_ball(x) for x in terms.products[: n + 1]),
        _above(terms.tails[n]),
        scale,
        errors[n] / scale,
        f"no closed form is known: {terms.note} with a proved tail{slow}",
        terms.kinks,
        log,
    )
    return found, _following(errors, float(goal * scale))


def _following(errors: list[Fraction], goal: float) -> int:
    """Extrapolate the errors, which fall like exp(-b sqrt(n)) for analytic functions."""
    last = len(errors) - 1
    first = last // 2
    half, full = (math.log(max(float(errors[n]), 1e-300)) for n in (first, last))
    rate = max(half - full, 1e-3) / (math.sqrt(last) - math.sqrt(first))
    wanted = (math.sqrt(last) + max(0.0, full - math.log(goal)) / rate) ** 2
    return round(min(max(1.06 * wanted + 8, 1.4 * last), 4.0 * last)) + 1


def _errors(terms: Terms) -> list[Fraction]:
    """Return the error after each order: tail and radii, rounded up as balls round them."""
    radii, found = Fraction(0), []
    for product, tail in zip(terms.products, terms.tails, strict=True):
        radii += _above(arb(product.rad()))
        found.append((_above(tail) + radii) * _ROUNDING)
    return found


def _as_ball(x: arb) -> Ball:
    return Ball(Fraction(0)) if x.is_zero() else Ball.from_arb(x)


def _above(x: arb) -> Fraction:
    return _dyadic(x.upper())


def _below(x: arb) -> Fraction:
    return _dyadic(x.lower())


def _dyadic(x: arb) -> Fraction:
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _arb(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))
