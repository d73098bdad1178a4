"""What each SymPy function does to complex balls.

Stage: the tables behind ``ball_program``. A rule takes the list of argument values and the flag
``analytic``, and returns an ``acb`` (or, for conditions, True, False or None when undecided). With
``analytic`` the result is finite only if the function is holomorphic on the whole ball.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flint import acb, arb
from sympy import Basic, Integer, Rational, S, cosh, erf, exp, sin

Rule = Callable[[list[Any], bool], Any]
Chooser = Callable[[Any], tuple[Rule, tuple[Basic, ...]]]
NAN = acb(arb.nan())


def _real(x: acb) -> bool:
    return x.imag.is_zero()


def _plain(method: Callable[[acb], acb]) -> Chooser:
    """Meromorphic functions: poles answer for themselves by non-finite balls."""
    return lambda node: (lambda v, analytic: method(v[0]), node.args)


def _cut(method: Callable[[acb], acb], touches: Callable[[acb], bool]) -> Chooser:
    def rule(v: list[Any], analytic: bool) -> acb:
        return NAN if analytic and touches(v[0]) else method(v[0])

    return lambda node: (rule, node.args)


def _outside_unit(x: acb) -> bool:
    """Whether a ball may touch the real points of modulus at least 1."""
    return bool(x.imag.contains(0) and not abs(x.real) < 1)


def _imaginary_outside_unit(x: acb) -> bool:
    return bool(x.real.contains(0) and not abs(x.imag) < 1)


def _real_only(method: Callable[[arb], arb]) -> Chooser:
    def rule(v: list[Any], analytic: bool) -> acb:
        return acb(method(v[0].real)) if _real(v[0]) and not analytic else NAN

    return lambda node: (rule, node.args)


def _flagged(name: str) -> Chooser:
    method = getattr(acb, name)
    return lambda node: (lambda v, analytic: method(v[0], analytic=analytic), (node.args[0],))


def _absolute(v: list[Any], analytic: bool) -> acb:
    if analytic or _real(v[0]):
        return v[0].real_abs(analytic=analytic)
    return acb(abs(v[0]))


def _extremum(name: str) -> Chooser:
    method = getattr(acb, name)

    def rule(v: list[Any], analytic: bool) -> acb:
        result = v[0]
        for other in v[1:]:
            result = method(result, other, analytic=analytic)
        return result

    return lambda node: (rule, node.args)


def _add(node: Any) -> tuple[Rule, tuple[Basic, ...]]:
    """Sums; ``c ± c erf(u)`` is taken as one function, which keeps its digits in the tail."""
    constant: Any = next((term for term in node.args if isinstance(term, Rational)), S.Zero)
    for term in node.args if constant != 0 else ():
        weight, function = term.as_coeff_Mul()
        if isinstance(function, erf) and abs(weight) == abs(constant):
            side = -1 if weight == constant else 1
            rest = [other for other in node.args if other not in (constant, term)]
            return partial(_tail_and_rest, side), (constant, function.args[0], *rest)
    return _total, node.args


def _tail_and_rest(side: int, v: list[Any], analytic: bool) -> acb:
    return _total([v[0] * (side * v[1]).erfc(), *v[2:]], analytic)


def _total(v: list[Any], analytic: bool) -> acb:
    result = v[0]
    for term in v[1:]:
        result = result + term
    return result


def _product(v: list[Any], analytic: bool) -> acb:
    result = v[0]
    for factor in v[1:]:
        result = result * factor
    return result


def _log(node: Any) -> tuple[Rule, tuple[Basic, ...]]:
    inner = softplus_argument(node.args[0])
    if inner is not None:
        return _softplus, (inner,)
    if isinstance(node.args[0], cosh):
        return _log_cosh, node.args[0].args
    return (lambda v, analytic: v[0].log(analytic=analytic)), node.args


def _log_cosh(v: list[Any], analytic: bool) -> acb:
    """Log cosh u, tight on wide balls of either sign."""
    u = v[0]
    if not (u.real > 0 or u.real < 0):
        return u.cosh().log(analytic=analytic)
    u = u if u.real > 0 else -u
    return u + ((1 + (-2 * u).exp()) / 2).log(analytic=analytic)


def softplus_argument(node: Any) -> Basic | None:
    """Return u if the node is ``1 + exp(u)``, else None."""
    if node.is_Add and len(node.args) == 2 and S.One in node.args:
        other = node.args[1] if node.args[0] == S.One else node.args[0]
        if isinstance(other, exp):
            return other.args[0]
    return None


def _softplus(v: list[Any], analytic: bool) -> acb:
    """log(1 + exp u) without overflow, and tight on wide balls of either sign.

    Away from the real line the two forms differ by multiples of 2 pi i, so the second one is used
    only for real numbers, and for continuations from the real line (``analytic``).
    """
    u = v[0]
    if u.real > 0 and (analytic or _real(u)):
        return u + (1 + (-u).exp()).log(analytic=analytic)
    return (1 + u.exp()).log(analytic=analytic)


def _logistic(v: list[Any], analytic: bool) -> acb:
    """1 / (1 + exp(-u)), tight on wide balls of either sign."""
    u = v[0]
    if u.real < 0:
        grown = u.exp()
        return grown / (1 + grown)
    return 1 / (1 + (-u).exp())


def _mul(node: Any) -> tuple[Rule, tuple[Basic, ...]]:
    """Products; ``exp(u)/(1 + exp(u))`` and ``sin(u)/u`` are taken as one function."""
    for factor in node.args:
        if factor.is_Pow and factor.exp == S.NegativeOne:
            u = softplus_argument(factor.base)
            if u is not None and exp(u) in node.args:
                rest = node.func(*[a for a in node.args if a not in (factor, exp(u))])
                return (lambda v, a: v[1] * _logistic(v[:1], a)), (u, rest)
        if isinstance(factor, sin) and 1 / factor.args[0] in node.args:
            rest = node.func(*[a for a in node.args if a not in (factor, 1 / factor.args[0])])
            return (lambda v, a: v[1] * v[0].sinc()), (factor.args[0], rest)
    return _product, node.args


def power(node: Any) -> tuple[Rule, tuple[Basic, ...]]:
    """Return the rule of a power, by the kind of its exponent."""
    base, exponent = node.args
    inner = softplus_argument(base)
    if exponent == S.NegativeOne and inner is not None:
        return (lambda v, analytic: _logistic([-v[0]], analytic)), (inner,)
    if isinstance(exponent, Integer):
        n = int(exponent)
        if n < 0:
            return (lambda v, analytic: 1 / v[0] ** (-n)), (base,)
        return (lambda v, analytic: v[0] ** n), (base,)
    if isinstance(exponent, Rational) and exponent.q == 2:
        p = int(exponent.p)
        return (lambda v, analytic: v[0].sqrt(analytic=analytic) ** p), (base,)
    return _general_power, (base, exponent)


def _general_power(v: list[Any], analytic: bool) -> acb:
    base, exponent = v
    down_to_zero = _real(base) and _real(exponent) and base.real.contains(0)
    if down_to_zero and not analytic and exponent.real > 0 and base.real.lower() >= 0:
        return acb(arb(0).union(base.real.upper() ** exponent.real))
    return base.pow(exponent, analytic=analytic)


def _heaviside(node: Any) -> tuple[Rule, tuple[Basic, ...]]:
    def rule(v: list[Any], analytic: bool) -> acb:
        if v[0].is_zero() and not analytic:
            return v[1]
        return v[0].real_heaviside(analytic=analytic)

    return rule, node.args


def _part(take: Callable[[acb], Any]) -> Chooser:
    def rule(v: list[Any], analytic: bool) -> acb:
        return NAN if analytic else acb(take(v[0]))

    return lambda node: (rule, node.args)


def _compare(decide: Callable[[arb], bool | None]) -> Chooser:
    def rule(v: list[Any], analytic: bool) -> bool | None:
        difference = v[0] - v[1]
        return decide(difference.real) if difference.is_finite() else None

    return lambda node: (rule, node.args)


def _below(d: arb) -> bool | None:
    return True if d < 0 else (False if d >= 0 else None)


def _at_most(d: arb) -> bool | None:
    return True if d <= 0 else (False if d > 0 else None)


def _equal(d: arb) -> bool | None:
    return True if d.is_zero() else (None if d.contains(0) else False)


def _negate(value: bool | None) -> bool | None:
    return None if value is None else not value


def _every(v: list[Any], analytic: bool) -> bool | None:
    return False if False in v else (None if None in v else True)


def _any(v: list[Any], analytic: bool) -> bool | None:
    return True if True in v else (None if None in v else False)


def _piecewise(v: list[Any], analytic: bool) -> acb:
    result = None
    for value, condition in zip(v[::2], v[1::2], strict=True):
        if condition is False:
            continue
        result = (
            value
            if result is None
            else acb(result.real.union(value.real), result.imag.union(value.imag))
        )
        if condition is True:
            return result
        if analytic:
            return NAN
    return NAN


def _swapped(decide: Callable[[arb], bool | None]) -> Chooser:
    return _compare(lambda d: decide(-d))


functions: dict[str, Chooser] = {
    "Add": _add,
    "Mul": _mul,
    "exp": _plain(acb.exp),
    "log": _log,
    "erf": _plain(acb.erf),
    "erfc": _plain(acb.erfc),
    "erfi": _plain(acb.erfi),
    "erfinv": _real_only(arb.erfinv),
    "erfcinv": _real_only(arb.erfcinv),
    "sin": _plain(acb.sin),
    "cos": _plain(acb.cos),
    "tan": _plain(acb.tan),
    "cot": _plain(acb.cot),
    "sec": _plain(acb.sec),
    "csc": _plain(acb.csc),
    "sinc": _plain(acb.sinc),
    "sinh": _plain(acb.sinh),
    "cosh": _plain(acb.cosh),
    "tanh": _plain(acb.tanh),
    "coth": _plain(acb.coth),
    "sech": _plain(acb.sech),
    "csch": _plain(acb.csch),
    "asin": _cut(acb.asin, _outside_unit),
    "acos": _cut(acb.acos, _outside_unit),
    "atan": _cut(acb.atan, _imaginary_outside_unit),
    "asinh": _cut(acb.asinh, _imaginary_outside_unit),
    "acosh": _cut(acb.acosh, lambda x: bool(x.imag.contains(0) and not x.real > 1)),
    "atanh": _cut(acb.atanh, _outside_unit),
    "gamma": _plain(acb.gamma),
    "factorial": _plain(lambda x: (x + 1).gamma()),
    "loggamma": _cut(acb.lgamma, lambda x: bool(x.imag.contains(0) and not x.real > 0)),
    "lowergamma": lambda node: ((lambda v, a: NAN if a else v[1].gamma_lower(v[0])), node.args),
    "uppergamma": lambda node: ((lambda v, a: NAN if a else v[1].gamma_upper(v[0])), node.args),
    "atan2": lambda node: (
        (lambda v, a: NAN if a else acb(arb.atan2(v[0].real, v[1].real))),
        node.args,
    ),
    "Abs": lambda node: (_absolute, node.args),
    "sign": _flagged("real_sgn"),
    "floor": _flagged("real_floor"),
    "ceiling": _flagged("real_ceil"),
    "Heaviside": _heaviside,
    "Max": _extremum("real_max"),
    "Min": _extremum("real_min"),
    "re": _part(lambda x: x.real),
    "im": _part(lambda x: x.imag),
    "conjugate": _part(lambda x: x.conjugate()),
}
"""Chooser of each function of numbers, by the name of its SymPy class."""

conditions: dict[str, Any] = {
    "StrictLessThan": _compare(_below),
    "LessThan": _compare(_at_most),
    "StrictGreaterThan": _swapped(_below),
    "GreaterThan": _swapped(_at_most),
    "Equality": _compare(_equal),
    "Unequality": _compare(lambda d: _negate(_equal(d))),
    "And": lambda node: (_every, node.args),
    "Or": lambda node: (_any, node.args),
    "Not": lambda node: ((lambda v, analytic: _negate(v[0])), node.args),
    "BooleanTrue": lambda node: ((lambda v, analytic: True), ()),
    "BooleanFalse": lambda node: ((lambda v, analytic: False), ()),
    "Piecewise": _piecewise,
}
"""Chooser of each condition."""
