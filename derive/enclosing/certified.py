"""A real number known through balls: a constant that exact expressions can hold.

Stage: beside ``expectation``. SymPy never tries to decide anything about such a constant by
evaluating it; ball arithmetic gets any number of digits from the function that it carries.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import arb, fmpq
from sympy import AtomicExpr, Expr, Float

from derive.balls import enclose
from derive.enclosing.ball_program import Evaluation

KEPT_DIGITS = 40
"""Digits of a number that went through a pickle."""
Digits = Callable[[Evaluation, int], arb]


class CertifiedNumber(AtomicExpr):
    """A real constant with a name and a function that encloses it.

    Args:
        name: how to print it.
        digits: called with an ``Evaluation`` and a working precision in bits; returns a ball.
        positive: whether the constant is known to be positive.
        key: what makes two of them equal, besides the name; the function itself if None.

    Accuracy: that of ``digits``; ``enclose`` raises the precision until the digits are there.

    Example:
        >>> half = CertifiedNumber.rational(Fraction(1, 3), "third")
        >>> half + 1, enclose(half + 1, 20).str(20)
        (third + 1, '1.3333333333333333333')
    """

    is_commutative = True
    is_extended_real = True
    is_finite = True
    is_number = False
    name: str
    digits: Digits
    key: Any
    known_positive: bool

    def __new__(
        cls, name: str, digits: Digits, *, positive: bool = False, key: Any = None
    ) -> "CertifiedNumber":
        """Make the constant."""
        self: CertifiedNumber = AtomicExpr.__new__(cls)
        self.name, self.digits, self.key = name, digits, digits if key is None else key
        self.known_positive = positive
        return self

    @classmethod
    def rational(cls, value: Fraction, name: str) -> "CertifiedNumber":
        """Return a fraction that SymPy does not look into."""
        exact = fmpq(value.numerator, value.denominator)
        return cls(name, lambda evaluate, prec: arb(exact), positive=value > 0, key=value)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Pickle the digits: the function stays behind, so the copy has ``KEPT_DIGITS`` of them."""
        ball = enclose(self, KEPT_DIGITS)
        key = self.key if isinstance(self.key, tuple | str | Fraction) else ball.str(30)
        return _kept, (self.name, ball.mid, ball.rad, self.known_positive, key)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.name, self.key)

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.known_positive else None

    def _eval_is_zero(self) -> bool | None:
        return False if self.known_positive else None

    def _ball(self, evaluate: Evaluation, prec: int) -> arb:
        return self.digits(evaluate, prec)

    def _eval_evalf(self, prec: int) -> Expr:
        wanted = max(1, int(prec * 0.30103) + 2)
        return Float(enclose(self, wanted).mpf(wanted + 3), precision=prec)

    def _sympystr(self, printer: Any) -> str:
        return self.name

    _sympyrepr = _sympystr

    def _latex(self, printer: Any) -> str:
        return self.name


def _kept(
    name: str, middle: Fraction, radius: Fraction, positive: bool, key: Any
) -> CertifiedNumber:
    """Return the number of a pickle: one ball, whatever precision is asked for."""

    def digits(evaluate: Evaluation, prec: int) -> arb:
        mid, rad = (arb(fmpq(x.numerator, x.denominator)) for x in (middle, radius))
        return mid + arb(0, rad.upper())

    return CertifiedNumber(name, digits, positive=positive, key=key)
