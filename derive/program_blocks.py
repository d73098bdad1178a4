"""The blocks of a Program, built from a triangular System.

Stage: below ``derive.program``, which says what the blocks are and freezes them. Nothing is
substituted: code is differentiated line by line, and linear equations are solved row by row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sympy import Abs, Add, Expr, Integer, Max, Min, Symbol

from derive.block import (
    Block,
    Line,
    chain,
    fresh,
    magnitude,
    named,
    symbols_of,
)
from derive.certificate import Proof
from derive.complement import Carried
from derive.printing.partials import Tangents, along, bound, literal_rounding
from derive.system import Equation
from derive.tower import rests

UNIT = Symbol("unit_roundoff", positive=True)
"""The rounding unit of the target, a constant that every target supplies."""


@dataclass(frozen=True)
class _Carried:
    """Rounding carried to the unknowns: what ``report`` and ``slopes`` both need."""

    lines: list[Line]
    reads: dict[str, tuple[tuple[Symbol, Expr], ...]]
    rates: list[dict[Symbol, Expr]]
    known: dict[Symbol, Expr]
    residual: Expr
    scales: list[Expr]
    columns: list[list[Expr]]
    x_error: list[Expr]


@dataclass(frozen=True)
class _Linear:
    """The equations about points: lines, Jacobian over boxes, defects at the points, the points."""

    lines: list[Line]
    rows: list[list[Expr]]
    defects: list[Expr]
    points: list[Symbol]


class Blocks:
    """Builds the blocks of one triangular System.

    Args:
        ready: the System, in the form in which its gaps are carried.
        slope_control: control in which outputs are differentiated.
    """

    def __init__(self, ready: Carried, slope_control: str) -> None:
        self.system = system = ready.system
        self.ready = ready
        self.x = system.unknowns
        self.n = len(self.x)
        self.constants = tuple(s for s, _ in system.constants)
        self.fixed = (*system.controls, *self.constants)
        self.closing = system.equations[-1]
        self.control = system.control(slope_control)
        self.base = tuple(system.definitions)

    def _block(
        self, inputs: Sequence[Symbol], lines: Sequence[Line], results: Sequence[Expr]
    ) -> Block:
        return Block((*self.fixed, UNIT, *inputs), tuple(lines), tuple(results)).pruned()

    def start(self) -> Block:
        """Controls to a starting point."""
        start = self.system.start
        assert start is not None, "checked by program()"
        return self._block((), start.lines, (start.value,))

    def tower(self) -> Block:
        """The tower, its value and slope, and the least of the branch conditions."""
        signs = (c.expr for c in self.system.conditions)
        guard = Min(*signs, evaluate=False)  # comparing them by their signs takes long
        return self._tower(lambda _: (guard,))

    def descent(self) -> Block:
        """The tower, its value and slope, and the rates of the later unknowns."""
        return self._tower(lambda rate: tuple(rate[u] for u in self.x[1:]))

    def _tower(self, more: Callable[[Mapping[Symbol, Expr]], tuple[Expr, ...]]) -> Block:
        """Return the tower with its value and slope, and what ``more`` makes of the rates."""
        tower = self.system.tower()
        lines = tower.lines()
        value = self.closing.rhs - self.closing.lhs
        slopes, rate = replace(tower, definitions=self.ready.plain).rates("t")
        results = (*self.x[1:], value, chain(value, rate), *more(rate))
        return self._block((self.x[0],), (*lines, *slopes), results)

    @cached_property
    def _jacobian(self) -> tuple[list[Line], list[list[Expr]]]:
        return self._rows(self.system.equations)

    def _rows(self, equations: Sequence[Equation]) -> tuple[list[Line], list[list[Expr]]]:
        """Return lines and rows: partial derivatives of each right side in each unknown.

        Row i of an implicit equation also holds its own unknown i + 1; no other row does.
        """
        lines: list[Line] = []
        rows: list[list[Expr]] = [[] for _ in equations]
        for j, unknown in enumerate(self.x):
            new, rate = self.ready.forward({unknown: Integer(1)}, f"j{j}")
            lines.extend(new)
            for i, equation in enumerate(equations):
                reach = i if equation.solved is None else i + 1
                entry = chain(equation.rhs, rate) if j <= reach else Integer(0)
                rows[i].append(named(entry, f"K_{i}_{j}", lines))
        return lines, rows

    def _along(
        self, rows: list[list[Expr]], letter: str = "A"
    ) -> tuple[list[Line], list[Expr], Expr]:
        """Return lines, A_i = dx_i/dx_0 and the slope of the closing equation along the tower."""
        lines: list[Line] = []
        A: list[Expr] = [Integer(1)]
        for i in range(1, self.n):
            total = Add(*(rows[i - 1][j] * A[j] for j in range(i))) / self._pivot(rows, i)
            A.append(named(total, f"{letter}_{i}", lines))
        slope = named(
            Add(*(c * a for c, a in zip(rows[-1], A, strict=True))), f"{letter}_closing", lines
        )
        return lines, A, slope

    def _pivot(self, rows: list[list[Expr]], i: int) -> Expr:
        """Return minus the derivative of equation i - 1 in the unknown i that it determines."""
        implicit = self.system.equations[i - 1].solved is not None
        return -rows[i - 1][i] if implicit else Integer(1)

    def _solve(
        self,
        rows: list[list[Expr]],
        A: list[Expr],
        slope: Expr,
        defects: Sequence[Expr],
        tag: str,
    ) -> tuple[list[Line], list[Expr]]:
        """Solve J d = -defects for a triangular system closed by its last equation."""
        lines: list[Line] = []
        B: list[Expr] = [Integer(0)]
        for i in range(1, self.n):
            total = defects[i - 1] + Add(*(rows[i - 1][j] * B[j] for j in range(i)))
            B.append(named(total / self._pivot(rows, i), f"B_{i}_{tag}", lines))
        total = defects[-1] + Add(*(c * b for c, b in zip(rows[-1], B, strict=True)))
        first = named(-total / slope, f"d_0_{tag}", lines)
        step = [first]
        for i in range(1, self.n):
            step.append(named(A[i] * first + B[i], f"d_{i}_{tag}", lines))
        return lines, step

    def newton(self) -> Block:
        """The Newton step of the full system."""
        jacobian, rows = self._jacobian
        along, A, slope = self._along(rows)
        shared: list[Line] = []
        defects = self.ready.residuals([e.residual for e in self.system.equations], shared)
        solve, step = self._solve(rows, A, slope, defects, "n")
        return self._block(self.x, (*self.base, *shared, *jacobian, *along, *solve), step)

    def proof(self) -> Proof:
        """What a certificate evaluates."""
        conditions = self.system.conditions
        signs = [c.expr if c.at_root is None else c.at_root for c in conditions]
        return Proof(
            inclusion=self._inclusion(),
            conditions=self._block(self.x, self.base, signs),
            meanings=tuple(c.meaning for c in conditions),
            steps=tuple(self._steps()),
            again=tuple(self._again()),
            uniqueness=self.system.uniqueness,
        )

    def _again(self) -> Iterator[tuple[int, Block]]:
        """Solve equation i for unknown i, where it is linear and no definition holds it."""
        depends = rests(self.base)
        for i in range(self.n - 1, 0, -1):
            unknown, equation = self.x[i], self.system.equations[i]
            read = [s for s in symbols_of(equation.rhs) if unknown in depends.get(s, ())]
            slope, rest = equation.rhs.diff(unknown), equation.rhs.xreplace({unknown: Integer(0)})
            linear = not read and slope != 0 and unknown not in slope.free_symbols
            if equation.solved is None and linear:
                yield i, self._block(self.x, self.base, [(equation.lhs - rest) / slope])

    def _inclusion(self) -> Block:
        """Newton with the Jacobian over boxes x and the defects at points at_x."""
        linear = self._linearized
        along, A, slope = self._along(linear.rows)
        solve, step = self._solve(linear.rows, A, slope, linear.defects, "i")
        return self._block((*self.x, *linear.points), (*linear.lines, *along, *solve), step)

    def _steps(self) -> Iterator[tuple[int, Block]]:
        """Solve row i of the linear equations for step i, given the other steps."""
        linear = self._linearized
        moves = [fresh(f"move_{u.name}") for u in self.x]
        for i in range(self.n - 1, 0, -1):
            row, later = linear.rows[i], moves[i + 1 : i + 2]
            if self.system.equations[i].solved is not None or row[i] == 0:
                continue
            total = linear.defects[i] + Add(
                *(row[j] * moves[j] for j in range(i)), *(-m for m in later)
            )
            inputs = (*self.x, *linear.points, *moves)
            yield i, self._block(inputs, linear.lines, [-total / row[i]])

    @cached_property
    def _linearized(self) -> "_Linear":
        jacobian, rows = self._jacobian
        at = {s: fresh(f"at_{s.name}") for s in (*self.x, *(s for s, _ in self.base))}
        there = [(at[s], e.xreplace(at)) for s, e in self.base]
        defects = [e.residual.xreplace(at) for e in self.system.equations]
        lines = [*self.base, *jacobian, *there]
        return _Linear(lines, rows, defects, [at[u] for u in self.x])

    def report(self) -> Block:
        """Residual, errors of unknowns, outputs and their errors.

        The residual is relative to the terms of the equation and to everything they are made of.
        The residual and its rounding bound, s_j together, are carried to unknowns and outputs
        through the inverse Jacobian, column by column and with signs, so that correlated errors are
        not added twice.
        """
        carried = self._carried
        lines = list(carried.lines)
        values, out_error = [], []
        for name, expr in self.system.outputs.items():
            pairs = carried.reads[name]
            values.append(named(expr, f"out_{name}", lines))
            gradient = [
                named(along(pairs, r), f"out_{name}_e{i}", lines)
                for i, r in enumerate(carried.rates)
            ]
            moved = [
                Abs(Add(*(g * d for g, d in zip(gradient, c, strict=True)))) * s
                for c, s in zip(carried.columns, carried.scales, strict=True)
            ]
            out_error.append(bound(expr, pairs, carried.known, UNIT) + Add(*moved))
        results = [carried.residual, *carried.x_error, *values, *out_error]
        return self._block(self.x, lines, results)

    def landing(self, margins: Sequence[Expr]) -> Block:
        """Return the residual alone, and margins."""
        tangents, sides = self._sides()
        bounds, known = tangents.bounds(self._constant_errors(), UNIT, "r", self.ready.rounding)
        lines = [*self.base, *tangents.lines, *bounds]
        residual, _ = self._scales(known, sides, lines)
        return self._block(self.x, lines, (residual, *margins))

    def _sides(self) -> tuple[Tangents, list[tuple[tuple[Symbol, Expr], ...]]]:
        """Return partial derivatives of the definitions, and those of the right sides."""
        tangents = Tangents(self.base, (*self.x, *self.constants), self.ready.along)
        equations = self.system.equations
        return tangents, [tangents.partials(f"side_{i}", e.rhs) for i, e in enumerate(equations)]

    @cached_property
    def _carried(self) -> "_Carried":
        """Carry residuals and their rounding bounds to the unknowns."""
        tangents, sides = self._sides()
        reads = {n: tangents.partials(f"out_{n}", e) for n, e in self.system.outputs.items()}
        rates: list[dict[Symbol, Expr]] = []
        pushes: list[Line] = []
        for i, unknown in enumerate(self.x):
            new, rate = tangents.push({unknown: Integer(1)}, f"e{i}")
            pushes.extend(new)
            rates.append(rate)
        bounds, known = tangents.bounds(self._constant_errors(), UNIT, "r", self.ready.rounding)
        lines = [*self.base, *tangents.lines, *pushes, *bounds]
        residual, scales = self._scales(known, sides, lines)
        columns = self._columns(sides, rates, lines)
        x_error = [
            Add(*(Abs(c[i]) * s for c, s in zip(columns, scales, strict=True)))
            for i in range(self.n)
        ]
        return _Carried(lines, reads, rates, known, residual, scales, columns, x_error)

    def _scales(
        self,
        known: Mapping[Symbol, Expr],
        sides: Sequence[Sequence[tuple[Symbol, Expr]]],
        lines: list[Line],
    ) -> tuple[Expr, list[Expr]]:
        """Return the largest relative residual, and each residual with its rounding bound added."""
        ratios, scales = [], []
        for i, (equation, pairs) in enumerate(zip(self.system.equations, sides, strict=True)):
            total = bound(equation.rhs, pairs, known, UNIT) + UNIT * magnitude(equation.lhs)
            allowed = named(total, f"allowed_{i}", lines)
            defect = named(Abs(equation.residual), f"defect_{i}", lines)
            ratios.append(UNIT * defect / allowed)
            scales.append(named(allowed + defect, f"scale_{i}", lines))
        return Max(*ratios, evaluate=False), scales

    def _columns(
        self,
        sides: Sequence[Sequence[tuple[Symbol, Expr]]],
        rates: Sequence[Mapping[Symbol, Expr]],
        lines: list[Line],
    ) -> list[list[Expr]]:
        """Return the columns of -J^-1: how each unknown moves with each residual."""
        rows = [
            [named(along(pairs, r), f"J_{i}_{j}", lines) for j, r in enumerate(rates)]
            for i, pairs in enumerate(sides)
        ]
        new, A, slope = self._along(rows)
        lines.extend(new)
        columns = []
        for j in range(self.n):
            unit = self.ready.residuals([Integer(int(i == j)) for i in range(self.n)])
            new, column = self._solve(rows, A, slope, unit, f"c{j}")
            lines.extend(new)
            columns.append(column)
        return columns

    def _constant_errors(self) -> dict[Symbol, Expr]:
        return {s: UNIT * Abs(s) for s in self.constants}

    def slopes(self) -> Block:
        """Total derivatives of the outputs in the control, and bounds of their errors.

        The errors of the unknowns and all roundings are carried through every line by absolute
        values, so the bound is first order and may be generous where errors would cancel.
        """
        base, equations = self.ready.solved()
        jacobian, rows = self._rows(equations)
        along, A, slope = self._along(rows, "T")
        direct, rate = self.ready.forward({self.control: Integer(1)}, "p")
        lines = [*base, *jacobian, *along, *direct]
        defects = [chain(e.residual, rate) for e in equations]
        solve, step = self._solve(rows, A, slope, defects, "p")
        lines.extend(solve)
        seeds: dict[Symbol, Expr] = {self.control: Integer(1)}
        seeds.update(zip(self.x, step, strict=True))
        total, rate = self.ready.forward(seeds, "q", solved=True)
        lines.extend(total)
        derivatives = [
            named(chain(e, rate), f"slope_{name}", lines) for name, e in self.system.outputs.items()
        ]
        carried = self._carried
        taken = {s for s, _ in lines}
        before = [line for line in carried.lines if line[0] not in taken]
        known = self._constant_errors()
        for unknown, error in zip(self.x, carried.x_error, strict=True):
            known[unknown] = named(error, f"{unknown.name}_error", before)
        tangents = Tangents(lines, (*self.x, *self.constants))
        bounds, known = tangents.bounds(known, UNIT, "z", self.ready.rounding)
        found: dict[Expr, Expr] = dict(known.items())
        errors = [found.get(d, literal_rounding(d, UNIT)) for d in derivatives]
        before = [*lines, *before, *(p for p in tangents.lines if p[0] not in taken), *bounds]
        return self._block(self.x, before, (*derivatives, *errors))
