r"""Systems for machines: gaps carried by their complements.

Stage: between Systems and Programs. A System is written to be read; where one of its equations
holds a ``Gap``, machines evaluate the better of its two forms (``derive.gaps``). Each gap becomes
the lines

=======  =========================================================================================
line     what it is
=======  =========================================================================================
near     1 where twice the room is at least the width, else 0
far      1 - near
apart    room - width where near, else room; rounded once
rest     width - part at each root, in positive terms
gap      apart + near rest - far part
=======  =========================================================================================

and its symbol replaces ``room - part`` in the equation. Away from roots this changes the residuals
r of the given equations to r', but by known multiples of each other: with c = d rhs/d gap,

.. math:: r_i = r'_i + c_i\, \mathrm{near}_i\, \mathrm{slack}_i\, r_{\mathrm{source}(i)}.

So Newton's method stays that of the given System, with the derivatives of the plain gaps, which are
sums of positive terms; only its residuals are evaluated without cancellation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sympy import Abs, Expr, Integer, Piecewise, Rational, Symbol

from derive.block import Line, chain, forward, fresh, named
from derive.gaps import Gap
from derive.provenance import THIS
from derive.rewrite import Step
from derive.system import Equation, System

CLOSE = Rational(1, 64)
"""Room - part and width - part add up to this share of room + width, or less, close to a peak."""


@dataclass(frozen=True)
class Carried:
    """A System with its gaps carried by complements.

    Attributes:
        system: the System for machines; the given one if it has no gaps.
        added: how many definitions it has more, at the end.
        along: gaps as plain differences, the form in which they are differentiated.
        at_root: gaps as the equation gives them at a root, without cancellation.
        closed: definitions that the closing equation makes equal to its gap, with the plain gap:
            its derivatives along the solution do not cancel.
        rounding: rounding errors of lines, in units, other than those of their arguments.
        links: equation i -> (j, factor): what of the residual of j is added to that of i.
        margins: positive where the plain form of a gap loses no more than a few digits.
    """

    system: System
    added: int = 0
    along: Mapping[Symbol, Expr] = field(default_factory=dict)
    at_root: Mapping[Symbol, Expr] = field(default_factory=dict)
    closed: Mapping[Symbol, Expr] = field(default_factory=dict)
    rounding: Mapping[Symbol, Expr] = field(default_factory=dict)
    links: Mapping[int, tuple[int, Expr]] = field(default_factory=dict)
    margins: tuple[Expr, ...] = ()

    @property
    def plain(self) -> tuple[Line, ...]:
        """Definitions in the form in which equations are differentiated."""
        return tuple((s, self.along.get(s, e)) for s, e in self.system.definitions)

    @property
    def given(self) -> tuple[Line, ...]:
        """Definitions of the given System."""
        return self.system.definitions[: len(self.system.definitions) - self.added]

    def solved(self) -> tuple[tuple[Line, ...], tuple[Equation, ...]]:
        """Return definitions and equations for use at a root: gaps as the equations give them."""
        new = {s: fresh(f"span_{s.name}") for s in self.at_root}
        lines = (*self.given, *((new[s], e) for s, e in self.at_root.items()))
        equations = (replace(e, rhs=e.rhs.xreplace(new)) for e in self.system.equations)
        return lines, tuple(equations)

    def forward(
        self, seeds: Mapping[Symbol, Expr], tag: str, solved: bool = False
    ) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
        """Differentiate the definitions, as ``derive.block.forward``; gaps in their plain form.

        Args:
            seeds: derivative of each input.
            tag: appended to the names of new lines.
            solved: whether the seeds are rates along the solution, where ``closed`` holds.
        """
        closed = self.closed if solved else {}
        lines, rate = forward([(s, closed.get(s, e)) for s, e in self.given], seeds, tag)
        gaps = {s: chain(e, rate) for s, e in self.along.items()}
        return lines, rate | gaps | {fresh(f"span_{s.name}"): e for s, e in gaps.items()}

    def residuals(self, found: Sequence[Expr], lines: list[Line] | None = None) -> list[Expr]:
        """Return residuals of the given equations from those of the equations for machines.

        Args:
            found: what the equations for machines leave.
            lines: takes each residual as a line. All its uses then round alike, and what they share
                cancels in the Newton step; written out twice, it would not.
        """
        out: list[Expr] = []
        for i, own in enumerate(found):
            source, factor = self.links.get(i, (0, Integer(0)))
            total = own + factor * out[source] if factor != 0 else own
            keep = lines if self.links else None
            out.append(total if keep is None else named(total, f"left_{i}", keep))
        return out


def carried(system: System) -> Carried:
    """Return the System that machines evaluate.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> found = carried(deep_features([]).system())
        >>> found.system.equations[0].rhs, dict(found.along), dict(found.closed)
        (x_0*gap_0, {gap_0: alpha - df_0}, {spare: alpha - df_0})
    """
    gaps = {i: e.gap for i, e in enumerate(system.equations) if e.gap is not None}
    if not gaps:
        return Carried(system)
    lines, equations = list(system.definitions), list(system.equations)
    along: dict[Symbol, Expr] = {}
    at_root: dict[Symbol, Expr] = {}
    rounding: dict[Symbol, Expr] = {}
    links: dict[int, tuple[int, Expr]] = {}
    for i, gap in gaps.items():
        symbol, near = fresh(f"gap_{i}"), fresh(f"near_{i}")
        lines += _lines(gap, symbol, near, rounding)
        along[symbol] = gap.plain
        rhs = equations[i].rhs.xreplace({gap.plain: symbol})
        equations[i] = replace(equations[i], rhs=rhs)
        at_root[symbol] = (equations[i].lhs - rhs.xreplace({symbol: Integer(0)})) / rhs.diff(symbol)
        factor = rhs.diff(symbol) * near * gap.slack
        links[i] = (gap.source, named(factor, f"link_{i}", lines))
    step = Step(
        "carry gaps by complements",
        "gamma - df = (gamma - gamma') + (gamma' - df) where 2 gamma >= gamma'",
        THIS,
    )
    ready = replace(
        system,
        definitions=tuple(lines),
        equations=tuple(equations),
        log=system.log.then(step),
    )
    margins = tuple(_margin(g) for g in gaps.values())
    added = len(lines) - len(system.definitions)
    return Carried(ready, added, along, at_root, _closed(system), rounding, links, margins)


def _margin(gap: Gap) -> Expr:
    """Return what is positive unless both complements are small beside the room."""
    return gap.room + gap.width - gap.part * 2 / (1 - CLOSE)


def _lines(gap: Gap, symbol: Symbol, near: Symbol, rounding: dict[Symbol, Expr]) -> list[Line]:
    """Return the lines of one gap; adds their rounding errors.

    ``apart`` is rounded at most once, and only where the room is more than twice the width; the gap
    is larger there, so that its own two units cover both.
    """
    number = symbol.name.removeprefix("gap_")
    far, apart, rest = (fresh(f"{name}_{number}") for name in ("far", "apart", "rest"))
    rounding |= {near: Integer(0), far: Integer(0), apart: Integer(0), symbol: 2 * Abs(symbol)}
    close = 2 * gap.room >= gap.width
    return [
        (near, Piecewise((Integer(1), close), (Integer(0), True))),
        (far, Piecewise((Integer(0), close), (Integer(1), True))),
        (apart, Piecewise((gap.room - gap.width, close), (gap.room, True))),
        (rest, gap.rest),
        (symbol, apart + near * rest - far * gap.part),
    ]


def _closed(system: System) -> dict[Symbol, Expr]:
    """Return the definitions that equal the gap of the closing equation, with the plain gap."""
    closing = system.equations[-1]
    if closing.gap is None:
        return {}
    value = closing.lhs / (closing.rhs / closing.gap.plain)
    return {s: closing.gap.plain for s, e in system.definitions if e == value}
