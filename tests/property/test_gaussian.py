"""Every closed form over one normal against quadrature written by hand, at random laws."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from sympy import (
    Abs,
    Expr,
    Heaviside,
    Integer,
    Max,
    Min,
    Piecewise,
    Rational,
    cos,
    erf,
    erfc,
    exp,
    sign,
    sin,
    sqrt,
)

from derive.balls import enclose
from derive.gaussian import closed_form
from derive.symbols import z

DIGITS = 30


@dataclass(frozen=True)
class Case:
    """A function of z with parameters a, t > 0 as SymPy, by hand in mpmath, and its kinks."""

    symbolic: Callable[[Expr, Expr], Expr]
    by_hand: Callable[[mpf, mpf, mpf], mpf]
    kinks: Callable[[mpf, mpf], list[mpf]] = lambda a, t: []


def step(x: mpf) -> mpf:
    return mpf(1) if x > 0 else mpf(0)


def gelu(x: mpf) -> mpf:
    return x * mp.erfc(-x / mp.sqrt(2)) / 2


CASES = {
    "relu": Case(lambda a, t: Max(z, 0), lambda x, a, t: max(x, 0), lambda a, t: [0]),
    "shifted relu cubed": Case(
        lambda a, t: Max(z - a, 0) ** 3, lambda x, a, t: max(x - a, 0) ** 3, lambda a, t: [a]
    ),
    "leaky relu squared": Case(
        lambda a, t: Piecewise((z, z > 0), (a * z, True)) ** 2,
        lambda x, a, t: (x if x > 0 else a * x) ** 2,
        lambda a, t: [0],
    ),
    "clip squared": Case(
        lambda a, t: Max(-t, Min(t, z)) ** 2,
        lambda x, a, t: max(-t, min(t, x)) ** 2,
        lambda a, t: [-t, t],
    ),
    "hard sigmoid": Case(
        lambda a, t: Max(0, Min(1, (z + 3) / 6)),
        lambda x, a, t: max(0, min(1, (x + 3) / 6)),
        lambda a, t: [-3, 3],
    ),
    "softshrink squared": Case(
        lambda a, t: (sign(z) * Max(Abs(z) - t, 0)) ** 2,
        lambda x, a, t: max(abs(x) - t, 0) ** 2,
        lambda a, t: [-t, t],
    ),
    "hard shrink": Case(
        lambda a, t: z * Heaviside(Abs(z) - t),
        lambda x, a, t: x * step(abs(x) - t),
        lambda a, t: [-t, t],
    ),
    "elu squared": Case(
        lambda a, t: Piecewise((z, z > 0), (exp(z) - 1, True)) ** 2,
        lambda x, a, t: (x if x > 0 else mp.expm1(x)) ** 2,
        lambda a, t: [0],
    ),
    "celu": Case(
        lambda a, t: Max(z, 0) + Min(0, t * (exp(z / t) - 1)),
        lambda x, a, t: x if x > 0 else t * mp.expm1(x / t),
        lambda a, t: [0],
    ),
    "triangle squared": Case(
        lambda a, t: Max(1 - Abs(z) / t, 0) ** 2,
        lambda x, a, t: max(1 - abs(x) / t, 0) ** 2,
        lambda a, t: [-t, 0, t],
    ),
    "gelu squared": Case(
        lambda a, t: (z * (1 + erf(z / sqrt(2))) / 2) ** 2, lambda x, a, t: gelu(x) ** 2
    ),
    "erf of an affine argument": Case(
        lambda a, t: z * erf(t * z + a), lambda x, a, t: x * mp.erf(t * x + a)
    ),
    "product of two erf": Case(
        lambda a, t: erf(t * z + a) * erf(z), lambda x, a, t: mp.erf(t * x + a) * mp.erf(x)
    ),
    "square of erf": Case(lambda a, t: erf(t * z + a) ** 2, lambda x, a, t: mp.erf(t * x + a) ** 2),
    "relu times erf": Case(
        lambda a, t: Max(z, 0) * erf(t * z + a),
        lambda x, a, t: max(x, 0) * mp.erf(t * x + a),
        lambda a, t: [0],
    ),
    "exponential times erfc on an interval": Case(
        lambda a, t: exp(-z) * erfc(z - a) * Heaviside(z) * Heaviside(t - z),
        lambda x, a, t: mp.exp(-x) * mp.erfc(x - a) * step(x) * step(t - x),
        lambda a, t: [0, t],
    ),
    "Gaussian bump": Case(
        lambda a, t: z**2 * exp(-t * z**2 + a * z),
        lambda x, a, t: x**2 * mp.exp(-t * x**2 + a * x),
    ),
    "growing exponential on an interval": Case(
        lambda a, t: z * exp(t * z**2) * Heaviside(1 - Abs(z - a)),
        lambda x, a, t: x * mp.exp(t * x**2) * step(1 - abs(x - a)),
        lambda a, t: [a - 1, a + 1],
    ),
    "Gabor": Case(
        lambda a, t: exp(-(z**2) / 2) * cos(t * z + a),
        lambda x, a, t: mp.exp(-(x**2) / 2) * mp.cos(t * x + a),
    ),
}
WAVES = {
    "wave times power": Case(
        lambda a, t: z * sin(t * z + a) ** 2, lambda x, a, t: x * mp.sin(t * x + a) ** 2
    ),
    "half a wave": Case(
        lambda a, t: Max(z, 0) * sin(t * z),
        lambda x, a, t: max(x, 0) * mp.sin(t * x),
        lambda a, t: [0],
    ),
    "wave times erf": Case(
        lambda a, t: cos(t * z) * erf(z - a), lambda x, a, t: mp.cos(t * x) * mp.erf(x - a)
    ),
    "falling exponential": Case(
        lambda a, t: exp(-t * Abs(z - a)),
        lambda x, a, t: mp.exp(-t * abs(x - a)),
        lambda a, t: [a],
    ),
}


def number(value: Expr) -> mpf:
    return mpf(value.p) / value.q


def quadrature(case: Case, a: Expr, t: Expr, m: Expr, r: Expr) -> tuple[mpf, mpf]:
    """Return the mean by tanh-sinh between kinks, and the mean of the absolute value."""
    with mp.workdps(DIGITS + 20):
        a, t, m, r = (number(v) for v in (a, t, m, r))
        s = mp.sqrt(r)
        marks = [*case.kinks(a, t), 0, a, -a / t]
        marks += [mark + d for mark in marks for d in (-9, -2, 2, 9)]
        ends = [m + s * d for d in (-20, -6, -2, 0, 2, 6, 20)]
        points = sorted({*(p for p in map(mpf, marks) if ends[0] < p < ends[-1]), *ends})

        def density(x: mpf) -> mpf:
            return mp.exp(-((x - m) ** 2) / (2 * r)) / mp.sqrt(2 * mp.pi * r)

        def integrand(x: mpf) -> mpf:
            return case.by_hand(x, a, t) * density(x)

        parts = [mp.quad(integrand, ends) for ends in pairwise(points)]
        return mp.fsum(parts), mp.fsum(abs(part) for part in parts)


def agrees(case: Case, a: Expr, t: Expr, m: Expr, r: Expr) -> bool:
    value = enclose(closed_form(case.symbolic(a, t), m, r)[0], DIGITS + 10)
    witness, scale = quadrature(case, a, t, m, r)
    with mp.workdps(DIGITS + 20):
        return abs(value.mpf(DIGITS + 15) - witness) <= mpf(10) ** -DIGITS * scale + mpf(10) ** -60


rationals = st.fractions(-3, 3, max_denominator=20).map(
    lambda f: Rational(f.numerator, f.denominator)
)
positives = st.fractions("1/10", 3, max_denominator=20).map(
    lambda f: Rational(f.numerator, f.denominator)
)
variances = st.builds(
    lambda f, e: Rational(f.numerator, f.denominator) * Integer(10) ** e,
    st.fractions(1, 9, max_denominator=10),
    st.integers(-6, 5),
)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=4, derandomize=True, deadline=None)
@given(a=rationals, t=positives, m=rationals, r=variances)
def test_closed_form_agrees_with_quadrature_to_30_digits(
    name: str, a: Expr, t: Expr, m: Expr, r: Expr
) -> None:
    assert agrees(CASES[name], a, t, m, r)


@pytest.mark.parametrize("name", WAVES)
@settings(max_examples=3, derandomize=True, deadline=None)
@given(a=rationals, t=positives, m=rationals, r=positives)
def test_waves_and_tails_agree_with_quadrature_at_moderate_variance(
    name: str, a: Expr, t: Expr, m: Expr, r: Expr
) -> None:
    assert agrees(WAVES[name], a, t, m, r)


def test_the_witness_sees_a_wrong_variance() -> None:
    value = closed_form(Max(z, 0), Rational(1, 2), Rational(2))[0]
    witness, _ = quadrature(
        CASES["relu"], Rational(0), Rational(1), Rational(1, 2), Rational(21, 10)
    )
    assert abs(mpf(value.evalf(30)) - witness) > 1e-3
