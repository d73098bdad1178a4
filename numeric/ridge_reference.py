r"""Ridge learning curves in ball arithmetic: every printed digit proved, at one point.

Stage: the witness of ``numeric.ridge_readout_theory``; exact inputs in, ``Ball`` values out. The
formulas are the same, the arithmetic and the solver are not: balls of python-flint, and interval
Newton from a start that is found by bisection.

Why the root is the physical one: f(x) = x (r - df1(x)) - lam is convex with f(0) <= 0, so it has
at most one root with f' = r - df2 > 0; interval Newton proves that exactly one root lies in the
ball, and the ball of f' there is checked to be positive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb
from flint import ctx as flint_context
from sympy import Expr, Rational

from derive.balls import Ball, enclose
from derive.enclosing.interval_newton import precision_for, solved
from derive.errors import NotConvergedError, RangeError, ShapeError
from derive.exact import Number, exact_number


@dataclass(frozen=True)
class ExactModes:
    """Modes with exact entries; see ``numeric.spectral_functions.Modes`` for the letters."""

    values: tuple[Expr, ...]
    weights: tuple[Expr, ...]
    overlaps: tuple[Expr, ...]
    misfit: Expr

    def balls(self) -> tuple[list[tuple[arb, arb, arb]], arb]:
        """Return (value, weight, overlap) per mode, and the misfit, at the current precision."""
        rows = zip(self.values, self.weights, self.overlaps, strict=True)
        return [(_ball(v), _ball(w), _ball(o)) for v, w, o in rows], _ball(self.misfit)


def exact_modes(
    values: Sequence[Number],
    weights: Sequence[Number],
    overlaps: Sequence[Number],
    misfit: Number = 0,
) -> ExactModes:
    """Declare modes by exact numbers: text, fractions, SymPy numbers; floats as they print.

    Raises:
        ShapeError: if the lengths differ.
        RangeError: if a value or weight is not positive, or an overlap or the misfit negative.
    """
    lengths = {len(values), len(weights), len(overlaps)}
    if len(lengths) != 1 or not len(values):
        raise ShapeError("modes", f"lengths {sorted(lengths)}", "give three lists of one length")
    rows = [tuple(exact_number(n) for n in row) for row in (values, weights, overlaps)]
    if not all(n.is_positive for n in (*rows[0], *rows[1])):
        raise RangeError("values and weights of the modes", "not positive", "give numbers > 0")
    rest = exact_number(misfit)
    if not all(n.is_nonnegative for n in (*rows[2], rest)):
        raise RangeError("overlaps and misfit", "negative", "give numbers >= 0")
    return ExactModes(rows[0], rows[1], rows[2], rest)


def ridge_balls(
    modes: ExactModes, *, ratio: Number, lam: Number, noise: Number = 0, digits: int = 20
) -> dict[str, Ball]:
    """Return balls of x, m, E_test, E_gen, E_train and delta at one point.

    Args:
        modes: the population.
        ratio: n/p > 0.
        lam: ridge >= 0.
        noise: variance of the label noise.
        digits: digits that each ball has at least.

    Raises:
        RangeError: a control out of range; lam = 0 at ratio = 1, where the error diverges.
        NotConvergedError: if the digits are not reached.

    Accuracy: rigorous.

    Example:
        >>> flat = exact_modes([1], [1], [0])
        >>> ridge_balls(flat, ratio=2, lam="0.1")["m"].str(20)
        '5.4221443851123800950'
    """
    r, ridge, level = (exact_number(v) for v in (ratio, lam, noise))
    if not (r.is_positive and ridge.is_nonnegative and level.is_nonnegative):
        raise RangeError(
            f"ratio = {r}, lam = {ridge}, noise = {level}",
            "out of range",
            "give ratio > 0, lam >= 0, noise >= 0",
        )
    if ridge == 0 and r == 1:
        raise RangeError("lam = 0 at n = p", "the error diverges", "give lam > 0 or another n")
    for extra in (10, 40, 160):
        with precision_for(digits + extra):
            found = _point(modes, _ball(r), _ball(ridge), _ball(level))
            balls = {name: Ball.from_arb(value) for name, value in found.items()}
        if all(ball.digits >= digits for ball in balls.values()):
            return balls
    raise NotConvergedError(
        f"{digits} digits at ratio {r}, lam {ridge}", "balls stay wider", "ask for fewer digits"
    )


def _ball(expr: Expr) -> arb:
    if isinstance(expr, Rational):
        return arb(expr.p) / arb(expr.q)
    return enclose(expr, int(flint_context.prec * 0.302)).arb()


def _point(modes: ExactModes, r: arb, lam: arb, noise: arb) -> dict[str, arb]:
    rows, misfit = modes.balls()
    ridgeless = bool(lam == 0)
    if ridgeless and r > 1:
        test = (misfit + noise) / (1 - 1 / r)
        return {
            "E_test": test,
            "E_gen": test - noise,
            "E_train": test * (1 - 1 / r) ** 2,
            "delta": 1 / r,
        }

    def equation(x: arb) -> tuple[arb, arb]:
        df1 = sum((w * v / (v + x) for v, w, _ in rows), arb(0))
        df2 = sum((w * (v / (v + x)) ** 2 for v, w, _ in rows), arb(0))
        if ridgeless:
            return r - df1, (df1 - df2) / x
        return x * (r - df1) - lam, r - df2

    x = solved(equation, _bisected(equation))
    df2 = sum((w * (v / (v + x)) ** 2 for v, w, _ in rows), arb(0))
    if not (r - df2 > 0 and x > 0):
        raise NotConvergedError("the physical root", "not told from another", "ask more digits")
    left = misfit + sum((o / v * (x / (v + x)) ** 2 for v, _, o in rows), arb(0))
    test = (left + noise) * r / (r - df2)
    out = {
        "x": x,
        "m": 1 / (r * x),
        "E_test": test,
        "E_gen": (left * r + noise * df2) / (r - df2),
        "delta": df2 / r,
    }
    return out if ridgeless else out | {"E_train": (lam / (r * x)) ** 2 * test}


def _bisected(equation: object) -> arb:
    """Bracket the root by powers of two and bisect in log x to a start for Newton's method."""
    assert callable(equation), "the equation of the effective ridge"
    low, high = arb(1), arb(1)
    for _ in range(2000):
        if equation(high)[0] > 0:
            break
        high *= 2
    for _ in range(2000):
        if equation(low)[0] < 0:
            break
        low /= 2
    for _ in range(60):
        mid = (low * high).sqrt().mid()
        below = equation(mid)[0] < 0
        low, high = (mid, high) if below else (low, mid)
    return high.mid()
