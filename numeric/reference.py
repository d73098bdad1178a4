"""The same Program at any number of digits: mpmath at two precisions that must agree.

Stage: a Program and one point in; digits out. The blocks are printed for mpmath, the constants are
evaluated anew at the working precision, and the solve is repeated with twice the guard digits.
Nothing of the float64 path is used, except the printed structure of the equations.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import mpmath
from sympy import SympifyError

from derive.balls import enclose
from derive.block import Block
from derive.coupled import (
    AnyProgram,
    CoupledDeclaration,
    CoupledProgram,
    frozen,
)
from derive.errors import NotConvergedError, RangeError, ShapeError, UnknownNameError
from derive.exact import exact_number
from derive.path_solution import printed, solve_along_path
from derive.program import Declaration, Program
from derive.system import System
from derive.tables import table_function
from numeric.controls import ungroup

_MAX_STEPS = 2000


@dataclass(frozen=True)
class Reference:
    """Values of one point to a stated number of digits.

    Attributes:
        digits: significant digits on which the two precisions agree.
        controls: the controls as exact numbers, by name.
        values: outputs, slopes and unknowns, as mpf with ``digits`` correct digits.
    """

    digits: int
    controls: Mapping[str, Any]
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            held = f"this reference holds {', '.join(self.values)}"
            raise UnknownNameError(f"value of {name!r}", held, "use one of them")
        return self.values[name]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.values:
            return self.values[name]
        raise AttributeError(f"{name!r}; this reference holds {', '.join(self.values)}")

    def text(self, name: str) -> str:
        """Return a value as text with all its digits.

        Raises:
            UnknownNameError: for a name it does not hold.
        """
        return str(mpmath.nstr(self[name], self.digits, strip_zeros=False))

    def __repr__(self) -> str:
        rows = [f"Reference({self.digits} digits)"]
        rows += [f"  {n:14s} {mpmath.nstr(v, self.digits)}" for n, v in self.values.items()]
        return "\n".join(rows[:12])


def reference(
    model: System | Program | Declaration | CoupledProgram | CoupledDeclaration,
    digits: int = 30,
    **controls: Any,
) -> Reference:
    """Solve one point to ``digits`` significant digits.

    Args:
        model: a triangular System, its Program, a declaration that has one, or coupled equations
            (``derive.dyson.equations``) or their program.
        digits: digits wanted, 5 to 1000.
        **controls: one number per control; text and floats are read as written ("0.1" and 0.1 are
            one tenth), rationals are exact.

    Raises:
        NotConvergedError: if two precisions do not agree to ``digits`` digits.
        RangeError: a control out of its range, or too few or too many digits.
        ShapeError: more than one number for a control.

    Accuracy: two solves with different guard digits agree to ``digits`` significant digits in every
    output, slope and unknown. Fewer where a rule behind the equations leaves fewer; a declaration
    refines its rules, a System or a Program keeps them. A control at zero is taken as the limit
    from above.
    """
    if not 5 <= digits <= 1000:
        raise RangeError(f"digits = {digits}", "outside 5 to 1000", "choose a number in this range")
    ready = _ready(model, digits)
    digits = min(digits, _digits_of_rules(ready))
    exact = {n: _one_number(n, v) for n, v in ungroup(ready, controls).items()}
    for quantity in ready.inputs:
        quantity.check(float(exact[quantity.name]))
    guard = 15
    for _ in range(4):
        first = _solve_any(ready, exact, digits + guard, near=0.2)
        second = _solve_any(ready, exact, digits + 2 * guard, near=0.05)
        if all(_agree(first[n], second[n], digits) for n in second):
            return Reference(digits, exact, second)
        guard *= 2
    raise NotConvergedError(
        f"{digits} digits of {ready.name}",
        f"two precisions differ at {controls}",
        "ask for fewer digits, or report the point",
    )


def _one_number(name: str, value: Any) -> Any:
    try:
        return exact_number(value)
    except SympifyError as error:
        found = f"a {type(value).__name__}, where one point is solved"
        raise ShapeError(f"{name} = {value!r}", found, "give one number") from error


def _ready(model: Any, digits: int) -> AnyProgram:
    """Return the program of a model; a declaration with rules refines them to the digits."""
    return frozen(model.refined(digits + 2) if hasattr(model, "refined") else model, "digits")


def _digits_of_rules(program: AnyProgram) -> int:
    """Return how many digits the rules behind means over tables leave."""
    errors = [float(f.table.error) for f in getattr(program, "means", ())]
    worst = max(errors, default=0.0)
    return int(-math.log10(worst)) if worst else sys.maxsize


def _solve_any(
    program: AnyProgram, controls: Mapping[str, Any], dps: int, near: float
) -> dict[str, Any]:
    """Solve at one precision; ``near`` bounds the steps along a path, where there is one."""
    if isinstance(program, Program):
        return _solve(program, controls, dps)
    mp = mpmath.mp.clone()
    mp.dps = dps
    values = {q.name: _mpf(mp, controls[q.name]) for q in program.inputs}
    return solve_along_path(program, values, mp, near)


def _agree(a: Any, b: Any, digits: int) -> bool:
    if mpmath.isinf(b):
        return bool(a == b)
    return bool(abs(a - b) <= abs(b) * mpmath.mpf(10) ** (-digits))


def _solve(program: Program, controls: Mapping[str, Any], dps: int) -> dict[str, Any]:
    mp = mpmath.mp.clone()
    mp.dps = dps
    blocks = _namespace(program, mp)
    constants = [_mpf(mp, expr) for _, expr in program.constants]
    at_limit = controls.get(program.slope_control) == 0
    if at_limit:
        mp.dps = 4 * dps + 10  # differences of terms of order one may be as small as the limit
    limit = mp.mpf(10) ** (-3 * dps)
    values = [
        limit if at_limit and q.name == program.slope_control else _mpf(mp, controls[q.name])
        for q in program.inputs
    ]
    values += constants
    x = _polish(mp, blocks, values, _tower(mp, blocks, values), mp.dps)
    outputs = program.outputs
    names = [f"d{o}_d{program.slope_control}" for o in outputs]
    out = dict(zip(outputs, blocks["report"](*values, *x), strict=True))
    out |= dict(zip(names, blocks["slopes"](*values, *x), strict=True))
    if at_limit:
        big = limit ** mp.mpf("-0.4")
        return {k: _limit_of(mp, v, big) for k, v in out.items()}
    return out | dict(zip(program.unknowns, x, strict=True))


def _limit_of(mp: Any, value: Any, big: Any) -> Any:
    """Return infinity or zero for a value that scales as a power of the vanishing control."""
    if abs(value) > big:
        return mp.sign(value) * mp.inf
    return mp.mpf(0) if abs(value) * big < 1 else value


def _namespace(program: Program, mp: Any) -> dict[str, Any]:
    """Execute the printed blocks against one mpmath context."""
    namespace: dict[str, Any] = {"mp": mp, "UNIT": mp.mpf(2) ** (-mp.prec)}
    namespace |= {f.head: table_function(f, partial(_mpf, mp)) for f in program.means}
    exec(printed(program, partial(_blocks, program)), namespace)  # our own printed code
    return namespace


def _blocks(program: Program) -> dict[str, Block]:
    """Return the blocks that a reference needs: without the error bounds of float64."""
    n, count = len(program.unknowns), len(program.outputs)
    blocks = program.blocks()
    needed = {name: blocks[name] for name in ("start", "tower", "newton")}
    for name, first in (("report", 1 + n), ("slopes", 0)):
        full = blocks[name]
        results = full.results[first : first + count]
        needed[name] = Block(full.inputs, full.lines, results).pruned()
    return needed


def _mpf(mp: Any, expr: Any) -> Any:
    """Return an exact number at the precision of the context."""
    if expr.is_Rational:
        return mp.mpf(int(expr.p)) / mp.mpf(int(expr.q))
    return mp.mpf(enclose(expr, mp.dps + 5).mpf(mp.dps + 5))


def _tower(mp: Any, blocks: Mapping[str, Any], values: list[Any]) -> list[Any]:
    """Bracketed Newton from above on the first unknown, to half the working precision."""
    x = blocks["start"](*values)[0] * (1 + mp.mpf(10) ** (-9))
    low, high = mp.mpf(0), None
    tolerance = mp.mpf(10) ** (-(mp.dps // 2))
    for _ in range(_MAX_STEPS):
        *_, value, slope, guard = _try(blocks["tower"], values, x)
        if guard is None or guard <= 0 or value < 0:
            low = x
            step = 2 * x if high is None else (low + high) / 2
        else:
            high = x
            step = x - value / slope
            if step <= low:
                step = (low + high) / 2
        change, x = abs(step - x), step
        if high is not None and (change <= tolerance * x or high - low <= tolerance * high):
            break
    else:
        raise NotConvergedError("tower", f"no root after {_MAX_STEPS} steps", "report the point")
    rest = [abs(v) for v in _try(blocks["tower"], values, x)[:-3]]
    return [x, *(v if v > 0 else mp.mpf(10) ** (-mp.dps) for v in rest)]


def _try(tower: Any, values: list[Any], x: Any) -> tuple[Any, ...]:
    try:
        return tuple(tower(*values, x))
    except ZeroDivisionError:
        return (None, None, None)


def _polish(
    mp: Any, blocks: Mapping[str, Any], values: list[Any], x: list[Any], dps: int
) -> list[Any]:
    """Newton on the full system until the step is at the working precision."""
    last = None
    for _ in range(200 + 4 * dps):  # next to a double root the error only halves in each step
        moves = blocks["newton"](*values, *x)
        change = max(abs(d / v) for d, v in zip(moves, x, strict=True))
        x = [max(v + d, v * mp.mpf(10) ** (-8)) for v, d in zip(x, moves, strict=True)]
        settled = last is not None and change >= last and change < mp.mpf(10) ** (-dps // 2)
        if settled or change <= mp.mpf(10) ** (3 - dps):
            return x
        last = change
    raise NotConvergedError("reference", "the full Newton did not settle", "report the point")
