"""Limits of systems as systems: widths sent to infinity.

Stage: Systems in, Systems with fewer controls out. Each line is rational in the control; its limit
is taken exactly, and a line that diverges refuses the limit (another route may have it). Limits at
a vanishing ridge or at infinite data are expansions (``derive.expansions``).
"""

from dataclasses import replace

from sympy import Expr, Poly, Symbol, fraction, together

from derive.errors import NotSupportedError
from derive.rewrite import Step
from derive.system import Condition, Equation, System


def infinite(system: System, *names: str) -> System:
    """Return the system with controls sent to infinity, all else fixed.

    Args:
        system: with rational lines; for the widths of deep features use the kernel route.
        names: controls, sent to infinity one after the other.

    Raises:
        NotSupportedError: if a line diverges or is not rational in the control.
        UnknownNameError: for an unknown control.

    The start of Newton's method is dropped: it is a bound for finite widths only.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> wide = infinite(deep_features(["erf"]).system("kernel"), "gamma_1")
        >>> [q.name for q in wide.controls]
        ['alpha', 'lam', 'noise']
    """
    for name in names:
        system = _one(system, system.control(name))
    return system


def _one(system: System, control: Symbol) -> System:
    def at(expr: Expr, where: str) -> Expr:
        return _limit(expr, control, where)

    name = control.name
    groups = {k: tuple(n for n in v if n != name) for k, v in system.groups.items()}
    step = Step("send a control to infinity", f"{name} -> oo, line by line")
    return replace(
        system,
        controls=tuple(q for q in system.controls if q != control),
        equations=tuple(
            Equation(e.lhs, at(e.rhs, f"the equation for {e.lhs}")) for e in system.equations
        ),
        outputs={k: at(e, f"the output {k}") for k, e in system.outputs.items()},
        definitions=tuple((s, at(e, f"the line {s}")) for s, e in system.definitions),
        conditions=tuple(Condition(at(c.expr, c.meaning), c.meaning) for c in system.conditions),
        start=None,
        groups={k: v for k, v in groups.items() if v},
        log=system.log.then(step),
    )


def _limit(expr: Expr, control: Symbol, where: str) -> Expr:
    """Return the limit of a rational expression by comparing degrees."""
    if control not in expr.free_symbols:
        return expr
    top, bottom = fraction(together(expr))
    if not (top.is_polynomial(control) and bottom.is_polynomial(control)):
        raise NotSupportedError(f"limit of {where}", f"not rational in {control}", "rewrite it")
    above, below = Poly(top, control), Poly(bottom, control)
    if above.degree() > below.degree():
        raise NotSupportedError(
            f"limit {control} -> oo of {where}", "it diverges", "use the other route of the system"
        )
    if above.degree() < below.degree():
        return expr * 0
    return above.LC() / below.LC()
