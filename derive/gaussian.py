r"""Means over one normal: closed forms by rules, with a log; never by symbolic integration.

Stage: an expression in one variable comes in, a ``Value`` goes out. The rules cover products, sums
and integer powers of polynomials, exponentials of quadratics, erf and erfc of affine arguments,
trigonometric functions, kinks and Dirac deltas; breakpoints, mean, variance and parameters may be
symbols. Outside that class the value is an unevaluated ``Expectation``, and the reason names the
term that no rule matched.

Conventions: N(m, r) has variance r; the normal distribution function is spelled with erf, and with
erfc where it is a tail. Sources: [stein1981]; [owen1956] for two error functions.
"""

from typing import Any

from sympy import (
    DiracDelta,
    Expr,
    Float,
    I,
    Integer,
    Mod,
    Rational,
    S,
    Symbol,
    ceiling,
    exp,
    expand,
    floor,
    frac,
    nan,
    oo,
    pi,
    sqrt,
    zoo,
)

from derive.errors import NoRuleError, RangeError
from derive.exact import scalar_expression
from derive.expectation import Expectation
from derive.expectation import kind as kind_of
from derive.normal.gaussian_moments import (
    Combination,
    Ledger,
    Measure,
    canonical,
    combine,
    expectation_of,
    single,
)
from derive.normal.gaussian_terms import Form, normal_form
from derive.normal.gaussian_tidy import assemble
from derive.normal.intervals import decided_sign
from derive.normal.parity import is_odd, polynomially_bounded
from derive.normal.poles import refuse_poles
from derive.provenance import OWEN_1956, STEIN_1981, THIS, Source
from derive.rewrite import Log, Step, size
from derive.symbols import z
from derive.value import Kind, Value

Number = Expr | int | float

_PARITY = "parity: the integrand is odd, the law even"
_ODD = "zero: the integrand is odd"
RULES: dict[str, tuple[str, Source]] = {
    "square": ("complete the square of an exponential factor", THIS),
    "truncate": ("take the normal probability of an interval", THIS),
    "climb": ("climb powers of the variable by Stein's identity", STEIN_1981),
    "bell": ("average an error function of an affine argument", THIS),
    "orthant": ("write two linear conditions as a bivariate normal probability", OWEN_1956),
}


def expect(expr: Any, mean: Number = 0, variance: Number = 1, variable: Symbol = z) -> Value:
    """Return E f(N(mean, variance)).

    Args:
        expr: f, an expression in the variable and in real parameters. Decimals are read as written.
        mean: real, may be symbolic.
        variance: positive or zero, may be symbolic.
        variable: a real symbol, the argument of f.

    Returns:
        A closed form with its log; an unevaluated expectation, with the reason, where no rule
        matches. ``Value.reason`` states the conditions that the symbols must meet.

    Raises:
        NotIntegrableError: if the mean does not exist.
        RangeError: a symbol that is not real, a variance that is not known to be positive,
            breakpoints that cannot be ordered.

    Derivation: the integrand is written as polynomials times exponentials and error functions on
    intervals; each exponential tilts the law; powers climb by Stein's identity.

    Example:
        >>> from sympy import Abs, Max, Symbol, exp, tanh
        >>> expect(Max(z, 0)), expect(exp(z)), expect(Abs(z))
        (sqrt(2)/(2*sqrt(pi)), exp(1/2), sqrt(2)/sqrt(pi))
        >>> b, r = Symbol("b", real=True), Symbol("r", positive=True)
        >>> expect(Max(z, 0) ** 2, 0, r), expect(exp(b * z), 0, r)
        (r/2, exp(b**2*r/2))
        >>> expect(tanh(z) ** 2).reason
        'no rule for tanh(z) (nearest is erf)'
    """
    f, m, r, x = checked_input(expr, mean, variance, variable)
    try:
        value, log, conditions = _solve(f, m, r, x)
    except NoRuleError as error:
        return _held(f, m, r, x, error)
    if value != 0 and m == 0 and f.free_symbols == {x} and is_odd(f, x):
        return Value(S.Zero, Kind.CLOSED_FORM, _ODD, log.then(Step(_PARITY, "0")))
    held = value.has(Expectation)
    reason = f"closed form by the Gaussian rules{' around unevaluated means' if held else ''}"
    if conditions:
        reason += ", where " + " and ".join(f"{c} > 0" for c in conditions)
    kind = _kind(value) if held else Kind.CLOSED_FORM
    return Value(value, kind, reason, log)


def closed_form(
    expr: Any, mean: Number = 0, variance: Number = 1, variable: Symbol = z
) -> tuple[Expr, Log]:
    """Return the closed form of E f(N(mean, variance)) and its log.

    Args:
        expr: f, as for ``expect``.
        mean: real, may be symbolic.
        variance: positive or zero, may be symbolic.
        variable: a real symbol, the argument of f.

    Raises:
        NoRuleError: naming the term that no rule matches, and the nearest supported form.
        NotIntegrableError: if the mean does not exist.
        RangeError: on bad input.

    Example:
        >>> from sympy import cos
        >>> closed_form(cos(2 * z))[0]
        exp(-2)
    """
    f, m, r, x = checked_input(expr, mean, variance, variable)
    value, log, _ = _solve(f, m, r, x)
    return value, log


def _held(f: Expr, m: Expr, r: Expr, x: Symbol, error: NoRuleError) -> Value:
    """Return the unevaluated expectation, or zero by symmetry."""
    if f.has(DiracDelta):
        raise error
    refuse_poles(f, x)
    _refuse_endless_jumps(f, x)
    if m == 0 and is_odd(f, x) and polynomially_bounded(f, x):
        return Value(S.Zero, Kind.CLOSED_FORM, _ODD, Log((Step(_PARITY, "0"),)))
    held = Expectation(f, m, r, x)
    return Value(
        held, _kind(held), error.found, Log((Step("keep the mean unevaluated", str(held)),))
    )


def _refuse_endless_jumps(f: Expr, x: Symbol) -> None:
    for node in sorted(f.atoms(floor, ceiling, frac, Mod), key=str):
        if x in node.free_symbols:
            raise NoRuleError(
                f"the Gaussian mean of {f}",
                f"no rule for {node}, which jumps without end",
                "write the jumps that matter as a Piecewise or as a sum of Heaviside steps",
            )


def _kind(expr: Expr) -> Kind:
    """Return what digits rest on; with free symbols nothing was enclosed, so the weakest."""
    return Kind.TWO_PRECISIONS if expr.free_symbols else kind_of(expr)[0]


def _solve(f: Expr, m: Expr, r: Expr, x: Symbol) -> tuple[Expr, Log, tuple[Expr, ...]]:
    if r == 0:
        return f.subs(x, m), Log((Step("a law without spread: evaluate at the mean"),)), ()
    form = normal_form(f, x)
    parts = len({cell for cell, _ in form.terms})
    shape = f"{len(form.terms)} terms on {parts} intervals, {len(form.atoms)} point masses"
    log = Log((Step("write as polynomials times exponentials and erf", shape, before=size(f)),))
    ledger = Ledger()
    combination = _integrate(form, Measure(m, ledger.name(r), ledger, x))
    for rule in ledger.rules:
        text, source = RULES[rule]
        log = log.then(Step(text, source=source))
    value = assemble(combination, ledger)
    raw = size(list(combination.values()))
    log = log.then(Step("collect", str(value), THIS, raw, size(value)))
    conditions = [ledger.spell(c) for c in ledger.conditions]
    if r.free_symbols and decided_sign(r) != 1 and value.has(sqrt(r), 1 / r, exp):
        conditions.append(r)
    return value, log, tuple(conditions)


def _integrate(form: Form, measure: Measure) -> Combination:
    rows: list[tuple[Expr, Combination]] = [
        (S.One, expectation_of(measure, mode, cell, poly))
        for (cell, mode), poly in form.terms.items()
    ]
    rows += [
        (weight, _point_mass(measure, place, degree))
        for (place, degree), weight in form.atoms.items()
    ]
    return combine(rows)


def _point_mass(measure: Measure, place: Expr, degree: int) -> Combination:
    """Return E of the degree-th derivative of a Dirac delta: (-1)^n times that of the density."""
    m, r, x = measure.mean, measure.variance, Symbol("x", real=True)
    factor: Expr = Integer(1)
    for _ in range(degree):
        factor = expand(factor * (x - m) / r - factor.diff(x))
    exponent = canonical(-((place - m) ** 2) / (2 * r))
    return single(exponent, S.Zero, S.One, expand(factor.subs(x, place) / sqrt(2 * pi * r)))


def checked_input(
    expr: Any, mean: Any, variance: Any, variable: Symbol
) -> tuple[Expr, Expr, Expr, Symbol]:
    """Return integrand, mean and variance with exact numbers, and the variable as a real symbol.

    Raises:
        RangeError: on a symbol that is not real, a variance that is not known to be positive, a
            complex integrand, or a variable that occurs in the law.
    """
    f, m, r = (_exact(value) for value in (expr, mean, variance))
    if variable in m.free_symbols | r.free_symbols:
        raise RangeError(
            f"a mean over {variable}", f"{variable} occurs in the law N({m}, {r})", "rename it"
        )
    if variable.is_nonnegative or variable.is_nonpositive or variable.is_integer:
        raise RangeError(
            f"a mean over {variable}",
            f"{variable} was declared with a sign",
            "declare the variable with real=True only",
        )
    for symbol in sorted((f.free_symbols | m.free_symbols | r.free_symbols), key=str):
        if symbol != variable and not symbol.is_real:
            raise RangeError(
                f"the Gaussian mean of {f} over {variable}",
                f"the symbol {symbol} is not declared real",
                f"declare it with real=True, or pass variable={symbol}",
            )
    if f.has(I) or m.has(I):
        raise RangeError(
            f"the Gaussian mean of {f} at mean {m}", "not real", "give a real function and mean"
        )
    _check_variance(r)
    x = variable if variable.is_real else Symbol(variable.name, real=True)
    return f.xreplace({variable: x}), m, r, x


def _exact(value: Any) -> Expr:
    """Return a SymPy expression with decimals read as written, so that 0.1 is one tenth."""
    expr = scalar_expression(value, f"the Gaussian mean of {value!r}")
    if expr.has(nan, oo, -oo, zoo):
        raise RangeError(f"the Gaussian mean of {expr}", "not finite", "give finite numbers")
    decimals = {number: Rational(repr(float(number))) for number in expr.atoms(Float)}
    return expr.xreplace(decimals)


def _check_variance(r: Expr) -> None:
    found = decided_sign(r)
    if found == -1:
        raise RangeError(f"a normal law of variance {r}", "negative", "give a variance >= 0")
    if found is None and not r.is_nonnegative and r.free_symbols:
        raise RangeError(
            f"a normal law of variance {r}",
            "its sign does not follow from what is known of its symbols",
            "declare them positive",
        )


__all__ = ["checked_input", "closed_form", "expect"]
