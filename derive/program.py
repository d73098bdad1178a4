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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from sympy import Expr, Symbol, srepr

from derive.block import Block
from derive.canonical import canonical_text
from derive.certificate import Proof
from derive.complement import Carried, carried
from derive.constant import definitions
from derive.errors import NotSupportedError
from derive.printing.machine_form import machine_form
from derive.program_blocks import UNIT, Blocks
from derive.rewrite import Log
from derive.symbols import Quantity
from derive.system import System
from derive.tables import TableMean, means_of

__all__ = ["UNIT", "Declaration", "Program", "program"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
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
        later: builds the blocks when one is first asked for.
        assumptions: statements under which the equations hold.
        key: content key, the hash of everything that determines the numbers.

    Two programs are equal if their keys are.
    """

    name: str
    inputs: tuple[Quantity, ...]
    groups: Mapping[str, tuple[str, ...]]
    unknowns: tuple[str, ...]
    outputs: tuple[str, ...]
    slope_control: str
    constants: tuple[tuple[Symbol, Expr], ...]
    later: Callable[[], "Built"] = field(repr=False)
    assumptions: tuple[str, ...] = ()

    @cached_property
    def _built(self) -> "Built":
        return self.later()

    @property
    def start(self) -> Block:
        """A starting point for the first unknown."""
        return self._built.start

    @property
    def tower(self) -> Block:
        """Later unknowns, value and slope of the closing equation, guard."""
        return self._built.tower

    @property
    def descent(self) -> Block:
        """The tower with tangents of the later unknowns."""
        return self._built.descent

    @property
    def newton(self) -> Block:
        """The Newton step of the full system."""
        return self._built.newton

    @property
    def report(self) -> Block:
        """Residual, errors of unknowns, outputs, errors of outputs."""
        return self._built.report

    @property
    def landing(self) -> Block:
        """The residual with gaps in plain form, and what is positive where that is enough."""
        return self._built.landing

    @property
    def proof(self) -> Proof:
        """What certificates evaluate."""
        return self._built.proof

    @property
    def log(self) -> Log:
        """Log of the System, with what was done to it here."""
        return self._built.log

    @cached_property
    def slopes(self) -> Block:
        """Derivatives of the outputs in the slope control, and bounds of their errors."""
        return self._built.slopes()

    @property
    def face(self) -> str:
        """Canonical text of what the program is made from; empty if it has none."""
        made = self.later
        if not isinstance(made, _Later):
            return ""
        interface = (self.name, self.inputs, self.groups, self.unknowns, self.outputs)
        return canonical_text(*interface, self.slope_control, self.constants, made.system)

    def with_blocks(self, **changes: Any) -> "Program":
        """Return the program with other blocks, by name; it has no face any more."""
        return replace(self, later=_There(replace(self._built, **changes)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles hold: the blocks, not what builds them, and the key.

        SymPy evaluates what it reads from a pickle, and may write an expression in another way.
        """
        made = replace(self._built, slopes=_There(self.slopes))
        return {**self.__dict__, "later": _There(made), "_built": made, "key": self.key}

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
class Built:
    """The blocks of a Program; ``slopes``, the longest of them, when it is asked for."""

    start: Block
    tower: Block
    descent: Block
    newton: Block
    report: Block
    slopes: Callable[[], Block]
    landing: Block
    proof: Proof
    log: Log


@dataclass(frozen=True)
class _There(Generic[T]):
    """Something that is there, called like what is still to be built."""

    made: T

    def __call__(self) -> T:
        return self.made


@dataclass(frozen=True)
class _Later:
    """Builds the blocks of a System."""

    system: System
    slope_control: str

    def __call__(self) -> Built:
        system = machine_form(self.system)
        ready = carried(system)
        plain = Blocks(Carried(system), self.slope_control)
        builder = Blocks(ready, self.slope_control) if ready.margins else plain
        return Built(
            start=plain.start(),
            tower=builder.tower(),
            descent=plain.descent(),
            newton=builder.newton(),
            report=builder.report(),
            slopes=builder.slopes,
            landing=plain.landing(ready.margins),
            proof=plain.proof(),
            log=ready.system.log,
        )


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
    system = model if isinstance(model, System) else model.system()
    if system.start is None or not system.is_tower():
        raise NotSupportedError(
            f"a Program of {system.name}",
            "only triangular systems with a starting point are compiled",
            "give a start, or reduce the system first",
        )
    names = [q.name for q in system.controls]
    if slope_control == "lam" and "lam" not in names:
        slope_control = names[-1]
    slope_control = system.control(slope_control).name
    return Program(
        name=system.name,
        inputs=system.controls,
        groups=system.groups,
        unknowns=tuple(u.name for u in system.unknowns),
        outputs=tuple(system.outputs),
        slope_control=slope_control,
        constants=system.constants,
        later=_Later(system, slope_control),
        assumptions=system.assumptions,
    )
