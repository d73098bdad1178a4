"""Is an expression regular at a point? Which inverse inside it is not?

Stage: declared equations and one point in, an answer in words out. An inverse is regular where the
singular values of what it inverts stay away from zero in the limit; then, and only then, its traces
have the limits that the equations give. Equations of an irregular expression may still have roots
that look like answers: they are found out by the radius of the stability operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flint import arb
from sympy import Expr

from derive.balls import enclose
from derive.dyson import DysonEquations, equations
from derive.errors import DeriveError, NotConvergedError, NotSupportedError, RangeError
from derive.exact import exact_number
from derive.matrices import ntrace
from derive.random_matrices.matrix_nodes import Inverse
from derive.random_matrices.stability import Branch
from numeric.reference import reference

_DIGITS = 17


@dataclass(frozen=True)
class Regularity:
    """What was found at one point.

    Attributes:
        proved: whether the whole expression is proved regular there, and its root the limit.
        radius: spectral radius of the stability operator; infinite where no root was found.
        culprit: the innermost inverse that is not regular, as text; empty if none is known.
        reason: why nothing is proved.
    """

    proved: bool
    radius: float
    culprit: str
    reason: str


def regularity(found: DysonEquations, **controls: Any) -> Regularity:
    """Test an expression at one point.

    Args:
        found: equations as they were declared (before ``in_terms_of``, so that they can be named).
        **controls: one number per control and dimension.

    Accuracy: the root is taken in balls of relative radius 1e-14 about its 17 digits.

    Example:
        >>> from derive.matrices import dims, eye, wigner
        >>> from derive.symbols import control
        >>> n, = dims("n")
        >>> z, S = control("z"), wigner("S", n, 1/n)
        >>> found = equations(ntrace((z*eye(n) - S).inv()))
        >>> regularity(found, z=2.5).proved, regularity(found, z=1.5).culprit
        (True, '(-S + z*eye(n))**-1')
    """
    whole = _test(found, controls)
    if whole.proved:
        return Regularity(True, whole.radius, "", "")
    return Regularity(False, whole.radius, _culprit(found, controls), whole.reason)


def refuse_irregular(found: DysonEquations, **controls: Any) -> None:
    """Refuse a point at which the expression is not proved regular.

    Raises:
        RangeError: naming the inverse that is not regular, and the point.
        NotSupportedError: if the test does not apply to these equations.

    Accuracy: as ``regularity``.
    """
    if found.stability is not None and found.stability.obstacle and not found.continuous:
        asked = "test of regularity"
        raise NotSupportedError(asked, found.stability.obstacle, "compare with numeric.sample")
    answer = regularity(found, **controls)
    if not answer.proved:
        at = ", ".join(f"{k}={v}" for k, v in controls.items())
        asked = f"inverse {answer.culprit}" if answer.culprit else "the expression"
        remedy = "move the point off the spectrum, or add a ridge"
        raise RangeError(f"{asked} at {at}", f"not regular: {answer.reason}", remedy)


def _test(found: DysonEquations, controls: Mapping[str, Any]) -> Branch:
    summed = found.discretised()
    if summed.stability is None:
        return Branch(False, float("nan"), "there is no test of these equations")
    program = summed.program(slope_control="")
    used = {q.name: controls[q.name] for q in program.inputs if q.name in controls}
    try:
        root = reference(program, digits=_DIGITS, **used)
    except (NotConvergedError, ZeroDivisionError) as error:
        return Branch(False, float("inf"), f"its branch cannot be followed to this point ({error})")
    exact = {name: exact_number(value) for name, value in controls.items()}
    values = {name: enclose(value, 30).arb() for name, value in exact.items()}
    for name in program.unknowns:
        value = arb(str(root[name]))
        values[name] = arb(value.mid(), abs(value).upper() * 1e-14)
    return summed.stability.test_named(values)


def _culprit(found: DysonEquations, controls: Mapping[str, Any]) -> str:
    """Return the first inverse, from the inside, whose own equations fail the test."""
    held: set[Any] = set()
    for expr in found.declared.values():
        held |= expr.atoms(Inverse) if isinstance(expr, Expr) else set()
    for node in sorted(held, key=lambda i: (len(str(i)), str(i))):
        try:
            alone = _test(equations({"value": ntrace(node)}), controls)
        except DeriveError:
            return str(node)
        if not alone.proved:
            return str(node)
    return ""
