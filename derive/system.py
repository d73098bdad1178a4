r"""Systems: unknowns, equations, outputs, branch conditions and the log that made them.

Stage: between functionals and Programs. A ``System`` is closed and balanced by construction. Its
definitions are straight-line code (``derive.block``); operations return new Systems and log steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from flint import arb
from sympy import Expr, Symbol, latex

from derive.balls import Ball
from derive.block import Line, chain, symbols_of
from derive.eliminate import Relation, eliminate
from derive.errors import (
    NotClosedError,
    NotSupportedError,
    RangeError,
    UnbalancedError,
    UnknownNameError,
)
from derive.exact import Number, exact_number
from derive.latex import aligned, output_latex
from derive.provenance import Source
from derive.rewrite import Log, Step, size
from derive.symbols import Quantity
from derive.tower import Equation as Equation  # noqa: PLC0414  (a word of this room)
from derive.tower import Tower, rests

if TYPE_CHECKING:
    from derive.closed_form import ClosedForm
    from derive.expansions import Expansion


@dataclass(frozen=True)
class Condition:
    """A branch condition: ``expr > 0`` on the physical branch, and why.

    Attributes:
        expr: what is positive.
        meaning: why, one phrase.
        at_root: something that has the sign of ``expr`` at each root of the equations, and cancels
            less; proofs use it, None if there is no better form.
    """

    expr: Expr
    meaning: str
    at_root: Expr | None = None


@dataclass(frozen=True)
class Start:
    """A starting point for the first unknown, with what is known about it.

    Attributes:
        lines: straight-line code.
        value: expression for the first unknown.
        meaning: what is proved, such as "an upper bound of the root".
    """

    lines: tuple[Line, ...]
    value: Expr
    meaning: str


@dataclass(frozen=True)
class System:
    """A closed, balanced set of equations.

    Attributes:
        name: short name, an identifier.
        controls: inputs set by the user.
        unknowns: what the equations determine, in the order in which they can be solved.
        equations: one per unknown.
        outputs: named expressions in controls, constants, unknowns and definitions.
        definitions: intermediate quantities, in order.
        constants: exact values of constant symbols.
        conditions: positivity conditions that single out the physical branch.
        start: how to start on the first unknown.
        groups: controls that the user gives as one vector, such as ``gamma``.
        assumptions: statements under which the equations hold.
        uniqueness: a proof that at most one root has all conditions positive; empty if none known.
        log: steps that led here.

    Raises:
        UnbalancedError: if equations and unknowns differ in number; lists the suspects.
        NotClosedError: if an expression holds a symbol that nothing defines.
    """

    name: str
    controls: tuple[Quantity, ...]
    unknowns: tuple[Quantity, ...]
    equations: tuple[Equation, ...]
    outputs: Mapping[str, Expr]
    definitions: tuple[Line, ...] = ()
    constants: tuple[tuple[Symbol, Expr], ...] = ()
    conditions: tuple[Condition, ...] = ()
    start: Start | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    uniqueness: str = ""
    log: Log = Log()

    def __post_init__(self) -> None:
        self._check_balance()
        self._check_closed()

    def _check_balance(self) -> None:
        if len(self.equations) == len(self.unknowns):
            return
        used = self._used_by_equations()
        idle = sorted(str(u) for u in self.unknowns if u not in used)
        suspects = f"unknowns in no equation: {', '.join(idle) or 'none'}"
        raise UnbalancedError(
            f"system {self.name}",
            f"{len(self.equations)} equations for {len(self.unknowns)} unknowns ({suspects})",
            "give one equation per unknown",
        )

    def _used_by_equations(self) -> set[Symbol]:
        depends = self.dependencies()
        used: set[Symbol] = set()
        for equation in self.equations:
            for s in symbols_of(equation.residual):
                used |= depends.get(s, {s})
        return used

    def _check_closed(self) -> None:
        known = {*self.controls, *self.unknowns, *(s for s, _ in self.constants)}
        for symbol, expr in self.definitions:
            _closed(expr, known, f"the definition of {symbol}")
            known.add(symbol)
        for equation in self.equations:
            _closed(equation.residual, known, f"the equation for {equation.lhs}")
        for name, expr in self.outputs.items():
            _closed(expr, known, f"the output {name}")
        for condition in self.conditions:
            _closed(condition.expr, known, f"the condition {condition.meaning!r}")
            if condition.at_root is not None:
                _closed(condition.at_root, known, f"the condition {condition.meaning!r}")

    def dependencies(self) -> dict[Symbol, set[Symbol]]:
        """Return, for each defined symbol, the controls, constants and unknowns it rests on."""
        return rests(self.definitions)

    def control(self, name: str) -> Quantity:
        """Return the control of this name.

        Raises:
            UnknownNameError: listing the controls that exist.
        """
        for quantity in self.controls:
            if quantity.name == name:
                return quantity
        names = ", ".join(sorted(q.name for q in self.controls))
        raise UnknownNameError(f"control {name!r}", f"the controls are {names}", "use one of them")

    def tower(self) -> Tower:
        """Return unknowns, equations and definitions in the order of evaluation."""
        return Tower(self.unknowns, self.equations, self.definitions)

    def is_triangular(self) -> bool:
        """Return whether all unknowns follow explicitly from the first, and one equation closes.

        Equation i (all but the last) reads ``unknown[i+1] = rhs`` with a right side that rests on
        earlier unknowns only.
        """
        return self.tower().stands(implicit=False)

    def is_tower(self) -> bool:
        """Return whether all unknowns follow from the first, explicitly or by code for a root."""
        return self.tower().stands(implicit=True)

    def triangular_lines(self) -> tuple[Line, ...]:
        """Return definitions and triangular equations as code in the first unknown alone.

        Raises:
            NotSupportedError: if the system is not triangular.
        """
        if self.is_triangular():
            return self.tower().lines()
        implicit = [str(e.lhs) for e in self.equations if e.solved]
        found = f"{len(implicit)} of its equations are implicit" if self.is_tower() else ""
        raise NotSupportedError(
            f"system {self.name} as explicit code in its first unknown",
            found or "the equations are coupled",
            "compile it, or use numeric.reference" if found else "solve it as a coupled system",
        )

    def with_step(self, step: Step) -> "System":
        """Return the system with one more line in its log."""
        return replace(self, log=self.log.then(step))

    def with_outputs(self, **outputs: Expr) -> "System":
        """Return the system with more outputs."""
        return replace(self, outputs={**self.outputs, **outputs})

    def unfolded(self, expr: Expr) -> Expr:
        """Return an expression with all definitions substituted (for proofs, never for numbers)."""
        for symbol, definition in reversed(self.definitions):
            expr = expr.xreplace({symbol: definition})
        return expr

    def differentiate(
        self, name: str, wrt: str, expr: Expr, source: Source
    ) -> tuple["System", Expr]:
        """Differentiate an expression along the solution, in a control.

        The implicit function theorem on a tower: with A_i = dx_i/dx_0 from the tower's equations
        and the closing equation ``control = rhs``,
        d expr/d control = (sum_i expr_i A_i) / (sum_i rhs_i A_i).

        Args:
            name: short name for the new definitions.
            wrt: a control that appears only as left side of the closing equation.
            expr: what to differentiate; must not hold the control.
            source: where the use of this derivative comes from.

        Returns:
            The system with the derivative's definitions added, and the derivative.

        Raises:
            NotSupportedError: if the system does not have this form.
        """
        control = self.control(wrt)
        closing = self.equations[-1]
        if not self.is_tower() or closing.lhs != control:
            raise NotSupportedError(
                f"derivative in {wrt} of system {self.name}",
                "the system is not triangular with that control on the closing left side",
                "differentiate the compiled outputs instead (Program sensitivities)",
            )
        lines, rate = self.tower().rates(f"d{name}", _rate_symbol)
        slope_name = rf"\frac{{d {name}}}{{d {latex(control)}}}"
        d = Quantity(f"{name}_{wrt}", f"derivative of {name} in {wrt}", latex=slope_name)
        new_lines = (*self.definitions, *lines, (d, chain(expr, rate) / chain(closing.rhs, rate)))
        step = Step(f"differentiate in {wrt}", f"{name} along the solution", source)
        step = replace(step, before=size(expr), after=size([e for _, e in new_lines]))
        return replace(self, definitions=new_lines, log=self.log.then(step)), d

    def __repr__(self) -> str:
        n = len(self.unknowns)
        names = " ".join(str(u) for u in self.unknowns)
        controls = " ".join(q.name for q in self.controls)
        return (
            f"System({self.name}: {n} equation{'s' * (n != 1)}, "
            f"{n} unknown{'s' * (n != 1)}: {names}; controls {controls})"
        )

    def polynomial(
        self,
        output: str = "m",
        closing: str = "lam",
        values: Mapping[str, Number | Sequence[Number]] | None = None,
    ) -> Relation:
        """Eliminate all unknowns of a triangular, rational system: P(output, control) = 0.

        Args:
            output: name of an output.
            closing: the control on the closing left side.
            values: exact values for other controls, groups and constants; the rest stays symbolic.

        Raises:
            NotSupportedError: if the system is coupled or not rational.
            UnknownNameError: a value or an output of an unknown name.
            RangeError: a value out of its range, or not rational.
        """
        if output not in self.outputs:
            known = ", ".join(self.outputs)
            raise UnknownNameError(f"output {output!r}", f"the outputs are {known}", "use one")
        control = self.control(closing)
        fixed = self._exact_values(values or {})
        lines = [(s, e.xreplace(fixed)) for s, e in self.triangular_lines()]
        return eliminate(
            lines,
            (control, self.equations[-1].rhs.xreplace(fixed)),
            (Symbol(output), self.outputs[output].xreplace(fixed)),
            self.unknowns[0],
            self.log,
        )

    def closed_form(
        self,
        output: str = "m",
        closing: str = "lam",
        values: Mapping[str, Number | Sequence[Number]] | None = None,
    ) -> "ClosedForm":
        """Return an output as an expression with its branch; see ``derive.closed_form``."""
        from derive.closed_form import closed_form  # noqa: PLC0415  (builds on systems)

        return closed_form(self, output, closing, values)

    def expand(
        self,
        output: str,
        control: str = "lam",
        *,
        at: Number = 0,
        values: Mapping[str, Number | Sequence[Number]],
        terms: int = 3,
    ) -> "Expansion":
        """Expand an output at an end of a control's range; see ``derive.expansions``."""
        from derive.expansions import expand  # noqa: PLC0415  (builds on systems)

        return expand(self, output, control, at=at, values=values, terms=terms)

    def limit(
        self,
        output: str,
        control: str = "lam",
        *,
        at: Number = 0,
        values: Mapping[str, Number | Sequence[Number]],
    ) -> Ball:
        """Return the limit of an output at an end of a control's range, in a ball.

        Raises:
            RangeError: if the output diverges; the message says like which power.

        Example:
            >>> from derive.theory.deep_features import deep_features
            >>> system = deep_features([]).system()
            >>> ridgeless = system.limit("E_test", values={"alpha": 2, "noise": 0.25})
            >>> ridgeless.str(6)
            '0.500000'
        """
        found = self.expand(output, control, at=at, values=values, terms=1)
        exponent, coefficient = found.leading
        if exponent < 0:
            said = f"it grows like ({control} - {at})^({exponent})"
            raise RangeError(f"limit of {output}", said, "use expand(...)")
        return coefficient if exponent == 0 else Ball.from_arb(arb(0))

    def infinite(self, *names: str) -> "System":
        """Return the system with controls sent to infinity; see ``derive.limits``."""
        from derive.limits import infinite  # noqa: PLC0415  (builds on systems)

        return infinite(self, *names)

    def _exact_values(self, values: Mapping[str, Any]) -> dict[Symbol, Expr]:
        flat: dict[str, Any] = {}
        for name, value in values.items():
            names = self.groups.get(name)
            flat |= dict(zip(names, value, strict=True)) if names else {name: value}
        symbols = {s.name: s for s in (*self.controls, *(s for s, _ in self.constants))}
        out: dict[Symbol, Expr] = {}
        for name, value in flat.items():
            if name not in symbols:
                known = ", ".join(symbols)
                raise UnknownNameError(f"value of {name!r}", f"known names: {known}", "use one")
            number = exact_number(value)
            if not number.is_Rational:
                raise RangeError(f"{name} = {number}", "not rational", "give an exact rational")
            out[symbols[name]] = number
        return out

    def latex(self) -> str:
        """Return the definitions, equations and outputs as one LaTeX ``aligned`` block."""
        pairs = [(latex(s), latex(e)) for s, e in self.definitions]
        pairs += [(latex(e.lhs), latex(e.rhs)) for e in self.equations]
        pairs += [(output_latex(name), latex(e)) for name, e in self.outputs.items()]
        return aligned(pairs)

    def _repr_latex_(self) -> str:
        return f"$$ {self.latex()} $$"


def _rate_symbol(of: Symbol, name: str) -> Symbol:
    return Quantity(name, "rate", latex=rf"\dot{{{latex(of)}}}")


def _closed(expr: Expr, known: Iterable[Symbol], where: str) -> None:
    missing = sorted(str(s) for s in expr.free_symbols - set(known))
    if missing:
        raise NotClosedError(
            where, f"it also holds {', '.join(missing)}", "declare them as controls or define them"
        )
