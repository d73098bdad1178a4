r"""The error function and its complement in interval code.

Stage: beside ``interval_functions``, with whose exponential they are proved. With z = x^2,

.. math:: \mathrm{erf}\, x = \frac{2 x}{\sqrt\pi}\, e^{-z} \sum_n \frac{2^n z^n}{(2n + 1)!!}
          \quad (|x| < 3), \qquad
          \mathrm{erfc}\, x = \frac{e^{-z}}{\sqrt\pi}\,
          \frac{1}{x + \frac{1/2}{x + \frac{1}{x + \frac{3/2}{x + \cdots}}}} \quad (x \ge 3).

All terms are positive, so that errors stay relative: term n of the sum meets 2n + 1 roundings, and
the mean of that over the terms grows with z, so that it is largest at z = 9. The convergents of the
fraction lie on both sides of its value in turn, so that two of them bound it.
"""

from collections.abc import Callable
from fractions import Fraction

from derive.printing.interval_code import UNIT, Node
from derive.printing.interval_functions import FunctionTape

_EDGE = 3
_TERMS = 56
_LEVELS = 30
_ROOT = 0.5641895835477563
"""Nearest to 1/sqrt(pi)."""


def _coefficients() -> list[Fraction]:
    found = [Fraction(1)]
    for n in range(1, _TERMS):
        found.append(found[-1] * 2 / (2 * n + 1))
    return found


def _relative() -> float:
    """Return the relative error of the sum: roundings, that of z, and the terms left out."""
    z = Fraction(_EDGE**2)
    terms = [c * z**n for n, c in enumerate(_coefficients())]
    mean = sum(((2 * n + 2) * t for n, t in enumerate(terms)), Fraction(0)) / sum(terms)
    ratio = 2 * z / (2 * _TERMS + 1)
    rest = terms[-1] * ratio / (1 - ratio) / sum(terms)
    return float((mean + z + 1) * Fraction(UNIT) + rest) * 1.01


class ErrorFunctionTape(FunctionTape):
    """A tape with elementary functions, erf and erfc."""

    def _halves(self, a: Node) -> tuple[Node, Node, Node, str]:
        """Return erf |x| below 3, erfc |x| from there on, exp(-x^2), and |x|, at the centre."""
        size = self.assign(f"abs({a.mid})")
        square = self.product(Node(size), Node(size))
        bell = self.exponential(self.negative(square))
        z = self.assign(f"{square.mid} if {square.mid} < {_EDGE**2}.0 else {_EDGE**2}.0")
        *rest, last = (float(c) for c in _coefficients())
        text = repr(last)
        for c in reversed(rest):
            text = self.assign(f"{text} * {z} + {c!r}")
        total = Node(text, self.assign(f"{text} * {_relative()!r}"), 2)
        root = Node(repr(_ROOT), repr(_ROOT * UNIT))
        double = Node(repr(2 * _ROOT), repr(2 * _ROOT * UNIT))
        inner = self.product(self.product(Node(size), double), self.product(bell, total))
        outer = self.product(self.product(bell, root), self._fraction_of(size))
        return inner, outer, bell, size

    def _fraction_of(self, size: str) -> Node:
        """Return the continued fraction at the larger of a number and 3, from two convergents."""
        x = self.assign(f"{size} if {size} > {_EDGE}.0 else {_EDGE}.0")
        above, below = ["1.0", x], ["0.0", "1.0"]
        for k in range(1, _LEVELS + 1):
            for row in (above, below):
                row.append(self.assign(f"{x} * {row[-1]} + {k / 2!r} * {row[-2]}"))
        last, before = (self.assign(f"{below[j]} / {above[j]}") for j in (-1, -2))
        rounding = (6 * _LEVELS + 4) * UNIT  # three roundings per level above and below
        rad = self.assign(f"abs({last} - {before}) + {rounding!r} * ({last} + {before})")
        return Node(last, rad, 4)

    def _spread(self, a: Node, bell: Node, size: str) -> tuple[str, str]:
        """Return what the width of the argument adds, and a condition for it."""
        if a.exact:
            return "", ""
        q = self.assign(f"2.0 * {size} * {a.rad}")
        slope = f"1.14 * ({bell.mid} + {bell.rad or '0.0'}) * {a.rad}"
        return f" + {slope} * ({q} * ({q} + 1.0) + {1.01 + 1e-9!r} + {a.rad})", f" & ({q} < 0.5)"

    def error_function(self, a: Node) -> Node:
        """Return erf."""
        key = ("erf", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        inner, outer, bell, size = self._halves(a)
        rest = self.add(Node("1.0"), self.negative(outer))
        return self._joined(key, a, (inner, rest), (bell, size), "0.0")

    def complement(self, a: Node) -> Node:
        """Return erfc; that of a negative number is 2 - erfc(-x)."""
        key = ("erfc", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        inner, outer, bell, size = self._halves(a)
        near = self.add(Node("1.0"), self.negative(inner))
        return self._joined(key, a, (near, outer), (bell, size), "2.0")

    def _joined(
        self,
        key: tuple[str, ...],
        a: Node,
        parts: tuple[Node, Node],
        beside: tuple[Node, str],
        total: str,
    ) -> Node:
        """Return the part that applies; at negative arguments ``total`` less it."""
        bell, size = beside
        low, high = (self.closed(part) for part in parts)
        test = f"{size} < {_EDGE}.0"
        mid = self.assign(f"{low.mid} if {test} else {high.mid}")
        signed = self.assign(f"{total} - {mid} if {a.mid} < 0.0 else {mid}")
        own = self.assign(f"{low.rad} if {test} else {high.rad}")
        spread, within = self._spread(a, bell, size)
        radius = f"{own} + UNIT * abs({signed}) + TINY{spread}"
        rad = self.assign(f"({radius}) if ({size} < 1e150){within} else INF")
        return self._keep(key, Node(signed, rad, 4 * a.count + 16))

    def functions(self) -> dict[str, Callable[[Node], Node]]:
        """Return the functions that have a rule, by name."""
        own = {"erf": self.error_function, "erfc": self.complement}
        return super().functions() | own
