r"""State evolution of a convex readout at many digits, on a route of its own.

Stage: the second witness of ``numeric.state_evolution``; no code is shared with it. Averages are
taken over the value z of the proximal map, not over its argument: omega = z + V l'(y, z) is
explicit, so no proximal equation is solved, and

.. math:: d\omega = (1 + V \ell''(y, z))\, dz, \quad 1 - \mathrm{prox}' = V \ell''/(1 + V \ell'').

At a kink of the loss z rests while omega runs; those intervals are integrated in omega. The mean
with the derivative of the likelihood is taken as it stands in the equations. Panels have
Gauss-Legendre rules whose order grows with the precision; the root (V, q, m) is found by Newton's
method with a Jacobian of differences, at two precisions (and orders) whose answers must agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from mpmath import mp, mpf
from sympy import diff, lambdify, oo

from derive.channels import ConvexReadout, Logistic
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.readouts.convexity import smooth_pieces
from derive.symbols import z
from numeric.reference import Reference

Sums = tuple[Any, Any, Any, Any]
Spectrum = Callable[[Any], Sums]
_STEPS = 12
_MORE_NODES = 6
_WIDEST = 2


@dataclass(frozen=True)
class ExactModes:
    """Finitely many modes with exact entries; a call gives (df1, df2, T, T2) at x.

    Attributes:
        values: eigenvalues of Omega.
        weights: fraction of the directions in each mode.
        overlaps: squared projections of psi.
        misfit: part of the target that no readout explains.
    """

    values: Sequence[Number]
    weights: Sequence[Number]
    overlaps: Sequence[Number]
    misfit: Number = 0

    @property
    def rho(self) -> Any:
        """Second moment of the target at the working precision."""
        rows = zip(self.values, self.overlaps, strict=True)
        return _number(self.misfit) + mp.fsum(_number(o) / _number(v) for v, o in rows)

    def __call__(self, x: Any) -> Sums:
        """Return df1, df2, T, T2 at x, at the working precision."""
        v, w, o = ([_number(a) for a in row] for row in (self.values, self.weights, self.overlaps))
        share = [a / (a + x) for a in v]
        return (
            mp.fdot(w, share),
            mp.fdot(w, [s**2 for s in share]),
            mp.fdot(o, [1 / (a + x) for a in v]),
            mp.fdot(o, [s / (a + x) for s, a in zip(share, v, strict=True)]),
        )


def _number(value: Number) -> Any:
    return mpf(str(exact_number(value).evalf(mp.dps + 5)))


def state_reference(
    model: ConvexReadout,
    spectrum: Spectrum,
    *,
    rho: Any,
    ratio: Number,
    lam: Number,
    start: tuple[float, float, float],
    digits: int = 20,
) -> Reference:
    """Solve one point to many digits.

    Args:
        model: loss and teacher.
        spectrum: gives (df1, df2, T, T2) at x, at the working precision of mpmath.
        rho: second moment of the teacher field, a number or a function of no arguments that gives
            it at the working precision.
        ratio: samples per feature, exact.
        lam: ridge, exact.
        start: V, q, m to a few digits, such as a float64 solution.
        digits: significant digits.

    Returns:
        V, q, m, E_test and loss_train.

    Raises:
        NotConvergedError: if two precisions disagree, or the start is too far.
        RangeError: fewer than 5 digits.
        NotSupportedError: a logistic teacher.

    Accuracy: the digits asked for, on which two precisions agree.
    """
    if digits < 5:
        raise RangeError(f"digits = {digits}", "too few", "give digits >= 5")
    if isinstance(model.teacher, Logistic):
        raise NotSupportedError(
            f"reference of {model!r}", "its likelihood is an integral", "use a Sign teacher"
        )
    found: list[dict[str, Any]] = []
    for guard in (6, 12):
        with mp.workdps(digits + guard):
            point = _Point(model, spectrum, rho() if callable(rho) else mpf(rho), ratio, lam)
            first = start if not found else tuple(found[0][k] for k in ("V", "q", "m"))
            found.append(point.solve(first, digits))
    for name, value in found[1].items():
        if abs(value - found[0][name]) > mpf(10) ** (1 - digits) * max(abs(value), mpf("1e-3")):
            raise NotConvergedError(
                f"{digits} digits of {name}",
                f"two precisions give {mp.nstr(found[0][name], digits)} "
                f"and {mp.nstr(value, digits)}",
                "start closer, or ask for fewer digits",
            )
    controls = {"ratio": exact_number(ratio), "lam": exact_number(lam)}
    return Reference(digits, controls, found[1])


@dataclass(frozen=True)
class _Piece:
    """A smooth piece of a loss, with its first two derivatives."""

    low: Any
    high: Any
    height: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    bend: Callable[[Any], Any]


class _Point:
    """The equations at one point and one working precision."""

    def __init__(
        self, model: ConvexReadout, spectrum: Spectrum, rho: Any, ratio: Number, lam: Number
    ) -> None:
        self.spectrum, self.rho = spectrum, rho
        self.signs = model.teacher.signs
        self.noise = _number(model.teacher.noise)
        self.flips = _number(getattr(model.teacher, "flips", 0))
        self.ratio, self.lam = _number(ratio), _number(lam)
        labels = (1, -1) if self.signs else (0,)
        self.pieces = {y: _pieces(model.loss.at(exact_number(y))) for y in labels}
        self.reach = mp.sqrt(2 * mp.log(10) * (mp.dps + 2))

    def solve(self, start: Sequence[Any], digits: int) -> dict[str, Any]:
        """Return the root near a start, and the outputs there."""
        place = mp.matrix([mpf(s) for s in start])
        jacobian = self._jacobian(place)
        before = mp.inf
        for _ in range(_STEPS):
            move = mp.lu_solve(jacobian, mp.matrix(self.gap(*place)))
            place -= move
            size = max(abs(d) / (abs(v) + mpf("1e-3")) for d, v in zip(move, place, strict=True))
            if size < mpf(10) ** (-digits - 1):
                V, q, m = place
                loss = self.averages(V, q, m)[3]
                return {"V": V, "q": q, "m": m, "E_test": self.test(q, m), "loss_train": loss}
            if size > before / 100:
                jacobian = self._jacobian(place)
            before = size
        raise NotConvergedError(
            f"reference from V, q, m = {', '.join(mp.nstr(mpf(s), 6) for s in start)}",
            f"the last step was {mp.nstr(size, 3)} of the values",
            "start closer, such as at a float64 solution",
        )

    def _jacobian(self, place: Any) -> Any:
        """Return the Jacobian of the gap by differences, good to half the digits of a double."""
        here = self.gap(*place)
        columns = []
        for k in range(3):
            step = mpf(10) ** -9 * max(abs(place[k]), mpf("1e-3"))
            moved = place.copy()
            moved[k] += step
            columns.append([(b - a) / step for a, b in zip(here, self.gap(*moved), strict=True)])
        return mp.matrix(columns).T

    def gap(self, V: Any, q: Any, m: Any) -> tuple[Any, Any, Any]:
        """Return both sides of the equations subtracted."""
        first, second, third, _ = self.averages(V, q, m)
        V_hat, q_hat, m_hat = self.ratio * first / V, self.ratio * second / V**2, third
        m_hat = self.ratio * third / V
        df1, df2, T, T2 = self.spectrum(self.lam / V_hat)
        new_q = (m_hat**2 * T2 + q_hat * df2) / V_hat**2
        return V - df1 / V_hat, q - new_q, m - m_hat * T / V_hat

    def test(self, q: Any, m: Any) -> Any:
        """Return the test error with the noise of fresh labels."""
        if not self.signs:
            return self.rho + self.noise - 2 * m + q
        angle = mp.acos(m / mp.sqrt((self.rho + self.noise) * q)) / mp.pi
        return self.flips + (1 - 2 * self.flips) * angle

    def averages(self, V: Any, q: Any, m: Any) -> list[Any]:
        """Return E(1 - prox'), E g^2, the mean of g with the likelihood's slope, E loss."""
        total = [mpf(0)] * 4
        rest = self.rho + self.noise - (m**2 / q if self.signs else 2 * m - q)
        if not (V > 0 and q > 0 and rest > 0):
            raise NotConvergedError(
                f"averages at V, q, m = {mp.nstr(V, 6)}, {mp.nstr(q, 6)}, {mp.nstr(m, 6)}",
                "no variances of a Gaussian law",
                "start closer, such as at a float64 solution",
            )
        if not self.signs:
            total = self._label(0, V, rest, lambda _: (mpf(1), mpf(0)))
            total[2] = total[0]
            return total
        root, keep = mp.sqrt(rest), 1 - 2 * self.flips
        for y in (1, -1):

            def likelihood(w: Any, y: int = y) -> tuple[Any, Any]:
                centre = y * m * w / (q * root)
                density = mp.exp(-(centre**2) / 2) / mp.sqrt(2 * mp.pi)
                return self.flips + keep * mp.ncdf(centre), y * keep * density / root

            part = self._label(y, V, q, likelihood)
            total = [a + b for a, b in zip(total, part, strict=True)]
        return total

    def _label(
        self, y: int, V: Any, variance: Any, likelihood: Callable[[Any], tuple[Any, Any]]
    ) -> list[Any]:
        scale = mp.sqrt(variance)
        end = self.reach * scale
        cuts = [end * k / 4 for k in range(-4, 5)]
        pieces = self.pieces[y]
        total = [mpf(0)] * 4

        def weights(w: Any) -> tuple[Any, Any]:
            density = mp.exp(-(w**2) / (2 * variance)) / (scale * mp.sqrt(2 * mp.pi))
            value, slope = likelihood(w)
            return density * value, density * slope

        last = -end
        for piece in pieces:
            low = last if piece.low == -mp.inf else piece.low + V * piece.slope(piece.low)
            high = end if piece.high == mp.inf else piece.high + V * piece.slope(piece.high)
            if low > last:
                total = _add(total, _held(piece, last, min(low, end), cuts, weights))
            low, high = max(low, last), min(high, end)
            total = _add(total, _moving(piece, V, (low, high), cuts, weights))
            last = max(high, last)
        return total


def _pieces(h: Any) -> list[_Piece]:
    """Return the smooth pieces of a function of z as mpmath functions."""
    result = []
    for part, formula in smooth_pieces(h, z):
        ends = [
            mp.inf if e == oo else -mp.inf if e == -oo else _number(e)
            for e in (part.low, part.high)
        ]
        forms = [lambdify(z, diff(formula, z, k), "mpmath") for k in range(3)]
        result.append(_Piece(ends[0], ends[1], *forms))
    return result


def _held(
    piece: _Piece, low: Any, high: Any, cuts: list[Any], weights: Callable[[Any], tuple[Any, Any]]
) -> list[Any]:
    """Integrate an interval of omega on which z rests at the left end of a piece."""
    loss = piece.height(piece.low)

    def integrand(w: Any) -> list[Any]:
        density, slope = weights(w)
        g = piece.low - w
        return [density, density * g**2, slope * g, density * loss]

    return _over(integrand, low, high, cuts)


def _moving(
    piece: _Piece,
    V: Any,
    ends: tuple[Any, Any],
    cuts: list[Any],
    weights: Callable[[Any], tuple[Any, Any]],
) -> list[Any]:
    """Integrate a smooth piece over z."""
    low, high = ends
    if not low < high:
        return [mpf(0)] * 4

    def integrand(place: Any) -> list[Any]:
        slope, bend = piece.slope(place), piece.bend(place)
        density, edge = weights(place + V * slope)
        stretch, g = 1 + V * bend, -V * slope
        return [
            density * V * bend,
            density * g**2 * stretch,
            edge * g * stretch,
            density * piece.height(place) * stretch,
        ]

    inside = [low, *(c for c in cuts if low < c < high), high]
    places = [_place(piece, V, w) for w in inside]
    return _over(integrand, places[0], places[-1], [*places, *_steps_between(places)])


def _steps_between(places: list[Any]) -> list[Any]:
    """Return points that cut wide panels in z: a loss may bend within a unit of z."""
    cuts = []
    for a, b in pairwise(places):
        count = int(mp.ceil((b - a) / _WIDEST))
        cuts += [a + (b - a) * k / count for k in range(1, count)]
    return cuts


def _place(piece: _Piece, V: Any, w: Any) -> Any:
    """Return z with z + V h'(z) = w inside a piece, by bisection and Newton steps."""

    def rest(place: Any) -> Any:
        return place + V * piece.slope(place) - w

    low = max(piece.low, w - 1 if piece.low == -mp.inf else piece.low)
    high = min(piece.high, low + 1)
    step = mpf(1)
    while piece.low < low and rest(low) > 0:
        low, step = max(piece.low, low - step), 2 * step
    step = mpf(1)
    while high < piece.high and rest(high) < 0:
        high, step = min(piece.high, high + step), 2 * step
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rest(middle) > 0 else (middle, high)
        if high - low < mpf(10) ** -6:
            break
    place = (low + high) / 2
    for _ in range(8):
        moved = place - rest(place) / (1 + V * piece.bend(place))
        place = min(max(moved, piece.low), piece.high)
    return place


def _over(
    integrand: Callable[[Any], list[Any]], low: Any, high: Any, cuts: Sequence[Any]
) -> list[Any]:
    """Integrate panel by panel between two ends."""
    ends = [low, *sorted(c for c in cuts if low < c < high), high]
    total = [mpf(0)] * 4
    nodes = _legendre(mp.dps + _MORE_NODES, mp.prec)
    for a, b in pairwise(ends):
        half, middle = (b - a) / 2, (b + a) / 2
        for node, weight in nodes:
            values = integrand(middle + half * node)
            total = [t + half * weight * v for t, v in zip(total, values, strict=True)]
    return total


@lru_cache(maxsize=16)
def _legendre(order: int, prec: int) -> tuple[tuple[Any, Any], ...]:
    """Return nodes and weights of the Gauss-Legendre rule of an order at a binary precision."""
    rule = []
    with mp.workprec(prec + 10):
        for k in range(order):
            x = mp.cos(mp.pi * (k + mpf(3) / 4) / (order + mpf(1) / 2))
            for _ in range(60):
                value, slope = _legendre_value(order, x)
                x -= value / slope
                if abs(value / slope) < mpf(2) ** (-prec - 5):
                    break
            rule.append((x, 2 / ((1 - x**2) * _legendre_value(order, x)[1] ** 2)))
    return tuple(rule)


def _legendre_value(order: int, x: Any) -> tuple[Any, Any]:
    """Return the Legendre polynomial and its slope by the recurrence."""
    last, value = mpf(1), x
    for k in range(1, order):
        last, value = value, ((2 * k + 1) * x * value - k * last) / (k + 1)
    return value, order * (x * value - last) / (x**2 - 1)


def _add(one: list[Any], other: list[Any]) -> list[Any]:
    return [a + b for a, b in zip(one, other, strict=True)]
