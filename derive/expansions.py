r"""Expansions of the outputs of a triangular System: large arguments, limits, peaks, edges.

Stage: Systems in, Puiseux series out. All quantities are rational in the first unknown u, so an
expansion in a control c is a change of variable: find the end of the physical interval of u at
which c takes its limit, expand c and the output there, and invert. How often a factor vanishes is
read off exact polynomial factors (python-flint), so exponents are proved; coefficients are balls.

Source of the law E ~ lam^(-1/2) at the interpolation peak: a double zero of lam(u), found here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from flint import arb, fmpq
from sympy import Expr, Integer, Symbol, oo

from derive.balls import Ball, enclose
from derive.block import Line, symbols_of
from derive.eliminate import Fractions
from derive.enclosing.interval_newton import precision_for, solved
from derive.errors import NotConvergedError, NotSupportedError, RangeError, UnknownNameError
from derive.exact import Number, exact_number
from derive.spectra.curve import evaluate, value_of
from derive.spectra.laurent import (
    Laurent,
    composed_terms,
    product_terms,
    reciprocal_terms,
    reverted_terms,
)
from derive.system import System

_FAR = 1e12


@dataclass(frozen=True)
class Expansion:
    """``sum_i terms[i] * s**((start + i)/root)``, s = control - at, or 1/control at infinity.

    Attributes:
        output: what is expanded. control: in what.
        at: where: an exact number or infinity.
        start: numerator of the first exponent. root: common denominator of the exponents, proved.
        terms: coefficients as balls.
    """

    output: str
    control: str
    at: Expr
    start: int
    root: int
    terms: tuple[Ball, ...]

    @property
    def leading(self) -> tuple[Fraction, Ball]:
        """Exponent and coefficient of the first term."""
        return Fraction(self.start, self.root), self.terms[0]

    def __call__(self, value: float) -> float:
        """Return the truncated sum at a value of the control.

        Accuracy: the truncation error is of the order of the first term left out.
        """
        s = 1 / value if self.at is oo else value - float(self.at)
        base = s ** (1 / self.root)
        return sum(float(c) * base ** (self.start + i) for i, c in enumerate(self.terms))

    def __str__(self) -> str:
        variable = f"1/{self.control}" if self.at is oo else f"({self.control} - {self.at})"
        variable = self.control if self.at == 0 else variable
        exponents = (Fraction(self.start + i, self.root) for i in range(len(self.terms)))
        pairs = zip(self.terms, exponents, strict=True)
        return " + ".join(f"{c.str(8)} {variable}^({q})" for c, q in pairs) + " + ..."


def expand(
    system: System,
    output: str,
    control: str = "lam",
    *,
    at: Number = 0,
    values: Mapping[str, Number | Sequence[Number]],
    terms: int = 3,
    digits: int = 20,
) -> Expansion:
    """Expand an output of a triangular, rational System at an end of a control's range.

    Args:
        system: triangular and rational.
        output: name of an output.
        control: a control that enters the closing equation linearly, and nothing before it.
        at: 0 or another rational, or ``oo``.
        values: exact values of all other controls and groups; constants keep their own.
        terms: how many.
        digits: of the coefficients.

    Raises:
        UnknownNameError: for an unknown output, control or value.
        NotSupportedError: if the system does not have this form.
        RangeError: if the control does not tend to ``at`` at an end of the physical interval, or
            for fewer terms than one.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> system = deep_features([]).system()
        >>> peak = expand(system, "E_test", values={"alpha": 1, "noise": 0})
        >>> peak.leading[0]
        Fraction(1, 2)
    """
    if output not in system.outputs:
        known = ", ".join(system.outputs)
        raise UnknownNameError(f"output {output!r}", f"the outputs are {known}", "use one")
    if terms < 1:
        raise RangeError(f"terms = {terms}", "out of range", "give a whole number >= 1")
    target = oo if at is oo else exact_number(at)
    path = _Path(system, control, values)
    with precision_for(digits):
        s, o = path.series(output, target, terms + 3)
        start, root, found = puiseux(s, o, terms)
        return Expansion(output, control, target, start, root, tuple(map(Ball.from_arb, found)))


def puiseux(s: Laurent, o: Laurent, terms: int) -> tuple[int, int, list[Any]]:
    """Write o(e) as a series in s^(1/p), where s = e^p (s_0 + ...), s_0 > 0.

    Returns:
        The first exponent times p, p, and the coefficients.
    """
    root = s.order
    lead = _root_terms(s.terms, root)
    inverse = reverted_terms(lead)  # e = inverse[0] w + ...
    count = min(len(inverse), len(o.terms))
    body = composed_terms(o.terms[:count], inverse[:count], count)
    prefactor = _integer_power(inverse[:count], o.order)
    return o.order, root, product_terms(body, prefactor, count)[:terms]


def _root_terms(a: Sequence[Any], p: int) -> list[Any]:
    """Return the coefficients of the p-th root of a power series with a[0] > 0."""
    first = a[0] if p == 1 else a[0].root(p)
    if p == 1:
        return list(a)
    out = [first]
    for n in range(1, len(a)):  # n a_0 b_n = sum_k (k/p - (n - k)) a_k b_{n-k}
        total = a[0] * 0
        for k in range(1, n + 1):
            total = total + (fmpq(k, p) - (n - k)) * a[k] * out[n - k]
        out.append(total / (n * a[0]))
    return out


def _integer_power(a: Sequence[Any], k: int) -> list[Any]:
    base = list(a) if k >= 0 else reciprocal_terms(a)
    out = [a[0] * 0 + 1] + [a[0] * 0] * (len(a) - 1)
    for _ in range(abs(k)):
        out = product_terms(out, base, len(a))
    return out


class _Path:
    """A system with values, as exact fractions in the first unknown."""

    def __init__(self, system: System, control: str, values: Mapping[str, Any]) -> None:
        self.system, self.control = system, system.control(control)
        fixed = system._exact_values({k: v for k, v in values.items() if k != control})
        self.fixed = fixed
        missing = [q.name for q in system.controls if q not in fixed and q != self.control]
        if missing:
            found = f"no value for {', '.join(missing)}"
            raise UnknownNameError(f"expansion of {system.name}", found, "give all other controls")
        self.constants = {s: e for s, e in system.constants if s not in fixed}
        self.unknown = system.unknowns[0]
        before, after, rule = self._solved_for_control()
        self.lines = (*before, (self.control, rule), *after)
        self.field = Fractions((self.unknown, *sorted(self.constants, key=str)))
        for symbol, expr in self.lines:
            self.field.define(symbol, expr)

    def _solved_for_control(self) -> tuple[list[Line], list[Line], Expr]:
        """Return lines free of the control, lines that hold it, and the control as an expression.

        Raises:
            NotSupportedError: if the closing equation is not linear in the control.
        """
        depends: set[Symbol] = {self.control}
        before: list[Line] = []
        after: list[Line] = []
        for symbol, raw in self.system.triangular_lines():
            expr = raw.xreplace(self.fixed)
            if depends & set(symbols_of(expr)):
                depends.add(symbol)
                after.append((symbol, expr))
            else:
                before.append((symbol, expr))
        residual = self.system.equations[-1].residual.xreplace(self.fixed)
        rate = residual.diff(self.control)
        if (
            rate == 0
            or depends & set(symbols_of(rate))
            or set(symbols_of(residual)) & (depends - {self.control})
        ):
            raise NotSupportedError(
                f"expansion in {self.control}",
                "the closing equation is not linear in it",
                "use the other route of the system, or the control that closes it",
            )
        return before, after, -residual.xreplace({self.control: Integer(0)}) / rate

    def fraction(self, expr: Expr) -> tuple[Any, Any]:
        """Return numerator and denominator of an expression, reduced."""
        return self.field.fraction(expr.xreplace(self.fixed))

    def series(self, output: str, target: Any, count: int) -> tuple[Laurent, Laurent]:
        """Return s(e) and the output at the end where the control tends to its target."""
        n, d = self.field.known[self.control]
        small = (d, n) if target is oo else (n * int(target.q) - d * int(target.p), d)
        scale = 1 if target is oo else int(target.q)
        value = self.fraction(self.system.outputs[output])
        if self._degree(small[0]) < self._degree(small[1]):
            s = self._far(small[0], count) / self._far(small[1], count)
            o = self._far(value[0], count) / self._far(value[1], count)
        else:
            s, o = self._near(small, value, count, target)
        return Laurent(s.order, tuple(c / scale for c in s.terms)), o

    def _near(
        self, small: tuple[Any, Any], value: tuple[Any, Any], count: int, target: Expr
    ) -> tuple[Laurent, Laurent]:
        """Expand at the lower end of the physical interval."""
        guess = self._boundary()
        factor, root = self._vanishing(small[0], guess, target)
        parts = [self._taylor(p, factor, root, count) for p in (*small, *value)]
        return parts[0] / parts[1], parts[2] / parts[3]

    def _degree(self, poly: Any) -> int:
        return max((int(e[0]) for e in poly.to_dict()), default=0)

    def _coefficients(self, poly: Any) -> list[arb]:
        """Return the coefficients in the unknown as balls, from the constant on."""
        digits = 40
        numbers = [enclose(self.constants[s], digits).arb() for s in self._symbols]
        out = [arb(0)] * (self._degree(poly) + 1)
        for exponents, c in poly.to_dict().items():
            term = arb(int(c))
            for number, k in zip(numbers, exponents[1:], strict=True):
                term = term * number ** int(k) if k else term
            out[int(exponents[0])] = out[int(exponents[0])] + term
        return out

    @property
    def _symbols(self) -> list[Symbol]:
        return sorted(self.constants, key=str)

    def _far(self, poly: Any, count: int) -> Laurent:
        """Return a polynomial as a series in e = 1/u."""
        c = self._coefficients(poly)[::-1]
        return Laurent(1 - len(c), tuple((c + [arb(0)] * count)[:count]))

    def _taylor(self, poly: Any, factor: Any, root: arb, count: int) -> Laurent:
        """Return a polynomial around a root of ``factor``, which vanishes to an exact order."""
        order = 0
        while True:
            quotient, rest = divmod(poly, factor)
            if rest != 0:
                break
            poly, order = quotient, order + 1
        body = Laurent(0, tuple(_shifted(self._coefficients(poly), root, count)))
        simple = _shifted(self._coefficients(factor), root, count + 1)[1:]
        out = body
        for _ in range(order):
            out = out * Laurent(1, tuple(simple))
        return out

    def _vanishing(self, poly: Any, guess: float, target: Expr) -> tuple[Any, arb]:
        """Return the irreducible factor that vanishes at the end of the interval, and its root."""
        best: tuple[float, Any, arb] | None = None
        for factor, _ in poly.factor()[1]:
            c = self._coefficients(factor)
            if len(c) < 2:
                continue
            try:
                root = solved(_with_slope(c), arb(guess))
            except (NotConvergedError, ZeroDivisionError):
                continue
            distance = abs(float(root.mid()) - guess)
            if best is None or distance < best[0]:
                best = (distance, factor, root)
        if best is None or best[0] > 1e-5 * max(1.0, abs(guess)):
            raise RangeError(
                f"expansion at {self.control} = {target}",
                f"{self.control} does not tend to it at an end of the physical interval",
                "expand at 0 or oo, or check the values",
            )
        return best[1], best[2]

    def _boundary(self) -> float:
        """Return the lower end of the physical interval of the unknown, as a float."""
        low, high = 1e-300, _FAR
        if self._physical(low):
            return 0.0
        for _ in range(200):
            mid = math.sqrt(low * high)
            low, high = (low, mid) if self._physical(mid) else (mid, high)
        return high

    def _physical(self, u: float) -> bool:
        known: dict[Symbol, float] = {self.unknown: u, **self._floats}
        try:
            known = evaluate(self.lines, known, float)
            exprs = (c.expr.xreplace(self.fixed) for c in self.system.conditions)
            positive = all(value_of(e, known, float) > 0 for e in exprs)
        except (ZeroDivisionError, OverflowError):
            return False
        return positive and known[self.control] > self.control.low

    @cached_property
    def _floats(self) -> dict[Symbol, float]:
        return {s: float(enclose(e, 17)) for s, e in self.constants.items()}


def _with_slope(c: Sequence[arb]) -> Callable[[Any], tuple[Any, Any]]:
    slopes = [k * v for k, v in enumerate(c)][1:]
    return lambda v: (_horner(c, v), _horner(slopes, v))


def _horner(c: Sequence[arb], v: Any) -> Any:
    total = v * 0 + c[-1]
    for a in reversed(c[:-1]):
        total = total * v + a
    return total


def _shifted(c: Sequence[arb], root: arb, count: int) -> list[arb]:
    """Return the Taylor coefficients of a polynomial at a point."""
    work, out = list(c), []
    for _ in range(count):
        if not work:
            out.append(arb(0))
            continue
        quotient = [work[-1]]
        for a in reversed(work[:-1]):
            quotient.append(quotient[-1] * root + a)
        out.append(quotient.pop())
        work = quotient[::-1]
    return out
