r"""Optimistic sample sizes in closed form, with what is known about each.

Stage: declared families in, ``SampleSize`` out. The optimistic sample size of a function f* in a
family is the least rank of the tangent functions over all parameters that represent f*; with that
many generic samples, and no fewer, some linearised model recovers f*.

Status: *exact* where a proof bounds the rank of every representation from below. For two layers of
an analytic activation whose values at distinct arguments (up to sign) are independent, every
representation holds each neuron of f* with a weight that does not vanish, and so its tangent
functions; that gives the lower bound. For deeper networks only the rank at one representation is
known: an *upper bound*. Rules R2 to R8 of sheet 2 are numbered in ``rule``.

Source: arXiv:2406.18035, arXiv:2211.11623; Alexander and Hirschowitz (1995) for monomials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from itertools import pairwise
from typing import Any

from sympy import Expr, Integer, Symbol, binomial

from derive.errors import NotSupportedError, RangeError
from derive.provenance import ALEXANDER_1995, LLR_2024, THIS, Source
from derive.recovery.family import vanishes_at_zero
from derive.recovery.linear import DeepLinear, Diagonal, MatrixFactorization
from derive.recovery.networks import (
    Convolutional,
    FullyConnected,
    Monomial,
    TwoLayer,
    check_narrow,
)
from derive.recovery.placements import Kernels, placement_count

EXACT, UPPER = "exact", "upper bound"
_INDEPENDENT = frozenset({"tanh", "sigmoid", "logistic", "softplus", "silu", "swish", "erf"})
_KINKED = frozenset({"relu", "leaky_relu"})
k, d, s, P, r, p, q = (Symbol(n, integer=True, positive=True) for n in "kdsPrpq")


@dataclass(frozen=True)
class SampleSize:
    """An optimistic sample size.

    Attributes:
        value: the number of samples O.
        status: "exact" or "upper bound".
        formula: closed form in k, d, s, P, r, p, q where there is one.
        rule: what it counts, one sentence.
        source: where it comes from.
        parameters: number of parameters M of the family, for comparison.

    ``int`` and comparisons use the value.
    """

    value: int
    status: str
    formula: Expr | None
    rule: str
    source: Source = field(default=LLR_2024, compare=False)
    parameters: int = 0

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        shown = "" if self.formula is None else f" = {self.formula}"
        return f"SampleSize({self.value}{shown}, {self.status}; M = {self.parameters})"


def optimistic_sample_size(
    family: Any, target: int | Sequence[int] | Kernels, *, constant: bool = False
) -> SampleSize:
    """Return the optimistic sample size of a generic function of intrinsic size ``target``.

    Args:
        family: a declared family: TwoLayer, FullyConnected, Convolutional, MatrixFactorization,
            DeepLinear, Diagonal or Monomial.
        target: number of neurons or kernels, rank of a matrix, number of entries that do not
            vanish; for FullyConnected the widths of the narrow network; for Convolutional also
            ``Kernels`` with given weights.
        constant: for a two-layer network with hidden biases and no output bias, whether the target
            holds a constant beside its k neurons.

    Raises:
        RangeError: if the family cannot represent such a function.
        NotSupportedError: if no closed form is known.

    Example:
        >>> optimistic_sample_size(TwoLayer(5, 50), 3)
        SampleSize(18 = k*(d + 1), exact; M = 300)
        >>> optimistic_sample_size(MatrixFactorization(10, 10, 10), 3).value
        51
    """
    if constant and not (isinstance(family, TwoLayer) and family.bias and not family.output_bias):
        raise NotSupportedError(
            "a constant beside the neurons",
            "meant for two layers with hidden biases and no output bias",
            "leave it out",
        )
    if constant:
        return _with_constant(family, _whole(target))
    return _size(family, target)


def _whole(target: int | Sequence[int] | Kernels) -> int:
    if not isinstance(target, int):
        raise RangeError(f"target {target}", "not one number", "give a whole number")
    return target


@singledispatch
def _size(family: Any, target: int | Sequence[int] | Kernels) -> SampleSize:
    raise NotSupportedError(
        f"the optimistic sample size of {type(family).__name__}",
        "no closed form is known",
        "certify the rank at a point with model_rank",
    )


def _fits(target: int, most: int, what: str) -> None:
    if not 0 <= target <= most:
        raise RangeError(f"a target of {target} {what}", f"at most {most} fit", f"use 0 to {most}")


def _made(formula: Expr, values: dict[Symbol, int], status: str, rule: str) -> dict[str, Any]:
    exact = {symbol: Integer(value) for symbol, value in values.items()}
    value = int(formula.xreplace(exact))
    return {"value": value, "status": status, "formula": formula, "rule": rule}


@_size.register
def _two_layer(family: TwoLayer, target: int | Sequence[int]) -> SampleSize:
    width = _whole(target)
    _fits(width, family.width, "neurons")
    name = family.activation
    if name in _KINKED:
        return _relu(family, width)
    formula = k * (d + 1 + int(family.bias)) + int(family.output_bias)
    if width == 0 and not vanishes_at_zero(name):
        rule = "zero needs neurons, and a neuron without weights moves a constant"
        return SampleSize(1, EXACT, None, rule, THIS, family.parameters)
    known = name in _INDEPENDENT
    rule = (
        f"R3, R4: each neuron brings s(w.x{' + b' * family.bias}) and its derivative times inputs"
    )
    if not known:
        rule += "; that values at distinct arguments are independent is not proved here"
    found = _made(formula, {k: width, d: family.d}, EXACT if known else UPPER, rule)
    source = LLR_2024 if not family.bias else THIS
    return SampleSize(**found, source=source, parameters=family.parameters)


def _relu(family: TwoLayer, width: int) -> SampleSize:
    formula = k * (d + int(family.bias)) + int(family.output_bias)
    rule = "R8: one scaling symmetry a neuron; kinks, so outside the theorem of analytic families"
    found = _made(formula, {k: width, d: family.d}, UPPER, rule)
    return SampleSize(**found, source=THIS, parameters=family.parameters)


def _with_constant(family: TwoLayer, width: int) -> SampleSize:
    _fits(width + 1, family.width, "neurons with the one that makes the constant")
    formula = k * (d + 2) + d + 1
    rule = "R4: the constant is a neuron with w = 0, whose a and b move the same function"
    found = _made(formula, {k: width, d: family.d}, EXACT, rule)
    if family.activation != "tanh":
        found["status"] = UPPER
    return SampleSize(**found, source=THIS, parameters=family.parameters)


@_size.register
def _fully_connected(family: FullyConnected, target: int | Sequence[int]) -> SampleSize:
    narrow = (family.widths[0], target, 1) if isinstance(target, int) else tuple(target)
    check_narrow(family.widths, narrow)
    value = sum(after * (before + family.bias) for before, after in pairwise(narrow))
    if family.activation in _KINKED:
        value -= sum(narrow[1:-1])
        rule = "R8: parameters of the narrow network less one scaling symmetry a hidden neuron"
        return SampleSize(value, UPPER, None, rule, THIS, family.parameters)
    shallow = len(narrow) == 3 and narrow[-1] == 1 and family.activation in _INDEPENDENT
    rule = "R2: parameters of the narrow network, for any widths of the wide one"
    if not shallow:
        rule += "; whether deeper representations can have a smaller rank is open"
    return SampleSize(value, EXACT if shallow else UPPER, None, rule, parameters=family.parameters)


@_size.register
def _convolutional(family: Convolutional, target: int | Sequence[int] | Kernels) -> SampleSize:
    if isinstance(target, Kernels):
        return _given_kernels(family, target)
    kernels = _whole(target)
    _fits(kernels, family.kernels, "kernels")
    b = int(family.bias)
    formulas = {
        "shared": k * (s + P + b),
        "local": k * P * (s + 1 + b),
        "full": k * P * (d + 1 + b),
        "pooled": k * (s + 1 + b),
    }
    values = {k: kernels, s: family.taps, P: family.positions, d: family.d}
    if kernels == 0 and not vanishes_at_zero(family.activation):
        raise NotSupportedError(
            "the zero function", f"{family.activation} does not vanish at zero", "use a kernel"
        )
    rule = f"R6: {family.sharing} weights, generic kernels (all placements distinct up to sign)"
    status = EXACT if family.activation in _INDEPENDENT else UPPER
    found = _made(formulas[family.sharing], values, status, rule)
    source = LLR_2024 if not b and family.sharing != "pooled" else THIS
    return SampleSize(**found, source=source, parameters=family.parameters)


def _given_kernels(family: Convolutional, target: Kernels) -> SampleSize:
    rule = "R6: distinct placements, up to sign, times the parameters of a neuron"
    return SampleSize(placement_count(family, target), EXACT, None, rule, THIS, family.parameters)


@_size.register
def _factorization(family: MatrixFactorization, target: int | Sequence[int]) -> SampleSize:
    rank = _whole(target)
    _fits(rank, min(family.p, family.q, family.h), "ranks")
    found = _made(
        r * (p + q - r),
        {r: rank, p: family.p, q: family.q},
        EXACT,
        "R7: p rank(B) + q rank(A) - rank(A) rank(B), least where both factors have rank r",
    )
    return SampleSize(**found, parameters=family.parameters)


@_size.register
def _deep_linear(family: DeepLinear, target: int | Sequence[int]) -> SampleSize:
    rank = _whole(target)
    _fits(rank, min(family.widths), "ranks")
    values = {r: rank, p: family.widths[-1], q: family.widths[0]}
    rule = "R7: the tangent space of matrices of rank r, which every representation contains"
    found = _made(r * (p + q - r), values, EXACT, rule)
    return SampleSize(**found, source=THIS, parameters=family.parameters)


@_size.register
def _diagonal(family: Diagonal, target: int | Sequence[int]) -> SampleSize:
    entries = target if isinstance(target, int) else len(set(target))
    _fits(entries, family.d, "entries")
    if family.depth == 1:
        return SampleSize(family.d, EXACT, d, "a linear function", THIS, family.parameters)
    rule = "R7: an entry that vanishes has two factors that vanish, and moves nothing"
    found = _made(k, {k: entries}, EXACT, rule)
    return SampleSize(**found, source=THIS, parameters=family.parameters)


@_size.register
def _monomial(family: Monomial, target: int | Sequence[int]) -> SampleSize:
    width = _whole(target)
    _fits(width, family.width, "neurons")
    value = secant_dimension(family.p, family.d, width)
    rule = (
        "R8: dimension of the cone of sums of k powers (Alexander and Hirschowitz); the rank at "
        "generic neurons"
    )
    status = EXACT if family.p <= 2 else UPPER
    return SampleSize(value, status, None, rule, ALEXANDER_1995, family.parameters)


_DEFECTIVE = {(3, 5, 7), (4, 3, 5), (4, 4, 9), (4, 5, 14)}
"""(p, d, k) of the exceptional cases of Alexander and Hirschowitz, each one below the count."""


def secant_dimension(degree: int, variables: int, terms: int) -> int:
    """Return the dimension of the closure of sums of k p-th powers of linear forms in d variables.

    Args:
        degree: p >= 1.
        variables: d >= 1.
        terms: k >= 0.

    Source: Alexander and Hirschowitz (1995), with their list of defective cases.

    Example:
        >>> secant_dimension(3, 5, 7), secant_dimension(3, 5, 8), secant_dimension(2, 4, 2)
        (34, 35, 7)
    """
    full = int(binomial(variables + degree - 1, degree))
    if degree == 2 and 2 <= terms <= variables:
        return terms * variables - terms * (terms - 1) // 2
    expected = min(terms * variables, full)
    return expected - ((degree, variables, terms) in _DEFECTIVE)


def deep_convolutional_bound(layers: Sequence[tuple[int, int]], head: int, inputs: int = 1) -> int:
    """Return the upper bound for a network of convolutional layers.

    Args:
        layers: pairs (kernels c_l, taps s_l) of the narrow network, first layer first.
        head: number of parameters of the head.
        inputs: channels of the input.

    Returns:
        sum_l c_l (s_l c_{l-1} + 1) + head, the number of parameters of the narrow network.

    Example:
        >>> deep_convolutional_bound([(2, 3), (4, 3)], 5)
        41
    """
    channels = [inputs, *(c for c, _ in layers)]
    sizes = zip(layers, channels, strict=False)
    return sum(c * (taps * before + 1) for (c, taps), before in sizes) + head
