r"""Towers: systems whose unknowns follow from the first one, one equation each.

Stage: below ``derive.system``. Equation i (all but the last, which closes the tower) determines
unknown i + 1 from the ones before it: explicitly, ``unknown = rhs``, or implicitly, ``lhs = rhs``
with one root, for which the equation carries straight-line code (``Solved``). The rate of an
implicit unknown along the tower is that of the equation,

.. math:: \dot x_{i+1} = -\frac{\partial_{x_0 \ldots x_i} F_i \cdot \dot x}{\partial_{x_{i+1}} F_i},
          \qquad F_i = \mathrm{rhs} - \mathrm{lhs},

never that of the code that solves it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sympy import Expr, Integer, Symbol

from derive.block import Line, chain, fresh, named, symbols_of
from derive.gaps import Gap


@dataclass(frozen=True)
class Solved:
    """Straight-line code for the root of an implicit equation.

    Attributes:
        lines: code in earlier unknowns and definitions.
        value: the root, to the accuracy that Newton's method on the full system starts from.
        meaning: the method, and why it converges.
    """

    lines: tuple[Line, ...]
    value: Expr
    meaning: str


@dataclass(frozen=True)
class Equation:
    """``lhs = rhs``; in a tower the left side is an unknown or a control, unless ``solved``.

    Attributes:
        lhs: left side.
        rhs: right side.
        solved: how to find the unknown that the equation determines, where it is implicit.
        gap: a difference that the equation rests on and that may cancel, with its other form.
    """

    lhs: Expr
    rhs: Expr
    solved: Solved | None = None
    gap: Gap | None = None

    @property
    def residual(self) -> Expr:
        """``rhs - lhs``."""
        return self.rhs - self.lhs


def rests(lines: Sequence[Line]) -> dict[Symbol, set[Symbol]]:
    """Return, for each line, the symbols that no line defines and on which it rests."""
    depends: dict[Symbol, set[Symbol]] = {}
    for symbol, expr in lines:
        depends[symbol] = _of(expr, depends)
    return depends


def _of(expr: Expr, depends: Mapping[Symbol, set[Symbol]]) -> set[Symbol]:
    found: set[Symbol] = set()
    for s in symbols_of(expr):
        found |= depends.get(s, {s})
    return found


@dataclass(frozen=True)
class Tower:
    """The order in which a system can be evaluated from its first unknown.

    Attributes:
        unknowns: in the order of the tower.
        equations: one per unknown; the last one closes.
        definitions: straight-line code.
    """

    unknowns: tuple[Symbol, ...]
    equations: tuple[Equation, ...]
    definitions: tuple[Line, ...]

    def stands(self, implicit: bool) -> bool:
        """Return whether every equation finds its unknown from earlier ones.

        Args:
            implicit: whether implicit equations with code for their root are allowed.
        """
        depends = rests(self.definitions)
        for i, equation in enumerate(self.equations[:-1]):
            later = set(self.unknowns[i + 1 :])
            if equation.solved is None:
                own = (
                    equation.lhs == self.unknowns[i + 1] and not _of(equation.rhs, depends) & later
                )
            else:
                later.discard(self.unknowns[i + 1])
                own = implicit and not _of(equation.residual, depends) & later
            if not own:
                return False
        return bool(self.unknowns)

    def stages(self) -> tuple[tuple[Line, ...], ...]:
        """Return one stage per unknown: the definitions that need no later unknown.

        Stage i holds what can be evaluated once unknown i is known, in order.
        """
        depends = rests(self.definitions)
        pending, out = list(self.definitions), []
        for i in range(len(self.unknowns)):
            later = set(self.unknowns[i + 1 :])
            out.append(tuple(line for line in pending if not depends[line[0]] & later))
            pending = [line for line in pending if depends[line[0]] & later]
        return tuple(out)

    def lines(self) -> tuple[Line, ...]:
        """Return definitions and unknowns as code in the first unknown alone."""
        out: list[Line] = []
        for i, stage in enumerate(self.stages()):
            out.extend(stage)
            if i + 1 < len(self.unknowns):
                equation = self.equations[i]
                solved = equation.solved
                out.extend(solved.lines if solved else ())
                value = solved.value if solved else equation.rhs
                out.append((self.unknowns[i + 1], value))
        return tuple(out)

    def rates(
        self, tag: str, like: Callable[[Symbol, str], Symbol] | None = None
    ) -> tuple[tuple[Line, ...], dict[Symbol, Expr]]:
        """Differentiate the tower in its first unknown.

        Args:
            tag: appended to the names of the new lines.
            like: makes the symbol of a rate from that of the quantity and a name.

        Returns:
            The rate lines alone, to be put after all lines of the tower, and the map from each
            symbol to its rate.
        """
        rate: dict[Symbol, Expr] = {self.unknowns[0]: Integer(1)}
        out: list[Line] = []
        named = _Namer(tag, like or (lambda _, name: fresh(name)), out)
        for i, stage in enumerate(self.stages()):
            for symbol, expr in stage:
                rate[symbol] = named(symbol, chain(expr, rate))
            if i + 1 < len(self.unknowns):
                unknown, equation = self.unknowns[i + 1], self.equations[i]
                if equation.solved is None:
                    total = chain(equation.rhs, rate)
                else:
                    total = self._implicit(i, rate, tag, out)
                rate[unknown] = named(unknown, total)
        return tuple(out), rate

    def _implicit(self, i: int, rate: Mapping[Symbol, Expr], tag: str, out: list[Line]) -> Expr:
        """Return the rate of the unknown of an implicit equation."""
        unknown, equation = self.unknowns[i + 1], self.equations[i]
        code = self._needed(equation.residual, unknown)
        moved: dict[Symbol, Expr] = dict(rate)
        own: dict[Symbol, Expr] = {unknown: Integer(1)}
        _carry(code, moved, f"{tag}p", out)
        _carry(code, own, f"{tag}o", out)
        return -chain(equation.residual, moved) / chain(equation.residual, own)

    def _needed(self, expr: Expr, unknown: Symbol) -> tuple[Line, ...]:
        """Return the definitions that rest on an unknown and that an expression needs."""
        depends = rests(self.definitions)
        needed, kept = set(symbols_of(expr)), []
        for symbol, line in reversed(self.definitions):
            if symbol in needed and unknown in depends[symbol]:
                kept.append((symbol, line))
                needed |= set(symbols_of(line))
        return tuple(reversed(kept))


@dataclass(frozen=True)
class _Namer:
    """Gives a rate its symbol; symbols and numbers stay as they are."""

    tag: str
    like: Callable[[Symbol, str], Symbol]
    out: list[Line]

    def __call__(self, of: Symbol, total: Expr) -> Expr:
        if total.is_Symbol or total.is_Number:
            return total
        symbol = self.like(of, f"{of.name}_{self.tag}")
        self.out.append((symbol, total))
        return symbol


def _carry(code: Sequence[Line], rate: dict[Symbol, Expr], tag: str, out: list[Line]) -> None:
    """Add the rates of lines to ``rate`` and their code to ``out``."""
    for symbol, expr in code:
        rate[symbol] = named(chain(expr, rate), f"{symbol.name}_{tag}", out)
