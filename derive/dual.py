r"""Dual kernels: the mean of a product of functions of two correlated normals, in closed form.

Stage: two activations come in, a ``Value`` goes out. The kernel is derived, not looked up: each
activation is cut into polynomials times exponentials on half-lines and error functions; completing
the square tilts the pair of normals; powers fall by Stein's identity; what is left are the
bivariate normal probability, its conditional probabilities and its density. At rho = ±1 the pair
is one normal and the rules for one normal apply.

Conventions: u ~ N(m1, a), v ~ N(m2, b), covariance rho*sqrt(a*b). Expressions in ``rho`` stay
finite under ``subs(rho, ±1)``. Sources: [stein1981], [owen1956], [price1958].
"""

from functools import lru_cache
from typing import Any

from sympy import Dummy, Expr, Float, Rational, S, Symbol, SympifyError, expand, sqrt, sympify

from derive.bivariate import q
from derive.errors import NoRuleError, RangeError
from derive.gaussian import checked_input, closed_form
from derive.normal.factoring import is_larger
from derive.normal.gaussian_moments import Combination
from derive.normal.gaussian_terms import Form, normal_form
from derive.normal.intervals import decided_sign
from derive.pairs.dual_moments import Normals, Q, pair_mean
from derive.pairs.dual_terms import Term, derivative, jumps, terms_of
from derive.pairs.dual_tidy import HUGE, assemble_kernel, stable_sums
from derive.provenance import OWEN_1956, PRICE_1958, STEIN_1981
from derive.rewrite import Log, Step, size
from derive.symbols import rho as correlation
from derive.symbols import z
from derive.value import Kind, Value

RHO = correlation
Two = Any
"""One entry for both normals, or a pair of entries."""


def dual(
    s: Any,
    t: Any = None,
    rho: Any = RHO,
    *,
    variances: Two = 1,
    means: Two = 0,
    variable: Symbol = z,
) -> Value:
    r"""Return E[s(u) t(v)] for two correlated normals.

    Args:
        s: expression in the variable and in real parameters.
        t: the same, for the second normal; ``s`` if None.
        rho: correlation, a real symbol, expression or number, -1 <= rho <= 1.
        variances: variance of both normals, or the pair; positive or zero, may be symbolic.
        means: mean of both normals, or the pair; may be symbolic.
        variable: the argument of s and of t.

    Raises:
        NoRuleError: naming the term that no rule matches, or the orthant of too high a dimension.
        NotIntegrableError: if the mean does not exist.
        RangeError: on |rho| > 1, a negative variance, a complex parameter, breakpoints that cannot
            be ordered.

    Derivation: module docstring; ``Value.log`` lists the steps.

    Example:
        >>> from sympy import Max, Rational, erf, exp, sqrt
        >>> relu = dual(Max(z, 0))
        >>> print(relu)
        rho*asin(rho)/(2*pi) + rho/4 + sqrt((1 - rho)*(rho + 1))/(2*pi)
        >>> relu.expr.subs(RHO, Rational(1, 2)).n(5), relu.expr.subs(RHO, 1)
        (0.30450, 1/2)
        >>> dual(exp(z))
        exp(rho + 1)
        >>> dual(erf(z), variances=Rational(1, 2))
        2*asin(rho/2)/pi
    """
    (first, m1, a, x), (second, m2, b, _) = _inputs(s, t, variances, means, variable)
    point = _correlation(rho, x)
    if a == 0 or b == 0:
        return _with_a_constant((first, m1, a), (second, m2, b), x)
    if abs(point) == 1:
        found = _on_one_normal((first, m1, a), (second, m2, b), point, x)
        if found is not None:
            return found
    expr, log = _kernel(first, second, (m1, m2), (a, b), x)
    return Value(_at(expr, point), Kind.CLOSED_FORM, "closed form by the rules for a pair", log)


def dual_derivative(
    s: Any,
    t: Any = None,
    rho: Any = RHO,
    *,
    variances: Two = 1,
    means: Two = 0,
    variable: Symbol = z,
) -> Value:
    r"""Return E[s'(u) t'(v)], the derivative of the dual kernel in the covariance.

    Jumps count: the derivative of a step is a point mass. Arguments and errors are those of
    ``dual``; with jumps the kernel may be infinite at rho = ±1.

    Derivation: without jumps, from the derivatives of the pieces; with jumps by Price's theorem,
    E[s' t'] = d/d rho E[s t] / sqrt(a b).

    Source: [price1958].

    Example:
        >>> from sympy import Max, sign
        >>> print(dual_derivative(Max(z, 0)))
        asin(rho)/(2*pi) + 1/4
        >>> print(dual_derivative(sign(z)))
        2/(pi*sqrt((1 - rho)*(rho + 1)))
    """
    (first, m1, a, x), (second, m2, b, _) = _inputs(s, t, variances, means, variable)
    point = _correlation(rho, x)
    if decided_sign(a) == 0 or decided_sign(b) == 0:
        raise RangeError("a derivative kernel", "a variance is zero", "give positive variances")
    expr, log = _slope_kernel(first, second, (m1, m2), (a, b), x)
    return Value(_at(expr, point), Kind.CLOSED_FORM, "closed form by the rules for a pair", log)


# --- input --------------------------------------------------------------------------------------


def _inputs(s: Any, t: Any, variances: Two, means: Two, variable: Symbol) -> Any:
    pair = [(s, *_both(means)[:1], *_both(variances)[:1])]
    pair.append((s if t is None else t, _both(means)[1], _both(variances)[1]))
    return [checked_input(f, m, r, variable) for f, m, r in pair]


def _both(entry: Two) -> tuple[Any, Any]:
    if isinstance(entry, tuple | list):
        if len(entry) != len("uv"):
            raise RangeError(f"two normals with {entry}", f"{len(entry)} entries", "give two")
        return entry[0], entry[1]
    return entry, entry


def _correlation(rho: Any, variable: Symbol) -> Expr:
    try:
        value = sympify(rho, strict=True)
    except SympifyError:
        raise RangeError(f"a correlation {rho!r}", "not a number", "give a number") from None
    value = value.xreplace({x: Rational(repr(float(x))) for x in value.atoms(Float)})
    outside = value.is_number and value.is_real and decided_sign(abs(value) - 1) == 1
    if outside or value.is_real is False or (not value.is_finite and value.is_number):
        raise RangeError(f"a correlation {value}", "outside [-1, 1]", "give -1 <= rho <= 1")
    if not value.is_real or variable in value.free_symbols:
        raise RangeError(f"a correlation {value}", "not a real parameter", "use a real symbol")
    return value


def _at(expr: Expr, point: Expr) -> Expr:
    return expr if point == RHO else expr.subs(RHO, point)


# --- kernels ------------------------------------------------------------------------------------


def _with_a_constant(first: Any, second: Any, x: Symbol) -> Value:
    """Return the kernel where one normal has no spread."""
    (s, m1, a), (t, m2, b) = first, second
    one, two = closed_form(s, m1, a, x), closed_form(t, m2, b, x)
    log = one[1].then(Step("a constant factor")).extend(two[1])
    return Value(one[0] * two[0], Kind.CLOSED_FORM, "one normal is constant", log)


def _on_one_normal(first: Any, second: Any, point: Expr, x: Symbol) -> Value | None:
    """Return the kernel where v is an affine function of u; None if its kinks have no order."""
    (s, m1, a), (t, m2, b) = first, second
    scale = Rational(1) if a == b else sqrt(b) / sqrt(a)
    partner = expand(m2 + point * scale * (x - m1))
    try:
        expr, log = closed_form(s * t.xreplace({x: partner}), m1, a, x)
    except (RangeError, NoRuleError):
        return None
    start = Log((Step("at rho = ±1 both are one normal", f"v = {partner} with {x} = u"),))
    return Value(expr, Kind.CLOSED_FORM, "closed form over one normal", start.extend(log))


@lru_cache(maxsize=512)
def _kernel(
    s: Expr, t: Expr, means: tuple[Expr, Expr], variances: tuple[Expr, Expr], x: Symbol
) -> tuple[Expr, Log]:
    forms = (normal_form(s, x), normal_form(t, x))
    start = Log((Step("cut into half-lines and error functions", _shape(forms)),))
    return _mean_of_forms(forms, means, variances, start)


@lru_cache(maxsize=512)
def _slope_kernel(
    s: Expr, t: Expr, means: tuple[Expr, Expr], variances: tuple[Expr, Expr], x: Symbol
) -> tuple[Expr, Log]:
    forms = (normal_form(s, x), normal_form(t, x))
    if any(form.atoms or jumps(form, x) for form in forms):
        expr, log = _kernel(s, t, means, variances, x)
        slope = expr.diff(RHO) / sqrt(variances[0]) / sqrt(variances[1])
        slope = slope.replace(
            lambda e: e.is_Pow and e.base == 1 - RHO**2, lambda e: q(RHO) ** (2 * e.exp)
        )
        return slope, log.then(Step("differentiate in the covariance", str(slope), PRICE_1958))
    slopes = (derivative(forms[0], x), derivative(forms[1], x))
    start = Log((Step("differentiate the pieces; no jumps", _shape(slopes)),))
    return _mean_of_forms(slopes, means, variances, start)


def _mean_of_forms(
    forms: tuple[Form, Form],
    means: tuple[Expr, Expr],
    variances: tuple[Expr, Expr],
    start: Log,
) -> tuple[Expr, Log]:
    if any(form.atoms for form in forms):
        raise NoRuleError("a kernel", "a Dirac delta among the factors", "use dual_derivative")
    scales = [_scale(v, name) for v, name in zip(variances, "uv", strict=True)]
    law = Normals(means, (scales[0], scales[1]), RHO)
    one, two = terms_of(forms[0], 0), terms_of(forms[1], 1)
    total: Combination = {}
    for s in one:
        for t in two:
            for key, weight in pair_mean(law, s, t).items():
                total[key] = total.get(key, S.Zero) + weight
    expr = assemble_kernel(total)
    spelled = {scale: sqrt(v) for scale, v in zip(scales, variances, strict=True)}
    expr = stable_sums(expr, RHO, Q)
    expr = expr.xreplace({k: full for k, full in spelled.items() if k.is_Dummy} | {Q: q(RHO)})
    return expr, start.extend(_steps(one, two, expr, total))


def _scale(variance: Expr, name: str) -> Expr:
    """Return the standard deviation: a stand-in unless it is rational."""
    root = sqrt(variance)
    return root if root.is_Rational else Dummy(f"s_{name}", positive=True)


def _shape(forms: tuple[Form, Form]) -> str:
    return " and ".join(f"{len(form.terms)} terms" for form in forms)


def _steps(one: tuple[Term, ...], two: tuple[Term, ...], expr: Expr, total: Combination) -> Log:
    log = Log((Step("multiply out", f"{len(one)} x {len(two)} pairs of terms"),))
    if any(t.mode.linear != 0 or t.mode.quadratic != 0 for t in one + two):
        log = log.then(Step("complete the square in two variables"))
    if any(len(t.poly) > 1 for t in one + two):
        log = log.then(Step("lower powers by Stein's identity", source=STEIN_1981))
    if any(t.cuts for t in one) and any(t.cuts for t in two):
        log = log.then(Step("two linear events: bivariate normal probability", source=OWEN_1956))
    if is_larger(expr, HUGE):
        return log.then(Step("collect", "an expression of more than a page"))
    return log.then(Step("collect", str(expr), before=size(total.values()), after=size(expr)))
