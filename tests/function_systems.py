"""Triangular Systems as users write them, with elementary functions in equations and outputs.

Each closing equation is increasing and convex in the first unknown, as lanes require; the proofs
are one line each. ``POINTS`` draws controls.
"""

import numpy as np
from sympy import (
    Expr,
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
    pi,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System

lam = control("lam", "ridge", low=0)
alpha = control("alpha", "samples per dimension", positive=True)
c = control("c", "strength", positive=True)
k = Quantity("k", "effective ridge", low=0, open_low=True)
f = Quantity("f", "function of it", low=0, open_low=True)


def system(name, second, closing, outputs, start, controls=(lam, c), conditions=()):
    return System(
        name=name,
        controls=controls,
        unknowns=(k, f),
        equations=(Equation(f, second), Equation(lam, closing)),
        outputs=outputs,
        conditions=(Condition(k, "k is positive"), *conditions),
        start=Start((), start, "an upper bound of the root"),
    )


def soft() -> System:
    """c k log(1 + exp k) + exp(k) - 1: increasing convex factors, and at least k."""
    outputs: dict[str, Expr] = {"a": 1 / (1 - erf(k) / 2), "b": tanh(f) + coth(k), "d": exp(-f)}
    return system("soft", c * log(1 + exp(k)), k * f + exp(k) - 1, outputs, lam)


def spread() -> System:
    """k (1 - (1 - exp(-1/k))/alpha), where k (1 - exp(-1/k)) is concave and below 1."""
    gap = 1 - f / alpha
    outputs: dict[str, Expr] = {
        "a": 1 / gap,
        "b": f**2 / (1 - f**2 / alpha),
        "d": atan(k) * asin(f / 2),
    }
    return system(
        "spread",
        1 - exp(-1 / k),
        k * gap,
        outputs,
        lam + 1 / alpha,
        (lam, alpha),
        (Condition(gap, "less than all is explained"),),
    )


def slow() -> System:
    """k (1 + log(1 + k)), convex, and at least k."""
    angle = f / (1 + c)
    outputs: dict[str, Expr] = {
        "a": sin(angle) * cos(angle),
        "b": tan(1 / (1 + k)) * acos(1 / (1 + k)),
        "d": k ** Rational(1, 3) + k ** Rational(3, 2) + k**c,
    }
    return system("slow", 1 + log(1 + k), k * f, outputs, lam)


def tail() -> System:
    """k - c erf(k)/2, where erf is concave; at least k - c/2."""
    outputs: dict[str, Expr] = {
        "a": erfc(k / sqrt(2)) / 2,
        "b": exp(-(k**2) / 2) / sqrt(2 * pi),
        "d": log(f) + sinh(k / (1 + k)) / cosh(k / (1 + k)),
    }
    return system("tail", erf(k), k - c * f / 2, outputs, lam + c / 2)


def power() -> System:
    """k^(1 + c): k = lam^(1/(1 + c)), known in closed form."""
    piece = Piecewise((k * log(k), k > 1), (k - 1, True))
    outputs: dict[str, Expr] = {"a": (1 + k) ** (-c), "b": 2**k, "d": piece}
    return system("power", k**c, k * f, outputs, 1 + lam)


SYSTEMS = {s.__name__: s for s in (soft, spread, slow, tail, power)}


def points(name, rng, count):
    """Controls over some decades."""

    def between(low, high):
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    second = {"alpha": between(0.1, 10)} if name == "spread" else {"c": between(0.05, 1.5)}
    return {"lam": between(1e-6, 5 if name in ("soft", "tail") else 100), **second}
