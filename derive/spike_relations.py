r"""Exact statements on outliers: polynomial of the place, closed form, threshold of the strength.

Stage: beside ``derive.spikes``. The condition and the equations of the bulk are eliminated to one
polynomial P(z, theta) in the place z and the strength theta of a spike. On the physical branch the
strength is a function of the place, monotone off the bulk, and the place stops moving where the
outlier meets the bulk: the threshold is the first theta, coming from strong spikes, at which
dz/dtheta = 0, that is dP/dtheta = 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
from sympy import (
    Expr,
    Poly,
    Pow,
    Symbol,
    degree,
    diff,
    factor_list,
    fraction,
    lambdify,
    resultant,
    solve,
    together,
)

from derive.block import symbols_of
from derive.coupled import coupled_program
from derive.eliminate import Relation
from derive.errors import NoRuleError, NotConvergedError, UnknownNameError
from derive.exact import Number, exact_number
from derive.path_solution import solve_along_path
from derive.resultants import DIGITS, eliminated, with_values
from derive.rewrite import Step
from derive.spectra.curve import value_of
from derive.spikes import Outliers
from derive.symbols import Quantity

_STEPS = 24
_FAR = 40


@dataclass(frozen=True)
class OutlierRelation:
    """The polynomial P(z, theta) = 0 of an outlier.

    Attributes:
        relation: with the place as output and the strength as control.
        start: a point (place, strength) of the physical branch, by symbol with all other controls.
    """

    relation: Relation
    start: Mapping[Symbol, Any]

    @property
    def place(self) -> Symbol:
        """The spectral argument."""
        return self.relation.output

    @property
    def strength(self) -> Symbol:
        """The strength of the spike."""
        return self.relation.control

    def closed_form(self) -> Expr:
        """Return the place as an expression in the strength.

        Raises:
            NoRuleError: if the degree exceeds two, or no root passes the physical point.
        """
        poly = self.relation.expr
        if degree(poly, self.place) > 2:
            found = f"its polynomial has degree {degree(poly, self.place)} in the place"
            raise NoRuleError("closed form of an outlier", found, "keep the polynomial")
        with mpmath.workdps(DIGITS):
            for root in solve(poly, self.place):
                if abs(_number(root - self.place, self.start)) < mpmath.mpf(10) ** (-DIGITS // 3):
                    return root.factor()
        raise NoRuleError("closed form of an outlier", "no root fits", "keep the polynomial")

    def critical(self) -> tuple[Expr, ...]:
        """Return irreducible polynomials in the strength; one vanishes at the threshold."""
        slope = diff(self.relation.expr, self.strength)
        found = resultant(self.relation.expr, slope, self.place)
        return tuple(f for f, _ in factor_list(found)[1] if f.has(self.strength))

    def threshold(self, digits: int = 15, **values: Number) -> tuple[Any, Any]:
        """Return strength and place at which the outlier leaves the bulk.

        Args:
            digits: wanted.
            **values: a number for every other control that the relation still holds.

        Raises:
            NotConvergedError: if the branch meets no such point above zero.
            UnknownNameError: for a missing value.

        Accuracy: a simple root, by Newton to ``digits``; followed from strong spikes downwards.
        """
        poly = self._numeric(values)
        with mpmath.workdps(max(DIGITS, digits + 20)):
            z, theta = self._begin(values)
            return _descend(poly, self.place, self.strength, z, theta, digits)

    def _others(self) -> list[Symbol]:
        free = self.relation.expr.free_symbols - {self.place, self.strength}
        return sorted((s for s in free if isinstance(s, Symbol)), key=str)

    def _numeric(self, values: Mapping[str, Number]) -> Poly:
        known = {s: exact_number(values[s.name]) for s in self._others() if s.name in values}
        missing = [s.name for s in self._others() if s.name not in values]
        if missing:
            found = f"no value for {', '.join(missing)}"
            raise UnknownNameError("threshold", found, "give all other controls")
        return Poly(self.relation.expr.xreplace(known), self.place, self.strength)

    def _begin(self, values: Mapping[str, Number]) -> tuple[Any, Any]:
        """Carry the physical point from where it was found to the values asked for."""
        z, theta = self.start[self.place], self.start[self.strength]
        others = self._others()
        steps = _STEPS if others else 1
        for k in range(1, steps + 1):
            share = mpmath.mpf(k) / steps
            place = {
                s: self.start[s] + share * (_mpf(exact_number(values[s.name])) - self.start[s])
                for s in others
            }
            theta = _newton(
                lambda t, p=place, at=z: _number(
                    self.relation.expr, {**p, self.place: at, self.strength: t}
                ),
                theta,
            )
        return z, theta


def relation(
    found: Outliers, strength: Quantity, group: int = 1, values: Mapping[str, Number] | None = None
) -> OutlierRelation:
    """Eliminate the bulk: one polynomial between the place of an outlier and a strength.

    Args:
        found: equations of a spiked matrix.
        strength: control that scales a spike and nothing of the bulk.
        group: of spikes, from 1.
        values: exact values of other controls and dimensions; the rest stays symbolic.

    Raises:
        UnknownNameError: if the condition does not hold the strength.
        NotSupportedError: if the equations are not rational.

    Example:
        >>> from derive.matrices import dims, outer, vector, wigner
        >>> from derive.spikes import outliers
        >>> from derive.symbols import control
        >>> n, = dims("n")
        >>> theta, z = control("theta", positive=True), control("z")
        >>> spiked = wigner("S", n, 1/n) + theta*outer(vector("u", n))
        >>> place = relation(outliers(spiked, z), theta)
        >>> place.closed_form(), place.critical()
        ((theta**2 + 1)/theta, (theta - 1, theta + 1))
    """
    fixed = with_values(found.equations, values or {})
    name = f"condition_{group}"
    final = fixed.at(1)
    condition = final.system().unfolded(final.output(name))
    if strength not in condition.free_symbols:
        said = f"{name} does not hold it"
        raise UnknownNameError(f"strength {strength}", said, "choose the control of that spike")
    points = _points(fixed, found.z, strength, condition)
    exprs = [e.residual for e in final.equations] + [final.output(name)]
    poly, field = eliminated(exprs, final.definitions, final.unknowns, points)
    step = Step("eliminate the bulk", f"one polynomial in {found.z} and {strength}")
    whole = Relation(field.expr(poly), found.z, strength, fixed.log.then(step))
    return OutlierRelation(whole, points[0])


def _points(
    fixed: Any, z: Quantity, strength: Quantity, condition: Expr
) -> list[dict[Symbol, Any]]:
    """Return physical points far above the bulk: the place given, the strength solved for."""
    program = coupled_program(fixed, "points", "")
    top = fraction(together(condition))[0]
    out: list[dict[Symbol, Any]] = []
    with mpmath.workdps(DIGITS + 10):
        for shift in (0, 1):
            place = {
                q: mpmath.mpf(7 + 3 * i + shift) / (9 + i) for i, q in enumerate(program.inputs)
            }
            place[z] = mpmath.mpf(_FAR * (1 + shift))
            values = {q.name: v for q, v in place.items()}
            solved = solve_along_path(program, values, mpmath.mp, mpmath.mpf("0.1"))
            point: dict[Symbol, Any] = dict(place.items())
            point |= {u: solved[u.name] for u in fixed.unknowns}
            point[strength] = _strength(top, strength, point)
            out.append(point)
    return out


def _strength(top: Expr, strength: Quantity, point: Mapping[Symbol, Any]) -> Any:
    """Return the smallest admissible strength at which the numerator of the condition vanishes."""
    coefficients = [_number(c, point) for c in Poly(top, strength).all_coeffs()]
    roots = mpmath.polyroots(coefficients, maxsteps=500, extraprec=200)
    real = [r.real for r in roots if abs(r.imag) < mpmath.mpf(10) ** (-DIGITS // 2) * (1 + abs(r))]
    kept = sorted((r for r in real if strength.contains(float(r)) and r != 0), key=abs)
    if not kept:
        found = "no admissible strength makes an outlier far above the bulk"
        raise NotConvergedError(f"strength {strength}", found, "give values= for other controls")
    return kept[0]


def _number(expr: Expr, point: Mapping[Symbol, Any]) -> Any:
    """Evaluate an algebraic expression in the working precision of mpmath."""
    if all(e.is_Integer for e in (p.exp for p in expr.atoms(Pow))):
        return value_of(expr, point, _mpf)
    symbols = symbols_of(expr)
    function: Any = lambdify(symbols, expr, "mpmath")
    return function(*(point[s] for s in symbols))


def _mpf(value: Any) -> Any:
    return mpmath.mpf(int(value.p)) / int(value.q)


def _newton(function: Any, start: Any) -> Any:
    return mpmath.findroot(function, start, tol=mpmath.mpf(10) ** (-DIGITS))


def _descend(
    poly: Poly, place: Symbol, strength: Symbol, z: Any, theta: Any, digits: int
) -> tuple[Any, Any]:
    """Follow the branch towards weak spikes until the place stops moving."""
    by_place, by_strength = (diff(poly.as_expr(), s) for s in (place, strength))

    def at(expr: Expr, x: Any, t: Any) -> Any:
        return _number(expr, {place: x, strength: t})

    def on_branch(t: Any, near: Any) -> Any:
        return _newton(lambda x: at(poly.as_expr(), x, t), near)

    sign = mpmath.sign(at(by_strength, z, theta) / at(by_place, z, theta))
    ratio = mpmath.mpf("0.97")
    for _ in range(4000):
        lower = theta * ratio
        step = -(lower - theta) * at(by_strength, z, theta) / at(by_place, z, theta)
        x = on_branch(lower, z - step * -1)
        if mpmath.sign(at(by_strength, x, lower) / at(by_place, x, lower)) != sign:
            break
        z, theta = x, lower
        if theta < mpmath.mpf(10) ** (-12):
            found = "the place moves with the strength down to zero"
            raise NotConvergedError("threshold", found, "there is none: every spike is seen")
    root = mpmath.findroot(
        lambda t, x: [at(poly.as_expr(), x, t), at(by_strength, x, t)],
        (theta, z),
        tol=mpmath.mpf(10) ** (-DIGITS),
    )
    with mpmath.workdps(digits):
        return +root[0], +root[1]
