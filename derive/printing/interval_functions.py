r"""Elementary functions in interval code: enclosures that do not rest on any library.

Stage: beside ``interval_code``, whose ``Tape`` it extends. Everything is proved from three
polynomials, whose truncation and rounding are bounded when the code is written (``_horner``):

.. math:: e^x = 2^k e^r,\; |r| < 0.36, \qquad \sin r,\ \cos r,\; |r| < 0.8 .

The exponent k comes from a rounding whose error does not matter: the code checks that r is small.
Parts of log 2 and pi/2 have few enough digits that their products with k are exact. Inverse
functions are taken from anywhere (``guess``) and proved by what they invert: with
d = (x - (e^y - 1)) e^{-y} and c = (x cos y - sin y)/(cos y + x sin y),

.. math:: \log(1 + x) = y + \log(1 + d), \qquad
          \arctan x = y + \arctan c \quad (\cos y + x \sin y > 0, \; |y| < 1.6),

so that a wrong guess only widens the result. At an interval a function is taken at the centre, and
a bound of its derivative over the interval does the rest.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mpmath import mp
from sympy import Symbol

from derive.errors import NotSupportedError
from derive.printing.interval_code import UNIT, Key, Node, Rule, Tape

_MAGIC = 6755399441055744.0
"""1.5 2^52: adding and subtracting it rounds to an integer."""
_LOG2E = 1.4426950408889634
_SMALL, _ANGLE = Fraction(9, 25), Fraction(4, 5)
"""Bounds of the reduced arguments of exp, and of sin and cos."""
_MOST = 1e5
"""Angles beyond this have no enclosure."""


def _pieces(value: Any, count: int) -> list[float]:
    """Return doubles that add up to a number: 33 bits each, and the rest rounded."""
    found = []
    for _ in range(count - 1):
        bits = 33 - int(mp.floor(mp.log(abs(value), 2))) - 1
        found.append(float(mp.floor(mp.ldexp(value, bits)) * mp.mpf(2) ** -bits))
        value -= mp.mpf(found[-1])
    return [*found, float(value)]


with mp.workdps(60):
    _LOG2 = _pieces(mp.log(2), 2)
    _HALF_PI = _pieces(mp.pi / 2, 3)
_TWO_OVER_PI = 0.6366197723675814
_REDUCED = 0.75 * UNIT
"""Error of r of exp: two roundings of numbers below 0.36."""
_TURNED = 2.5 * UNIT
"""Error of r of sin and cos: three roundings of numbers below 0.8."""


class FunctionTape(Tape):
    r"""A tape with elementary functions and general powers.

    Example:
        >>> tape = FunctionTape()
        >>> value = tape.exponential(Node("x"))
        >>> here = {"scale": lambda k: 2.0**k, "UNIT": UNIT, "TINY": 1e-290, "INF": math.inf}
        >>> here["x"] = 1.0
        >>> exec("\n".join(tape.lines), here)
        >>> abs(here[value.mid] - math.e) <= here[value.rad] < 5 * UNIT * math.e
        True
    """

    def assign(self, text: str) -> str:
        """Write an assignment under a new name, once per text."""
        key = ("text", text)
        if key not in self._known:
            mid, _ = self._names()
            self.lines.append(f"{mid} = {text}")
            self._known[key] = Node(mid)
        return self._known[key].mid

    def _horner(
        self, coefficients: Sequence[Fraction], x: str, bound: Fraction
    ) -> tuple[str, float]:
        """Write a polynomial at a double of size below ``bound``; return its name and its error.

        A step b x + c in floating point adds the error of b times the bound, a rounding of the
        product, a rounding of the sum, and that of the coefficient.
        """
        unit = Fraction(UNIT) * Fraction(1001, 1000)
        *rest, last = coefficients
        text, size = repr(float(last)), abs(last)
        error = abs(Fraction(float(last)) - last)
        for c in reversed(rest):
            near = float(c)
            text = self.assign(f"{text} * {x} + {near!r}")
            product = (size + error) * bound
            size = size * bound + abs(c)
            error = error * bound + unit * product + abs(Fraction(near) - c)
            error += unit * (size + error)
        return text, float(error) * 1.001

    # --- exponentials ----------------------------------------------------------------------------

    def _reduce(self, x: str) -> tuple[str, str, str, float, str]:
        """Return k, 2^k, p near e^r - 1, its relative error at the r there is, and a condition."""
        c = self.assign(f"-690.0 if {x} < -690.0 else {x}")
        k = self.assign(f"({c} * {_LOG2E!r} + {_MAGIC!r}) - {_MAGIC!r}")
        first = self.assign(f"{c} - {k} * {_LOG2[0]!r}")
        r = self.assign(f"{first} - {k} * {_LOG2[1]!r}")
        terms = [Fraction(1, math.factorial(i + 2)) for i in range(12)]
        q, error = self._horner(terms, r, _SMALL)
        error += 6e-17  # the terms left out
        p = self.assign(f"{r} + {r} * {r} * {q}")
        # |p| >= 0.78 |r| and q <= 0.58, so that r^2/|p| <= 0.47
        relative = 1.01 * (UNIT + 0.47 * (error + 2 * UNIT * 0.58))
        condition = f"(abs({r}) < 0.36) & ({x} < 700.0)"
        usable = self.assign(f"{k} if abs({k}) < 1020.0 else 0.0")  # no overflow to an integer
        return k, self.assign(f"scale({usable})"), p, relative, condition

    def exponential(self, a: Node) -> Node:
        """Return exp; below -690 it is less than the least radius."""
        key = ("exp", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        _, s, p, relative, condition = self._reduce(a.mid)
        value = self.assign(f"({p} + 1.0) * {s}")
        error = 1.01 * (0.44 * relative + _REDUCED + UNIT)
        return self._over(key, value, f"{value} * {error!r}", value, a, condition)

    def less_one(self, a: Node) -> Node:
        """Return exp(a) - 1, with its digits near zero."""
        key = ("expm1", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        k, s, p, relative, condition = self._reduce(a.mid)
        less = self.assign(f"{s} - 1.0")
        value = self.assign(f"{s} * {p} + {less}")
        moved = self.assign(f"0.0 if abs({k}) < 0.5 else {1.01 * _REDUCED!r}")
        radius = (
            f"{s} * ({relative!r} * abs({p}) + {moved} * (abs({p}) + 1.0)) "
            f"+ UNIT * (abs({less}) + abs({value}))"
        )
        return self._over(key, value, radius, self.assign(f"({p} + 1.0) * {s}"), a, condition)

    def _over(self, key: Key, mid: str, radius: str, slope: str, a: Node, condition: str) -> Node:
        """Return a function whose derivative grows at most as exp does, over an interval."""
        spread = f" + 1.01 * {slope} * {a.rad} * ({a.rad} + 1.0)" if a.rad else ""
        within = f" & ({a.rad} < 1.0)" if a.rad else ""
        rad = self.assign(f"({radius}{spread} + TINY) if {condition}{within} else INF")
        return self._keep(key, Node(mid, rad, 2 * a.count + 16))

    def hyperbolic_tangent(self, a: Node) -> Node:
        """Return tanh; d/dx log sech^2 lies in [-2, 2]."""
        key = ("tanh", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        t = self.less_one(Node(self.assign(f"-2.0 * abs({a.mid})")))
        size = self.closed(
            self.product(self.negative(t), self.reciprocal(self.add(t, Node("2.0"))))
        )
        mid = self.assign(f"-{size.mid} if {a.mid} < 0.0 else {size.mid}")
        if a.exact:
            return self._keep(key, Node(mid, size.rad, size.count))
        sech = self.assign(f"abs(1.0 - {size.mid} * {size.mid}) + 2.01 * {size.rad} + 4.0 * UNIT")
        spread = f"1.01 * {sech} * {a.rad} * (2.0 * {a.rad} * (2.0 * {a.rad} + 1.0) + 1.0)"
        rad = self.assign(f"({size.rad} + {spread}) if {a.rad} < 0.5 else INF")
        return self._keep(key, Node(mid, rad, size.count + 4 * a.count + 16))

    def hyperbolic_sine(self, a: Node) -> Node:
        """Return (X + X/exp(a))/2 with X = exp(a) - 1."""
        x = self.less_one(a)
        other = self.product(x, self.reciprocal(self.exponential(a)))
        return self.product(Node("0.5"), self.add(x, other))

    def hyperbolic_cosine(self, a: Node) -> Node:
        """Return (E + 1/E)/2 with E = exp(a)."""
        e = self.exponential(a)
        return self.product(Node("0.5"), self.add(e, self.reciprocal(e)))

    # --- logarithms ------------------------------------------------------------------------------

    def _log_of(self, key: Key, guess: str, less: Node, whole: Node, a: Node) -> Node:
        """Return log(1 + less), proved by exp at a guess; ``whole`` is 1 + less at the centre.

        Near 1 the defect (less - (e^y - 1)) e^-y has the better digits, elsewhere whole e^-y - 1.
        """
        if key in self._known:
            return self._known[key]
        y = self.assign(guess)
        there = self.exponential(Node(self.assign(f"-{y}")))
        near = self.product(self.add(less, self.negative(self.less_one(Node(y)))), there)
        far = self.add(self.product(whole, there), Node("-1.0"))
        gap = self.closed(self.narrower(far, near))
        d = self.assign(f"abs({gap.mid}) + {gap.rad}")
        own = f"{d} * (2.0 * {d} + 1.0) * 1.01 + TINY"
        spread = within = ""
        if a.rad:
            e = self.assign(f"1.01 * {a.rad} / {whole.mid}")
            spread = f" + {e} * (2.0 * {e} + 1.0)"
            within = f" & ({e} < 0.25) & ({whole.mid} > 0.0)"
        rad = self.assign(f"({own}{spread}) if ({d} < 0.25){within} else INF")
        return self._keep(key, Node(y, rad, 2 * a.count + 32))

    def logarithm(self, a: Node) -> Node:
        """Return log."""
        less = self.add(Node(a.mid), Node("-1.0"))
        key = ("log", a.mid, a.rad)
        return self._log_of(key, f"guess_log({a.mid})", less, Node(a.mid), a)

    def logarithm_of_more(self, a: Node) -> Node:
        """Return log(1 + a), with its digits near zero."""
        whole = self.add(Node("1.0"), Node(a.mid))
        key = ("log1p", a.mid, a.rad)
        return self._log_of(key, f"guess_log1p({a.mid})", Node(a.mid), whole, a)

    def soft_plus(self, a: Node) -> Node:
        """Return max(a, 0) + log(1 + exp(-|a|))."""
        low = self.exponential(self.negative(self.absolute(a)))
        return self.add(self.extreme("max", a, Node("0.0")), self.logarithm_of_more(low))

    def other_power(self, base: Node, exponent: Any, known: Mapping[Symbol, Node]) -> Node:
        """Return a power of a positive number."""
        return self.exponential(
            self.product(self.expression(exponent, known), self.logarithm(base))
        )

    # --- angles ----------------------------------------------------------------------------------

    def _turn(self, a: Node) -> tuple[str, Node, Node, str]:
        """Return the quarter, sin r and cos r of the centre, and a condition."""
        k = self.assign(f"({a.mid} * {_TWO_OVER_PI!r} + {_MAGIC!r}) - {_MAGIC!r}")
        r = a.mid
        for part in _HALF_PI:
            r = self.assign(f"{r} - {k} * {part!r}")
        fours = self.assign(f"({k} * 0.25 + {_MAGIC!r}) - {_MAGIC!r}")
        quarter = self.assign(f"{k} - 4.0 * {fours}")
        moved = self.assign(f"0.0 if abs({k}) < 0.5 else {_TURNED!r}")
        z = self.assign(f"{r} * {r}")
        odd = [Fraction((-1) ** (i + 1), math.factorial(2 * i + 3)) for i in range(8)]
        even = [Fraction((-1) ** i, math.factorial(2 * i)) for i in range(10)]
        rest, error = self._horner(odd, z, _ANGLE**2)
        sine = self.assign(f"{r} + {r} * {z} * {rest}")
        # |sin r| >= 0.89 |r|, so that |r|^3/|sin r| <= 0.72; the rest is below 1/6
        relative = 1.01 * (UNIT + 0.72 * (error + 1e-17 + 4 * UNIT / 6))
        wide = self.assign(f"{relative!r} * abs({sine}) + {moved}")
        cosine, error = self._horner(even, z, _ANGLE**2)
        narrow = self.assign(f"{error + 1e-17 + UNIT!r} + {moved}")
        condition = f"(abs({r}) < 0.799) & (abs({a.mid}) < {_MOST!r})"
        return quarter, Node(sine, wide, 4), Node(cosine, narrow, 4), condition

    def _angle(self, a: Node, *, shifted: bool) -> Node:
        key = ("cos" if shifted else "sin", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        q, s, c, condition = self._turn(a)
        one, two, sign = (c, s, "-") if shifted else (s, c, "")
        other = "" if shifted else "-"
        far = f"({sign}{two.mid} if {q} > 0.0 else {other}{two.mid})"
        mid = self.assign(
            f"{one.mid} if abs({q}) < 0.5 else (-{one.mid} if abs({q}) > 1.5 else {far})"
        )
        own = self.assign(f"{two.rad} if (abs({q}) > 0.5) & (1.5 > abs({q})) else {one.rad}")
        total = f"{own} + {a.rad}" if a.rad else own
        rad = self.assign(f"({total} + TINY) if {condition} else INF")
        return self._keep(key, Node(mid, rad, a.count + 16))

    def sine(self, a: Node) -> Node:
        """Return sin."""
        return self._angle(a, shifted=False)

    def cosine(self, a: Node) -> Node:
        """Return cos."""
        return self._angle(a, shifted=True)

    def tangent(self, a: Node) -> Node:
        """Return tan."""
        return self.product(self.sine(a), self.reciprocal(self.cosine(a)))

    def arc_tangent(self, a: Node) -> Node:
        """Return atan; d/dx log(1/(1 + x^2)) lies in [-1, 1]."""
        key = ("atan", a.mid, a.rad)
        if key in self._known:
            return self._known[key]
        y, x = Node(self.assign(f"guess_atan({a.mid})")), Node(a.mid)
        s, c = self.sine(y), self.cosine(y)
        below = self.closed(self.add(c, self.product(x, s)))
        above = self.add(self.product(x, c), self.negative(s))
        gap = self.closed(self.product(above, self.reciprocal(below)))
        own = f"1.01 * (abs({gap.mid}) + {gap.rad}) + TINY"
        spread = within = ""
        if a.rad:
            growth = f"({a.rad} * ({a.rad} + 1.0) + 1.0)"
            spread = f" + 1.01 * {a.rad} * {growth} / ({a.mid} * {a.mid} + 1.0)"
            within = f" & ({a.rad} < 1.0)"
        sure = f"({below.mid} > {below.rad}) & (abs({y.mid}) < 1.6){within}"
        rad = self.assign(f"({own}{spread}) if {sure} else INF")
        return self._keep(key, Node(y.mid, rad, a.count + 16))

    def arc_sine(self, a: Node) -> Node:
        """Return atan(a/sqrt((1 - a)(1 + a)))."""
        less, more = self._ends(a)
        root = self.root(self.product(less, more))
        return self.arc_tangent(self.product(a, self.reciprocal(root)))

    def arc_cosine(self, a: Node) -> Node:
        """Return 2 atan sqrt((1 - a)/(1 + a))."""
        less, more = self._ends(a)
        ratio = self.root(self.product(less, self.reciprocal(more)))
        return self.product(Node("2.0"), self.arc_tangent(ratio))

    def _ends(self, a: Node) -> tuple[Node, Node]:
        one = Node("1.0")
        return self.add(one, self.negative(a)), self.add(one, a)

    def other_rule(self, name: str) -> Rule:
        """Return the rule of a function, or refuse it."""
        functions = self.functions()
        if name not in functions:
            known = ", ".join(functions)
            raise NotSupportedError(
                f"a float64 enclosure of {name}", f"the proved functions are {known}", "use balls"
            )
        method = functions[name]
        return lambda _, args: method(args[0])

    def functions(self) -> dict[str, Callable[[Node], Node]]:
        """Return the functions that have a rule, by name."""
        return {
            "exp": self.exponential,
            "expm1": self.less_one,
            "log": self.logarithm,
            "log1p": self.logarithm_of_more,
            "softplus": self.soft_plus,
            "tanh": self.hyperbolic_tangent,
            "sinh": self.hyperbolic_sine,
            "cosh": self.hyperbolic_cosine,
            "sin": self.sine,
            "cos": self.cosine,
            "tan": self.tangent,
            "atan": self.arc_tangent,
            "asin": self.arc_sine,
            "acos": self.arc_cosine,
        }
