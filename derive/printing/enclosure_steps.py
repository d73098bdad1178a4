r"""The interval Newton step of a Program as float64 code: a quick form and a careful one.

Stage: Programs in, ``Step`` out: assignments for ``numeric.interval_ir``. Both forms prove the same
statement about a box around each answer (see ``numeric.certify``) and write a state and intervals
of the unknowns, outputs and slopes. States: 0 all branch conditions hold, 1 one fails, 2 undecided,
3 nothing is proved.

The careful form computes every radius (``interval_code``) about a box made from the claimed errors,
and takes each unknown from whichever equation gives it best. The quick one bounds errors beforehand
(``magnitude_code``) and takes one box for all: x_j (1 -+ ``BOX``). It needs controls and unknowns
within 2^-+``RANGE``, so that nothing can overflow or lose digits by underflow. Where a condition of
it fails it proves nothing.

In the quick form the root is bounded by |y_j - x_j| <= |d_j| + r_j about the answer x_j itself, so
that all later terms are computed from x_j, once; it leaves points with |d_j| > 4 r_j, whose answers
are not as good as they could be, to the careful one. Its Jacobian may be wide: its errors are
multiplied by d, which is as small as the error of the answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Symbol

from derive.block import Block
from derive.errors import NotSupportedError
from derive.printing.ball_code import proof_blocks
from derive.printing.interval_code import Node, Tape
from derive.printing.interval_erf import ErrorFunctionTape
from derive.printing.magnitude_code import ROUND, SLACK, Magnitudes
from derive.printing.magnitude_kinds import Loose, Sized, Value
from derive.program import Program

BOX = 2.0**-34
"""Relative radius of the box of the quick form."""
RANGE = 60
"""The quick form takes numbers within 2^-+ this, or zero where it lies in their range."""
_FAR = 4.0
"""The quick form takes answers off by at most this many times what it can tell."""
_TIMES, _RELATIVE = 32.0, 2.0**-42
"""Boxes of the careful form: this many times the claimed error, and this much of the value."""


@dataclass(frozen=True)
class Step:
    """Code of one form.

    Attributes:
        inputs: names of what is given per point.
        constants: names of what is given once: centre and radius of each constant.
        lines: assignments.
        state: text of the state.
        results: centre and radius of each quantity.
    """

    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    lines: tuple[str, ...]
    state: str
    results: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Wanted:
    """Which outputs, by place, and whether their slopes as well."""

    outputs: tuple[int, ...]
    slopes: bool


def careful_step(program: Program, wanted: Wanted) -> Step:
    """Return the careful form, about boxes made from the claimed errors ``err``."""
    tape, known = ErrorFunctionTape(), dict[Symbol, Node]()
    known |= {q: Node(f"c{k}") for k, q in enumerate(program.inputs)}
    known |= {s: Node(f"k{k}", f"kr{k}") for k, (s, _) in enumerate(program.constants)}
    n = len(program.unknowns)
    tape.lines += [f"b{j} = {_TIMES!r} * err{j} + {_RELATIVE!r} * abs(x{j})" for j in range(n)]
    roots, inside = _careful_roots(tape, program, known)
    places = program.proof.inclusion.inputs[-2 * n : -n]
    at = {**known, **dict(zip(places, roots, strict=True))}
    for j, block in program.proof.again:
        (other,) = tape.run(block, at)
        roots[j] = at[places[j]] = tape.narrower(roots[j], other)
    blocks = proof_blocks(program)
    holds = tape.run(blocks["conditions"], at)
    results = [*roots, *tape.run(_part(blocks["outputs"], wanted), at)]
    results += tape.run(_part(blocks["slopes"], wanted), at) if wanted.slopes else []
    positive = " & ".join(f"({v.mid} > {v.rad or '0.0'})" for v in holds)
    negative = " | ".join(f"(-{v.mid} > {v.rad or '0.0'})" for v in holds)
    tape.lines += [
        f"decided = 0.0 if {positive} else (1.0 if {negative} else 2.0)",
        f"state = decided if {' & '.join(inside)} else 3.0",
    ]
    pairs = tuple((v.mid, v.rad or "0.0") for v in results)
    given = (*_given(program), *(f"err{j}" for j in range(n)))
    return Step(given, _constants(program), tuple(tape.lines), "state", pairs)


def _careful_roots(
    tape: Tape, program: Program, known: Mapping[Symbol, Node]
) -> tuple[list[Node], list[str]]:
    """Write the step; return the roots, and the conditions under which they lie in the box."""
    inclusion, n = program.proof.inclusion, len(program.unknowns)
    points = [Node(f"x{j}") for j in range(n)]
    boxes = [Node(f"x{j}", f"b{j}") for j in range(n)]
    about = {**known, **dict(zip(inclusion.inputs[-2 * n :], [*boxes, *points], strict=True))}
    step = tape.run(inclusion, about)
    for j, block in program.proof.steps:
        moves = dict(zip(block.inputs[-n:], step, strict=True))
        (other,) = tape.run(block, about | moves)
        step[j] = tape.narrower(step[j], other)
    inside = [f"((abs({d.mid}) + {d.rad}) * GROW < b{j})" for j, d in enumerate(step)]
    return [tape.closed(tape.add(p, d)) for p, d in zip(points, step, strict=True)], inside


def _given(program: Program) -> tuple[str, ...]:
    controls = (f"c{k}" for k in range(len(program.inputs)))
    return (*controls, *(f"x{j}" for j in range(len(program.unknowns))))


def _constants(program: Program) -> tuple[str, ...]:
    return tuple(name for k in range(len(program.constants)) for name in (f"k{k}", f"kr{k}"))


def _part(block: Block, wanted: Wanted) -> Block:
    """Return the block of those results that are wanted."""
    results = tuple(block.results[k] for k in wanted.outputs)
    return Block(block.inputs, block.lines, results).pruned()


def quick_step(program: Program, wanted: Wanted, signs: Sequence[int] = ()) -> Step:
    """Return the quick form.

    Args:
        program: what was solved.
        wanted: what to enclose beside the unknowns.
        signs: sign of each constant, 0 for zero; doubles nearest to them must be within the range.

    Raises:
        NotSupportedError: where errors cannot be bounded beforehand; the careful form may do.
    """
    return _Quick(program, wanted, signs).step()


class _Quick:
    """Writes the quick form."""

    def __init__(self, program: Program, wanted: Wanted, signs: Sequence[int]) -> None:
        self.program, self.wanted = program, wanted
        self.n = len(program.unknowns)
        self.tape = Magnitudes({f"e{j}": BOX for j in range(self.n)})
        self.known: dict[Symbol, Value] = {
            q: self._input(q, f"c{k}") for k, q in enumerate(program.inputs)
        }
        for k, (symbol, _) in enumerate(program.constants):
            self.known[symbol] = self._constant(f"k{k}", signs[k])
        self.places = program.proof.inclusion.inputs[-2 * self.n :]

    def _input(self, symbol: Symbol, name: str) -> Value:
        """Return a control within the range; only one that may be negative needs its size."""
        if not symbol.is_nonnegative:
            return Loose(name, self.tape.name(f"abs({name})"), 0.0, True, -RANGE)
        return Sized(name, 1, 0.0, (), -RANGE, RANGE, not self._is_positive(symbol))

    def _constant(self, name: str, sign: int) -> Value:
        size = name if sign >= 0 else self.tape.name(f"-{name}")
        return Sized(size, sign or 1, 2 * ROUND, (), -RANGE, RANGE, not sign)

    def step(self) -> Step:
        tape, radii = self.tape, self._radii()
        roots = [self._root(s, j, parts=((f"e{j}", 1.0, 1.0),)) for j, s in enumerate(self.at)]
        at = self.known | dict(zip(self.at, roots, strict=True))
        blocks = proof_blocks(self.program)
        for value in tape.run(blocks["conditions"], at):
            self._require(value)
        results = [(f"x{j}", r) for j, r in enumerate(radii)]
        values = tape.run(_part(blocks["outputs"], self.wanted), at)
        values += tape.run(_part(blocks["slopes"], self.wanted), at) if self.wanted.slopes else []
        results += [self._stored(v) for v in values]
        self._check_range()
        total = tape.name(" + ".join(r for _, r in results))
        tape.check(f"{total} < INF")
        checks = " & ".join(f"({c})" for c in tape.checks)
        lines = (*tape.lines, f"state = 0.0 if {checks} else 3.0")
        given, constants = _given(self.program), _constants(self.program)
        return Step(given, constants, lines, "state", tuple(results))

    @property
    def at(self) -> tuple[Symbol, ...]:
        return self.places[: self.n]

    def _root(self, symbol: Symbol, j: int, *, rho: float = 0.0, parts: Any = ()) -> Value:
        """Return an unknown about the answer."""
        if not symbol.is_positive:
            raise NotSupportedError("a quick form", f"{symbol} has no sign", "use the careful form")
        return Sized(f"x{j}", 1, rho, parts, -RANGE, RANGE)

    def _radii(self) -> list[str]:
        """Write the interval Newton step; return the radii of the roots about the answers."""
        tape, n = self.tape, self.n
        boxes = [self._root(s, j, rho=BOX * SLACK) for j, s in enumerate(self.places[:n])]
        points = [self._root(s, j) for j, s in enumerate(self.places[:n])]
        about = self.known | dict(zip(self.places, [*boxes, *points], strict=True))
        moves = tape.run(self.program.proof.inclusion, about)
        radii = [self._reach(move) for move in moves]
        for move in moves:
            size, factor = tape.error(move)
            tape.check(f"abs({move.mid}) < {_FAR * factor!r} * {size}")
        for j, block in self.program.proof.steps[:1]:
            (other,) = tape.run(block, about | dict(zip(block.inputs[-n:], moves, strict=True)))
            radii[j] = self._extreme([radii[j], self._reach(other)], "<")
        for j, radius in enumerate(radii):
            tape.lines.append(f"e{j} = {radius} * estimate(x{j})")
            tape.check(f"e{j} < {BOX / SLACK!r}")
        return radii

    def _reach(self, move: Value) -> str:
        """Return a name of what a step is at most in size."""
        size, factor = self.tape.error(move)
        return self.tape.name(f"{SLACK!r} * abs({move.mid}) + {factor * SLACK!r} * {size}")

    def _require(self, value: Value) -> None:
        """Let the code prove nothing where a condition may fail."""
        if isinstance(value, Loose):
            size, factor = self.tape.error(value)
            self.tape.check(f"{value.mid} > {factor * SLACK!r} * {size}")
        elif value.sign < 0:
            raise NotSupportedError("a quick form", "a condition fails", "use the careful form")
        elif value.zero:
            self.tape.check(f"{value.mid} > 0.0")

    def _stored(self, value: Value) -> tuple[str, str]:
        size, factor = self.tape.error(value)
        radius = self.tape.name(f"{factor * SLACK!r} * {size}")
        negative = isinstance(value, Sized) and value.sign < 0
        return f"-{value.mid}" if negative else value.mid, radius

    def _check_range(self) -> None:
        """Check that what the code reads lies in the range."""
        text = "\n".join(self.tape.lines)
        read = set(re.findall(r"\b[cx]\d+\b", text))
        sized, zero = [f"x{j}" for j in range(self.n)], set()
        for k, quantity in enumerate(self.program.inputs):
            name = f"c{k}" if quantity.is_nonnegative else self.tape.name(f"abs(c{k})")
            sized += [name] if f"c{k}" in read else []
            zero |= set() if self._is_positive(quantity) else {name}
        least = [self.tape.not_zero(name) if name in zero else name for name in sized]
        self.tape.check(f"{self._extreme(least, '<')} > {2.0**-RANGE!r}")
        self.tape.check(f"{self._extreme(sized, '>')} < {2.0**RANGE!r}")

    def _is_positive(self, quantity: Symbol) -> bool:
        """Whether zero is outside the range; of the slope control it is a limit, not a point."""
        limit = quantity.name == self.program.slope_control
        return bool(quantity.is_positive or (limit and quantity.is_nonnegative))

    def _extreme(self, names: list[str], sign: str) -> str:
        value = names[0]
        for other in names[1:]:
            value = self.tape.name(f"{value} if {value} {sign} {other} else {other}")
        return value
