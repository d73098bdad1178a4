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
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from sympy import Expr, Symbol, srepr

from derive.block import Block
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
    plain = Blocks(Carried(system), slope_control)
    builder = Blocks(ready, slope_control) if ready.margins else plain
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
