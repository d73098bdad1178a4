"""Coupled programs at any number of digits: continuation and Newton in mpmath.

Stage: inside ``numeric.reference``. It shares the printed equations with the compiled driver and
nothing else: steps, corrector and linear solves are written anew.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import CodeType
from typing import Any

import mpmath

from derive.block import Block
from derive.codegen import MpmathPrinter, function, rename
from derive.coupled import AnyProgram, CoupledProgram
from derive.errors import NotConvergedError

_CODE: dict[str, CodeType] = {}
_CODE_SIZE = 64
_MOST_STEPS = 4000
Values = list[Any]


def solve_along_path(
    program: CoupledProgram, controls: Mapping[str, Any], mp: Any, near: float
) -> dict[str, Any]:
    """Return outputs, slopes and unknowns at one point, in the context ``mp``.

    Args:
        program: a coupled program.
        controls: mpf by name.
        mp: an mpmath context at the working precision.
        near: largest relative first correction of an accepted step; smaller means shorter steps.

    Raises:
        NotConvergedError: if no step along the path is short enough.

    Accuracy: Newton at the end runs until its step is at the working precision.
    """
    namespace: dict[str, Any] = {"mp": mp, "UNIT": mp.mpf(2) ** (-mp.prec)}
    exec(printed(program, partial(_blocks, program)), namespace)  # our own printed code
    values = [controls[q.name] for q in program.inputs]
    walk = _Walk(mp, namespace, values, len(program.unknowns), near)
    x = walk.to_the_end()
    n, count = len(x), len(program.outputs)
    found = namespace["outputs"](*values, *x)
    out = dict(zip(program.outputs, found, strict=True)) | dict(
        zip(program.unknowns, x, strict=True)
    )
    if not program.slope_control:
        return out
    flat = namespace["slopes"](*values, *x)
    matrix = [list(flat[n + i * n : n + (i + 1) * n]) for i in range(n)]
    y = _solved(mp, matrix, list(flat[:n]))
    after = n + n * n
    for k, name in enumerate(program.outputs):
        gradient = flat[after + count + k * n : after + count + (k + 1) * n]
        total = flat[after + k] + sum((g * d for g, d in zip(gradient, y, strict=True)), mp.mpf(0))
        out[f"d{name}_d{program.slope_control}"] = total
    return out


class _Walk:
    """Predictor and corrector for one point."""

    def __init__(
        self, mp: Any, code: Mapping[str, Any], values: Values, count: int, near: float
    ) -> None:
        self.mp, self.code, self.values, self.n, self.near = mp, code, values, count, near
        self.small = mp.mpf(10) ** (-(mp.dps // 2))

    def correction(self, tau: Any, x: Values) -> tuple[Values, Values]:
        """Return the Newton step at x and the tangent dx/dtau."""
        flat = self.code["step"](*self.values, tau, *x)
        n = self.n
        matrix = [list(flat[n + i * n : n + (i + 1) * n]) for i in range(n)]
        step = _solved(self.mp, matrix, list(flat[:n]))
        return step, _solved(self.mp, matrix, list(flat[n + n * n :]))

    def size(self, step: Values, x: Values, floor: Values) -> Any:
        sizes = [
            abs(d) / max(abs(v), f, self.mp.mpf(10) ** (-300))
            for d, v, f in zip(step, x, floor, strict=True)
        ]
        return max(sizes, default=self.mp.mpf(0))

    def newton(self, tau: Any, x: Values, floor: Values, near: Any) -> tuple[Values, Values] | None:
        """Newton to half the working precision; None if its first step exceeds ``near``."""
        last = None
        for _ in range(60):
            try:
                step, tangent = self.correction(tau, x)
            except ZeroDivisionError:
                return None
            change = self.size(step, x, floor)
            if not self.mp.isfinite(change) or (change > near if last is None else change > last):
                return None
            x = [v + d for v, d in zip(x, step, strict=True)]
            if change <= self.small:
                return x, tangent
            last = change
        return None

    def to_the_end(self) -> Values:
        mp = self.mp
        floor = [mp.mpf(0)] * self.n
        start = [mp.mpf(v) for v in self.code["start"](*self.values)]
        tau = mp.mpf(0)
        found = self.newton(tau, start, floor, mp.inf)
        while found is None and tau < mp.mpf(10) ** (-6):
            tau = max(10 * tau, mp.mpf(10) ** (-mp.dps // 3))
            found = self.newton(tau, start, floor, mp.inf)
        if found is None:
            raise self._lost(tau)
        x, tangent = found
        # what starts at zero has no scale yet: the first, short step does not judge it
        floor = [mp.inf if v == 0 else mp.mpf(0) for v in x]
        moves = self.size(tangent, x, floor)
        h = min(mp.mpf("1e-3"), self.near / 4 / moves) if moves else mp.mpf("1e-3")
        for _ in range(_MOST_STEPS):
            if tau == 1:
                return self._polished(x)
            ahead = min(mp.mpf(1), tau + h)
            guess = [v + (ahead - tau) * t for v, t in zip(x, tangent, strict=True)]
            found = self.newton(ahead, guess, floor, self.near)
            if found is None:
                h /= 2
                if h < tau * mp.mpf(10) ** (-18):
                    break
                continue
            x, tangent = found
            floor = [
                max(abs(v) / 10, f / 4 if f < mp.inf else 0) for v, f in zip(x, floor, strict=True)
            ]
            tau, h = ahead, h * mp.mpf("1.7")
        raise self._lost(tau)

    def _polished(self, x: Values) -> Values:
        last = None
        for _ in range(60):
            step, _ = self.correction(self.mp.mpf(1), x)
            x = [v + d for v, d in zip(x, step, strict=True)]
            change = self.size(step, x, [self.mp.mpf(0)] * self.n)
            if change <= self.mp.mpf(10) ** (3 - self.mp.dps) or (
                last is not None and change >= last and change < self.small
            ):
                return x
            last = change
        raise NotConvergedError(
            "reference", "Newton at the end of the path did not settle", "report the point"
        )

    def _lost(self, tau: Any) -> NotConvergedError:
        return NotConvergedError(
            "reference of coupled equations",
            f"the branch cannot be followed beyond tau = {mpmath.nstr(tau, 6)}",
            "check that the resolvent is regular for all smaller variances",
        )


def _solved(mp: Any, matrix: list[Values], right: Values) -> Values:
    """Return -matrix^-1 right."""
    if not right:
        return []
    return [-v for v in mp.lu_solve(mp.matrix(matrix), mp.matrix(right))]


def _blocks(program: CoupledProgram) -> dict[str, Block]:
    """Return the blocks that a reference needs, without the error bounds of float64."""
    n, count = len(program.unknowns), len(program.outputs)
    first = 2 * n + n * n
    report = program.report
    values = Block(report.inputs, report.lines, report.results[first : first + count])
    blocks: dict[str, Block] = {"start": program.start, "step": program.step}
    blocks |= {"outputs": values.pruned()}
    return blocks | ({"slopes": program.slopes} if program.slope_control else {})


def printed(program: AnyProgram, blocks: Callable[[], Mapping[str, Block]]) -> CodeType:
    """Return blocks as mpmath functions, by the key of their program; ``blocks`` if it is new."""
    key = program.key
    if key not in _CODE:
        printer = MpmathPrinter(rename(program))
        texts = [function(name, block, printer) for name, block in blocks().items()]
        while len(_CODE) >= _CODE_SIZE:
            _CODE.pop(next(iter(_CODE)))
        _CODE[key] = compile("\n\n".join(texts), f"<mpmath {key}>", "exec")
    return _CODE[key]
