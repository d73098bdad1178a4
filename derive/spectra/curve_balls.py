r"""Edges and densities of a tower with proved digits: interval Newton on its curve.

Stage: curves in, balls out. A start (a float from ``numeric.spectrum``) is improved by Newton in
ball arithmetic; then the interval Newton operator maps a ball around it into itself, which proves
one solution inside, and for densities all upper functions are shown to be in the upper half-plane,
which proves the branch.
"""

from typing import Any

from flint import acb, arb, fmpq
from flint import ctx as flint_context
from sympy import Expr, Symbol

from derive.balls import Ball, enclose
from derive.enclosing.interval_newton import precision_for, solved
from derive.errors import NotConvergedError, NotSupportedError
from derive.exact import Number, exact_number
from derive.spectra.curve import Curve, evaluate
from derive.spectra.laurent import Laurent


def proved_edge(curve: Curve, u: float, digits: int = 30) -> Ball:
    """Return the stationary value of z(u) next to a start, with a proved radius.

    The ball is that of a critical value; that it is an edge of the law is the caller's search.

    Args:
        curve: a tower.
        u: where to start.
        digits: relative accuracy asked for.

    Raises:
        NotSupportedError: if the curve has more than one unknown.
        NotConvergedError: if Newton's method did not settle, or no ball maps into itself.

    Accuracy: rigorous.
    """
    unknown = _only_unknown(curve)
    with precision_for(digits):
        start = arb(u)

        def slope(v: Any) -> tuple[Any, Any]:
            z = _series(curve, unknown, v, 3)[curve.z]
            return z[1], 2 * z[2]

        root = solved(slope, start)
        return Ball.from_arb(_series(curve, unknown, root, 1)[curve.z][0])


def proved_density(curve: Curve, x: Number, u: complex, digits: int = 30) -> Ball:
    """Return the density at a real point inside the support, with a proved radius and branch.

    Args:
        curve: a tower.
        x: the point; floats are read as the decimals that they print as.
        u: where to start, as ``numeric.spectrum`` found it.
        digits: relative accuracy asked for.

    Raises:
        NotSupportedError: if the curve has more than one unknown.
        NotConvergedError: if Newton's method did not settle, or the branch could not be proved.

    Accuracy: rigorous.
    """
    unknown = _only_unknown(curve)
    place = exact_number(x)
    with precision_for(digits):
        target = acb(enclose(place, digits + 10).arb())

        def equation(v: Any) -> tuple[Any, Any]:
            z = _series(curve, unknown, v, 2)[curve.z]
            return z[0] - target, z[1]

        root = solved(equation, acb(u.real, u.imag))
        known = _series(curve, unknown, root, 1)
        for upper in curve.upper:
            value = _read(known, upper)
            if not value.imag > 0:
                raise NotConvergedError(
                    f"density at {place}", f"{upper} is not in the upper half-plane", "check start"
                )
        return Ball.from_arb(-known[curve.g][0].imag / arb.pi())


def _only_unknown(curve: Curve) -> Symbol:
    if curve.constraints:
        remedy = "use numeric.spectrum in double precision"
        found = f"{len(curve.unknowns)} coupled parameters"
        raise NotSupportedError("proved digits of a curve", found, remedy)
    return curve.unknowns[0]


def _series(curve: Curve, unknown: Symbol, v: Any, count: int) -> dict[Any, Laurent]:
    """Return the Taylor series of all lines around v, on balls."""
    zero = v * 0
    digits = int(flint_context.prec / 3.33)

    def lift(value: Any) -> Laurent:
        exact = fmpq(int(value.p), int(value.q)) if value.is_Rational else None
        number = arb(exact) if exact is not None else enclose(value, digits).arb()
        return Laurent(0, (zero + number, *[zero] * (count - 1)))

    known: dict[Any, Laurent] = {unknown: Laurent(0, (v, zero + 1, *[zero] * count)[:count])}
    known |= {s: lift(value) for s, value in curve.parameters}
    return dict(evaluate(curve.lines, known, lift, curve.tables))


def _read(known: dict[Any, Laurent], expr: Expr) -> Any:
    sign = -1 if expr.could_extract_minus_sign() else 1
    return sign * known[sign * expr][0]
