r"""Elimination from coupled equations: iterated resultants, the physical factor kept at each step.

Stage: beside ``derive.eliminate``, for equations whose unknowns rest on each other. After each
resultant the polynomial is factored, and of its factors the one stays that vanishes on the physical
branch: at points found by continuation to many digits, where the others do not vanish. What is
kept is therefore an irreducible polynomial that the branch satisfies; that it is the right factor
rests on those points.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
from sympy import Expr, Rational, Symbol

from derive.block import Line
from derive.coupled import coupled_program
from derive.dyson import DysonEquations
from derive.eliminate import Fractions, Relation, generators
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.path_solution import solve_along_path
from derive.rewrite import Step
from derive.symbols import Quantity

DIGITS = 60
POINTS = 2
Point = Mapping[Symbol, Any]


def polynomial(
    equations: DysonEquations,
    output: str,
    control: str = "lam",
    values: Mapping[str, Number] | None = None,
) -> Relation:
    """Eliminate all unknowns of coupled equations: P(output, control) = 0, irreducible.

    Args:
        equations: rational equations with a path.
        output: name of an output.
        control: name of a control.
        values: exact values of other controls and dimensions; the rest stays symbolic.

    Raises:
        UnknownNameError: for an output or a control that does not exist.
        NotSupportedError: if the equations are not rational.
        RangeError: if no regular point of the branch was found.

    Example:
        >>> from derive.dyson import equations
        >>> from derive.matrices import dims, eye, gaussian, ntrace
        >>> from derive.symbols import control
        >>> n, d = dims("n d")
        >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
        >>> found = equations({"m": ntrace((X*X.T + lam*eye(d)).inv())})
        >>> polynomial(found, "m", values={"n": 2, "d": 1}).expr
        lam*m**2 + 2*lam*m + m - 2
    """
    fixed = with_values(equations, values or {})
    target = Symbol(output)
    moved = {q.name: q for q in fixed.controls}
    if control not in moved:
        raise RangeError(f"polynomial in {control}", f"controls are {', '.join(moved)}", "use one")
    final = fixed.at(1)
    exprs = [e.residual for e in final.equations] + [final.output(output) - target]
    points = physical_points(fixed, {control})
    known = [{**p, target: p[Symbol(output)]} for p in points]
    found, field = eliminated(exprs, final.definitions, final.unknowns, known)
    step = Step("eliminate the unknowns", f"one polynomial in {target} and {control}, resultants")
    return Relation(field.expr(found), target, moved[control], fixed.log.then(step))


def with_values(equations: DysonEquations, values: Mapping[str, Number]) -> DysonEquations:
    """Return equations with exact values put in for controls, by name."""
    known = {q.name: q for q in equations.controls}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise RangeError(f"value of {unknown[0]}", f"controls are {', '.join(known)}", "use one")
    for name, value in values.items():
        known[name].check(float(exact_number(value)))
    return equations.in_terms_of({known[n]: exact_number(v) for n, v in values.items()})


def eliminated(
    exprs: Sequence[Expr],
    lines: Sequence[Line],
    unknowns: Sequence[Symbol],
    points: Sequence[Point],
) -> tuple[Any, Fractions]:
    """Return the polynomial that is left of vanishing expressions, and its ring.

    Args:
        exprs: one more than unknowns; rational.
        lines: definitions of other symbols in them.
        unknowns: what to eliminate.
        points: values of all free symbols on the physical branch, to ``DIGITS`` digits.
    """
    field = Fractions(generators(lines, exprs, tuple(unknowns)))
    for symbol, expr in lines:
        field.define(symbol, expr)
    polys = [_physical(field.fraction(e)[0], field, points) for e in exprs]
    for unknown in unknowns:
        index = field.index(unknown)
        with_it = sorted((p for p in polys if _degree(p, index)), key=lambda p: _degree(p, index))
        if not with_it:
            continue
        pivot, rest = with_it[0], [p for p in polys if not _degree(p, index)]
        resultants = (pivot.resultant(p, index) for p in with_it[1:])
        polys = rest + [_physical(r, field, points) for r in resultants]
    if not polys:
        raise NotSupportedError("elimination", "no equation is left", "keep another control")
    return polys[0], field


def _degree(poly: Any, index: int) -> int:
    return int(poly.degrees()[index])


def _physical(poly: Any, field: Fractions, points: Sequence[Point]) -> Any:
    """Return the irreducible factor that vanishes at all points."""
    if poly == 0:
        remedy = "the equations are dependent there; give values= for more controls"
        raise NotSupportedError("elimination", "a resultant vanishes identically", remedy)
    _, factors = poly.factor()
    zero = [f for f, _ in factors if all(_vanishes(f, field, p) for p in points)]
    if len(zero) != 1:
        found = f"{len(zero)} of {len(factors)} factors vanish on the physical branch"
        raise NotSupportedError("elimination", found, "give values= for more controls")
    return zero[0]


def _vanishes(poly: Any, field: Fractions, point: Point) -> bool:
    total, size = mpmath.mpf(0), mpmath.mpf(0)
    with mpmath.workdps(DIGITS):
        for exponents, coefficient in poly.to_dict().items():
            term = mpmath.mpf(int(coefficient))
            for g, k in zip(field.generators, exponents, strict=True):
                term *= point[g] ** int(k) if k else 1
            total, size = total + term, size + abs(term)
        return bool(abs(total) <= size * mpmath.mpf(10) ** (-DIGITS // 2))


def physical_points(equations: DysonEquations, far: set[str]) -> list[dict[Symbol, Any]]:
    """Return points of the branch: controls, unknowns and outputs by symbol, to many digits.

    Args:
        equations: with a path.
        far: names of controls that are taken large where their range allows negative values, so
            that a spectral argument lies off the spectrum.
    """
    program = coupled_program(equations, "points", "")
    found: list[dict[Symbol, Any]] = []
    with mpmath.workdps(DIGITS + 10):
        for attempt in range(12):
            place = {q: _trial(q, i, attempt, far) for i, q in enumerate(program.inputs)}
            values = {q.name: mpmath.mpf(v.p) / v.q for q, v in place.items()}
            try:
                solved = solve_along_path(program, values, mpmath.mp, mpmath.mpf("0.1"))
            except (NotConvergedError, ZeroDivisionError, ValueError):
                continue
            point: dict[Symbol, Any] = {q: values[q.name] for q in program.inputs}
            point |= {u: solved[u.name] for u in equations.unknowns}
            point |= {Symbol(name): solved[name] for name in program.outputs}
            found.append(point)
            if len(found) == POINTS:
                return found
    raise RangeError("elimination", "no regular point of the branch was found", "give values=")


def _trial(quantity: Quantity, place: int, attempt: int, far: set[str]) -> Rational:
    value = Rational(7 + 3 * ((5 * place + 3 * attempt) % 11), 13 + (place + attempt) % 5)
    if quantity.name in far and not quantity.is_nonnegative:
        return value * 8 * 2**attempt
    return value
