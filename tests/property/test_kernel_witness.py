"""Closed kernels against ball integrals to thirty digits, at random laws and parameters.

The witness of ``tests.pair_witness`` knows the activations as pieces and integrates them by its own
recurrences; a value that cancels is judged by the mean of the modulus. Every activation of the list
meets a random law and correlation here; a longer table is made by the same functions.
"""

import random
from fractions import Fraction as F

import pytest
from flint import arb, ctx
from sympy import Rational

from derive.kernels import kernel
from tests.kernel_list import ACTIVATIONS, alpha, c, k, m, n
from tests.kernel_pieces import pieces_of
from tests.pair_witness import pair_mean

DIGITS = 30
FEW = [name for name in ACTIVATIONS if "omial" not in name] + [
    "monomial 9",
    "Hermite polynomial 11",
]
OSCILLATING = ("sin", "cos", "mixture", "gabor")
EDGES = [
    (F(0), "relu"),
    (F(1), "elu"),
    (F(-1), "elu"),
    (F(1), "clip"),
    (F(-1), "gelu"),
    (F(0), "erf"),
]


def exact(x):
    return Rational(x.numerator, x.denominator)


def parameters(rng):
    return {
        "k": F(rng.choice([-9, -4, -1, 2, 5, 8]), 10),
        "c": F(rng.randint(1, 20), 10),
        "alpha": F(rng.randint(2, 30), 10),
        "m": F(rng.choice([-17, -3, 6, 14]), 10),
        "n": F(rng.randint(-20, 20), 10),
    }


def variance(rng, name):
    reach = 1 if name in OSCILLATING else 5
    return F(rng.randint(10, 99), 10) * F(10) ** rng.randint(-6, reach)


def correlation(rng):
    tiny = F(rng.randint(1, 99), 10 ** rng.randint(4, 12))
    return rng.choice([F(rng.randint(-99, 99), 100), 1 - tiny, tiny - 1])


def activation(name, numbers):
    letters = {"k": k, "c": c, "alpha": alpha, "m": m, "n": n}
    return ACTIVATIONS[name].subs({letters[x]: exact(v) for x, v in numbers.items()})


def deviation(names, numbers, variances, rho, means=(F(0), F(0)), factor=1):
    """Error of the closed form in units of its value, or of E|s t| where that cancels."""
    s, t = (activation(name, numbers) for name in names)
    law = {"variances": tuple(map(exact, variances)), "means": tuple(map(exact, means))}
    found = kernel(s, t, **law).at(exact(rho), DIGITS)
    pieces = pieces_of(**numbers)
    truth, size = pair_mean(
        pieces[names[0]], pieces[names[1]], rho, variances, means, digits=DIGITS + 1
    )
    before, ctx.prec = ctx.prec, 400
    try:
        gap, unit = abs(found.arb() * factor - truth), abs(truth)
        if abs(unit) * 10**6 < size or unit == 0:
            unit = size
        return float((gap / unit).upper()) if gap > 0 or unit > 0 else float(gap.upper())
    finally:
        ctx.prec = before


@pytest.mark.parametrize("name", FEW)
def test_a_closed_kernel_is_its_ball_integral(name):
    rng = random.Random(f"{name} 3")
    numbers = parameters(rng)
    law = (variance(rng, name), variance(rng, name))
    assert deviation((name, name), numbers, law, correlation(rng)) < 10.0 ** (1 - DIGITS)


@pytest.mark.parametrize(("rho", "name"), EDGES)
@pytest.mark.parametrize("law", [(F(1, 10**6), F(10**6)), (F(10**6), F(10**6))])
def test_a_closed_kernel_is_right_at_extreme_laws(rho, name, law):
    numbers = parameters(random.Random(name))
    assert deviation((name, name), numbers, law, rho) < 10.0 ** (1 - DIGITS)


@pytest.mark.parametrize("seed", range(5))
def test_a_kernel_of_a_pair_with_means_is_its_ball_integral(seed):
    rng = random.Random(seed)
    names = tuple(rng.sample([x for x in FEW if x not in OSCILLATING], 2))
    means = (F(rng.randint(-20, 20), 10), F(rng.randint(-20, 20), 10))
    law = (F(rng.randint(1, 40), 10), F(rng.randint(1, 40), 10))
    numbers = parameters(rng)
    rho = F(rng.randint(-99, 99), 100)
    assert deviation(names, numbers, law, rho, means) < 10.0 ** (1 - DIGITS)


def test_an_error_in_the_twenty_ninth_digit_would_be_seen():
    numbers = parameters(random.Random(0))
    moved = 1 + arb(10) ** (2 - DIGITS)
    assert deviation(("gelu", "gelu"), numbers, (F(2), F(1, 3)), F(1, 7), factor=moved) > 1e-29
