"""Functions that are hard, wrong or no functions at all: a right number or one clear line."""

import mpmath
import pytest
from sympy import (
    ITE,
    Abs,
    And,
    CRootOf,
    Derivative,
    Function,
    Heaviside,
    I,
    Integral,
    Matrix,
    Max,
    Min,
    Or,
    Piecewise,
    Rational,
    Symbol,
    Tuple,
    Xor,
    ceiling,
    erf,
    erfi,
    exp,
    floor,
    lambdify,
    log,
    sign,
    sqrt,
    true,
    zoo,
)

from derive.activation import Activation
from derive.balls import enclose
from derive.bivariate import conditional_normal
from derive.dual import dual
from derive.errors import (
    DeriveError,
    NoRuleError,
    NotIntegrableError,
    NotSupportedError,
    ParseError,
    RangeError,
)
from derive.gaussian import expect
from derive.kernels import kernel
from derive.symbols import z

a, b = Symbol("a", real=True), Symbol("b", real=True)
r = Symbol("r", positive=True)
REFUSED = [
    (lambda: expect(exp(z**2 / 2)), NotIntegrableError, r"exp\(z\*\*2/2\).*not below"),
    (lambda: Activation(exp(z**2 / 4)), NotIntegrableError, "square-integrable"),
    (lambda: Activation(a * z), ParseError, r"2 variables \(a, z\)"),
    (lambda: expect(Max(z, a) * Max(z, b)), RangeError, "order of the breakpoints a and b"),
    (lambda: expect(exp(I * z)), RangeError, "not real"),
    (lambda: expect(Max(z - Symbol("w"), 0)), RangeError, "w is not declared real"),
    (lambda: dual(Max(z, 0), rho=Rational(11, 10)), RangeError, "correlation 11/10"),
    (lambda: kernel(erf(z)).at(-2), RangeError, "correlation -2"),
    (lambda: expect(z, 0, -r), RangeError, "variance -r"),
    (lambda: kernel(erf(z), variances=(1, -1)), RangeError, "variance = -1"),
    (lambda: dual(1 / (1 + exp(z))), NoRuleError, r"1/\(exp\(z\) \+ 1\).*supported are"),
    (lambda: expect(z > 0), ParseError, "StrictGreaterThan, not a scalar"),
    (lambda: Activation(true), ParseError, "BooleanTrue, not a scalar"),
    (lambda: expect(Tuple(z, z)), ParseError, "Tuple"),
    (lambda: kernel(Matrix([z])), ParseError, "not a scalar"),
    (lambda: Activation(None), ParseError, "None is not an expression"),
    (lambda: kernel("z"), ParseError, "read_expression"),
    (lambda: expect(Integral(exp(-(z**2)), z)), NotSupportedError, "not carried out"),
    (lambda: Activation(Derivative(Function("f")(z), z)), NotSupportedError, "not carried out"),
    (lambda: expect(zoo + z), RangeError, "not finite"),
    (lambda: expect(floor(z)), NoRuleError, r"floor\(z\), which jumps without end"),
    (lambda: expect(z * ceiling(z)), NoRuleError, "jumps without end"),
    (lambda: Activation(sqrt(z)), RangeError, "not real"),
    (lambda: Activation(log(z)), RangeError, "not real"),
    (lambda: expect(erfi(z)), NotIntegrableError, "does not decay"),
    (lambda: kernel(exp(z**2 / 3) * Heaviside(z)).value, NotIntegrableError, "no mean"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_bad_input_is_refused_in_one_line(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert isinstance(caught.value, DeriveError)
    assert "\n" not in str(caught.value)


RIGHT = [
    (Max(z**2 - 1, 2 * z + 1), [1 - mpmath.sqrt(3), 1 + mpmath.sqrt(3)]),
    (Min(Max(z**2 - 1, z), 3), [(1 - mpmath.sqrt(5)) / 2, (1 + mpmath.sqrt(5)) / 2, -2, 2, 3]),
    (Abs(Abs(Abs(z) - 2) - 1), [-3, -2, -1, 0, 1, 2, 3]),
    (Piecewise((z, And(z > -1, z < 2)), (exp(z), Or(z > 3, z < -2)), (1, True)), [-2, -1, 2, 3]),
    (Piecewise((1, Xor(z > 0, z > 1)), (z, True)), [0, 1]),
    (Piecewise((z, ITE(z > 0, z < 1, z < -1)), (2, True)), [-1, 0, 1]),
    (sign(z**2 - 1), [-1, 1]),
    (Abs(z**5 - z - 1), [mpmath.findroot(lambda x: x**5 - x - 1, 1.2)]),
    (sqrt(Abs(z)), [0]),
    (Abs(z) ** Rational(3, 2), [0]),
    (log(Abs(z)), [0]),
    (Min(Max(z, -(10**4)), 10**4) ** 2, [0]),
    (Piecewise((exp(z**2), Abs(z) < 1), (0, True)), [-1, 1]),
]


@pytest.mark.parametrize(("f", "marks"), RIGHT)
def test_a_hard_function_has_the_right_mean(f, marks):
    g = lambdify(z, f, "mpmath")
    with mpmath.workdps(30):
        points = sorted({mpmath.mpf(x) for x in [-14, -7, *marks, 7, 14]})
        truth = mpmath.quad(lambda x: g(x) * mpmath.npdf(x), points)
        assert abs(expect(f).ball(20).mpf(25) - truth) < 1e-17 * (1 + abs(truth))


def test_growth_on_a_bounded_interval_has_a_kernel():
    f = Piecewise((exp(z**2), Abs(z) < 1), (0, True))
    found = kernel(f)
    assert abs(found.at(1, 12).mpf() - expect(f**2).ball(15).mpf()) < 1e-11
    assert abs(found.at(0, 12).mpf() - expect(f).ball(15).mpf() ** 2) < 1e-11


@pytest.mark.parametrize("index", [0, 1, 2])
def test_real_roots_of_polynomials_have_balls(index):
    x = Symbol("x")
    root = CRootOf(x**3 - 3 * x + 1, index)
    with mpmath.workdps(40):
        assert abs(enclose(root, 40).mpf(40) - mpmath.mpf(root.n(30))) < 1e-25


@pytest.mark.parametrize("bits", [2, 5, 53])
@pytest.mark.parametrize("spread", ["1e-8", "1e-14"])
def test_probabilities_far_out_have_digits_at_any_precision(bits, spread):
    near_one = 1 - Rational(spread)
    value = conditional_normal(-30, Rational(1, 3), near_one)._eval_evalf(bits)
    with mpmath.workdps(80):
        rho_ = mpmath.mpf(int(near_one.p)) / int(near_one.q)
        x = (-30 - rho_ / 3) / mpmath.sqrt((1 - rho_) * (1 + rho_))
        exponent = mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)
        found = mpmath.log(mpmath.mpf(value))
        assert abs(found - exponent) < 2.0 ** (2 - bits)
