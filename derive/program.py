"""Programs: the frozen hand-over from symbols to machines.

Stage: a ``System`` comes in; a ``Program`` goes out: named inputs and outputs, straight-line blocks
for the tower, the Newton step, the outputs and their error bounds, and a content key. Nothing in a
Program is a float: constants stay exact expressions until a target evaluates them.

Blocks of a triangular System with unknowns x_0, ..., x_n (``closing``: control = rhs):

=========  ============================  =========================================================
block      inputs                        results
=========  ============================  =========================================================
start      controls                      a starting point for x_0
tower      controls, x_0                 x_1..x_n, value = rhs - control, d value/dx_0, guard
descent    controls, x_0                 x_1..x_n, value, d value/dx_0, d x_1/dx_0..d x_n/dx_0
newton     controls, x_0..x_n            the Newton step of the full system, one entry per unknown
report     controls, x_0..x_n            residual, errors of unknowns, outputs, errors of outputs
slopes     controls, x_0..x_n            derivatives of the outputs in a control, their errors
=========  ============================  =========================================================

``descent`` is not part of the key: it follows from ``tower``. Beside the blocks a ``Proof`` holds
what a certificate evaluates: an interval Newton step about a point, and the branch conditions.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from sympy import Abs, Add, Expr, Integer, Max, Min, Symbol, srepr

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
from derive.complement import Carried, carried
from derive.constant import definitions
from derive.errors import NotSupportedError
from derive.printing.machine_form import machine_form
from derive.printing.partials import Tangents, along, bound, literal_rounding
from derive.rewrite import Log
from derive.symbols import Quantity
from derive.system import Equation, System
from derive.tables import TableMean, means_of
from derive.tower import rests

UNIT = Symbol("unit_roundoff", positive=True)
"""The rounding unit of the target, a constant that every target supplies."""


@dataclass(frozen=True)
class Program:
    """A compiled-to-be System; see the module for its blocks.

    Attributes:
        name: identifier.
        inputs: controls, in order.
        groups: controls that are given as one vector.
        unknowns: names of the unknowns.
        outputs: names of the outputs.
        slope_control: control in which outputs are differentiated, empty for none.
        constants: exact values of the constant symbols used by the blocks.
        start, tower, descent, newton, report, slopes: straight-line blocks.
        later: builds ``slopes``, the longest of them, when it is first asked for.
        landing: the residual with gaps in plain form, and what is positive where that is enough.
        proof: what certificates evaluate; not part of the key.
        log: log of the System.
        key: content key, the hash of everything that determines the numbers.
    """

    name: str
    inputs: tuple[Quantity, ...]
    groups: Mapping[str, tuple[str, ...]]
    unknowns: tuple[str, ...]
    outputs: tuple[str, ...]
    slope_control: str
    constants: tuple[tuple[Symbol, Expr], ...]
    start: Block
    tower: Block
    descent: Block
    newton: Block
    report: Block
    later: Callable[[], Block] = field(repr=False, compare=False)
    landing: Block
    proof: Proof
    log: Log = field(default=Log(), compare=False)
    assumptions: tuple[str, ...] = ()

    @cached_property
    def slopes(self) -> Block:
        """Derivatives of the outputs in the slope control, and bounds of their errors."""
        return self.later()

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles hold: the block of slopes, not what builds it, and the key.

        SymPy evaluates what it reads from a pickle, and may write an expression in another way.
        """
        return {**self.__dict__, "later": _Built(self.slopes), "key": self.key}

    @cached_property
    def key(self) -> str:
        """Content key: twelve hexadecimal digits of the hash of all blocks and constants."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:12]

    def text(self) -> str:
        """Return the canonical text that the key hashes."""
        parts = [self.name, ",".join(q.name for q in self.inputs), ",".join(self.outputs)]
        named = definitions(e for _, e in self.constants)
        parts += [f"{c.name} = {srepr(c.value)}" for c in named]
        parts += [f"{s} = {srepr(e)}" for s, e in self.constants]
        for block in self.blocks().values():
            parts += [f"{s} = {e}" for s, e in block.lines] + [str(e) for e in block.results]
        for margin in self.landing.results[1:]:
            parts.append(str(margin))
        parts += [f"{f.head}: {f.table.key}" for f in self.means]
        return "\n".join(parts)

    @cached_property
    def means(self) -> tuple[TableMean, ...]:
        """Means over tables that the blocks hold, one of each kind."""
        proof = (self.proof.inclusion, self.proof.conditions)
        return _means((*self.blocks().values(), *proof))

    @cached_property
    def averages(self) -> bool:
        """Whether blocks average over tables; slopes do so only where what they derive does."""
        return bool(_means((self.start, self.tower, self.newton, self.report)))

    def blocks(self) -> dict[str, Block]:
        """Return the blocks that determine the numbers, by name."""
        return {
            "start": self.start,
            "tower": self.tower,
            "newton": self.newton,
            "report": self.report,
            "slopes": self.slopes,
        }

    def __repr__(self) -> str:
        operations = sum(b.operations for b in self.blocks().values())
        return (
            f"Program({self.name}: {' '.join(q.name for q in self.inputs)} -> "
            f"{' '.join(self.outputs)}; {operations} operations; key {self.key})"
        )


def _means(blocks: Iterable[Block]) -> tuple[TableMean, ...]:
    return means_of(e for b in blocks for e in (*(e for _, e in b.lines), *b.results))


@dataclass(frozen=True)
class _Built:
    """A block that is there, called like one that is still to be built."""

    block: Block

    def __call__(self) -> Block:
        return self.block


class Declaration(Protocol):
    """Anything that gives its equations by ``system()``, such as a declared model."""

    def system(self) -> System:
        """Return the equations."""


def program(model: "System | Program | Declaration", slope_control: str = "lam") -> Program:
    """Freeze a System into a Program; a Program is returned as it is.

    Args:
        model: a System that is a tower in its first unknown and has a start, a declaration that
            gives one, or a Program.
        slope_control: control in which outputs are differentiated; the last one without ``lam``.

    Raises:
        NotSupportedError: if the system is coupled or has no start.
    """
    if isinstance(model, Program):
        return model
    system = machine_form(model if isinstance(model, System) else model.system())
    if system.start is None or not system.is_tower():
        raise NotSupportedError(
            f"a Program of {system.name}",
            "only triangular systems with a starting point are compiled",
            "give a start, or reduce the system first",
        )
    names = [q.name for q in system.controls]
    if slope_control == "lam" and "lam" not in names:
        slope_control = names[-1]
    ready = carried(system)
    plain = _Builder(Carried(system), slope_control)
    builder = _Builder(ready, slope_control) if ready.margins else plain
    return Program(
        name=system.name,
        inputs=system.controls,
        groups=system.groups,
        unknowns=tuple(u.name for u in system.unknowns),
        outputs=tuple(system.outputs),
        slope_control=slope_control,
        constants=system.constants,
        start=plain.start(),
        tower=builder.tower(),
        descent=plain.descent(),
        newton=builder.newton(),
        report=builder.report(),
        later=builder.slopes,
        landing=plain.landing(ready.margins),
        proof=plain.proof(),
        log=ready.system.log,
        assumptions=system.assumptions,
    )


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


class _Builder:
    """Builds the blocks of one triangular System."""

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

    def block(
        self, inputs: Sequence[Symbol], lines: Sequence[Line], results: Sequence[Expr]
    ) -> Block:
        return Block((*self.fixed, UNIT, *inputs), tuple(lines), tuple(results)).pruned()

    def start(self) -> Block:
        start = self.system.start
        assert start is not None, "checked by program()"
        return self.block((), start.lines, (start.value,))

    def tower(self) -> Block:
        signs = (c.expr for c in self.system.conditions)
        guard = Min(*signs, evaluate=False)  # comparing them by their signs takes long
        return self._tower(lambda _: (guard,))

    def descent(self) -> Block:
        return self._tower(lambda rate: tuple(rate[u] for u in self.x[1:]))

    def _tower(self, more: Callable[[Mapping[Symbol, Expr]], tuple[Expr, ...]]) -> Block:
        """Return the tower with its value and slope, and what ``more`` makes of the rates."""
        tower = self.system.tower()
        lines = tower.lines()
        value = self.closing.rhs - self.closing.lhs
        slopes, rate = replace(tower, definitions=self.ready.plain).rates("t")
        results = (*self.x[1:], value, chain(value, rate), *more(rate))
        return self.block((self.x[0],), (*lines, *slopes), results)

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
        jacobian, rows = self._jacobian
        along, A, slope = self._along(rows)
        defects = self.ready.residuals([e.residual for e in self.system.equations])
        solve, step = self._solve(rows, A, slope, defects, "n")
        return self.block(self.x, (*self.base, *jacobian, *along, *solve), step)

    def proof(self) -> Proof:
        conditions = self.system.conditions
        signs = [c.expr if c.at_root is None else c.at_root for c in conditions]
        return Proof(
            inclusion=self._inclusion(),
            conditions=self.block(self.x, self.base, signs),
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
                yield i, self.block(self.x, self.base, [(equation.lhs - rest) / slope])

    def _inclusion(self) -> Block:
        """Newton with the Jacobian over boxes x and the defects at points at_x."""
        linear = self._linearized
        along, A, slope = self._along(linear.rows)
        solve, step = self._solve(linear.rows, A, slope, linear.defects, "i")
        return self.block((*self.x, *linear.points), (*linear.lines, *along, *solve), step)

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
            yield i, self.block(inputs, linear.lines, [-total / row[i]])

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
        return self.block(self.x, lines, results)

    def landing(self, margins: Sequence[Expr]) -> Block:
        """Return the residual alone, and margins."""
        tangents, sides = self._sides()
        bounds, known = tangents.bounds(self._constant_errors(), UNIT, "r", self.ready.rounding)
        lines = [*self.base, *tangents.lines, *bounds]
        residual, _ = self._scales(known, sides, lines)
        return self.block(self.x, lines, (residual, *margins))

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
        return self.block(self.x, before, (*derivatives, *errors))
