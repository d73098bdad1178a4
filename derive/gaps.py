r"""Gaps: differences that vanish at interpolation peaks, and what they are without cancellation.

Stage: below ``derive.tower``. An equation may hold a difference ``room - part``: the room that a
layer or the samples leave above the degrees of freedom of the level below. Where the room is about
as large as the width of that level, both terms can be large and the difference small; the rounding
of ``part`` then swamps it. But the width of the level below minus its degrees of freedom is known
without cancellation at each root (``rest``, a sum of positive terms), so

.. math:: \mathrm{room} - \mathrm{part} = (\mathrm{room} - \mathrm{width}) + \mathrm{rest}.

The first term is a difference of two controls: exact in floating point while neither is more than
twice the other, and positive, hence harmless, where the room is larger. Where the room is less than
half the width, ``rest`` is the larger of the two complements, and ``room - part`` is the better
form. So the choice rests on the controls alone. What is left of the loss belongs to the question: a
relative change of a control by one rounding moves ``room - width`` by as much.
"""

from dataclasses import dataclass

from sympy import Expr, Integer, Symbol


@dataclass(frozen=True)
class Gap:
    """A difference ``room - part`` in which the right side of an equation is linear.

    Attributes:
        room: a control, or an exact integer.
        part: the symbol of what is taken from it, such as degrees of freedom.
        width: a control, or an exact integer; what ``part`` is bounded by.
        rest: equals ``width - part`` at each root, in positive terms.
        slack: ``width - part - rest`` per unit of the residual of an earlier equation; zero where
            the two agree everywhere.
        source: index of that equation.
    """

    room: Expr
    part: Symbol
    width: Expr
    rest: Expr
    slack: Expr = Integer(0)
    source: int = -1

    @property
    def plain(self) -> Expr:
        """The difference as equations write it."""
        return self.room - self.part
