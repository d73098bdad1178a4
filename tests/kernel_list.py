"""The activations whose kernels must be closed, by name, and numbers for their parameters."""

from sympy import (
    Abs,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    cos,
    erf,
    exp,
    hermite_prob,
    sign,
    sin,
    sqrt,
)

from derive.symbols import z

c, alpha = Symbol("c", positive=True), Symbol("alpha", positive=True)
k, m, n = (Symbol(name, real=True) for name in ("k", "m", "n"))
NUMBERS = {
    k: Rational(3, 10),
    c: Rational(7, 10),
    alpha: Rational(6, 5),
    m: Rational(-2, 3),
    n: Rational(1, 5),
}
relu = Max(z, 0)
ACTIVATIONS = {
    **{f"monomial {degree}": z**degree for degree in range(1, 13)},
    **{f"Hermite polynomial {degree}": hermite_prob(degree, z) for degree in range(1, 13)},
    "polynomial": k * z**3 + m * z**2 + n * z + c,
    "exp": exp(k * z),
    "sin": sin(k * z),
    "cos": cos(k * z),
    "mixture": sin(z) * cos(2 * z),
    "gaussian": exp(-(z**2) / 2),
    "gabor": exp(-(z**2) / 2) * cos(k * z),
    "erf": erf(alpha * z + k),
    "probit": (1 + erf(z / sqrt(2))) / 2,
    "gelu": z * (1 + erf(z / sqrt(2))) / 2,
    "sign": sign(z),
    "step": Heaviside(z),
    "shifted step": Heaviside(z - k),
    "abs": Abs(z),
    "relu": relu,
    "leaky relu": relu + Min(z, 0) / 10,
    "abrelu": m * Min(z, 0) + c * relu,
    **{f"relu to the power {power}": relu**power for power in range(2, 7)},
    "biased relu": Max(z - k, 0),
    "clip": Min(Max(z, -c), c),
    "hard sigmoid": Max(0, Min(1, z / 6 + Rational(1, 2))),
    "elu": Piecewise((z, z > 0), (exp(z) - 1, True)),
    "celu": relu + Min(0, alpha * (exp(z / alpha) - 1)),
    "softshrink": Max(z - c, 0) + Min(z + c, 0),
    "hard shrink": z * Heaviside(Abs(z) - c),
    "triangle": Max(0, 1 - Abs(z)),
    "z^3 erf": z**3 * erf(alpha * z + k),
}
