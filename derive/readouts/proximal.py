r"""Proximal maps of convex functions of one variable, section by section.

Stage: below the losses. With V > 0,

.. math:: \mathrm{prox}(\omega) = \arg\min_z \frac{(z - \omega)^2}{2 V} + h(z),

so z + V h'(z) = omega where h is smooth, and z stays at a kink z_k of h for omega between
z_k + V h'(z_k-) and z_k + V h'(z_k+). The line of omega is therefore cut at explicit points,
whatever h is; only the equation inside a smooth section may lack a closed solution.

Derivation: optimality, omega - z in V times the subdifferential of h, increasing in z.
The derivative is 1/(1 + V h''(z)) in a smooth section and 0 at a kink.
"""

from dataclasses import dataclass
from itertools import pairwise

from sympy import (
    Expr,
    Integer,
    LambertW,
    Piecewise,
    Poly,
    Symbol,
    cancel,
    diff,
    exp,
    expand,
    factor,
    latex,
    oo,
    simplify,
    sqrt,
    together,
)
from sympy.polys.polyerrors import PolynomialError

from derive.errors import InternalError, NoRuleError
from derive.provenance import MOREAU_1965
from derive.readouts.convexity import end_slope, in_exponential, smooth_pieces
from derive.rewrite import Log, Step, size

V = Symbol("V", positive=True)
"""The strength of the proximal map, the variance of the cavity field in state evolution."""
omega = Symbol("omega", real=True)
"""The argument of the proximal map."""
_CHECKED = 40  # operations up to which a solution is put back symbolically


@dataclass(frozen=True)
class Section:
    """A part of the line of omega.

    Attributes:
        low: where it begins, in V.
        high: where it ends, in V.
        solution: prox on it, in (omega, V); None if no closed form is known.
        height: h on it, in the variable; at a kink the branch to the right of it.
        kink: the place of the kink, None in a smooth section.
        reason: how the solution was found, or why there is none.
    """

    low: Expr
    high: Expr
    solution: Expr | None
    height: Expr
    kink: Expr | None
    reason: str


@dataclass(frozen=True)
class Proximal:
    """The proximal map of a convex function.

    Attributes:
        function: h.
        variable: its variable.
        sections: from left to right; they cover the line of omega.
        log: the steps.

    Example:
        >>> from sympy import Max
        >>> from derive.symbols import z
        >>> hinge = proximal(Max(0, 1 - z), z)
        >>> hinge.expr()
        Piecewise((V + omega, omega < 1 - V), (1, omega < 1), (omega, True))
        >>> hinge.derivative()
        Piecewise((1, omega < 1 - V), (0, omega < 1), (1, True))
    """

    function: Expr
    variable: Symbol
    sections: tuple[Section, ...]
    log: Log

    @property
    def closed(self) -> bool:
        """Whether every section has a closed form."""
        return all(s.solution is not None for s in self.sections)

    def expr(self) -> Expr:
        """Return prox as an expression in (omega, V).

        Raises:
            NoRuleError: if a section has no known closed form.
        """
        return self._piecewise([self._solved(s) for s in self.sections])

    def derivative(self) -> Expr:
        """Return d prox / d omega as an expression in (omega, V).

        Raises:
            NoRuleError: if a section has no known closed form.
        """
        slopes = [together(factor(diff(self._solved(s), omega))) for s in self.sections]
        return self._piecewise(slopes)

    def height(self) -> Expr:
        """Return h(prox(omega)) as an expression in (omega, V).

        Raises:
            NoRuleError: if a section has no known closed form.
        """
        return self._piecewise(
            [s.height.subs(self.variable, self._solved(s)) for s in self.sections]
        )

    def _solved(self, section: Section) -> Expr:
        if section.solution is None:
            raise NoRuleError(
                f"closed proximal map of {self.function}",
                section.reason,
                "use its implicit form (latex()) or its numbers (numeric.proximal_map)",
            )
        return section.solution

    def _piecewise(self, values: list[Expr]) -> Expr:
        pairs = [(v, omega < s.high) for v, s in zip(values, self.sections, strict=True)]
        return Piecewise(*pairs[:-1], (values[-1], True))

    def latex(self) -> str:
        r"""Return prox as LaTeX: cases in omega; sections without closed form are left implicit."""
        rows = [rf"{self._row(s)} & {_range(s)}" for s in self.sections]
        body = rows[0].split(" & ")[0] if len(rows) == 1 else _cases(rows)
        return rf"\mathrm{{prox}}_V(\omega) = {body}"

    def _row(self, section: Section) -> str:
        if section.solution is not None:
            return latex(section.solution)
        letter, slope = latex(self.variable), latex(diff(section.height, self.variable))
        return rf"{letter} : {letter} + V \left({slope}\right) = \omega"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def __repr__(self) -> str:
        kind = "closed form" if self.closed else "implicit"
        return f"Proximal({self.function}: {len(self.sections)} sections, {kind})"


def _cases(rows: list[str]) -> str:
    return "\\begin{cases} " + " \\\\ ".join(rows) + " \\end{cases}"


def _range(section: Section) -> str:
    if section.low == -oo:
        return rf"\omega < {latex(section.high)}"
    if section.high == oo:
        return rf"\omega \geq {latex(section.low)}"
    return rf"{latex(section.low)} \leq \omega < {latex(section.high)}"


def proximal(h: Expr, x: Symbol) -> Proximal:
    """Derive the proximal map of a convex function of one variable.

    Args:
        h: a convex function, finite on the line; convexity is not checked here.
        x: its variable.

    Raises:
        RangeError: if kinks cannot be ordered, or a slope at a kink is infinite.
    """
    pieces = smooth_pieces(h, x)
    sections: list[Section] = []
    low: Expr = -oo
    for (part, formula), (_, after) in pairwise(pieces):
        left = part.high + V * end_slope(formula, x, part.high, "-")
        right = part.high + V * end_slope(after, x, part.high, "+")
        sections.append(_smooth(formula, x, low, left))
        if expand(right - left) != 0:
            reason = f"the kink at {x} = {part.high} holds it"
            sections.append(Section(left, right, part.high, after, part.high, reason))
        low = right
    sections.append(_smooth(pieces[-1][1], x, low, oo))
    return Proximal(h, x, tuple(sections), _log(h, sections))


def _smooth(formula: Expr, x: Symbol, low: Expr, high: Expr) -> Section:
    solution, reason = solve_section(diff(formula, x), x)
    return Section(low, high, solution, formula, None, reason)


def solve_section(slope: Expr, x: Symbol) -> tuple[Expr | None, str]:
    """Solve z + V slope(z) = omega for z in closed form, on the branch where omega grows with z.

    Returns:
        The solution, or None, and how it was found or why not.

    Example:
        >>> from derive.symbols import z
        >>> solve_section(z - 1, z)
        ((V + omega)/(V + 1), 'a linear equation')
    """
    try:
        return _polynomial(Poly(slope, x), x)
    except PolynomialError:
        return _lambert(slope, x)


def _polynomial(slope: Poly, x: Symbol) -> tuple[Expr | None, str]:
    if slope.degree() <= 1:
        a, b = slope.coeff_monomial(x), slope.coeff_monomial(1)
        return cancel((omega - V * b) / (1 + V * a)), "a linear equation"
    if slope.degree() == 2:
        a, b, c = (slope.coeff_monomial(x**k) for k in (2, 1, 0))
        root = sqrt(expand((1 + V * b) ** 2 + 4 * a * V * (omega - V * c)))
        return (root - (1 + V * b)) / (2 * a * V), "the rising root of a quadratic equation"
    return None, f"a polynomial equation of degree {slope.degree()} has no simple root"


def _lambert(slope: Expr, x: Symbol) -> tuple[Expr | None, str]:
    found = in_exponential(slope, x)
    if found is None:
        return None, f"no rule solves z + V*({slope}) = omega for z"
    expr, letter, rate = found
    try:
        top = Poly(expand(expr * letter), letter)
    except PolynomialError:
        return None, f"z + V*({slope}) = omega is transcendental, and no rule solves it"
    amounts = {power: top.coeff_monomial(letter**power) for power in (0, 1, 2)}
    active = [power for power in (0, 2) if amounts[power] != 0]
    if top.degree() > 2 or len(active) != 1:
        return None, f"z + V*({slope}) = omega holds several exponentials"
    k = rate * (active[0] - 1)
    free = omega - V * amounts[1]
    return free - LambertW(k * V * amounts[active[0]] * exp(k * free)) / k, "Lambert's function"


def _log(h: Expr, sections: list[Section]) -> Log:
    log = Log()
    for number, section in enumerate(sections, 1):
        shown = "implicit" if section.solution is None else str(section.solution)
        rule = f"section {number}, omega from {section.low} to {section.high}: {section.reason}"
        log = log.then(Step(rule, f"z = {shown}", MOREAU_1965, size(h), size(section.solution)))
        if section.solution is not None and section.kink is None:
            log = log.then(_put_back(section))
    return log


def _put_back(section: Section) -> Step:
    """Check a solution in the optimality condition."""
    if section.solution is None or size(section.solution) > _CHECKED:
        return Step("solution not put back", "it is long")
    x = next(iter(section.height.free_symbols - {V, omega}), None)
    slope = Integer(0) if x is None else diff(section.height, x)
    rest = section.solution + V * (slope if x is None else slope.subs(x, section.solution)) - omega
    if rest.has(LambertW):
        return Step("defining property of Lambert's function", "W exp(W) = argument")
    if simplify(rest) != 0:
        raise InternalError(f"{section.solution} does not solve its section: rest {rest}")
    return Step("put back into z + V h'(z) = omega", "0 = 0")
