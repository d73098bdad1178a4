r"""Self-consistent equations for normalised traces of any rational expression of random matrices.

Stage: from the matrix language to a ``System``. The expression becomes a linear pencil L; the
traces g of the blocks of G = L^-1 solve G = (L0 - eta(g))^-1 in the limit of large matrices. Zero
blocks are found first, proportional traces merged, trivial pivots eliminated; of the rest only a
smallest coupled core stays unknown, everything else is a definition in terms of it.

Conventions: ``ntrace`` is (1/N) Tr; dimensions enter through their ratios. Branch: the solution
that grows out of tau = 0, where tau scales every variance; at tau = 0 it is explicit (``start``).
Source: [helton2007], the operator-valued semicircle equation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sympy import Expr, Integral, Matrix, S, Symbol, diff
from sympy import eye as unit_matrix
from sympy.matrices.expressions.matexpr import MatrixExpr

from derive.block import Line, chain, forward, fresh
from derive.coupled import CoupledProgram, coupled_program
from derive.eliminate import Relation
from derive.errors import (
    NotClosedError,
    ParseError,
    RangeError,
    ShapeError,
    UnknownNameError,
)
from derive.exact import Number
from derive.matrices import NormalisedTrace
from derive.pencil import Entry, Pencil, Port, pencil
from derive.printing.real_pairs import real_pairs
from derive.provenance import HELTON_2007
from derive.random_matrices.averaged_pencil import TAU, AveragedPencil
from derive.random_matrices.covariance_map import matching
from derive.random_matrices.cramer import cramer
from derive.random_matrices.dyson_core import Core, core_of
from derive.random_matrices.finite_rank import Spike
from derive.random_matrices.matrix_letters import Gaussian, Wigner
from derive.random_matrices.matrix_nodes import Formula, Inverse, agree
from derive.random_matrices.matrix_order import unbalanced
from derive.random_matrices.pencil_check import refuse_singular
from derive.random_matrices.pencil_minimal import minimise
from derive.random_matrices.scalars import scalar
from derive.random_matrices.spectral_measure import summed_over
from derive.random_matrices.stability import Stability, stability
from derive.rewrite import Log, Step
from derive.symbols import Quantity
from derive.system import Equation, System

DIRECT_SOLVE = 3
NODES = 16
"""Nodes of a sum over a continuous spectrum in programs."""
_REGULAR = "inverses are regular at the point (numeric.refuse_irregular tests it)"


@dataclass(frozen=True)
class DysonEquations:
    """Equations for the traces of an expression, with a path from an explicit start.

    Attributes:
        unknowns: the coupled core.
        equations: ``unknown = right side``, in unknowns, definitions and controls.
        definitions: all other traces, in order, as straight-line code.
        outputs: named scalars.
        start: values of the unknowns at path = 0.
        path: symbol tau that scales every variance.
        assumptions: statements under which the equations hold.
        declared: the outputs as they were declared, for the experiment.
        pencil: the minimal pencil that they come from.
        log: steps.
        stability: the test that proves a root to be the limit.
    """

    unknowns: tuple[Quantity, ...]
    equations: tuple[Equation, ...]
    definitions: tuple[Line, ...]
    outputs: Mapping[str, Expr]
    start: tuple[Expr, ...]
    path: Symbol
    assumptions: tuple[str, ...] = ()
    declared: Mapping[str, Expr] = field(default_factory=dict, repr=False)
    pencil: Pencil | None = field(default=None, repr=False)
    log: Log = field(default=Log(), repr=False)
    stability: Stability | None = field(default=None, repr=False)

    @property
    def controls(self) -> tuple[Quantity, ...]:
        """Free symbols, sorted by name.

        Raises:
            NotClosedError: if one of them was not declared as a control or a dimension.
        """
        known = {*self.unknowns, self.path, *(s for s, _ in self.definitions)}
        exprs = [e.rhs for e in self.equations] + [e for _, e in self.definitions]
        exprs += [*self.outputs.values(), *self.start]
        free = {s for e in exprs for s in e.free_symbols} - known
        plain = sorted(str(s) for s in free if not isinstance(s, Quantity))
        if plain:
            remedy = "declare it with control(...) or dims(...)"
            raise NotClosedError("equations", f"they use {', '.join(plain)}", remedy)
        return tuple(sorted((s for s in free if isinstance(s, Quantity)), key=str))

    def at(self, value: object = 1) -> "DysonEquations":
        """Return the equations at one point of the path (1: the expression itself)."""
        point = {self.path: scalar(value)}
        return replace(
            self,
            equations=tuple(Equation(e.lhs, e.rhs.xreplace(point)) for e in self.equations),
            definitions=tuple((s, e.xreplace(point)) for s, e in self.definitions),
            outputs={name: e.xreplace(point) for name, e in self.outputs.items()},
        )

    @property
    def continuous(self) -> bool:
        """Whether the equations average over a continuous spectral measure (hold integrals)."""
        exprs = [e.rhs for e in self.equations] + [e for _, e in self.definitions]
        return any(e.has(Integral) for e in (*exprs, *self.outputs.values(), *self.start))

    def discretised(self, nodes: int = NODES) -> "DysonEquations":
        """Return the equations with sums in place of integrals over spectral measures.

        Both Marchenko-Pastur measures and power laws are summed by their own Gauss rules, which
        converge geometrically, slowest where the averaged function has a pole close to the spectrum
        (a hard edge and a small ridge). ``numeric.averaged`` estimates the error by doubling.

        Raises:
            RangeError: if a parameter of the spectrum is not a number.
        """
        if nodes < 1:
            raise RangeError("sums over spectra", f"{nodes} nodes", "ask for at least one")
        if not self.continuous:
            return self
        measures = [] if self.stability is None else [m for _, m in self.stability.measures]

        def swap(e: Expr) -> Expr:
            return summed_over(e, nodes, measures)

        said = f"averages over continuous spectra are sums over {nodes} nodes"
        test = None if self.stability is None else self.stability.discretised(nodes)
        return replace(
            self,
            equations=tuple(Equation(e.lhs, swap(e.rhs)) for e in self.equations),
            definitions=tuple((s, swap(e)) for s, e in self.definitions),
            outputs={name: swap(e) for name, e in self.outputs.items()},
            start=tuple(swap(e) for e in self.start),
            assumptions=(*self.assumptions, said),
            log=self.log.then(Step("sum over the spectra", said)),
            stability=test,
        )

    def system(self, name: str = "dyson") -> System:
        """Return the equations as a System."""
        final = self.at(1)
        return System(
            name=name,
            controls=self.controls,
            unknowns=self.unknowns,
            equations=final.equations,
            outputs=final.outputs,
            definitions=final.definitions,
            assumptions=self.assumptions,
            log=self.log,
        )

    def program(
        self,
        slope_control: str | None = None,
        name: str = "dyson",
        complex_controls: Sequence[str] = (),
    ) -> CoupledProgram:
        """Return the equations as a program for compiled evaluators and references.

        Args:
            slope_control: control in which the outputs are differentiated; by default ``lam`` if
                there is one.
            name: an identifier.
            complex_controls: controls off the real axis, each given as a pair (real part, imaginary
                part); every output ``g`` then becomes ``g_re`` and ``g_im``, and so do the
                controls in which one can differentiate.

        Raises:
            UnknownNameError: for a control that does not exist.
            NotSupportedError: for equations that are not real.
        """
        summed = self.discretised()
        if not complex_controls:
            return coupled_program(summed, name, slope_control)
        pairs, groups = real_pairs(summed, complex_controls)
        changed = replace(summed, **pairs)
        return coupled_program(changed, name, slope_control, groups)

    def in_terms_of(self, values: Mapping[Quantity, object]) -> "DysonEquations":
        """Return the equations with controls or dimensions replaced, such as by ratios.

        Traces depend on dimensions through ratios only, so one of them may be set to 1. The
        declaration, which experiments read, keeps its dimensions.

        Example:
            >>> from derive.matrices import dims, eye, gaussian, ntrace
            >>> from derive.symbols import control
            >>> n, d = dims("n d")
            >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
            >>> found = equations(ntrace((X*X.T + lam*eye(d)).inv()))
            >>> ratio = control("ratio", positive=True)
            >>> found.in_terms_of({d: ratio, n: 1}).controls
            (lam, ratio)
        """
        known = {c.name: c for c in self.controls}
        for old in values:
            if old not in known.values():
                found = f"the controls are {', '.join(known)}"
                raise UnknownNameError(f"control {old}", found, "use one of them")
        new: dict[Symbol, Expr] = {old: scalar(value) for old, value in values.items()}
        return replace(
            self,
            equations=tuple(Equation(e.lhs, e.rhs.xreplace(new)) for e in self.equations),
            definitions=tuple((s, e.xreplace(new)) for s, e in self.definitions),
            outputs={name: e.xreplace(new) for name, e in self.outputs.items()},
            start=tuple(e.xreplace(new) for e in self.start),
            stability=None if self.stability is None else self.stability.replaced(new),
        )

    def output(self, name: str) -> Expr:
        """Return an output.

        Raises:
            UnknownNameError: listing the outputs that exist.
        """
        if name not in self.outputs:
            found = f"the outputs are {', '.join(self.outputs)}"
            raise UnknownNameError(f"output {name!r}", found, "use one of them")
        return self.outputs[name]

    def polynomial(
        self, output: str, control: str = "lam", values: Mapping[str, Number] | None = None
    ) -> Relation:
        """Eliminate all unknowns: P(output, control) = 0; see ``derive.resultants``."""
        from derive.resultants import polynomial  # noqa: PLC0415  (builds on these equations)

        return polynomial(self, output, control, values)

    def with_output(
        self, name: str, rule: Callable[[Mapping[str, Expr]], Expr]
    ) -> "DysonEquations":
        """Return the equations with one more output, made from the others.

        Example:
            >>> from derive.matrices import dims, eye, gaussian, ntrace
            >>> from derive.symbols import control
            >>> n, d = dims("n d")
            >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
            >>> eqs = equations({"g": ntrace((X*X.T + lam*eye(d)).inv())})
            >>> eqs.with_output("df", lambda o: 1 - lam*o["g"]).outputs["df"]
            -g_0_0*lam + 1
        """
        declared = {**self.declared, name: rule(self.declared)}
        outputs = {**self.outputs, name: rule(self.outputs)}
        return replace(self, outputs=outputs, declared=declared)

    def differentiate(self, name: str, wrt: Quantity) -> "DysonEquations":
        """Return the equations with the derivative of an output in a control as one more output.

        Implicit differentiation of the core: (1 - J) x' = partial derivative of the right sides,
        solved by Cramer's rule up to three unknowns, otherwise kept as linear equations. The new
        output is called ``<name>_<control>``; traces such as ntrace(A R B R) need no larger pencil.
        """
        target = self.output(name)
        label = f"{name}_{wrt.name}"
        along, slope = forward(self.definitions, {wrt: wrt**0}, label)
        lines = [*self.definitions, *along]
        load = [chain(e.rhs, slope) for e in self.equations]
        jacobian: list[list[Expr]] = []
        for x in self.unknowns:
            more, rate = forward(self.definitions, {x: x**0}, f"{label}_{x.name}")
            lines += more
            jacobian.append([chain(e.rhs, rate) for e in self.equations])
        rates = tuple(_rate(x, label, wrt) for x in self.unknowns)
        matrix = unit_matrix(len(rates)) - Matrix(
            len(rates), len(rates), lambda i, j: jacobian[j][i]
        )
        total: dict[Symbol, Expr] = dict(zip(self.unknowns, rates, strict=True))
        new = self._with_rates(rates, matrix, load, lines)
        more, rate = forward(self.definitions, {**total, wrt: wrt**0}, f"{label}_total")
        d = fresh(label)
        definitions = (*new.definitions, *more, (d, chain(target, rate)))
        step = Step(f"differentiate in {wrt.name}", f"{name}, by the implicit function theorem")
        declared = dict(self.declared)
        if name in declared:  # quadratic forms of spikes are no traces
            declared[label] = diff(declared[name], wrt)
        return replace(
            new,
            definitions=definitions,
            outputs={**self.outputs, label: d},
            declared=declared,
            log=self.log.then(step),
        )

    def _with_rates(
        self, rates: tuple[Quantity, ...], matrix: Matrix, load: list[Expr], lines: list[Line]
    ) -> "DysonEquations":
        """Add the derivatives of the unknowns: solved outright if few, as unknowns if many."""
        if len(rates) <= DIRECT_SOLVE:
            return replace(self, definitions=(*lines, *cramer(rates, matrix, load)))
        rows = (matrix - unit_matrix(len(rates))) * Matrix(rates)
        linear = [Equation(r, b - row) for r, b, row in zip(rates, load, rows, strict=True)]
        return replace(
            self,
            unknowns=(*self.unknowns, *rates),
            equations=(*self.equations, *linear),
            definitions=tuple(lines),
            start=(*self.start, *(r * 0 for r in rates)),
        )


def _rate(unknown: Quantity, label: str, wrt: Quantity) -> Quantity:
    name = f"{unknown.name}_d{label}"
    return Quantity(name, f"derivative of {unknown.name} in {wrt.name}")


def equations(outputs: Expr | Mapping[str, Expr]) -> DysonEquations:
    """Return self-consistent equations for scalars made of normalised traces.

    Args:
        outputs: a scalar expression in ``ntrace(...)`` and controls, or a mapping of several by
            name. A single expression is called ``value``.

    Raises:
        ShapeError: if a matrix is given where a scalar is expected.
        DeriveError: if an inverse is singular, or a letter has two declarations.
        NotSupportedError: if an expression is not rational in the letters.

    Example:
        >>> from derive.matrices import dims, eye, gaussian, ntrace
        >>> from derive.symbols import control
        >>> n, d = dims("n d")
        >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
        >>> found = equations(ntrace((X*X.T + lam*eye(d)).inv()))
        >>> len(found.unknowns), found.pencil.size
        (1, 2)
    """
    named = dict(outputs) if isinstance(outputs, Mapping) else {"value": outputs}
    for name in named:
        if not isinstance(name, str) or not name.isidentifier():
            raise ParseError(f"output {name!r}", "not a Python identifier", "choose another name")
    if not named:
        raise ShapeError("equations", "no outputs", "give at least one")
    traces = _traces(named)
    formulas = [t.formula for t in traces]
    refuse_singular(formulas)
    found = reduced(pencil(*formulas))
    groups = _ports_by_formula(found.pencil, formulas)
    core, lines = found.core, [*found.core.lines]
    values = {t: _trace_value(p, t, core) for t, p in zip(traces, groups, strict=True)}
    results = {name: named_output(e, name, values, lines) for name, e in named.items()}
    inverted = any(f.has(Inverse) for f in formulas)
    said = (*found.assumptions, *unbalanced(formulas), *((_REGULAR,) if inverted else ()))
    return assembled(found, lines, results, declared=named, assumptions=said)


@dataclass(frozen=True)
class Reduced:
    """A pencil with its Dyson equations in reduced form.

    Attributes:
        pencil: minimal, without terms of finite rank.
        core: its smallest coupled core.
        assumptions: statements under which the equations hold.
        log: steps.
        stability: test of its roots.
    """

    pencil: Pencil
    core: Core
    assumptions: tuple[str, ...]
    log: Log
    stability: Stability


def reduced(built: Pencil) -> Reduced:
    """Minimise a pencil, average over its letters and reduce the equations.

    Terms of finite rank are left out: they change no normalised trace.
    """
    log = Log((Step("write the expression as a linear pencil", f"{built.size} blocks"),))
    bulk = tuple(e for e in built.entries if not isinstance(e.letter, Spike))
    if len(bulk) < len(built.entries):
        said = f"{len(built.entries) - len(bulk)} terms, which change no normalised trace"
        log = log.then(Step("leave out finite rank", said))
        built = replace(built, entries=bulk)
    small, steps = minimise(built)
    small, ridge = _with_start(small)
    wanted = {(j, k) for port in small.ports for j, _ in port.u for k, _ in port.v}
    model = AveragedPencil(small, tuple(sorted(wanted)))
    core = core_of(model)
    log = log.extend(steps).then(_equation_step(model)).extend(core.log)
    test = stability(model, core.values, core.lines)
    return Reduced(small, core, (*model.assumptions(), *ridge), log, test)


def assembled(
    found: Reduced,
    lines: Sequence[Line],
    outputs: Mapping[str, Expr],
    *,
    declared: Mapping[str, Expr],
    assumptions: tuple[str, ...],
) -> DysonEquations:
    """Return reduced equations with outputs, as ``DysonEquations``."""
    core = found.core
    return DysonEquations(
        unknowns=core.unknowns,
        equations=tuple(Equation(s, e) for s, e in zip(core.unknowns, core.equations, strict=True)),
        definitions=tuple(lines),
        outputs=outputs,
        start=core.start,
        path=TAU,
        assumptions=assumptions,
        declared=declared,
        pencil=found.pencil,
        log=found.log,
        stability=found.stability,
    )


def _with_start(small: Pencil) -> tuple[Pencil, tuple[str, ...]]:
    """Add a ridge 1 - tau to every inverse where the pencil has no inverse at tau = 0."""
    fixed = {(e.row, e.col) for e in small.entries if not isinstance(e.letter, (Gaussian, Wigner))}
    if matching(small.size, fixed) is not None or not small.inverses:
        return small, ()
    ridge = tuple(Entry(i, i, None, False, S.One - TAU) for i in small.inverses)
    said = "nothing is left of an inverse without its random letters: the path adds 1 - tau to it"
    return replace(small, entries=small.entries + ridge), (said,)


def _traces(named: Mapping[str, Expr]) -> list[NormalisedTrace]:
    found: dict[NormalisedTrace, None] = {}
    for name, expr in named.items():
        if isinstance(expr, MatrixExpr):
            found_text = f"{expr} is a matrix"
            raise ShapeError(f"equations of {name}", found_text, "take ntrace(...) of it")
        traces = sorted(expr.atoms(NormalisedTrace), key=str) if isinstance(expr, Expr) else []
        scalar(expr.xreplace({t: Symbol("t") for t in traces}) if traces else expr)
        found.update(dict.fromkeys(traces))
    agree([t.formula for t in found], "equations")
    return list(found)


def _ports_by_formula(small: Pencil, formulas: list[Formula]) -> list[list[Port]]:
    """Ports on the block diagonal of each formula."""
    ports = iter(small.ports)
    result = []
    for node in formulas:
        rows, cols = (len(split or (0,)) for split in node.parts)
        grid = [[next(ports) for _ in range(cols)] for _ in range(rows)]
        if rows != cols or any(grid[i][i].shape[0] != grid[i][i].shape[1] for i in range(rows)):
            remedy = "split rows and columns in the same way"
            raise ShapeError(f"ntrace({node})", "its block rows and columns differ", remedy)
        result.append([grid[i][i] for i in range(rows)])
    return result


def port_value(port: Port, core: Core) -> Expr:
    """Return the normalised trace of a square port in terms of the core."""
    total = port.direct
    for j, u in port.u:
        for k, v in port.v:
            total += u * v * core.values[j, k]
    return total


def _trace_value(ports: list[Port], trace: NormalisedTrace, core: Core) -> Expr:
    total, weight = trace.formula.shape[0] * 0, trace.formula.shape[0]
    for port in ports:
        value = port_value(port, core)
        total += value if len(ports) == 1 else value * port.shape[0] / weight
    return total


def named_output(expr: Expr, name: str, values: Mapping[Any, Expr], lines: list[Line]) -> Expr:
    """Return an output with its trace values; if it is more than a symbol it becomes a line."""
    known = {s for s, _ in lines}
    value = expr.xreplace(dict(values))
    if value.is_Symbol or value.is_number:
        return value
    symbol = fresh(name if Symbol(name, real=True) not in known else f"{name}_value")
    lines.append((symbol, value))
    return symbol


def _equation_step(model: AveragedPencil) -> Step:
    size_, count = model.pencil.size, len(model.nonzero)
    result = (
        f"{len(model.unknowns)} traces occur in eta; {count} of {size_**2} blocks can be nonzero"
    )
    return Step("average over the random letters", result, HELTON_2007)
