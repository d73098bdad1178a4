"""Normal form of the integrands that Gaussian rules can integrate.

Stage: an expression of one variable comes in, a ``Form`` goes out: a sum over intervals of
polynomials times *modes*, ``exp(constant + linear x + quadratic x^2)`` times error functions of
affine arguments, plus point masses (Dirac deltas and their derivatives). Trigonometric functions
enter as exponentials with an imaginary ``linear``. Terms without kinks stay on the whole line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb
from typing import Any

from sympy import (
    Add,
    DiracDelta,
    Expr,
    Function,
    I,
    Mul,
    Poly,
    Pow,
    Rational,
    S,
    Symbol,
    cancel,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    expand,
    log,
    sift,
    sin,
    sinh,
)

from derive.errors import NoRuleError, NotSupportedError
from derive.normal.branches import KINKS, branches, has_kinks, real_zeros
from derive.normal.intervals import LINE, Interval, decided_sign, order
from derive.normal.poles import is_denominator

CLASS = (
    "supported are products, sums and integer powers of polynomials, exp(quadratic), erf, erfc, "
    "sin, cos, sinh and cosh of affine arguments, and Max, Min, Abs, sign, Heaviside, Piecewise"
)
Coefficients = tuple[Expr, ...]


@dataclass(frozen=True)
class Mode:
    """``exp(constant + linear x + quadratic x^2)`` times the product of ``erf(slope x + offset)``.

    Attributes:
        constant: part of the exponent that is free of the variable; may be complex.
        linear: coefficient of x; imaginary for trigonometric functions.
        quadratic: coefficient of x**2, real.
        bells: sorted (slope, offset) of each error function.
    """

    constant: Expr = S.Zero
    linear: Expr = S.Zero
    quadratic: Expr = S.Zero
    bells: tuple[tuple[Expr, Expr], ...] = ()

    def times(self, other: "Mode") -> "Mode":
        """Return the product of two modes."""
        if other == FLAT:
            return self
        if self == FLAT:
            return other
        return Mode(
            expand(self.constant + other.constant),
            expand(self.linear + other.linear),
            expand(self.quadratic + other.quadratic),
            tuple(sorted(self.bells + other.bells, key=str)),
        )

    def at(self, x: Expr) -> Expr:
        """Return the value at a point."""
        value = exp(self.constant + self.linear * x + self.quadratic * x**2)
        return value * Mul(*(erf(a * x + b) for a, b in self.bells))


FLAT = Mode()


@dataclass(frozen=True)
class Form:
    """A function of one variable as a finite sum.

    Attributes:
        terms: (interval, mode) -> coefficients of the polynomial, lowest degree first.
        atoms: (place, order) -> weight of the ``order``-th derivative of a Dirac delta.
    """

    terms: dict[tuple[Interval, Mode], Coefficients]
    atoms: dict[tuple[Expr, int], Expr]

    def plus(self, *others: "Form") -> "Form":
        """Return the sum."""
        terms: dict[tuple[Interval, Mode], Coefficients] = dict(self.terms)
        atoms = dict(self.atoms)
        for other in others:
            for key, poly in other.terms.items():
                terms[key] = _add(terms[key], poly) if key in terms else poly
            for place, weight in other.atoms.items():
                atoms[place] = expand(atoms.get(place, S.Zero) + weight)
        return Form(
            {key: poly for key, poly in terms.items() if poly},
            {key: weight for key, weight in atoms.items() if weight != 0},
        )

    def times(self, other: "Form") -> "Form":
        """Return the product; point masses must have been multiplied before."""
        terms: dict[tuple[Interval, Mode], Coefficients] = {}
        for (cell, mode), poly in self.terms.items():
            for (cell2, mode2), poly2 in other.terms.items():
                met = cell.meet(cell2)
                if met is not None:
                    key = (met, mode.times(mode2))
                    product = _multiply(poly, poly2)
                    terms[key] = _add(terms[key], product) if key in terms else product
        return Form({key: poly for key, poly in terms.items() if poly}, {})

    def on(self, cell: Interval) -> "Form":
        """Return the restriction to an interval of the terms."""
        return self if cell.is_line() else self.times(Form({(cell, FLAT): (S.One,)}, {}))

    def merged(self) -> "Form":
        """Return the form with equal terms on touching intervals joined."""
        by_content: dict[tuple[Mode, Coefficients], list[Interval]] = {}
        for (cell, mode), poly in self.terms.items():
            by_content.setdefault((mode, poly), []).append(cell)
        joined = [
            Form({(cell, mode): poly}, {})
            for (mode, poly), cells in by_content.items()
            for cell in _join(cells)
        ]
        return Form({}, self.atoms).plus(*joined)

    def modes(self) -> tuple[Mode, ...]:
        """Return the different modes."""
        return tuple(dict.fromkeys(mode for _, mode in self.terms))


def _join(cells: list[Interval]) -> list[Interval]:
    """Join intervals that share an end."""
    cells = list(cells)
    for one in cells:
        for two in cells:
            if one.high == two.low:
                rest = [cell for cell in cells if cell not in (one, two)]
                return _join([*rest, Interval(one.low, two.high)])
    return cells


def _add(p: Coefficients, q: Coefficients) -> Coefficients:
    n = max(len(p), len(q))
    p, q = p + (S.Zero,) * (n - len(p)), q + (S.Zero,) * (n - len(q))
    return _trim(_tidy(a + b) for a, b in zip(p, q, strict=True))


def _multiply(p: Coefficients, q: Coefficients) -> Coefficients:
    rows: list[list[Expr]] = [[] for _ in range(len(p) + len(q) - 1)]
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            if a != 0 and b != 0:
                rows[i + j].append(a * b)
    return _trim(_tidy(Add(*row)) for row in rows)


def _tidy(coefficient: Expr) -> Expr:
    return coefficient if coefficient.is_Rational else expand(coefficient)


def _trim(coefficients: Iterable[Expr]) -> Coefficients:
    row = list(coefficients)
    while row and row[-1] == 0:
        row.pop()
    return tuple(row)


def normal_form(expr: Expr, x: Symbol) -> Form:
    """Return the normal form of an expression in ``x``.

    Args:
        expr: expression in the variable and in real parameters.
        x: a real symbol.

    Raises:
        NoRuleError: naming the term outside the class, and the nearest supported form.
        RangeError: if breakpoints cannot be ordered.

    Example:
        >>> from sympy import Max
        >>> from derive.symbols import z
        >>> normal_form(z * Max(z, 0), z).terms
        {(Interval(low=0, high=oo), Mode(...)): (0, 0, 1)}
    """
    return _form(expr, x).merged()


def _form(expr: Expr, x: Symbol) -> Form:
    if x not in expr.free_symbols:
        return Form({(LINE, FLAT): (expr,)} if expr != 0 else {}, {})
    if expr.is_polynomial(x) and not expr.has(DiracDelta):
        return _smooth(FLAT, tuple(reversed(Poly(expr, x).all_coeffs())))
    if isinstance(expr, Add):
        first, *rest = (_form(arg, x) for arg in expr.args)
        return first.plus(*rest)
    if isinstance(expr, Mul):
        return _product(expr, x)
    if isinstance(expr, DiracDelta):
        return _atoms(expr, S.One, x)
    if isinstance(expr, Pow) and expr.exp.is_Integer and expr.exp > 0:
        return _power(expr, x)
    if has_kinks(expr, x):
        parts = [_form(smooth, x).on(cell) for cell, smooth in branches(expr, x)]
        return Form({}, {}).plus(*parts)
    return _elementary(expr, x)


def _smooth(mode: Mode, poly: Coefficients = (S.One,)) -> Form:
    return Form({(LINE, mode): poly}, {}) if poly else Form({}, {})


def _power(expr: Pow, x: Symbol) -> Form:
    if expr.base.has(DiracDelta):
        raise _no_rule(expr, "a power of a Dirac delta has no meaning")
    base = _form(expr.base, x).merged()
    result = base
    for _ in range(int(expr.exp) - 1):
        result = result.times(base)
    return result


def _product(expr: Mul, x: Symbol) -> Form:
    if expr.has(DiracDelta):
        return _delta_product(expr, x)
    if any(is_denominator(arg, x) for arg in expr.args):
        return _quotient(expr, x)
    result, *rest = (_form(arg, x) for arg in expr.args)
    for form in rest:
        result = result.times(form)
    return result


def _quotient(expr: Mul, x: Symbol) -> Form:
    """Return the form of a quotient whose denominator cancels on every branch."""
    if has_kinks(expr, x):
        parts = [_form(smooth, x).on(cell) for cell, smooth in branches(expr, x)]
        return Form({}, {}).plus(*parts)
    rational, others = sift(expr.args, lambda arg: bool(arg.is_rational_function(x)), binary=True)
    whole, strange = cancel(Mul(*rational)), [arg for arg in others if is_denominator(arg, x)]
    if strange or not whole.is_polynomial(x):
        denominator = next(arg for arg in (*strange, *expr.args) if is_denominator(arg, x))
        raise _no_rule(denominator, _hint(denominator))
    return _form(whole, x).times(_form(Mul(*others), x))


def _delta_product(expr: Mul, x: Symbol) -> Form:
    """Return delta times the other factors; a sum that holds deltas is multiplied out first."""
    singular = [arg for arg in expr.args if arg.has(DiracDelta)]
    if len(singular) > 1:
        raise _no_rule(expr, "a product of Dirac deltas has no meaning")
    others = Mul(*(arg for arg in expr.args if arg is not singular[0]))
    if isinstance(singular[0], DiracDelta):
        return _atoms(singular[0], others, x)
    if isinstance(singular[0], Add):
        return Form({}, {}).plus(*(_form(others * arg, x) for arg in singular[0].args))
    raise _no_rule(singular[0], "a Dirac delta inside a function")


def _atoms(delta: DiracDelta, others: Expr, x: Symbol) -> Form:
    """Return ``others`` times a delta (or its derivative) as point masses."""
    arguments: tuple[Any, ...] = delta.args
    argument = arguments[0]
    degree = int(arguments[1]) if len(arguments) > 1 else 0
    slope = argument.diff(x)
    if degree and x in slope.free_symbols:
        raise _no_rule(delta, "a derivative of a delta needs an affine argument")
    result = Form({}, {})
    for place in real_zeros(argument, x):
        rate = slope.subs(x, place)
        size = decided_sign(rate)
        if not size:
            raise _no_rule(delta, f"the sign of the slope {rate} at {place} is not known")
        weight = 1 / (size * rate * rate**degree)
        for j in range(degree + 1):
            value = _local_derivative(others, x, place, degree - j)
            scale = (-1) ** (degree - j) * comb(degree, j) * weight
            result = result.plus(Form({}, {(place, j): scale * value}))
    return result


def _local_derivative(g: Expr, x: Symbol, place: Expr, degree: int) -> Expr:
    """Return a derivative of ``g`` at a point, the mean of both sides for one single jump."""
    if x not in g.free_symbols:
        return g if degree == 0 else S.Zero
    values = _limits(g, x, place, degree)
    jump = expand(values[0] - values[-1]) != 0
    if _jumping_factors(g, x, place) > 1:
        raise NotSupportedError(
            f"a Dirac delta at {place} times {g}",
            "several factors jump at that point, so the product is ambiguous",
            "multiply the jumps out before differentiating",
        )
    if degree and jump:
        raise _no_rule(g, f"a derivative of a Dirac delta meets a kink at {place}")
    return (values[0] + values[-1]) / 2


def _limits(g: Expr, x: Symbol, place: Expr, degree: int = 0) -> list[Expr]:
    """Return the limits of a derivative from the left and from the right of a point."""
    return [
        smooth.diff(x, degree).subs(x, place)
        for cell, smooth in branches(g, x)
        if order(cell.low, place) <= 0 <= order(cell.high, place)
    ]


def _jumping_factors(g: Expr, x: Symbol, place: Expr) -> int:
    """Return how many factors of a product jump at a point, powers counted."""
    count = 0
    for factor in Mul.make_args(g):
        base, power = factor.as_base_exp()
        if has_kinks(base, x):
            values = _limits(base, x, place)
            jump = expand(values[0] - values[-1]) != 0
            count += int(power) if jump and power.is_Integer else int(jump)
    return count


def _elementary(expr: Expr, x: Symbol) -> Form:
    """Return the form of one smooth function of the variable."""
    if isinstance(expr, exp):
        return _exponential(expr.args[0], expr, x)
    if isinstance(expr, Pow):
        return _general_power(expr, x)
    if isinstance(expr, erf | erfc):
        return _error_function(expr, x)
    if isinstance(expr, sin | cos | sinh | cosh):
        return _waves(expr, x)
    raise _no_rule(expr, _hint(expr))


def _general_power(expr: Pow, x: Symbol) -> Form:
    base, power = expr.as_base_exp()
    if x not in base.free_symbols and decided_sign(base) == 1:
        return _exponential(log(base) * power, expr, x)
    if isinstance(base, exp) and x not in power.free_symbols:
        return _exponential(base.args[0] * power, expr, x)
    raise _no_rule(expr, _hint(expr))


def _exponential(argument: Expr, whole: Expr, x: Symbol) -> Form:
    if not argument.is_polynomial(x) or Poly(argument, x).degree() > 2:
        raise _no_rule(whole, "the exponent must be a polynomial of degree two at most")
    constant, linear, quadratic = (_coefficient(argument, x, k) for k in range(3))
    return _smooth(Mode(constant, linear, quadratic))


def _coefficient(argument: Expr, x: Symbol, k: int) -> Expr:
    return expand(Poly(argument, x).coeff_monomial(x**k))


def _affine(expr: Function, x: Symbol) -> tuple[Expr, Expr]:
    argument: Any = expr.args[0]
    if not argument.is_polynomial(x) or Poly(argument, x).degree() > 1:
        raise _no_rule(expr, f"the argument of {expr.func} must be affine in {x}")
    return _coefficient(argument, x, 1), _coefficient(argument, x, 0)


def _error_function(expr: Function, x: Symbol) -> Form:
    slope, offset = _affine(expr, x)
    sense = S.One
    if slope.could_extract_minus_sign():
        slope, offset, sense = -slope, -offset, -S.One
    bell = _smooth(Mode(bells=((slope, offset),)), (sense,))
    if isinstance(expr, erf):
        return bell
    return _smooth(FLAT).plus(bell.times(_smooth(FLAT, (-S.One,))))


def _waves(expr: Function, x: Symbol) -> Form:
    """Return sin, cos, sinh or cosh of an affine argument as two exponentials."""
    slope, offset = _affine(expr, x)
    unit = I if isinstance(expr, sin | cos) else S.One
    up = Mode(expand(unit * offset), expand(unit * slope))
    down = Mode(expand(-unit * offset), expand(-unit * slope))
    odd = isinstance(expr, sin | sinh)
    half = Rational(1, 2) / (unit if odd else S.One)
    return _smooth(up, (half,)).plus(_smooth(down, (-half if odd else half,)))


def _no_rule(term: Expr, why: str) -> NoRuleError:
    return NoRuleError("a closed form of a Gaussian mean", f"no rule for {term} ({why})", CLASS)


def _hint(expr: Expr) -> str:
    """Return the nearest supported form of a function outside the class."""
    name = type(expr).__name__
    near = {
        "tanh": "nearest is erf",
        "atan": "nearest is erf",
        "log": "nearest is Max(x, 0), the hard softplus",
        "Pow": "nearest is a positive integer power",
        "tan": "nearest are sin and cos",
    }
    return near.get(name, f"{name} is not in the class") if not isinstance(expr, KINKS) else name
