r"""Truncated Gaussian moments of one mode: the integrals behind every closed form.

Stage: between the normal form and the tidy result. For z ~ N(m, r) the mode
``exp(k + a z + b z^2)`` turns the law into ``N(M, S)`` times a factor, where

    w = 1 - 2 b r,   S = r/w,   M = (m + a r)/w,   factor = exp(k + (2 a m + a^2 r + 2 b m^2)/(2 w))/sqrt(w),

and moments climb by Stein's identity, with boundary terms at the ends of the interval and one
derivative of each error function. The lowest moments are normal probabilities, error functions,
arc tangents, bivariate normal probabilities and Owen's T. Source: [stein1981], [owen1956].
"""  # noqa: E501

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sympy import (
    Add,
    Dummy,
    Expr,
    I,
    Integer,
    Mul,
    Number,
    S,
    Symbol,
    asin,
    atan,
    erf,
    erfi,
    exp,
    expand,
    factor_terms,
    oo,
    pi,
    sqrt,
)

from derive.bivariate import bivariate_normal, owens_t
from derive.errors import NoRuleError, NotIntegrableError
from derive.normal.factoring import factored
from derive.normal.gaussian_terms import Coefficients, Mode
from derive.normal.intervals import Interval, decided_sign

Key = tuple[Expr, Expr, Expr]
Combination = dict[Key, Expr]
"""(real exponent, imaginary exponent, special function) -> coefficient."""


@dataclass
class Ledger:
    """What was used on the way: rules in order of appearance, conditions, and short names."""

    rules: dict[str, None] = field(default_factory=dict)
    conditions: dict[Expr, None] = field(default_factory=dict)
    short: dict[Expr, Symbol] = field(default_factory=dict)

    def name(self, expr: Expr) -> Expr:
        """Return a number or symbol itself, and one positive stand-in for a compound expression."""
        if not expr.free_symbols or expr.is_Symbol:
            return expr
        return self.short.setdefault(expr, Dummy(f"w{len(self.short)}", positive=True))

    def spell(self, expr: Expr) -> Expr:
        """Return the expression with its stand-ins written out."""
        for _ in range(len(self.short)):
            expr = expr.xreplace({symbol: full for full, symbol in self.short.items()})
        return expr


@dataclass(frozen=True)
class Measure:
    """The law N(mean, variance) of the variable, and the ledger of one computation."""

    mean: Expr
    variance: Expr
    ledger: Ledger
    variable: Symbol

    def width(self, mode: Mode) -> Expr:
        """Return w = 1 - 2 b r of a mode."""
        return expand(1 - 2 * mode.quadratic * self.ledger.spell(self.variance))

    def moments(self, mode: Mode, cell: Interval, top: int) -> "list[Row]":
        """Return E[z^n mode(z); cell] for n = 0..top.

        Raises:
            NotIntegrableError: if the mean does not exist.
            NoRuleError: if the lowest moment has no closed form.
        """
        width = self.width(mode)
        found = decided_sign(width)
        if found == 0:
            return _critical_moments(self, mode, cell, top)
        if found == -1 and not cell.is_bounded():
            _refuse(self, mode)
        if found is None and width not in self.ledger.conditions:
            self.ledger.conditions[width] = None
        return self._climb(mode, cell, top, width, found)

    def _climb(
        self, mode: Mode, cell: Interval, top: int, width: Expr, found: int | None
    ) -> "list[Row]":
        w = width if found == -1 else self.ledger.name(width)
        base = Tilted(self, mode, cell, w, found == -1)
        shift, spread = expand((self.mean + mode.linear * self.variance) / w), self.variance / w
        result: list[Row] = [_row(base.lowest)]
        lower = [(2 * a / sqrt(pi), self._without(mode, i)) for i, (a, _) in enumerate(mode.bells)]
        inner = [(weight, self.moments(m, cell, top - 1)) for weight, m in lower if top > 0]
        if top > 0:
            self.ledger.rules["climb"] = None
        for n in range(1, top + 1):
            pieces = [(shift, result[n - 1]), (-spread, base.boundary(n - 1))]
            if n > 1:
                pieces.append((spread * (n - 1), result[n - 2]))
            pieces += [(spread * weight, row[n - 1]) for weight, row in inner]
            result.append(_row(partial(combine, pieces)))
        return result

    def _without(self, mode: Mode, i: int) -> Mode:
        """Return the mode with one error function replaced by exp(-(a z + b)^2)."""
        slope, offset = mode.bells[i]
        rest = Mode(bells=mode.bells[:i] + mode.bells[i + 1 :])
        bell = Mode(-(offset**2), -2 * slope * offset, -(slope**2))
        return Mode(mode.constant, mode.linear, mode.quadratic).times(bell).times(rest)


Row = Combination | NoRuleError
"""A moment, or why it has no closed form: it may still drop out of the ones above it."""


def _row(rule: Callable[[], Combination]) -> Row:
    try:
        return rule()
    except NoRuleError as error:
        return error


def combine(pieces: Sequence[tuple[Expr, Row]]) -> Combination:
    """Return the linear combination; a missing moment of nonzero weight is raised."""
    rows: dict[Key, list[Expr]] = {}
    for weight, combination in pieces:
        if weight != 0:
            if isinstance(combination, NoRuleError):
                raise combination
            for key, coefficient in combination.items():
                rows.setdefault(key, []).append(weight * coefficient)
    sums = {key: expand(sum(row, S.Zero)) for key, row in rows.items()}
    return {key: value for key, value in sums.items() if value != 0}


def expectation_of(measure: Measure, mode: Mode, cell: Interval, poly: Coefficients) -> Combination:
    """Return E[poly(z) mode(z); cell]."""
    rows = measure.moments(mode, cell, len(poly) - 1)
    return combine(list(zip(poly, rows, strict=True)))


def _refuse(measure: Measure, mode: Mode) -> None:
    """Raise for a mode that grows at least as fast as the density falls."""
    term = f"{exp(mode.quadratic * measure.variable**2)}"
    if mode.bells:
        raise NoRuleError(
            "a closed form of a Gaussian mean",
            f"no rule for {term} times erf on an unbounded interval at variance "
            f"{measure.ledger.spell(measure.variance)}",
            "use a smaller coefficient",
        )
    raise NotIntegrableError(
        f"the Gaussian mean of {term}",
        f"the coefficient {mode.quadratic} is not below 1/(2 variance) = "
        f"{1 / (2 * measure.ledger.spell(measure.variance))}",
        "lower the coefficient or the variance",
    )


@dataclass(frozen=True)
class Tilted:
    """One mode on one interval under a Gaussian law; knows its lowest moment and its boundary."""

    measure: Measure
    mode: Mode
    cell: Interval
    w: Expr
    reversed: bool

    def boundary(self, n: int) -> Combination:
        """Return the boundary term [z^n mode(z) density(z)] from low to high."""
        ends = [(S.One, self.cell.high), (-S.One, self.cell.low)]
        return combine(
            [(sense * end**n, self._at(end)) for sense, end in ends if end not in (oo, -oo)]
        )

    def _at(self, end: Expr) -> Combination:
        """Return mode times density at a point."""
        mean, r, mode = self.measure.mean, self.measure.variance, self.mode
        exponent = mode.constant + mode.linear * end + mode.quadratic * end**2
        real, imaginary = split(exponent)
        full = canonical(real - (end - mean) ** 2 / (2 * r))
        values = Mul(*(erf(a * end + b) for a, b in mode.bells))
        return single(full, canonical(imaginary), values, 1 / sqrt(2 * pi * r))

    def lowest(self) -> Combination:
        """Return E[mode(z); cell]."""
        count, rules = len(self.mode.bells), self.measure.ledger.rules
        if self.mode.linear != 0 or self.mode.quadratic != 0:
            rules["square"] = None
        if count == 0:
            return self._probability()
        if self.reversed or (self.mode.linear.has(I) and not (count == 1 and self.cell.is_line())):
            raise self._stuck("an oscillating or growing factor times erf on part of the line")
        if count == 1:
            rules["bell"] = None
            return self._one_bell()
        return self._many_bells()

    def _stuck(self, why: str) -> NoRuleError:
        x = self.measure.variable
        bells = Mul(*(erf(a * x + b) for a, b in self.mode.bells))
        spelled = self.measure.ledger.spell
        return NoRuleError(
            "a closed form of a Gaussian mean",
            f"no rule for {bells} on ({spelled(self.cell.low)}, {spelled(self.cell.high)}): {why}",
            "supported are two erf factors on the line, one on a half-line",
        )

    def _level(self, special: Expr, weight: Expr = S.One) -> Combination:
        """Return weight * factor * special, with the factor of the tilt."""
        mean, r, mode = self.measure.mean, self.measure.variance, self.mode
        top = 2 * mode.linear * mean + mode.linear**2 * r + 2 * mode.quadratic * mean**2
        real, imaginary = split(2 * self.w * mode.constant + top)
        scale = sqrt(-self.w) if self.reversed else sqrt(self.w)
        half = 1 / (2 * self.w)
        exponents = canonical(real * half), canonical(imaginary * half)
        parts = [single(*exponents, part, weight / scale) for part in Add.make_args(special)]
        return combine([(S.One, part) for part in parts])

    def _numerator(self, end: Expr) -> Expr:
        return expand(end * self.w - self.measure.mean - self.mode.linear * self.measure.variance)

    def _probability(self) -> Combination:
        """Return the mass of the interval under the tilted law."""
        if self.cell.is_line():
            return self._level(S.One)
        self.measure.ledger.rules["truncate"] = None
        high, low = self._error(self.cell.high), self._error(self.cell.low)
        return combine([(S.Half, self._level(high)), (-S.Half, self._level(low))])

    def _error(self, end: Expr) -> Expr:
        """Return erf of the standardised end; erfi where the tilted exponent opens upwards."""
        if end in (oo, -oo):
            return S.One if end == oo else -S.One
        r = self.measure.variance
        if self.reversed:
            return -erfi(argument(self._numerator(end), -2 * r * self.w))
        return erf(argument(self._numerator(end), 2 * r * self.w))

    def _offset(self, bell: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
        """Return (alpha M + beta) w and w (w + 2 alpha^2 r), the square of its scale."""
        slope, offset = bell
        r = self.measure.variance
        top = expand(slope * (self.measure.mean + self.mode.linear * r) + offset * self.w)
        return top, self._grown(2 * slope**2 * r)

    def _grown(self, extra: Expr) -> Expr:
        """Return w + extra under one name."""
        ledger = self.measure.ledger
        return ledger.name(expand(ledger.spell(self.w + extra)))

    def _one_bell(self) -> Combination:
        """Return E[erf(alpha z + beta); cell]."""
        low, high = self.cell.low, self.cell.high
        top, grown = self._offset(self.mode.bells[0])
        whole = erf(argument(top, self.w * grown))
        if self.cell.is_line():
            return self._level(whole)
        side = 1
        if high != oo:
            past_high = low == -oo or decided_sign(-self._numerator(high)) == 1
            side = -1 if past_high else 1
        near, far = (low, high) if side == 1 else (high, low)
        inside = self._bell_beyond(near, side, top, grown)
        outside = self._bell_beyond(far, side, top, grown) if far not in (oo, -oo) else {}
        return combine([(S.One, inside), (-S.One, outside)])

    def _bell_beyond(self, end: Expr, side: int, top: Expr, grown: Expr) -> Combination:
        """Return E[erf(alpha z + beta); side (z - end) > 0] = 2 Phi2(h, k; c) - Phi(k)."""
        self.measure.ledger.rules["orthant"] = None
        r, slope = self.measure.variance, side * self.mode.bells[0][0]
        ahead = -side * self._numerator(end)
        if top == 0 and ahead == 0:
            return self._level(atan(argument(2 * slope * r, 2 * r * self.w)) / pi)
        h = argument(top, self.w * grown / 2)
        k = argument(ahead, r * self.w)
        c = argument(2 * slope * r, 2 * r * grown)
        pair = self._level(bivariate_normal(h, k, c), Integer(2))
        behind = self._level(erf(argument(ahead, 2 * r * self.w)))
        return combine([(S.One, pair), (-S.Half, self._level(S.One)), (-S.Half, behind)])

    def _many_bells(self) -> Combination:
        offsets = [self._offset(bell) for bell in self.mode.bells]
        centred = all(top == 0 for top, _ in offsets)
        ends = [end for end in (self.cell.low, self.cell.high) if end not in (oo, -oo)]
        through = len(ends) == 1 and self._numerator(ends[0]) == 0
        count = len(offsets)
        if self.cell.is_line() and centred and count % 2:
            return {}
        if count == 2 and (self.cell.is_line() or (centred and through)):
            self.measure.ledger.rules["orthant"] = None
            whole = self._two_bells(offsets, centred)
            return combine([(S.One if self.cell.is_line() else S.Half, whole)])
        size = count + len(ends)
        kind = "trivariate" if size == 3 else f"{size}-variate"
        raise self._stuck(f"a {kind} orthant probability has no closed form in general")

    def _two_bells(self, offsets: list[tuple[Expr, Expr]], centred: bool) -> Combination:
        """Return E[erf(a1 z + b1) erf(a2 z + b2)] on the line."""
        r = self.measure.variance
        (a1, b1), (a2, b2) = self.mode.bells
        (top1, grown1), (top2, grown2) = offsets
        c = argument(2 * a1 * a2 * r, grown1 * grown2)
        if centred:
            return self._level(2 * asin(c) / pi)
        h1 = argument(top1, self.w * grown1 / 2)
        if (a1, b1) == (a2, b2):
            tail = self._level(owens_t(h1, argument(self.w, self.w * self._grown(4 * a1**2 * r))))
            return combine([(S.One, self._level(S.One)), (Integer(-8), tail)])
        h2 = argument(top2, self.w * grown2 / 2)
        singles = [
            (-S.One, self._level(erf(argument(top, self.w * grown)))) for top, grown in offsets
        ]
        pair = self._level(bivariate_normal(h1, h2, c), Integer(4))
        return combine([(S.One, pair), (-S.One, self._level(S.One)), *singles])


def argument(top: Expr, square: Expr) -> Expr:
    """Return top / sqrt(square), tidied."""
    real, imaginary = split(top)
    scale = sqrt(square)
    quotient = [factor_terms(part) / scale for part in (real, imaginary)]
    if not top.free_symbols and not square.free_symbols:
        quotient = [expand(part) for part in quotient]
    return quotient[0] + I * quotient[1]


def split(expr: Expr) -> tuple[Expr, Expr]:
    """Return real and imaginary part of a polynomial in I with real coefficients."""
    expr = expand(expr)
    if not expr.has(I):
        return expr, S.Zero
    imaginary = expr.coeff(I)
    return expand(expr - I * imaginary), imaginary


def canonical(expr: Expr) -> Expr:
    """Return one spelling of an exponent, so that equal ones meet."""
    return factored(expr) if expr.free_symbols else expand(expr)


def single(real: Expr, imaginary: Expr, special: Expr, weight: Expr) -> Combination:
    """Return one term, with numbers moved from the special function to the coefficient."""
    if special == 0 or weight == 0:
        return {}
    numbers = [f for f in Mul.make_args(special) if isinstance(f, Number) or f in (I, pi, 1 / pi)]
    number = Mul(*numbers)
    return {(real, imaginary, special / number): expand(weight * number)}


def _critical_moments(measure: Measure, mode: Mode, cell: Interval, top: int) -> list[Row]:
    """Return the moments where the mode cancels the Gaussian decay and exp(rate z) is left."""
    rate = expand(mode.linear + measure.mean / measure.variance)
    real, imaginary = split(rate)
    if imaginary != 0 or mode.bells:
        raise NoRuleError(
            "a closed form of a Gaussian mean",
            f"no rule for erf, sin or cos times {exp(mode.quadratic * measure.variable**2)}, which "
            "cancels the Gaussian decay",
            "use a smaller coefficient",
        )
    falls = decided_sign(real)
    if cell.is_line() or (cell.high == oo and falls != -1) or (cell.low == -oo and falls != 1):
        _refuse(measure, mode)
    if falls is None:
        raise NoRuleError(
            "a closed form of a Gaussian mean", f"the sign of {real} is not known", "declare it"
        )
    base = Tilted(measure, mode, cell, S.Zero, False)
    rows: list[Row] = []
    for n in range(top + 1):
        if falls == 0:
            rows.append(combine([(Integer(1) / (n + 1), base.boundary(n + 1))]))
        else:
            lower = [(-n / rate, rows[n - 1])] if n else []
            rows.append(combine([(1 / rate, base.boundary(n)), *lower]))
    return rows
