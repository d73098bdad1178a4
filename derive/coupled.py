r"""Programs of coupled systems: straight-line code for continuation along a path and for its end.

Stage: equations with a path and an explicit start (``derive.dyson``) come in; a ``CoupledProgram``
goes out. Unknowns x solve F(x, tau) = 0 with F_i = right side_i - x_i; tau runs from 0, where x is
explicit, to 1, where the equations are the declared ones. J is the Jacobian of F in x.

=======  ==================  ======================================================================
block    inputs              results (row by row)
=======  ==================  ======================================================================
start    controls            x at tau = 0
step     controls, tau, x    F, J, dF/dtau
report   controls, x         F, rounding bounds of F, J, outputs, their bounds, their gradients in x
slopes   controls, x         dF/dc, J, derivatives of outputs at fixed x, gradients of outputs in x
=======  ==================  ======================================================================

``report`` and ``slopes`` hold at tau = 1. Solving with J is left to the target: small and dense.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

from sympy import Expr, I, Integer, Integral, Symbol, cse, numbered_symbols

from derive.block import Block, Line, fresh, magnitude, symbols_of
from derive.errors import NotSupportedError, UnknownNameError
from derive.printing.partials import Tangents, along, bound
from derive.program import UNIT, Declaration, Program, program
from derive.random_matrices.stability import Stability
from derive.rewrite import Log
from derive.symbols import Quantity
from derive.system import Equation, System

PATH = fresh("path_tau")
"""The path parameter of every program."""


class PathEquations(Protocol):
    """Coupled equations with a path and an explicit start, such as ``derive.dyson`` makes."""

    @property
    def unknowns(self) -> tuple[Quantity, ...]:
        """The coupled core."""

    @property
    def equations(self) -> tuple[Equation, ...]:
        """``unknown = right side``."""

    @property
    def definitions(self) -> tuple[Line, ...]:
        """Straight-line code."""

    @property
    def outputs(self) -> Mapping[str, Expr]:
        """Named scalars."""

    @property
    def start(self) -> tuple[Expr, ...]:
        """Values at path = 0."""

    @property
    def path(self) -> Symbol:
        """The path parameter."""

    @property
    def controls(self) -> tuple[Quantity, ...]:
        """Inputs."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Statements under which the equations hold."""

    @property
    def log(self) -> Log:
        """Steps."""


@dataclass(frozen=True)
class CoupledProgram:
    """A coupled system, ready for a target; see the module for its blocks.

    Attributes:
        name: identifier.
        inputs: controls, in order.
        unknowns: names of the unknowns.
        outputs: names of the outputs.
        slope_control: control in which outputs are differentiated, empty for none.
        start, step, report, slopes: straight-line blocks.
        groups: controls that are given as one vector (a complex one: real and imaginary part).
        constants: none; kept for the common interface of programs.
        log: log of the equations.
        assumptions: statements under which they hold.
        stability: the test that proves a root to be the physical one, if there is one.
    """

    name: str
    inputs: tuple[Quantity, ...]
    unknowns: tuple[str, ...]
    outputs: tuple[str, ...]
    slope_control: str
    start: Block
    step: Block
    report: Block
    slopes: Block
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: tuple[tuple[Symbol, Expr], ...] = ()
    log: Log = field(default=Log(), compare=False)
    assumptions: tuple[str, ...] = ()
    stability: Stability | None = field(default=None, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """Content key: twelve hexadecimal digits of the hash of all blocks."""
        parts = [self.name, ",".join(q.name for q in self.inputs), ",".join(self.outputs)]
        for block in self.blocks().values():
            parts += [f"{s} = {e}" for s, e in block.lines] + [str(e) for e in block.results]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def blocks(self) -> dict[str, Block]:
        """Return the blocks by name."""
        return {
            "start": self.start,
            "step": self.step,
            "report": self.report,
            "slopes": self.slopes,
        }

    def __repr__(self) -> str:
        operations = sum(b.operations for b in self.blocks().values())
        return (
            f"CoupledProgram({self.name}: {' '.join(q.name for q in self.inputs)} -> "
            f"{' '.join(self.outputs)}; {len(self.unknowns)} coupled unknowns, "
            f"{operations} operations; key {self.key})"
        )


AnyProgram = Program | CoupledProgram
"""What evaluators, references and Solutions are made from."""


class CoupledDeclaration(Protocol):
    """Anything that gives its coupled program, such as ``DysonEquations``."""

    def program(self) -> CoupledProgram:
        """Return the program."""


AnyModel = System | Program | Declaration | CoupledProgram | CoupledDeclaration
"""What ``frozen`` takes."""


def frozen(model: AnyModel, asked: str = "a program") -> AnyProgram:
    """Return the program of a model; a program is returned as it is.

    Args:
        model: a triangular System, its Program, a declaration of either kind, a coupled program, or
            what was compiled from one of these.
        asked: what the program is for, in the words of an error.

    Raises:
        NotSupportedError: for anything else, and for Systems that are not triangular.
    """
    found = getattr(model, "program", None)
    if isinstance(model, Program | CoupledProgram):
        return model
    if isinstance(found, Program | CoupledProgram):
        return found
    if callable(found):
        made: CoupledProgram = found()
        return made
    if isinstance(model, System) or hasattr(model, "system"):
        return program(cast(Any, model))
    raise NotSupportedError(
        f"{asked} of {model!r}", "it is no system", "give a System, a Program or a declaration"
    )


def coupled_program(
    equations: PathEquations,
    name: str = "coupled",
    slope_control: str | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> CoupledProgram:
    """Freeze coupled equations into a program.

    Args:
        equations: unknowns, right sides, definitions, outputs, start and path.
        name: an identifier.
        slope_control: control in which the outputs are differentiated; ``lam`` by default if there
            is such a control, none otherwise.
        groups: controls that are given as one vector.

    Raises:
        NotSupportedError: if an expression holds an integral or is not real.
        UnknownNameError: for a slope control that does not exist.

    Example:
        >>> from derive.dyson import equations
        >>> from derive.matrices import dims, eye, gaussian, ntrace
        >>> from derive.symbols import control
        >>> n, d = dims("n d")
        >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
        >>> found = coupled_program(equations({"m": ntrace((X*X.T + lam*eye(d)).inv())}))
        >>> found.unknowns, found.outputs, found.slope_control
        (('g_0_0',), ('m',), 'lam')
    """
    names = [q.name for q in equations.controls]
    chosen = ("lam" if "lam" in names else "") if slope_control is None else slope_control
    if chosen and chosen not in names:
        found = f"the controls are {', '.join(names)}"
        raise UnknownNameError(f"slope control {chosen!r}", found, "use one of them")
    builder = _Builder(equations, chosen)
    return CoupledProgram(
        name=name,
        inputs=equations.controls,
        unknowns=tuple(u.name for u in equations.unknowns),
        outputs=tuple(equations.outputs),
        slope_control=chosen,
        start=builder.start(),
        step=builder.step(),
        report=builder.report(),
        slopes=builder.slopes(),
        groups=dict(groups or {}),
        log=equations.log,
        assumptions=equations.assumptions,
        stability=getattr(equations, "stability", None),
    )


class _Builder:
    """Builds the blocks of one coupled system."""

    def __init__(self, equations: PathEquations, slope_control: str) -> None:
        path = {equations.path: PATH}
        sides = [e.rhs.xreplace(path) for e in equations.equations]
        outputs = [e.xreplace(path) for e in equations.outputs.values()]
        lines = [(s, e.xreplace(path)) for s, e in equations.definitions]
        for expr in (*sides, *outputs, *(e for _, e in lines), *equations.start):
            _refuse(expr)
        self.controls = equations.controls
        self.x = equations.unknowns
        self.start_values = equations.start
        self.control = next((q for q in self.controls if q.name == slope_control), None)
        self.path = _shared(lines, sides, "s")
        end = {PATH: Integer(1)}
        final = [(s, e.xreplace(end)) for s, e in lines]
        results = [e.xreplace(end) for e in (*sides, *outputs)]
        self.final, results = _shared(final, results, "s")
        self.sides, self.outputs = results[: len(sides)], results[len(sides) :]

    def _block(
        self, inputs: Sequence[Symbol], lines: Sequence[Line], results: Sequence[Expr]
    ) -> Block:
        return Block((*self.controls, UNIT, *inputs), tuple(lines), tuple(results)).pruned()

    def start(self) -> Block:
        return self._block((), (), self.start_values)

    def step(self) -> Block:
        base, sides = self.path
        tangents = Tangents(base, (*self.x, PATH))
        pairs = [tangents.partials(f"side_{i}", e) for i, e in enumerate(sides)]
        defects = [e - x for e, x in zip(sides, self.x, strict=True)]
        rates, pushes = _directions(tangents, [*self.x, PATH])
        lines = [*base, *tangents.lines, *pushes]
        columns = [[along(p, r) for r in rates] for p in pairs]
        jacobian = _less_unit([row[:-1] for row in columns])
        return self._block((PATH, *self.x), lines, [*defects, *jacobian, *(r[-1] for r in columns)])

    def report(self) -> Block:
        tangents = Tangents(self.final, self.x)
        sides = [tangents.partials(f"side_{i}", e) for i, e in enumerate(self.sides)]
        reads = [tangents.partials(f"out_{k}", e) for k, e in enumerate(self.outputs)]
        rates, pushes = _directions(tangents, self.x)
        bounds, known = tangents.bounds({}, UNIT, "r")
        lines = [*self.final, *tangents.lines, *pushes, *bounds]
        defects = [e - x for e, x in zip(self.sides, self.x, strict=True)]
        allowed = [
            bound(e, p, known, UNIT) + UNIT * magnitude(x)
            for e, p, x in zip(self.sides, sides, self.x, strict=True)
        ]
        own = [bound(e, p, known, UNIT) for e, p in zip(self.outputs, reads, strict=True)]
        jacobian = _less_unit([[along(p, r) for r in rates] for p in sides])
        gradients = [along(p, r) for p in reads for r in rates]
        results = [*defects, *allowed, *jacobian, *self.outputs, *own, *gradients]
        return self._block(self.x, lines, results)

    def slopes(self) -> Block:
        if self.control is None:
            return Block((), (), ())
        moving = (*self.x, self.control)
        tangents = Tangents(self.final, moving)
        sides = [tangents.partials(f"side_{i}", e) for i, e in enumerate(self.sides)]
        reads = [tangents.partials(f"out_{k}", e) for k, e in enumerate(self.outputs)]
        rates, pushes = _directions(tangents, moving)
        code = [*self.final, *tangents.lines, *pushes]
        at = [[along(p, r) for r in rates] for p in sides]
        out = [[along(p, r) for r in rates] for p in reads]
        wanted = [row[-1] for row in at] + _less_unit([row[:-1] for row in at])
        wanted += [row[-1] for row in out] + [e for row in out for e in row[:-1]]
        return self._block(self.x, code, wanted)


def _directions(
    tangents: Tangents, symbols: Sequence[Symbol]
) -> tuple[list[dict[Symbol, Expr]], list[Line]]:
    """Return the rates of every symbol along each direction, and the lines that hold them."""
    rates: list[dict[Symbol, Expr]] = []
    lines: list[Line] = []
    for i, symbol in enumerate(symbols):
        new, rate = tangents.push({symbol: Integer(1)}, f"e{i}")
        lines.extend(new)
        rates.append(rate)
    return rates, lines


def _less_unit(rows: Sequence[Sequence[Expr]]) -> list[Expr]:
    return [e - int(i == j) for i, row in enumerate(rows) for j, e in enumerate(row)]


def _shared(
    lines: Sequence[Line], results: Sequence[Expr], tag: str
) -> tuple[list[Line], list[Expr]]:
    """Name what occurs more than once, so that derivatives and bounds are made of it once."""
    pruned = Block((*_inputs(lines, results),), tuple(lines), tuple(results)).pruned()
    symbols = numbered_symbols(f"{tag}_", real=True)
    shared, exprs = cse([*(e for _, e in pruned.lines), *results], symbols, order="none")
    count = len(pruned.lines)
    named_lines = [(s, e) for (s, _), e in zip(pruned.lines, exprs[:count], strict=True)]
    return _in_order(list(shared), named_lines), list(exprs[count:])


def _inputs(lines: Sequence[Line], results: Sequence[Expr]) -> list[Symbol]:
    defined = {s for s, _ in lines}
    used = {s for e in (*(e for _, e in lines), *results) for s in e.free_symbols}
    return [s for s in used if isinstance(s, Symbol) and s not in defined]


def _in_order(shared: list[Line], lines: list[Line]) -> list[Line]:
    """Merge shared parts into the lines, each just before it is needed first."""
    parts = dict(shared)
    done: set[Symbol] = set()
    out: list[Line] = []

    def require(expr: Expr) -> None:
        for s in symbols_of(expr):
            if s in parts and s not in done:
                require(parts[s])
                done.add(s)
                out.append((s, parts[s]))

    for symbol, expr in lines:
        require(expr)
        out.append((symbol, expr))
    for symbol, expr in shared:
        if symbol not in done:
            require(expr)
            done.add(symbol)
            out.append((symbol, expr))
    return out


def _refuse(expr: Expr) -> None:
    if expr.has(Integral):
        raise NotSupportedError(
            "a program of these equations",
            "they average over a continuous spectral measure (an integral)",
            "declare the covariance by atoms(...) or empirical(...)",
        )
    if expr.is_real is False or expr.has(I):
        raise NotSupportedError(
            "a real program of these equations",
            "they hold the imaginary unit",
            "declare the complex control with complex=, as real and imaginary part",
        )
