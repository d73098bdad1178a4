"""Dual kernels of two correlated normals against two-dimensional quadrature and known values."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from mpmath import mp
from sympy import (
    Abs,
    Heaviside,
    I,
    Max,
    Min,
    Piecewise,
    Poly,
    Rational,
    Symbol,
    asin,
    cos,
    erf,
    exp,
    expand,
    factorial,
    hermite_prob,
    lambdify,
    nan,
    oo,
    pi,
    sign,
    sin,
    sqrt,
    tanh,
    zoo,
)

from derive.balls import enclose
from derive.dual import dual, dual_derivative
from derive.errors import NoRuleError, NotIntegrableError, RangeError
from derive.symbols import rho, z

a, b = Symbol("a", positive=True), Symbol("b", positive=True)
c, alpha = Symbol("c", positive=True), Symbol("alpha", positive=True)
k = Symbol("k", real=True)
relu, gelu = Max(z, 0), z * (1 + erf(z / sqrt(2))) / 2
NUMBERS = {k: Rational(3, 10), c: Rational(7, 10), alpha: Rational(6, 5)}
EDGES = [-3, -1, -0.7, 0, 0.3, 0.7, 1, 3]
CASES = {
    "cube": z**3,
    "polynomial": k * z**2 + c * z + 1,
    "exp": exp(k * z),
    "sin": sin(k * z),
    "cos": cos(z),
    "mixture": sin(z) * cos(2 * z),
    "gaussian": exp(-(z**2) / 2),
    "gabor": exp(-(z**2) / 2) * cos(k * z),
    "erf": erf(alpha * z + k),
    "probit": (1 + erf(z / sqrt(2))) / 2,
    "gelu": gelu,
    "sign": sign(z),
    "step": Heaviside(z),
    "shifted step": Heaviside(z - k),
    "abs": Abs(z),
    "relu": relu,
    "leaky relu": Max(z, 0) + Min(z, 0) / 10,
    "abrelu": 2 * Max(z, 0) - k * Min(z, 0),
    "relu squared": relu**2,
    "relu to the sixth": relu**6,
    "biased relu": Max(z - k, 0),
    "clip": Min(Max(z, -c), c),
    "hard sigmoid": Max(0, Min(1, z / 6 + Rational(1, 2))),
    "elu": Piecewise((z, z > 0), (exp(z) - 1, True)),
    "celu": Max(z, 0) + Min(0, alpha * (exp(z / alpha) - 1)),
    "softshrink": Max(z - c, 0) + Min(z + c, 0),
    "hard shrink": z * Heaviside(Abs(z) - c),
    "triangle": Max(0, 1 - Abs(z)),
}
CENTRED, SHIFTED = (0, 0), (Rational(1, 5), Rational(-2, 5))


def panels(low, high, edges, width):
    """Gauss-Legendre nodes and weights on panels that end at the edges."""
    x, w = np.polynomial.legendre.leggauss(30)
    ends = sorted({low, high, *(e for e in edges if low < e < high)})
    cuts = [np.linspace(p, q, max(1, int(np.ceil((q - p) / width))) + 1) for p, q in pairwise(ends)]
    pairs = [(p, q) for cut in cuts for p, q in pairwise(cut)]
    nodes = np.concatenate([(p + q) / 2 + (q - p) / 2 * x for p, q in pairs])
    return nodes, np.concatenate([(q - p) / 2 * w for p, q in pairs])


def quadrature(s, t, correlation, variances, means):
    """E[s(u) t(v)] on a grid of panels that end at every kink; 1e-13 for |correlation| < .95."""
    (m1, m2), (s1, s2) = means, np.sqrt(variances)
    q = np.sqrt(1 - correlation**2)
    x, w = panels(-12, 12, [(e - m1) / s1 for e in EDGES], 1.0)
    y, v = panels(-12, 12, [(e - m2) / s2 for e in EDGES], min(1.0, 2 * q))
    joint = np.exp(-((y - correlation * x[:, None]) ** 2) / (2 * q * q) - x[:, None] ** 2 / 2)
    outer, inner = w * s(m1 + s1 * x), v * t(m2 + s2 * y)
    return float(outer @ joint @ inner) / (2 * np.pi * q)


def numeric(expr):
    return lambdify(z, expr.subs(NUMBERS) + 0 * z, ["scipy", "numpy"])


@pytest.mark.parametrize(
    ("name", "means"),
    [(name, CENTRED) for name in CASES]
    + [(name, SHIFTED) for name in ("sin", "gabor", "erf", "gelu", "relu", "clip", "elu")],
)
def test_kernel_at_unequal_variances_agrees_with_quadrature(name, means):
    kernel = dual(CASES[name], variances=(a, b), means=means).expr
    f = numeric(CASES[name])
    for correlation in (Rational(-37, 100), Rational(9, 10)):
        at = {**NUMBERS, a: Rational(8, 5), b: Rational(3, 5), rho: correlation}
        law = ((1.6, 0.6), [float(m) for m in means])
        witness = quadrature(f, f, float(correlation), *law)
        assert abs(float(kernel.subs(at).n(18)) - witness) < 1e-12 * (1 + abs(witness))


@pytest.mark.parametrize(
    "f", [z**2 * erf(z), z**3 * (1 + erf(z / sqrt(2) + Rational(3, 10))) / 2, z**2 * Max(z - 1, 0)]
)
def test_powers_beside_error_functions_and_kinks_agree_with_quadrature(f):
    law = {"variances": (Rational(9, 4), 1), "means": (0, Rational(1, 5))}
    value = dual(f, **law).expr.subs(rho, Rational(3, 5)).n(18)
    witness = quadrature(numeric(f), numeric(f), 0.6, (2.25, 1.0), (0.0, 0.2))
    assert abs(float(value) - witness) < 1e-12 * (1 + abs(witness))


@pytest.mark.parametrize("name", ["clip", "gelu", "elu", "leaky relu", "polynomial", "gabor"])
def test_kernel_of_two_different_activations_agrees_with_quadrature(name):
    kernel = dual(CASES[name], CASES["biased relu" if name != "gabor" else "cos"], variances=(a, b))
    partner = numeric(CASES["biased relu" if name != "gabor" else "cos"])
    at = {**NUMBERS, a: Rational(8, 5), b: Rational(3, 5), rho: Rational(3, 5)}
    witness = quadrature(numeric(CASES[name]), partner, 0.6, (1.6, 0.6), (0.0, 0.0))
    assert abs(float(kernel.expr.subs(at).n(18)) - witness) < 1e-12


@pytest.mark.parametrize("name", ["clip", "gelu", "elu", "leaky relu", "celu", "triangle", "erf"])
def test_derivative_kernel_of_a_continuous_activation_is_the_slope_of_the_kernel(name):
    kernel = dual(CASES[name], variances=(a, b)).expr
    slope = dual_derivative(CASES[name], variances=(a, b)).expr
    at = {**NUMBERS, a: Rational(8, 5), b: Rational(3, 5)}
    step, middle = Rational(1, 10**12), Rational(2, 5)
    up, down = (kernel.subs(at).subs(rho, middle + s).n(50) for s in (step, -step))
    difference = (up - down) / (2 * step) / sqrt(Rational(24, 25))
    assert abs(slope.subs(at).subs(rho, middle).n(30) - difference.n(30)) < 1e-20


def test_derivative_kernel_with_jumps_counts_their_point_masses():
    assert expand(dual_derivative(sign(z)).expr - 2 / (pi * sqrt((1 - rho) * (1 + rho)))) == 0
    value = dual_derivative(CASES["hard shrink"]).expr.subs(NUMBERS).subs(rho, Rational(1, 3))
    g, jump = lambdify(z, Heaviside(Abs(z) - 0.7), "numpy"), 0.7
    smooth = quadrature(g, g, 1 / 3, (1.0, 1.0), (0.0, 0.0))
    q = np.sqrt(8 / 9)
    normal = lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    cdf = lambda x: float(mpmath.ncdf(x))  # noqa: E731
    outside = 1 - cdf((jump - jump / 3) / q) + cdf((-jump - jump / 3) / q)
    crossed = 2 * 2 * jump * normal(jump) * outside
    pairs = sum(2 * jump**2 * normal(jump) * normal((y - jump / 3) / q) / q for y in (jump, -jump))
    assert abs(float(value.n(18)) - (smooth + crossed + pairs)) < 1e-12


# --- thirty digits ------------------------------------------------------------------------------


def ramp(m, s):
    return m * mpmath.ncdf(m / s) + s * mpmath.npdf(m / s)


def inner_relu(m, s):
    return ramp(m, s)


def inner_clip(m, s):
    edge = mpmath.mpf(7) / 10
    return -edge + ramp(m + edge, s) - ramp(m - edge, s)


def inner_gelu(m, s):
    width = mpmath.sqrt(1 + s * s)
    return m * mpmath.ncdf(m / width) + s * s / width * mpmath.npdf(m / width)


@pytest.mark.parametrize(
    ("name", "inner", "outer"),
    [
        ("relu", inner_relu, lambda x: max(x, 0)),
        ("clip", inner_clip, lambda x: min(max(x, -mpmath.mpf(7) / 10), mpmath.mpf(7) / 10)),
        ("gelu", inner_gelu, lambda x: x * mpmath.ncdf(x)),
    ],
)
@pytest.mark.parametrize(
    ("correlation", "v1", "v2"), [("0.3", "1.7", "0.4"), ("-0.8", "0.01", "30")]
)
def test_kernel_agrees_with_conditional_quadrature_to_28_digits(
    name, inner, outer, correlation, v1, v2
):
    at = {**NUMBERS, rho: Rational(correlation), a: Rational(v1), b: Rational(v2)}
    value = dual(CASES[name], variances=(a, b)).expr.subs(at).n(35)
    with mp.workdps(34):
        r, s1, s2 = mpmath.mpf(correlation), mpmath.sqrt(v1), mpmath.sqrt(v2)
        width = s2 * mpmath.sqrt(1 - r * r)

        grid = [-14, *mpmath.linspace(-9, 9, 19), 14]
        kinks = [mpmath.mpf(7) / 10 / s1, -mpmath.mpf(7) / 10 / s1]
        grid = sorted({*grid, *(x for x in kinks if abs(x) < 14), mpmath.mpf(0)})

        witness = mpmath.quad(
            lambda x: mpmath.npdf(x) * outer(s1 * x) * inner(r * s2 * x, width), grid
        )
        assert abs(value._to_mpmath(120) - witness) < mpmath.mpf(10) ** -28 * (1 + abs(witness))


def test_relu_at_one_half_where_symbolic_integration_fails():
    assert str(dual(relu).expr.subs(rho, Rational(1, 2)).n(5)) == "0.30450"
    assert str(dual(relu, rho=Rational(1, 2)).expr.n(5)) == "0.30450"


def test_leaky_relu_of_slope_one_tenth_at_one_half():
    assert str(dual(CASES["leaky relu"], rho=Rational(1, 2)).expr.n(5)) == "0.29664"


# --- shape --------------------------------------------------------------------------------------


def test_kernels_read_like_a_person_wrote_them():
    q = sqrt((1 - rho) * (1 + rho))
    assert expand(dual(relu).expr - (q + rho * asin(rho) + pi * rho / 2) / (2 * pi)) == 0
    assert dual(sign(z)).expr == 2 * asin(rho) / pi
    assert dual(erf(z), variances=Rational(1, 2)).expr == 2 * asin(rho / 2) / pi
    assert dual(exp(z)).expr == exp(rho + 1)
    assert dual(gelu).expr.count_ops() < 25
    assert dual(relu, variances=(a, b)).expr.count_ops() < 25


@pytest.mark.parametrize("degree", [1, 2, 5, 12])
def test_hermite_polynomials_are_orthogonal_with_norm_factorial(degree):
    assert dual(hermite_prob(degree, z)).expr == factorial(degree) * rho**degree
    assert dual(hermite_prob(degree, z), hermite_prob(degree + 2, z)).expr == 0


def test_monomials_of_degree_twelve_have_the_moments_of_isserlis():
    kernel = Poly(dual(z**12, variances=(a, b)).expr, rho)
    assert kernel.eval(rho, 1) == 316234143225 * a**6 * b**6
    assert kernel.eval(rho, 0) == 10395**2 * a**6 * b**6


def test_kernel_keeps_the_parameters_of_a_general_polynomial():
    kernel = dual(k * z**2 + c * z).expr
    assert expand(kernel - (k**2 * (1 + 2 * rho**2) + c**2 * rho)) == 0


# --- ends of the range --------------------------------------------------------------------------


@pytest.mark.parametrize("end", [1, -1])
@pytest.mark.parametrize("name", CASES)
def test_value_on_the_diagonal_is_finite_and_is_the_mean_of_one_normal(name, end):
    substituted = dual(CASES[name]).expr.subs(NUMBERS).subs(rho, end)
    direct = dual(CASES[name].subs(NUMBERS), rho=end).expr
    assert not substituted.has(oo, nan, zoo)
    assert abs((substituted - direct).n(25)) < 1e-20 * (1 + abs(direct.n(5)))


@pytest.mark.parametrize("name", CASES)
def test_uncorrelated_normals_give_the_product_of_means(name):
    at = {**NUMBERS, rho: 0}
    mean = dual(CASES[name], 1 + 0 * z).expr.subs(NUMBERS)
    assert abs((dual(CASES[name]).expr.subs(at) - mean**2).n(25)) < 1e-20


@pytest.mark.parametrize("name", ["relu", "gelu", "clip", "elu", "biased relu"])
def test_nothing_is_lost_next_to_the_diagonal(name):
    kernel = dual(CASES[name]).expr.subs(NUMBERS)
    near = 1 - Rational(1, 10**14)
    slope = dual_derivative(CASES[name]).expr.subs(NUMBERS)
    fall = kernel.subs(rho, 1).n(40) - kernel.subs(rho, near).n(40)
    assert 0 < fall < 1.01e-14 * slope.subs(rho, 1).n(30)


def test_a_normal_without_spread_is_a_constant():
    assert dual(relu, variances=(0, 1), means=(2, 0)).expr == 2 * dual(relu, 1 + 0 * z).expr


@pytest.mark.parametrize("variance", [Rational(1, 10**6), Rational(10**6)])
@pytest.mark.parametrize("name", ["relu", "gelu", "clip", "elu", "gaussian", "biased relu"])
def test_balls_of_extreme_variances_hold_thirty_digits(name, variance):
    kernel = dual(CASES[name], variances=(variance, variance)).expr
    ball = enclose(kernel.subs(NUMBERS).subs(rho, Rational(9, 10)), 30)
    bound = enclose(dual(CASES[name], variances=variance, rho=1).expr.subs(NUMBERS), 30)
    assert ball.rigorous
    assert abs(float(ball)) <= float(bound)


# --- log and errors -----------------------------------------------------------------------------


def test_log_names_the_rules_with_their_sources():
    log = dual(relu).log
    assert "bivariate normal probability" in str(log)
    assert {source.key for source in log.sources()} >= {"stein1981", "owen1956"}


def test_function_outside_the_class_is_named():
    with pytest.raises(NoRuleError, match="no rule for tanh"):
        dual(tanh(z))


def test_four_error_functions_are_refused_with_the_dimension():
    with pytest.raises(NoRuleError, match="4-variate orthant"):
        dual(erf(z) ** 2)


def test_wave_beside_a_kink_is_refused():
    with pytest.raises(NoRuleError, match="sin or cos beside a kink"):
        dual(sin(z) * Heaviside(z))


def test_growth_beyond_the_law_is_refused():
    with pytest.raises(NotIntegrableError, match="has no mean"):
        dual(exp(z**2 / 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rho": Rational(3, 2)}, r"correlation 3/2: outside \[-1, 1\]"),
        ({"rho": I}, "correlation I"),
        ({"rho": "rho"}, "not a number"),
        ({"variances": -1}, "variance -1: negative"),
        ({"variances": (1, -2)}, "variance -2: negative"),
        ({"variances": (1, 2, 3)}, "3 entries"),
        ({"means": (1, 2, 3)}, "3 entries"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(RangeError, match=message):
        dual(z, **arguments)


def test_complex_parameter_is_named():
    with pytest.raises(RangeError, match="symbol w"):
        dual(Symbol("w") * z)
