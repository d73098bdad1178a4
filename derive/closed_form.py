"""Closed forms of outputs whose polynomial has degree at most four, with the branch stated.

Stage: a triangular System and its Relation in, an expression out. Which root of the formula is the
physical one is decided on the physical branch itself: every value of the first unknown that meets
all branch conditions gives an exact point (controls, output), and the root must pass through all of
them. A root that changes its place in the formula inside the range is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sympy import Expr, Poly, Rational, Symbol, factor, sqrt
from sympy.polys.polyroots import roots_cubic, roots_quartic

from derive.eliminate import Relation
from derive.errors import NoRuleError, NotSupportedError
from derive.exact import Number
from derive.rewrite import Log, Step
from derive.spectra.curve import evaluate, value_of
from derive.system import System

_POINTS = 12
_DIGITS = 40


@dataclass(frozen=True)
class ClosedForm:
    """An output as an expression in the controls.

    Attributes:
        expr: the expression.
        branch: which root it is, and how that was decided.
        relation: the polynomial that it solves.
        log: steps.
    """

    expr: Expr
    branch: str
    relation: Relation
    log: Log


def closed_form(
    system: System,
    output: str = "m",
    closing: str = "lam",
    values: Mapping[str, Number | Sequence[Number]] | None = None,
) -> ClosedForm:
    """Return an output of a triangular, rational System as an explicit expression.

    Args:
        system: triangular and rational.
        output: name of an output.
        closing: the control on the closing left side.
        values: exact values for other controls, groups and constants; the rest stays symbolic.

    Raises:
        NoRuleError: if the degree exceeds four, or no single root is the physical one.
        NotSupportedError: if the system does not have this form.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> found = closed_form(deep_features([]).system(), values={"alpha": 1})
        >>> found.expr
        (sqrt(lam)*sqrt(lam + 4) - lam)/(2*lam)
        >>> found.branch
        'root 2 of 2; it passes through 12 exact points of the physical branch'
    """
    relation = system.polynomial(output, closing, values)
    poly = Poly(relation.expr, relation.output)
    points = _physical_points(system, relation, output, closing, values or {})
    candidates = _roots(poly)
    kept = list(range(len(candidates)))
    for place, value in points:
        kept = [i for i in kept if _passes(candidates[i], place, value)]
    if not kept:
        raise NoRuleError(
            f"closed form of {output}",
            f"no single root of degree {poly.degree()} follows the physical branch",
            "give values= for more controls, or keep the polynomial",
        )
    index = kept[0]
    branch = (
        f"root {index + 1} of {len(candidates)}; it passes through {len(points)} exact points of "
        "the physical branch"
    )
    log = relation.log.then(Step("solve by radicals", branch))
    return ClosedForm(candidates[index], branch, relation, log)


def _roots(poly: Poly) -> list[Expr]:
    degree = poly.degree()
    if degree == 1:
        a, b = poly.all_coeffs()
        return [-b / a]
    if degree == 2:
        a, b, c = poly.all_coeffs()
        root = sqrt(factor(b**2 - 4 * a * c))
        return [(-b - root) / (2 * a), (-b + root) / (2 * a)]
    if degree in (3, 4):
        radicals: Any = roots_cubic if degree == 3 else roots_quartic
        return list(radicals(poly))
    raise NoRuleError(
        f"closed form of {poly.gen}",
        f"its polynomial has degree {degree}, and radicals end at four",
        "evaluate the compiled system, or keep the polynomial",
    )


Point = tuple[dict[Symbol, Fraction], Fraction]


def _physical_points(
    system: System, relation: Relation, output: str, closing: str, values: Mapping[str, Any]
) -> list[Point]:
    """Return exact points of the physical branch, spread over the range."""
    control = system.control(closing)
    if system.equations[-1].lhs != control:
        remedy = "choose the control that closes the system"
        raise NotSupportedError(f"closed form in {closing}", "it does not close", remedy)
    fixed = {s: _fraction(e) for s, e in system._exact_values(values).items()}
    symbols = [*system.controls, *(s for s, _ in system.constants)]
    free = [s for s in symbols if s not in fixed and s != control]
    found: list[Point] = []
    for place, u in _trials(free):
        known: dict[Any, Any] = {**fixed, **place, system.unknowns[0]: u}
        point = _point(system, output, control, known)
        if point is not None:
            found.append((place | {control: point[0]}, point[1]))
        if len(found) == _POINTS:
            return found
    raise NoRuleError(
        f"closed form of {output}", "no exact points of the physical branch found", "give values="
    )


def _trials(free: Sequence[Symbol]) -> Iterator[tuple[dict[Symbol, Fraction], Fraction]]:
    for i in range(400):
        place = {
            s: Fraction(1 + (7 * i + 5 * j) % 11, 2 + (3 * i + j) % 5) for j, s in enumerate(free)
        }
        yield place, Fraction(2 + (5 * i) % 13, 1 + i % 4) * Fraction(4) ** ((i % 7) - 3)


def _point(
    system: System, output: str, control: Symbol, known: dict[Any, Any]
) -> tuple[Fraction, Fraction] | None:
    early = [line for line in system.triangular_lines() if control not in _rests(system, line[0])]
    late = [line for line in system.triangular_lines() if control in _rests(system, line[0])]
    try:
        found = evaluate(tuple(early), known, _fraction)
        found[control] = value_of(system.equations[-1].rhs, found, _fraction)
        found = evaluate(tuple(late), found, _fraction)
        positive = all(value_of(c.expr, found, _fraction) > 0 for c in system.conditions)
        if not positive or found[control] <= 0:
            return None
        return found[control], value_of(system.outputs[output], found, _fraction)
    except (ZeroDivisionError, KeyError):
        return None


def _fraction(e: Any) -> Fraction:
    return Fraction(int(e.p), int(e.q))


def _rests(system: System, symbol: Symbol) -> set[Symbol]:
    return system.dependencies().get(symbol, set())


def _passes(candidate: Expr, place: Mapping[Symbol, Fraction], value: Fraction) -> bool:
    numbers = {s: Rational(v.numerator, v.denominator) for s, v in place.items()}
    target = Rational(value.numerator, value.denominator)
    difference = (candidate.xreplace(numbers) - target).evalf(_DIGITS, maxn=400)
    return bool(abs(difference) < Rational(1, 10**20) * (1 + abs(target)))
