"""A spectral curve followed by hand: its unknowns at one argument, to many digits, in mpmath.

Stage: beside ``derive.spectra.curve``; for starts of laws whose far point is no far point of the
law below (inverses), and for signs of functions on the physical branch. From the explicit start at
a large imaginary part the argument is carried down and across by Newton's method.
"""

from collections.abc import Sequence
from typing import Any

import mpmath
from sympy import Expr

from derive.balls import enclose
from derive.block import Block
from derive.codegen import MpmathPrinter, function
from derive.errors import NotConvergedError
from derive.spectra.curve import LARGE, Curve, evaluate, value_of

DIGITS = 40
_STEPS = 2000


class Walk:
    """A point that moves on a curve without free symbols.

    Args:
        curve: with numbers for all parameters.
        bound: of the support.
    """

    def __init__(self, curve: Curve, bound: Any) -> None:
        self.curve, self.bound = curve, bound
        with mpmath.workdps(DIGITS):
            self.known = {s: _mpf(v) for s, v in curve.parameters}
        self.parameters = list(self.known.values())
        self.run = None if curve.tables else self._compiled()

    def _compiled(self) -> Any:
        """Print z, constraints and upper functions as one function of unknowns and parameters."""
        curve = self.curve
        inputs = (*curve.unknowns, *(s for s, _ in curve.parameters))
        results = (curve.z, *curve.constraints, *curve.upper)
        names = {s: s.name for s in (*inputs, *(s for s, _ in curve.lines))}
        text = function("run", Block(inputs, curve.lines, results), MpmathPrinter(names))
        namespace: dict[str, Any] = {"mp": mpmath.mp}
        exec(text, namespace)  # our own printed code
        return namespace["run"]

    def at(self, argument: Any) -> list[Any]:
        """Return the unknowns at an argument off the support, Im >= 0 (a gap if it is real).

        Raises:
            NotConvergedError: if no step is short enough.
        """
        with mpmath.workdps(DIGITS):
            z = mpmath.mpc(argument.real, max(64 * self.bound, 64 * abs(argument)))
            u = [self._number(e, {LARGE: z}) for e in self.curve.start]
            settled = self._newton(z, u, rise=False)
            share, here = mpmath.mpf("0.5"), z
            if settled is None:
                raise self._lost(z)
            u = settled
            for _ in range(_STEPS):
                if here == argument:
                    return u
                ahead = argument + share * (here - argument)
                ahead = (
                    argument if abs(ahead - argument) < self.bound * mpmath.mpf("1e-35") else ahead
                )
                moved = self._newton(ahead, u, rise=ahead.imag > 0)
                if moved is None:
                    share = mpmath.sqrt(share)
                    continue
                u, here, share = moved, ahead, max(share * share, mpmath.mpf("0.1"))
            raise self._lost(here)

    def values(self, u: Sequence[Any], exprs: Sequence[Expr]) -> list[Any]:
        """Return expressions of the curve at given unknowns."""
        found = self._run(u)
        return [value_of(e, found, _mpf, self.curve.tables) for e in exprs]

    def _run(self, u: Sequence[Any]) -> dict[Any, Any]:
        start = {**self.known, **dict(zip(self.curve.unknowns, u, strict=True))}
        return evaluate(self.curve.lines, start, _mpf, self.curve.tables)

    def _number(self, expr: Expr, more: dict[Any, Any]) -> Any:
        return value_of(expr, {**self.known, **more}, _mpf)

    def _defects(self, u: Sequence[Any], z: Any) -> list[Any]:
        first, *rest = self._results(u)[: len(u)]
        return [first - z, *rest]

    def _results(self, u: Sequence[Any]) -> list[Any]:
        """Return z, constraints and upper functions."""
        if self.run is not None:
            return list(self.run(*u, *self.parameters))
        curve = self.curve
        return self.values(u, (curve.z, *curve.constraints, *curve.upper))

    def _newton(self, z: Any, start: Sequence[Any], rise: bool) -> list[Any] | None:
        """Newton by differences; None if it does not settle, moves far or leaves the branch."""
        u, last = list(start), None
        for _ in range(40):
            try:
                step = self._step(u, z)
            except ZeroDivisionError:
                return None
            size = max(
                abs(s) / (abs(v) + mpmath.mpf("1e-30")) for s, v in zip(step, u, strict=True)
            )
            u = [v - s for v, s in zip(u, step, strict=True)]
            if size < mpmath.mpf(10) ** (8 - DIGITS):
                upper = self._results(u)[len(u) :]
                return u if not rise or all(h.imag > 0 for h in upper) else None
            if not mpmath.isfinite(size) or (last is not None and size > 2 * last and size > 0.5):
                return None
            last = size
        return None

    def _step(self, u: list[Any], z: Any) -> list[Any]:
        base = self._defects(u, z)
        count = len(u)
        matrix = mpmath.matrix(count, count)
        for j in range(count):
            h = (abs(u[j]) + mpmath.mpf("1e-20")) * mpmath.mpf(10) ** (-DIGITS // 2)
            moved = self._defects([v + h * (i == j) for i, v in enumerate(u)], z)
            for i in range(count):
                matrix[i, j] = (moved[i] - base[i]) / h
        return list(mpmath.lu_solve(matrix, mpmath.matrix(base)))

    def _lost(self, z: Any) -> NotConvergedError:
        found = f"the branch is lost at z = {mpmath.nstr(z, 6)}"
        return NotConvergedError("a point of a law", found, "choose a point off the support")


def _mpf(value: Any) -> Any:
    if value.is_Rational:
        return mpmath.mpf(int(value.p)) / int(value.q)
    return +enclose(value, DIGITS + 5).mpf(DIGITS + 5)
