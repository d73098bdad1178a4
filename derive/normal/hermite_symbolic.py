"""Hermite coefficients at symbolic k: generating forms.

Stage: beside ``hermite``. Three families have one formula for all k: exponentials and waves (the
k-th derivative of the mean is a power times the mean), Gaussians and error functions (the k-th
derivative is a Hermite polynomial times a Gaussian), and piecewise polynomials (the derivative of
order degree + 1 is a sum of point masses, so only jumps of s and of its derivatives count).
Source: [stein1981].
"""

from typing import Any

from sympy import (
    Add,
    Expr,
    I,
    KroneckerDelta,
    Rational,
    Symbol,
    atan2,
    cos,
    exp,
    expand,
    factor_terms,
    hermite,
    oo,
    pi,
    sin,
    sqrt,
)

from derive.errors import NoRuleError
from derive.gaussian import Number, checked_input, closed_form
from derive.normal.gaussian_moments import canonical, split
from derive.normal.gaussian_terms import FLAT, Coefficients, Form, Mode, normal_form
from derive.normal.hermite_polynomials import hermite_polynomial
from derive.normal.intervals import decided_sign
from derive.provenance import STEIN_1981
from derive.rewrite import Log, Step
from derive.value import Value


def symbolic_coefficient(
    expr: Any, k: Expr, mean: Number, variance: Number, variable: Symbol
) -> Value:
    """Return mu_k at an integer symbol k; ``Value.reason`` says from which k the form holds.

    Args:
        expr: s, in the class of ``normal_form``.
        k: an integer symbol.
        mean: m, real.
        variance: r > 0.
        variable: the argument of s.

    Raises:
        NoRuleError: naming the term that has no generating form.

    Example:
        >>> from sympy import Symbol, sign
        >>> from derive.symbols import z
        >>> n = Symbol("n", integer=True, positive=True)
        >>> form = symbolic_coefficient(sign(z), n, 0, 1, z)
        >>> form.reason, [form.expr.subs(n, k) for k in (1, 2, 3)]
        ('generating form, valid for n >= 1', [sqrt(2)/sqrt(pi), 0, -sqrt(2)/sqrt(pi)])
    """
    s, m, r, x = checked_input(expr, mean, variance, variable)
    law = (m, r)
    form = normal_form(s, x)
    flat = {cell: poly for (cell, mode), poly in form.terms.items() if mode == FLAT}
    kinked = any(not cell.is_line() for cell in flat)
    first = max(len(poly) for poly in flat.values()) if kinked else 0
    terms = [_jumps(form, k, law, x)]
    if not kinked:
        terms += [_polynomial(poly, k, law, x) for poly in flat.values()]
    for (cell, mode), poly in form.terms.items():
        if mode != FLAT:
            if not cell.is_line() or len(poly) > 1:
                raise _no_form(mode, "times a power or on part of the line")
            terms.append(_mode(mode, poly[0], k, law))
            first = max(first, len(mode.bells))
    value = factor_terms(Add(*terms))
    log = Log((Step("differentiate the mean k times", str(value), STEIN_1981),))
    return Value(value, reason=f"generating form, valid for {k} >= {first}", log=log)


def _no_form(mode: Mode, why: str) -> NoRuleError:
    return NoRuleError(
        "a Hermite coefficient at symbolic k",
        f"no generating form for exp({mode.linear}*z + {mode.quadratic}*z**2) with "
        f"{len(mode.bells)} erf, {why}",
        "give k as an integer, or a sum of polynomials, exp, sin, cos, Gaussians, erf and kinks",
    )


def _he(n: Expr, x: Expr) -> Expr:
    """Return the probabilists' polynomial of symbolic degree."""
    return 2 ** (-n / 2) * hermite(n, x / sqrt(2))


def _jumps(form: Form, k: Expr, law: tuple[Expr, Expr], x: Symbol) -> Expr:
    """Return the point masses of s, and those of the derivatives of its piecewise polynomial."""
    masses: list[tuple[Expr, int, Expr]] = [
        (place, degree, weight) for (place, degree), weight in form.atoms.items()
    ]
    for (cell, mode), poly in form.terms.items():
        if mode == FLAT:
            for sense, end in ((1, cell.low), (-1, cell.high)):
                if end not in (oo, -oo):
                    masses += [(end, -1 - j, sense * d) for j, d in _derivatives(poly, end, x)]
    total: dict[tuple[Expr, int], Expr] = {}
    for place, degree, weight in masses:
        total[place, degree] = expand(total.get((place, degree), 0) + weight)
    m, r = law
    return Add(
        *(
            weight
            * r ** Rational(-degree, 2)
            * _he(k + degree, (place - m) / sqrt(r))
            * exp(-((place - m) ** 2) / (2 * r))
            / sqrt(2 * pi * r)
            for (place, degree), weight in total.items()
        )
    )


def _derivatives(poly: Coefficients, place: Expr, x: Symbol) -> list[tuple[int, Expr]]:
    """Return (j, j-th derivative at the place)."""
    whole = Add(*(c * x**n for n, c in enumerate(poly)))
    return [(j, whole.diff(x, j).subs(x, place)) for j in range(len(poly))]


def _polynomial(poly: Coefficients, k: Expr, law: tuple[Expr, Expr], x: Symbol) -> Expr:
    m, r = law
    whole = Add(*(c * x**n for n, c in enumerate(poly)))
    rows = [
        (j, closed_form(whole * hermite_polynomial(j, (x - m) / sqrt(r)), m, r, x)[0])
        for j in range(len(poly))
    ]
    return Add(*(value * KroneckerDelta(k, j) for j, value in rows))


def _mode(mode: Mode, weight: Expr, k: Expr, law: tuple[Expr, Expr]) -> Expr:
    if mode.bells:
        if len(mode.bells) > 1 or Mode(bells=mode.bells) != mode:
            raise _no_form(mode, "times each other")
        return weight * _bell(mode.bells[0], k, law)
    if mode.quadratic == 0:
        return _wave(mode, weight, k, law)
    if mode.linear.has(I) or decided_sign(mode.quadratic) != -1:
        raise _no_form(mode, "oscillating or growing")
    return weight * _gaussian(mode, k, law)


def _bell(bell: tuple[Expr, Expr], k: Expr, law: tuple[Expr, Expr]) -> Expr:
    """Return r^(k/2) times the k-th derivative in m of erf((a m + b)/q), q^2 = 1 + 2 a^2 r."""
    (a, b), (m, r) = bell, law
    grown = expand(1 + 2 * a**2 * r)
    u = (a * m + b) / sqrt(grown)
    rate = sqrt(2 * r / grown) * a
    return (
        sqrt(2 / pi) * (-1) ** (k - 1) * rate**k * _he(k - 1, sqrt(2) * u) * exp(canonical(-(u**2)))
    )


def _wave(mode: Mode, weight: Expr, k: Expr, law: tuple[Expr, Expr]) -> Expr:
    """Return (a sqrt(r))^k times the mean of exp(c + a z); one of two conjugates counts twice."""
    m, r = law
    real, imaginary = split(mode.linear)
    exponent = split(mode.constant + mode.linear * m + mode.linear**2 * r / 2)
    size = exp(canonical(exponent[0]))
    if imaginary == 0:
        return weight * (real * sqrt(r)) ** k * size
    if imaginary.could_extract_minus_sign():
        return Add()
    radius = imaginary if real == 0 else sqrt(real**2 + imaginary**2)
    angle = pi / 2 if real == 0 else atan2(imaginary, real)
    phase = exponent[1] + k * angle
    first, second = split(weight)
    turned = first * cos(phase) - second * sin(phase)
    return 2 * (radius * sqrt(r)) ** k * size * turned


def _gaussian(mode: Mode, k: Expr, law: tuple[Expr, Expr]) -> Expr:
    """Return r^(k/2) times the k-th derivative in m of a Gaussian bump of m."""
    (m, r), a, b = law, mode.linear, mode.quadratic
    w = expand(1 - 2 * b * r)
    exponent = mode.constant + (2 * a * m + a**2 * r + 2 * b * m**2) / (2 * w)
    width = sqrt(-w / (2 * b))
    bump = exp(canonical(exponent)) / sqrt(w)
    return (-1) ** k * (sqrt(r) / width) ** k * _he(k, (m + a / (2 * b)) / width) * bump
