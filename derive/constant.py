"""A named exact number: one symbol for a long expression, evaluated once.

Stage: between values and systems. A chain of constants (the variances of a deep network, each a
function of the one before) is kept layered: each link is an atom for SymPy, so that nothing is
substituted into anything and the cost grows with the number of links only.
"""

from collections.abc import Iterable
from typing import Any

from flint import arb
from sympy import AtomicExpr, Expr, Float, sympify

from derive.balls import enclose
from derive.enclosing.ball_program import Evaluation


class Constant(AtomicExpr):
    r"""An exact positive real number with a name and a definition.

    Args:
        name: how it prints.
        value: exact expression without free symbols, positive.
        latex: LaTeX name; the name itself when empty.

    Two constants are equal if name and value are. A rational value is returned as it is.

    Accuracy: ``evalf``, ``float`` and ``enclose`` give every digit of the definition.

    Example:
        >>> from sympy import exp
        >>> r = Constant("r_2", exp(-1), "r_{2}")
        >>> r, r.is_positive, (r**2).free_symbols, round(float(r), 6)
        (r_2, True, set(), 0.367879)
    """

    __slots__ = ("latex_name", "name", "value")
    name: str
    value: Expr
    latex_name: str
    is_number = True
    is_commutative = True
    is_real = True
    is_positive = True
    is_finite = True

    def __new__(cls, name: str, value: Any, latex: str = "") -> Any:
        """Return the constant, or the value itself if it is rational."""
        expr = sympify(value, strict=True)
        if expr.is_Rational:
            return expr
        self = AtomicExpr.__new__(cls)
        self.name, self.value, self.latex_name = name, expr, latex or name
        return self

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.name, self.value)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.value, self.latex_name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Constant, self.__getnewargs__()

    def _ball(self, evaluate: Evaluation, prec: int) -> arb:
        return evaluate(self.value)

    def _eval_evalf(self, prec: int) -> Any:
        digits = int(prec * 0.30103) + 2
        return Float(enclose(self, digits).mpf(digits + 3), precision=prec)

    def _sympystr(self, printer: Any) -> str:
        return self.name

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        return self.latex_name


def definitions(exprs: Iterable[Expr]) -> tuple[Constant, ...]:
    """Return all constants that expressions rest on, each once, definitions before uses.

    Example:
        >>> from sympy import exp, pi
        >>> r = Constant("r", exp(-1))
        >>> definitions([pi * Constant("s", r + pi)])
        (r, s)
    """
    found: dict[Constant, None] = {}

    def visit(expr: Expr) -> None:
        for constant in sorted(expr.atoms(Constant), key=str):
            if constant not in found:
                visit(constant.value)
                found[constant] = None

    for expr in exprs:
        visit(expr)
    return tuple(found)
