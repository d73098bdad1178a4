r"""Blocks as float64 code whose results carry proved radii.

Stage: straight-line blocks in, a branch-free sequence of scalar operations out, for Numba or any
language with IEEE doubles. Every quantity is a pair (m, r): the true value lies within r of m.

No rounding mode is set. An operation in round-to-nearest has relative error at most u = 2^-53, or
an absolute one below the smallest normal number, so with the exact rules

.. math:: |ab - m_a m_b| \le (|m_a| + r_a) r_b + |m_b| r_a, \qquad
          \left|\tfrac1b - \tfrac1{m_b}\right| \le \frac{e}{|m_b| (1 - e)}, \; e = r_b/|m_b|,

the radius of each result is the exact bound plus u times the size of the result, plus ``TINY``,
which covers underflow. 1/(1 - e) is replaced by 1 + 2e, valid for e <= 1/2; beyond e = 1/4 the
radius is infinite.

Radii are computed from nonnegative terms only, so a computed radius is at least (1 - u)^K times
what the rules give. A node counts K (counts add where radii are multiplied), and before it can
matter the radius is raised by ``GROW`` = 1 + 2^-30, which covers 2^22 of them. Results of a block
are raised. Overflow gives infinities and NaN, and every test on the results is written so that NaN
fails it. A product and a sum may be fused, which only leaves out a rounding; no other fast-math
flag may be set.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

from sympy import Symbol

from derive.balls import enclose
from derive.block import Block
from derive.errors import NotSupportedError

Key = tuple[str, ...]
UNIT = 2.0**-53
GROW = 1 + 2.0**-30
_MOST = 2**20
"""Roundings after which a radius is raised."""
TINY = 1e-290


Rule = Callable[["Tape", Sequence["Node"]], "Node"]


@dataclass(frozen=True)
class Node:
    """One quantity of a tape.

    Attributes:
        mid: name of the centre.
        rad: name of the radius; empty if the centre is exact.
        count: roundings that may have made the radius too small.
    """

    mid: str
    rad: str = ""
    count: int = 0

    @property
    def exact(self) -> bool:
        """Whether the centre is the value."""
        return not self.rad


class Tape:
    r"""Collects operations on pairs (m, r); equal operations are written once.

    Attributes:
        lines: the code written so far.

    Example:
        >>> tape = Tape()
        >>> x = tape.add(Node("c"), Node("d"))
        >>> print("\n".join(tape.lines))
        m0 = c + d
        r0 = UNIT * abs(m0) + TINY
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[Key, Node] = {}
        self._count = 0

    def run(self, block: Block, values: Mapping[Symbol, Node]) -> list[Node]:
        """Write a block for given inputs and return its results.

        Raises:
            NotSupportedError: for a function without a proved float64 rule.
        """
        known = dict(values)
        for symbol, expr in block.lines:
            known[symbol] = self.expression(expr, known)
        return [self.closed(self.expression(e, known)) for e in block.results]

    def closed(self, a: Node) -> Node:
        """Raise a radius by more than all roundings that it may have suffered."""
        if a.exact or not a.count:
            return a
        key = _key("closed", a)
        if key not in self._known:
            self.lines.append(f"g{a.rad} = {a.rad} * GROW")
            self._known[key] = Node(a.mid, f"g{a.rad}")
        return self._known[key]

    def narrower(self, a: Node, b: Node) -> Node:
        """Return whichever of two enclosures of one quantity has the smaller radius."""
        if a.exact or b.exact:
            return a if a.exact else b
        mid, rad = self._names()
        self.lines += [
            f"{mid} = {b.mid} if {b.rad} < {a.rad} else {a.mid}",
            f"{rad} = {b.rad} if {b.rad} < {a.rad} else {a.rad}",
        ]
        return Node(mid, rad, max(a.count, b.count))

    def expression(self, expr: Any, known: Mapping[Symbol, Node]) -> Node:
        """Write one expression and return its node."""
        if isinstance(expr, Symbol):
            return known[expr]
        if expr.is_Rational:
            return self.literal(_fraction(expr))
        if expr.is_NumberSymbol:
            return self._constant(expr)
        if expr.is_Pow:
            base = self.expression(expr.base, known)
            if expr.exp.is_Rational and expr.exp.q <= 2:
                return self._power(base, _fraction(expr.exp))
            return self.other_power(base, expr.exp, known)
        if expr.is_Piecewise:
            return self._piecewise(expr, known)
        name = type(expr).__name__
        rule = _RULES.get(name) or self.other_rule(name)
        return rule(self, [self.expression(a, known) for a in expr.args])

    def other_rule(self, name: str) -> Rule:
        """Return the rule of a function that is not arithmetic; here there is none."""
        raise NotSupportedError(
            f"a float64 enclosure of {name}",
            "its float64 value has no proved error",
            "ask for a number of digits (ball arithmetic)",
        )

    def other_power(self, base: Node, exponent: Any, known: Mapping[Symbol, Node]) -> Node:
        """Return a power that is not made of products and square roots; here there is none."""
        raise NotSupportedError(
            f"a float64 enclosure of a power {exponent}", "no proved rule", "ask for digits"
        )

    def literal(self, value: Fraction) -> Node:
        """Return an exact rational: exact if it is a double, else with its rounding."""
        near = float(value)
        if not math.isfinite(near) or (value and abs(near) < TINY):
            raise NotSupportedError(
                f"a float64 enclosure of {value}", "out of range", "rescale the problem"
            )
        if Fraction(near) == value:
            return Node(repr(near))
        return Node(repr(near), repr(abs(near) * 2 * UNIT))

    def _constant(self, expr: Any) -> Node:
        """Return a number such as pi, from its ball."""
        ball = enclose(expr, 25)
        near = float(ball)
        gap = float(abs(ball.mid - Fraction(near)) + ball.rad)
        return Node(repr(near), repr(math.nextafter(gap, math.inf)))

    def add(self, a: Node, b: Node) -> Node:
        """Sum."""
        count = max(a.count, b.count) + 4
        return self._node(_key("+", a, b), f"{a.mid} + {b.mid}", [a.rad, b.rad], count)

    def negative(self, a: Node) -> Node:
        """Negative, exact."""
        return self._exactly(_key("-", a), f"-{a.mid}", a)

    def absolute(self, a: Node) -> Node:
        """Absolute value, exact."""
        return self._exactly(_key("abs", a), f"abs({a.mid})", a)

    def product(self, a: Node, b: Node) -> Node:
        """Product; a factor of one is left out."""
        if _is_one(a):
            return b
        if _is_one(b):
            return a
        for doubled, other in ((a, b), (b, a)):
            if doubled.mid in ("2.0", "4.0") and doubled.exact and other.exact:
                return self._exactly(_key("*", a, b), f"{doubled.mid} * {other.mid}", other)
        first = f"(abs({a.mid}) + {a.rad}) * {b.rad}" if a.rad else f"abs({a.mid}) * {b.rad}"
        terms = [first if b.rad else "", f"abs({b.mid}) * {a.rad}" if a.rad else ""]
        count = a.count + b.count + 6
        return self._node(_key("*", a, b), f"{a.mid} * {b.mid}", terms, count)

    def reciprocal(self, a: Node) -> Node:
        """Reciprocal; the radius is infinite unless zero is well outside."""
        key = _key("/", a)
        if key in self._known or a.exact:
            return self._node(key, f"1.0 / {a.mid}", [], 4)
        mid, rad = self._names()
        self.lines += [
            f"{mid} = 1.0 / {a.mid}",
            f"e{mid} = abs({mid}) * {a.rad} + TINY",
            f"s{mid} = abs({mid}) * (e{mid} * (2.0 * e{mid} + 1.0) + UNIT) + TINY",
            f"{rad} = s{mid} if e{mid} < 0.25 else INF",
        ]
        return self._keep(key, Node(mid, rad, 2 * a.count + 16))

    def root(self, a: Node) -> Node:
        """Square root; the radius is infinite unless a is certainly positive."""
        key = _key("sqrt", a)
        if key in self._known or a.exact:
            return self._node(key, f"math.sqrt({a.mid})", [], 4)
        mid, rad = self._names()
        self.lines += [
            f"{mid} = math.sqrt({a.mid})",
            f"s{mid} = {a.rad} / {mid} + (UNIT * {mid} + TINY)",
            f"{rad} = s{mid} if {a.mid} > {a.rad} * GROW else INF",
        ]
        return self._keep(key, Node(mid, rad, a.count + 6))

    def extreme(self, name: str, a: Node, b: Node) -> Node:
        """Min or max of two; its radius is the larger one."""
        key = _key(name, a, b)
        if key in self._known:
            return self._known[key]
        mid, rad = self._names()
        sign = "<" if name == "min" else ">"
        self.lines.append(f"{mid} = {a.mid} if {a.mid} {sign} {b.mid} else {b.mid}")
        radii = [r for r in (a.rad, b.rad) if r]
        if radii:
            larger = f"{a.rad} if {a.rad} > {b.rad} else {b.rad}"
            self.lines.append(f"{rad} = {larger if len(radii) == 2 else radii[0]}")
        return self._keep(key, Node(mid, rad if radii else "", max(a.count, b.count)))

    def _piecewise(self, expr: Any, known: Mapping[Symbol, Node]) -> Node:
        *pieces, (last, condition) = expr.args
        if condition != True:  # noqa: E712  (SymPy's true is not Python's)
            raise NotSupportedError(
                "a float64 enclosure of Piecewise", "no default branch", "end with True"
            )
        value = self.expression(last, known)
        for piece, test in reversed(pieces):
            if type(test).__name__ not in _TESTS:
                raise NotSupportedError(
                    "a float64 enclosure of Piecewise", str(test), "use one comparison"
                )
            larger = self.expression(test.gts, known), self.expression(test.lts, known)
            strict = type(test).__name__.startswith("Strict")
            value = self._choice(larger, strict, self.expression(piece, known), value)
        return value

    def _choice(self, ends: tuple[Node, Node], strict: bool, a: Node, b: Node) -> Node:
        """Return a where the first end is larger, b where it is not, and the hull where unknown."""
        first, second = ends
        yes, no = (">", ">=") if strict else (">=", ">")
        ra, rb = a.rad or "0.0", b.rad or "0.0"
        mid, rad = self._names()
        count = max(a.count, b.count) + 4
        if first.exact and second.exact:
            test = f"{first.mid} {yes} {second.mid}"
            self.lines.append(f"{mid} = {a.mid} if {test} else {b.mid}")
            if a.exact and b.exact:
                return Node(mid)
            self.lines.append(f"{rad} = {ra} if {test} else {rb}")
            return Node(mid, rad, count)
        gap = self.closed(self.add(first, self.negative(second)))
        sure, never = f"{gap.mid} {yes} {gap.rad}", f"-{gap.mid} {no} {gap.rad}"
        half = f"(0.5 * {a.mid} + 0.5 * {b.mid})"
        wide = f"(abs({a.mid}) * UNIT + abs({b.mid}) * UNIT + abs(0.5 * {a.mid} - 0.5 * {b.mid})"
        self.lines += [
            f"{mid} = {a.mid} if {sure} else ({b.mid} if {never} else {half})",
            f"{rad} = {ra} if {sure} else ({rb} if {never} else {wide} + {ra} + {rb} + TINY))",
        ]
        return Node(mid, rad, count)

    def _power(self, base: Node, exponent: Fraction) -> Node:
        if exponent.denominator == 2:
            return self._power(self.root(base), Fraction(exponent.numerator))
        if exponent < 0:
            return self._power(self.reciprocal(base), -exponent)
        half = self._power(base, Fraction(exponent // 2)) if exponent > 1 else base
        if exponent == 1:
            return base
        square = self.product(half, half)
        return self.product(square, base) if exponent % 2 else square

    def _node(self, key: Key, text: str, terms: Sequence[str], count: int) -> Node:
        """Write an operation with rounding; ``terms`` are what its radius inherits."""
        if key in self._known:
            return self._known[key]
        mid, rad = self._names()
        total = " + ".join([f"UNIT * abs({mid}) + TINY", *(t for t in terms if t)])
        self.lines += [f"{mid} = {text}", f"{rad} = {total}"]
        return self._keep(key, Node(mid, rad, count))

    def _exactly(self, key: Key, text: str, a: Node) -> Node:
        if key not in self._known:
            mid, _ = self._names()
            self.lines.append(f"{mid} = {text}")
            self._known[key] = Node(mid, a.rad, a.count)
        return self._known[key]

    def _names(self) -> tuple[str, str]:
        name = str(self._count)
        self._count += 1
        return f"m{name}", f"r{name}"

    def _keep(self, key: Key, node: Node) -> Node:
        kept = self.closed(node) if node.count > _MOST else node
        self._known[key] = kept
        return kept


def _sum(tape: Tape, args: Sequence[Node]) -> Node:
    return reduce(tape.add, args)


def _product(tape: Tape, args: Sequence[Node]) -> Node:
    negative = [a for a in args if a.mid == "-1.0" and a.exact]
    others = [a for a in args if not (a.mid == "-1.0" and a.exact)]
    value = reduce(tape.product, sorted(others, key=_age))  # old factors first: shared prefixes
    return tape.negative(value) if len(negative) % 2 else value


_TESTS = ("StrictGreaterThan", "StrictLessThan", "GreaterThan", "LessThan")
_RULES: dict[str, Rule] = {
    "Add": _sum,
    "Mul": _product,
    "Abs": lambda tape, args: tape.absolute(args[0]),
    "Min": lambda tape, args: reduce(lambda a, b: tape.extreme("min", a, b), args),
    "Max": lambda tape, args: reduce(lambda a, b: tape.extreme("max", a, b), args),
}


def _age(node: Node) -> tuple[int, str]:
    """Return the order of making: inputs first, by name."""
    made = node.mid.startswith("m") and node.mid[1:].isdigit()
    return (int(node.mid[1:]) if made else -1), node.mid


def _key(name: str, *nodes: Node) -> Key:
    """Return what an operation is known by: centres alone do not identify a quantity."""
    return (name, *sorted(f"{n.mid}|{n.rad}" for n in nodes))


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def _is_one(node: Node) -> bool:
    return node.exact and node.mid == "1.0"
