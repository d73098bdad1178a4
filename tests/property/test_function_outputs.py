"""Random outputs with elementary functions: values in lanes lie within their stated errors."""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sympy import (
    Integer,
    Piecewise,
    Rational,
    acos,
    asin,
    atan,
    cos,
    cosh,
    coth,
    erf,
    erfc,
    exp,
    log,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System
from numeric.compiled import compile
from numeric.reference import reference

lam, c = control("lam", "ridge", low=0), control("c", "other", positive=True)
k = Quantity("k", "ridge again", low=0, open_low=True)
LAM, C = np.array([0.03, 0.7, 1.0, 2.5]), np.array([0.4, 1.1, 2.0, 0.06])

UNARY = [
    lambda a: 1 / (1 + a**2),
    lambda a: sqrt(1 + a**2),
    lambda a: exp(-(a**2)),
    lambda a: exp(a / (1 + a**2)) - 1,
    lambda a: log(1 + a**2),
    lambda a: log(1 + exp(a)),
    lambda a: (1 + a**2) ** Rational(1, 3),
    lambda a: (2 + a**2) ** (-c),
    lambda a: 3 ** (a / (1 + a**2)),
    lambda a: cosh(a / (1 + a**2)) + sinh(a / (1 + a**2)),
    lambda a: coth(1 + a**2),
    lambda a: asin(a / (1 + a**2)),
    lambda a: acos(a / (1 + a**2)),
    lambda a: tan(1 / (1 + a**2)),
    sin,
    cos,
    tanh,
    atan,
    erf,
    erfc,
]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (1 + b**2),
    lambda a, b: Piecewise((a * exp(-k), k > c), (b / 2, True)),
]
LEAVES = st.sampled_from([k, c, Integer(2), Rational(-1, 3), Rational(7, 5)])


def grow(children):
    one = st.builds(lambda f, a: f(a), st.sampled_from(UNARY), children)
    two = st.builds(lambda f, a, b: f(a, b), st.sampled_from(BINARY), children, children)
    return one | two


EXPRESSIONS = st.recursive(LEAVES, grow, max_leaves=6)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EXPRESSIONS)
def test_values_and_slopes_lie_within_their_errors_of_thirty_digits(expr):
    assume(expr.free_symbols)
    system = System(
        name="random",
        controls=(lam, c),
        unknowns=(k,),
        equations=(Equation(lam, k),),
        outputs={"o": expr},
        conditions=(Condition(k, "k is positive"),),
        start=Start((), lam, "the root"),
    )
    evaluate = compile(system)
    assert evaluate.method == "llvm"
    found = evaluate(lam=LAM, c=C)
    for i in range(LAM.size):
        exact = reference(system, 30, lam=LAM[i], c=C[i])
        assume(all(abs(exact[key]) < 1e200 for key in ("o", "do_dlam")))
        for key in ("o", "do_dlam"):
            assert abs(float(exact[key] - found[key][i])) <= found.error[key][i], f"{key} {expr}"
