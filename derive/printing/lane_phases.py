"""The solver of a triangular Program as branch-free phases over independent lanes: their types.

Stage: a Program and what is asked of it in, a ``LaneProgram`` out: straight-line phases in which
every decision is a selection, so that a target can run many points side by side in vector units.
There are two passes, and at the end a report. The quick pass (``quick_phases``) solves nearly every
point; what it cannot vouch for is gathered into new blocks and solved from the start by the careful
one (``careful_phases``). Outputs, slopes and errors are the report: they follow from the solution.

Points are treated one by one: a point's numbers, and its pass, do not depend on which other points
it shares a block with.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sympy import Expr, Integer, Piecewise, Pow, Rational, Symbol
from sympy.logic.boolalg import Boolean

from derive.block import Block, Line, fresh, renamed, symbols_of
from derive.coupled import AnyProgram
from derive.printing.lower import Lowering
from derive.printing.machine_functions import VECTOR, functions_of
from derive.program import Program

MAX_STEPS = 200
POLISH_STEPS = 40
QUICK_STEPS = 7
"""Steps of the quick pass after which a point is left to the careful one."""
NEAR = Rational(1, 10**8)
"""Relative step below which the next Newton error is at rounding level (steps square)."""
CLOSE = Rational(1, 10**7)
"""The same for the defect of the closing equation, which bounds the steps of all unknowns."""
LOOSER = ((6, NEAR), (12, Rational(1, 10**6)), (POLISH_STEPS, Rational(1, 10**4)))
"""Polish: tolerance up to each step; a noisy point settles for less, and its error says so."""
ROUNDS = 4
"""Rounds of polish and finish; the first suffices unless the equations are nearly degenerate."""
AGAIN = (3, Rational(1, 10**15))
"""Steps and tolerance of the polish in later rounds."""
ROUNDED = 2
"""Residual in rounding units, relative to its rounding bound, that needs no other round."""
RESIDUAL = Rational(1, 10**12)
"""Relative residual above which a point has stalled; below it, the errors carry the residual."""
HUGE = Integer(10) ** 300
TINY = Rational(1, 10**100)
"""Floor of an unknown; its square and the inverse of its square are doubles."""
HALF = Rational(1, 2)


@dataclass(frozen=True)
class Asked:
    """What an evaluator returns besides unknowns, residual and status.

    Attributes:
        outputs: names of the outputs.
        errors: error bounds of unknowns and outputs.
        slopes: derivatives of the outputs in the slope control.
    """

    outputs: tuple[str, ...]
    errors: bool = True
    slopes: bool = True


@dataclass(frozen=True)
class Phase:
    """A block whose results are stored in lanes: ``stores[i] = results[i]``, all at once.

    Attributes:
        block: the code.
        stores: where its results go.
        rough: lines that need only about eight digits; a target may take short cuts there.
    """

    block: Block
    stores: tuple[Symbol, ...]
    rough: frozenset[Symbol] = frozenset()

    @property
    def operations(self) -> int:
        """Number of operations of one lane."""
        return self.block.operations

    @property
    def divisions(self) -> int:
        """Number of divisions and square roots of one lane."""
        exprs = [e for _, e in self.block.lines] + list(self.block.results)
        powers = (p for e in exprs for p in e.atoms(Pow))
        return sum(1 for p in powers if p.exp.is_negative or not p.exp.is_Integer)


@dataclass(frozen=True)
class Careful:
    """The pass that guards every step; see ``careful_phases``.

    Attributes:
        setup, tower, between, polish, finish: phases.
        tolerance: the symbol that holds the tolerance of the polish.
        on: the lane that is 1 while a point is being solved.
    """

    setup: Phase
    tower: Phase
    between: Phase
    polish: Phase
    finish: Phase
    tolerance: Symbol
    on: Symbol

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in order."""
        names = ("setup", "tower", "between", "polish", "finish")
        return {name: getattr(self, name) for name in names}

    @property
    def flags(self) -> dict[str, Symbol]:
        """For each phase that may be repeated, the lane that asks for it."""
        return dict.fromkeys(("tower", "polish", "finish"), self.on)


@dataclass(frozen=True)
class Quick:
    """The pass that checks at the end; see ``quick_phases``.

    Attributes:
        begin, descend, land: phases.
        far: the lane that is 1 while the steps of a point are not small.
        failed: the lane that is 1 where the careful pass is needed; the last one ``land`` stores.
        count: the lane that counts: one, and one for each step after which the point was ``far``.
    """

    begin: Phase
    descend: Phase
    land: Phase
    far: Symbol
    failed: Symbol
    count: Symbol

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in order."""
        return {name: getattr(self, name) for name in ("begin", "descend", "land")}

    @property
    def flags(self) -> dict[str, Symbol]:
        """For each phase that may be followed by more work, the lane that asks for it."""
        return {"descend": self.far, "land": self.failed}


@dataclass(frozen=True)
class LaneProgram:
    """Both passes, and the lines that come before all of them.

    Attributes:
        program: what is solved.
        asked: what is returned.
        call: lines computed once per call, from constants.
        quick, careful: the passes.
        report: outputs, slopes and errors of solved points; None if none are asked for.
        unknowns: the lanes of the unknowns.
        rows: names of the rows of a result, in order.
    """

    program: Program
    asked: Asked
    call: tuple[Line, ...]
    quick: Quick
    careful: Careful
    report: Phase | None
    unknowns: tuple[Symbol, ...]
    rows: tuple[str, ...]

    @property
    def phases(self) -> dict[str, Phase]:
        """All phases in order."""
        last = {"report": self.report} if self.report else {}
        return self.quick.phases | self.careful.phases | last

    @property
    def solved(self) -> list[int]:
        """The rows that ``land`` and ``finish`` store, in order, before their flag."""
        return [self.rows.index(name) for name in solved_rows(self.program)]

    @property
    def reported(self) -> list[int]:
        """The rows that ``report`` stores, in order."""
        return [k for k in range(len(self.rows)) if k not in self.solved]

    def functions(self) -> tuple[str, ...]:
        """Return names of the functions that are more than arithmetic, roots and selections."""
        exprs = [e for _, e in self.call]
        for phase in self.phases.values():
            exprs += [e for _, e in phase.block.lines] + list(phase.block.results)
        return functions_of(exprs)

    def special_functions(self) -> tuple[str, ...]:
        """Return names of the functions that have no vector form."""
        return tuple(name for name in self.functions() if name not in VECTOR)

    def slots(self, which: Quick | Careful) -> dict[Symbol, int]:
        """Return the place of each lane of a pass: controls first, then what its phases store."""
        stores = (s for p in which.phases.values() for s in p.stores)
        return _places((*self.program.inputs, *stores))

    def report_slots(self) -> dict[Symbol, int]:
        """Return the places of lanes in ``report``: controls, unknowns, and what it stores."""
        stores = self.report.stores if self.report else ()
        return _places((*self.program.inputs, *self.unknowns, *stores))


def all_of(program: Program) -> Asked:
    """Return the request for everything a program can give."""
    return Asked(program.outputs)


def solved_rows(program: AnyProgram) -> tuple[str, ...]:
    """Return the rows that come with solving: all that is not an output, a slope or an error."""
    return (*program.unknowns, "residual", "status", "steps")


def _places(symbols: Iterable[Symbol]) -> dict[Symbol, int]:
    return {symbol: k for k, symbol in enumerate(dict.fromkeys(symbols))}


def row_names(program: AnyProgram, asked: Asked) -> tuple[str, ...]:
    """Return the names of the rows of a result, in the order of ``finish``."""
    slopes = [f"d{o}_d{program.slope_control}" for o in asked.outputs] if asked.slopes else []
    errors = [f"error {n}" for n in (*program.unknowns, *asked.outputs)] if asked.errors else []
    spreads = [f"error {s}" for s in slopes] if asked.errors else []
    return (
        *program.unknowns,
        "residual",
        *asked.outputs,
        *slopes,
        *errors,
        *spreads,
        "status",
        "steps",
    )


class Copy:
    """Blocks of a program over lanes: its unknowns become plain symbols without a sign.

    Attributes:
        x: the unknowns as lanes, in order.
    """

    def __init__(self, program: Program) -> None:
        by_name = {s.name: s for s in program.newton.inputs}
        self.program = program
        self.lanes = {by_name[u]: fresh(f"lane_{u}") for u in program.unknowns}
        self.x = tuple(self.lanes.values())

    def __call__(self, block: Block, tag: str = "") -> tuple[list[Line], list[Expr]]:
        """Return lines and results; with a tag, unknowns that lines define get other names."""
        new = dict(self.lanes)
        if tag:
            defined = {s for s, _ in block.lines}
            new |= {s: fresh(f"lane_{s.name}_{tag}") for s in self.lanes if s in defined}
        lines = [(new.get(s, s), renamed(e, new)) for s, e in block.lines]
        return lines, [renamed(e, new) for e in block.results]

    def landing(self) -> tuple[list[Line], Expr, list[Expr]]:
        """Return the lines of the residual in plain form, the residual, and margins."""
        lines, (residual, *margins) = self(self.program.landing)
        return lines, residual, margins

    def residual(self) -> tuple[list[Line], Expr]:
        """Return the lines of the residual, and the residual."""
        report = self.program.report
        lines, results = self(Block(report.inputs, report.lines, report.results[:1]).pruned())
        return lines, results[0]

    def report(self, asked: Asked) -> tuple[list[Line], dict[str, Expr]]:
        """Return lines, and the rows of outputs, slopes and errors."""
        program, n = self.program, len(self.x)
        lines, report = self(program.report)
        wanted = asked.slopes and bool(asked.outputs)
        more, slopes = self(program.slopes) if wanted else ([], [])
        count = len(program.outputs)
        chosen = [program.outputs.index(o) for o in asked.outputs]
        found = {f"error {u}": report[1 + i] for i, u in enumerate(program.unknowns)}
        for k in chosen:
            o = program.outputs[k]
            s = f"d{o}_d{program.slope_control}"
            found[o] = report[1 + n + k]
            found[f"error {o}"] = report[1 + n + count + k]
            if wanted:
                found[s], found[f"error {s}"] = slopes[k], slopes[count + k]
        if wanted:
            lines.extend(_merged(lines, more, found, chosen, program))
        return lines, found


def _merged(
    lines: Sequence[Line],
    more: Sequence[Line],
    found: dict[str, Expr],
    chosen: Sequence[int],
    program: Program,
) -> list[Line]:
    """Return the lines of ``more`` under names that do not clash; rewrites ``found`` for slopes."""
    known = dict(lines)
    new: dict[Symbol, Symbol] = {}
    out: list[Line] = []
    for symbol, expr in more:
        moved = renamed(expr, new)
        if known.get(symbol) == moved:
            continue
        if symbol in known:
            new[symbol] = fresh(f"{symbol.name}_of_slopes")
        out.append((new.get(symbol, symbol), moved))
    for k in chosen:
        s = f"d{program.outputs[k]}_d{program.slope_control}"
        for key in (s, f"error {s}"):
            found[key] = renamed(found[key], new)
    return out


class Namer:
    """Appends named lines."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def __call__(self, name: str, expr: Expr) -> Expr:
        """Append ``lane_name = expr`` and return its symbol, always a new one."""
        symbol = fresh(f"lane_{name}")
        self.lines.append((symbol, expr))
        return symbol


def choose(condition: Boolean | bool, value: Expr, other: Expr) -> Expr:
    """Return the selection between two values."""
    return Piecewise((value, condition), (other, True), evaluate=False)


def read_by(lines: Sequence[Line], results: Sequence[Expr]) -> tuple[Symbol, ...]:
    """Return the symbols that lines and results read and no line defines."""
    defined: set[Symbol] = set()
    read: set[Symbol] = set()
    for symbol, expr in lines:
        read |= set(symbols_of(expr)) - defined
        defined.add(symbol)
    for expr in results:
        read |= set(symbols_of(expr)) - defined
    return tuple(sorted(read, key=str))


def make_phase(
    lowering: Lowering, lines: Sequence[Line], stores: Sequence[tuple[Symbol, Expr]]
) -> Phase:
    """Return the lowered phase of lines and of pairs (lane, what is stored there)."""
    results = tuple(e for _, e in stores)
    block = Block(read_by(lines, results), tuple(lines), results).pruned()
    return Phase(lowering.block(block), tuple(s for s, _ in stores))


def first_phase(lines: Sequence[Line], stores: Sequence[tuple[Symbol, Expr]]) -> Phase:
    """Return the phase that computes what is fixed at each point; it is lowered already."""
    results = tuple(e for _, e in stores)
    block = Block(read_by(lines, results), tuple(lines), results).pruned()
    return Phase(block, tuple(s for s, _ in stores))


def hoisted(lowering: Lowering, phases: Sequence[Phase]) -> list[Symbol]:
    """Return what is fixed at each point and read by phases."""
    needed = {s for p in phases for s in p.block.inputs}
    fixed = {s for s, _ in lowering.call}
    return [s for s, _ in lowering.point if s in needed and s not in fixed]
