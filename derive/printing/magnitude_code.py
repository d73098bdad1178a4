r"""Blocks as float64 code with error bounds that are known before the code runs.

Stage: straight-line blocks in, assignments on doubles out, like ``interval_code``, at a fraction of
its operations. Most quantities of learning curves are positive, and errors of positive numbers are
relative: they add up under products, take the larger one under sums, and need no arithmetic at run
time. A quantity is therefore one of two kinds.

``Sized``: its sign is known, and its size is m e^t with

.. math:: |t| \le \rho + \sum_k \max(|a_k|, |b_k|)\, e_k ,

where m is computed and rho is known here: roundings, and errors of inputs. The e_k are radii at run
time: log x_k is within e_k of that of its centre. The rate at which the logarithm of the quantity
changes with log x_k lies in [a_k, b_k], known here as well: rates add up under products and change
sign under reciprocals; that of a sum is a mean of the rates of its terms. Sums of equal sign,
products, reciprocals and roots are Sized again. ``Loose``: the
value lies within f s of m, where m and s are computed and f is known here. Differences are Loose,
with s the sum of the two sizes. As long as s is at least the size of m (``covers``), roundings and
products only change the factor f, so that a Loose quantity costs two operations where a plain one
costs one.

Roundings: an operation in round-to-nearest changes the logarithm of a result by at most ``ROUND``,
slightly more than 2^-53, as long as it neither overflows nor falls below the normal numbers. Sizes
other than zero are bounded here from the range of the inputs, which the code checks (``checks``),
as it does for those sizes that might leave half the range of exponents. Radii at run time are sums
of nonnegative terms, so that each of their roundings loses a relative 2^-53. ``SLACK`` covers these
and the second-order terms of small errors, provided that rho stays below ``_LARGEST``, and code for
which that is not certain is refused: whatever uses a radius at last multiplies it by ``SLACK`` once
more. A radius that is not zero is at least ``TINY`` or 2^-1013, which is far above what underflow
takes from any of its terms.

A product and a sum may be fused. ``inverse(x)`` and ``estimate(x)`` are reciprocals with relative
errors below 1.2 2^-53 and 2^-13.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sympy import Symbol

from derive.block import Block
from derive.errors import NotSupportedError
from derive.printing.magnitude_kinds import (
    Loose,
    Sized,
    Value,
    added,
    age,
    hull,
    is_exact,
    is_scale,
    least,
    order,
)

ROUND = 2.0**-53 * 1.001
INVERSE = 2.0**-53 * 1.2
ESTIMATE = 2.0**-13 * 1.001
SLACK = 1.03
BOUND = 2.0**-10
"""Radii at run time that a reciprocal of a Loose quantity makes lie below this."""
_LARGEST = 2.0**-6
_WIDE = 2.0**-42
"""Errors above this are those of boxes, not of roundings; their size need not be tight."""
_EXPONENT, _WINDOW = 480, 200
"""Where the size of a quantity may leave 2^-+ the first, the code checks 2^-+ the second."""
_SMALLEST = 5e-324
TINY = 1e-290
_TALL = 2.0**900

_SIGNS = {
    "StrictGreaterThan": ">",
    "GreaterThan": ">=",
    "StrictLessThan": "<",
    "LessThan": "<=",
}


class Magnitudes:
    r"""Collects the code; equal operations are written once.

    Args:
        limits: names of radii at run time -> what they are below where the code counts.

    Attributes:
        lines: the assignments written so far.
        checks: conditions at run time under which the results hold.

    Example:
        >>> tape = Magnitudes()
        >>> x, y = Sized("x", low=-9, high=9), Sized("y", low=-9, high=9)
        >>> gap = tape.add([x, replace(tape.product([x, y]), sign=-1)])
        >>> print("\n".join(tape.lines))
        m0 = x * y
        m1 = x - m0
        m2 = x + m0
        >>> gap.size, gap.factor < 2.0**-51
        ('m2', True)
    """

    def __init__(self, limits: Mapping[str, float] | None = None) -> None:
        self.lines: list[str] = []
        self.checks: list[str] = []
        self.limits = dict(limits or {})
        self._texts: dict[str, str] = {}

    def run(self, block: Block, values: Mapping[Symbol, Value]) -> list[Value]:
        """Write a block for given inputs and return its results.

        Raises:
            NotSupportedError: for functions without a rule, or if errors or sizes are too large to
                be bounded beforehand.
        """
        known = dict(values)
        for symbol, expr in block.lines:
            known[symbol] = self.expression(expr, known)
        return [self.expression(e, known) for e in block.results]

    def expression(self, expr: Any, known: Mapping[Symbol, Value]) -> Value:
        """Write one expression."""
        if isinstance(expr, Symbol):
            return known[expr]
        if expr.is_Rational:
            return self.literal(Fraction(int(expr.p), int(expr.q)))
        if expr.is_Add:
            return self.add([self.expression(a, known) for a in expr.args])
        if expr.is_Mul:
            return self.product([self.expression(a, known) for a in expr.args])
        if expr.is_Pow and expr.exp.is_Rational and expr.exp.q <= 2:
            base = self.expression(expr.base, known)
            return self.power(base, Fraction(int(expr.exp.p), int(expr.exp.q)))
        if expr.is_Piecewise and expr.args[-1][1] == True:  # noqa: E712  (not Python's true)
            return self._piecewise(expr, known)
        raise NotSupportedError(
            f"error bounds of {type(expr).__name__} beforehand", str(expr), "use interval code"
        )

    def literal(self, value: Fraction) -> Sized:
        """Return an exact rational."""
        if value == 0:
            return Sized("0.0", zero=True)
        near = abs(float(value))
        log = math.log2(near)
        rho = 0.0 if Fraction(near) == abs(value) else ROUND
        return Sized(repr(near), 1 if value > 0 else -1, rho, (), log - 0.01, log + 0.01)

    # --- sums ------------------------------------------------------------------------------------

    def add(self, terms: Sequence[Value]) -> Value:
        """Sum: terms of one sign first, then the difference, then Loose terms."""
        sized = [t for t in terms if isinstance(t, Sized)]
        loose = [t for t in terms if isinstance(t, Loose)]
        parts: list[Value] = [
            self._fold(self._plus, group)
            for sign in (1, -1)
            if (group := [t for t in sized if t.sign == sign])
        ]
        start = [self._difference(*parts)] if len(parts) == 2 else parts
        return self._fold(self._loose_sum, [*start, *sorted(loose, key=order)])

    @staticmethod
    def _fold(operation: Any, terms: Sequence[Any]) -> Any:
        total = terms[0]
        for term in terms[1:]:
            total = operation(total, term)
        return total

    def _plus(self, a: Sized, b: Sized) -> Sized:
        a, b = sorted((a, b), key=age)
        mid = self._new(f"{a.mid} + {b.mid}")
        rho, parts = max(a.rho, b.rho) + ROUND, hull(a.parts, b.parts)
        low, zero = least(a, b)
        return self._made(Sized(mid, a.sign, rho, parts, low, max(a.high, b.high) + 1, zero))

    def _difference(self, a: Any, b: Any) -> Loose:
        """Return a - b for sizes of positive and negative terms."""
        mid = self._new(f"{a.mid} - {b.mid}")
        if a.parts or b.parts:
            return self._with_radius(mid, [self.error(a), self.error(b)])
        size = self._new(f"{a.mid} + {b.mid}")
        return self._covered(mid, size, self._factor(max(a.rho, b.rho)), *least(a, b))

    def _loose_sum(self, a: Value, b: Loose) -> Loose:
        if isinstance(a, Sized):
            mid = self._new(f"{b.mid} {'+' if a.sign > 0 else '-'} {a.mid}")
        else:
            mid = self._new(f"{a.mid} + {b.mid}")
        first = self._as_loose(a)
        if first is not None and first.covers and b.covers:
            low, high = sorted((first.factor, b.factor))
            if high + ROUND <= 4 * (low + ROUND) or high > _WIDE:
                size = self._new(f"{first.size} + {b.size}")
                return self._covered(mid, size, high, *least(first, b))
        return self._with_radius(mid, [self.error(a), self.error(b)])

    def _as_loose(self, a: Value) -> Loose | None:
        """Return a quantity as Loose if that needs no code."""
        if isinstance(a, Loose):
            return a
        if a.parts:
            return None
        return Loose(a.mid, a.mid, self._factor(a.rho), True, a.low, a.zero)

    # --- products --------------------------------------------------------------------------------

    def product(self, factors: Sequence[Value]) -> Value:
        """Product: factors of known sign first, the older ones before the others."""
        sized = [f for f in factors if isinstance(f, Sized)]
        loose = sorted((f for f in factors if isinstance(f, Loose)), key=age)
        sign = math.prod(f.sign for f in sized)
        rest = sorted((f for f in sized if f.mid != "1.0" or f.rho), key=age)
        if not rest and not loose:
            return replace(sized[0], sign=sign)
        start: list[Value] = [self._fold(self._times, rest)] if rest else []
        total = self._fold(self._loose_product, [*start, *loose])
        if isinstance(total, Sized):
            return replace(total, sign=sign)
        return self.negative(total) if sign < 0 else total

    def negative(self, a: Value) -> Value:
        """Negative, exact."""
        if isinstance(a, Sized):
            return replace(a, sign=-a.sign)
        return replace(a, mid=self._new(f"-{a.mid}"))

    def _times(self, a: Sized, b: Sized) -> Sized:
        mid = self._new(f"{a.mid} * {b.mid}")
        low, high, zero = a.low + b.low, a.high + b.high, a.zero or b.zero
        rounding = 0.0 if is_scale(a) or is_scale(b) else ROUND
        parts = added(a.parts, b.parts)
        return self._made(Sized(mid, 1, a.rho + b.rho + rounding, parts, low, high, zero))

    def _loose_product(self, a: Value, b: Loose) -> Loose:
        mid = self._new(f"{a.mid} * {b.mid}")
        first = self._as_loose(a)
        if first is not None and first.covers and b.covers and self._even(first, b):
            low = first.low + b.low
            if low > -2 * _EXPONENT:
                size = self._new(f"{first.size} * {b.size}")
                factor = (first.factor + b.factor) * SLACK
                return self._covered(mid, size, factor, low, first.zero or b.zero)
        if isinstance(a, Sized):
            terms = [(self._new(f"{a.mid} * {b.size}"), b.factor * SLACK)]
            if a.parts:
                terms.append((self._new(f"{self._relative(a)} * abs({mid})"), SLACK))
            elif a.rho:
                terms.append((f"abs({mid})", (a.rho + ROUND) * SLACK))
            return self._with_radius(mid, terms, TINY, rounded=not a.parts and a.rho > 0)
        left = self._new(f"abs({a.mid}) * {b.size}")
        reach = self._new(f"abs({b.mid}) + {self._times_text(b.factor, b.size)}")
        right = self._new(f"{a.size} * {reach}")
        wide = a.covers and a.factor > _WIDE  # its error is far above a rounding of the product
        return self._with_radius(mid, [(left, b.factor), (right, a.factor)], TINY, rounded=wide)

    @staticmethod
    def _even(a: Loose, b: Loose) -> bool:
        """Whether a product may keep one factor of both sizes without becoming much wider."""
        wide, tight = max(a.factor, b.factor), min(a.factor, b.factor)
        return tight > _WIDE or wide < _WIDE or (a.size == a.mid and b.factor > _WIDE)

    def power(self, base: Value, exponent: Fraction) -> Value:
        """Power with an integer or half-integer exponent."""
        if exponent.denominator == 2:
            return self.power(self._root(base), Fraction(exponent.numerator))
        if exponent < 0:
            return self.power(self.reciprocal(base), -exponent)
        half = self.power(base, Fraction(exponent // 2)) if exponent > 1 else base
        if exponent == 1:
            return base
        square = self.product([half, half])
        return self.product([square, base]) if exponent % 2 else square

    def _root(self, a: Value) -> Sized:
        if isinstance(a, Loose) or a.sign < 0 or a.zero:
            raise NotSupportedError("a root", "it is not known to be positive", "use interval code")
        halves = tuple((n, low / 2, high / 2) for n, low, high in a.parts)
        mid = self._new(f"math.sqrt({a.mid})")
        return self._made(Sized(mid, 1, a.rho / 2 + ROUND, halves, a.low / 2, a.high / 2))

    def reciprocal(self, a: Value) -> Value:
        """Reciprocal; that of a Loose quantity holds where its radius is small beside it."""
        function, error = "inverse", INVERSE
        if isinstance(a, Sized):
            if a.zero:
                raise NotSupportedError("a reciprocal", "zero is not excluded", "use interval code")
            mid = self._new(f"{function}({a.mid})")
            parts = tuple((n, -high, -low) for n, low, high in a.parts)
            return self._made(Sized(mid, a.sign, a.rho + error, parts, -a.high, -a.low))
        if a.covers and a.factor > _WIDE:
            function, error = "estimate", ESTIMATE
        mid = self._new(f"{function}({a.mid})")
        part = self._new(f"abs({mid}) * {self._times_text(a.factor * SLACK, a.size)}")
        self.check(f"{part} < {BOUND!r}")
        if a.covers and a.low > -2 * _EXPONENT:
            self.check(f"{a.size} < {_TALL!r}")
        else:
            self.check(f"abs({a.mid}) < {_TALL!r}")
            self.check(f"abs({a.mid}) > {1 / _TALL!r}")
        radius = self._new(f"abs({mid}) * ({part} + {error!r})")
        return Loose(mid, radius, SLACK)

    # --- choices ---------------------------------------------------------------------------------

    def _piecewise(self, expr: Any, known: Mapping[Symbol, Value]) -> Value:
        *pieces, (last, _) = expr.args
        value = self.expression(last, known)
        for piece, test in reversed(pieces):
            sign = _SIGNS.get(type(test).__name__)
            ends = [self.expression(e, known) for e in test.args] if sign else []
            if (
                not all(isinstance(e, Sized) and e.sign > 0 and is_exact(e) for e in ends)
                or not ends
            ):
                raise NotSupportedError("a choice", str(test), "use interval code")
            condition = f"{ends[0].mid} {sign} {ends[1].mid}"
            value = self._choice(condition, self.expression(piece, known), value)
        return value

    def _choice(self, test: str, a: Value, b: Value) -> Value:
        """Return a where a test holds, and b where it does not."""
        low = min((v.low for v in (a, b) if v.mid != "0.0"), default=0.0)
        zero = a.zero or b.zero
        if isinstance(a, Sized) and isinstance(b, Sized):
            sign = b.sign if a.mid == "0.0" else a.sign
            if all(v.sign == sign or v.mid == "0.0" for v in (a, b)):
                mid = self._new(f"{a.mid} if {test} else {b.mid}")
                rho, parts = max(a.rho, b.rho), hull(a.parts, b.parts)
                return self._made(Sized(mid, sign, rho, parts, low, max(a.high, b.high), zero))
        mid = self._new(f"{self._signed(a)} if {test} else {self._signed(b)}")
        first, second = self._as_loose(a), self._as_loose(b)
        if first is not None and second is not None and first.covers and second.covers:
            size = self._new(f"{first.size} if {test} else {second.size}")
            return Loose(mid, size, max(first.factor, second.factor), True, low, zero)
        radii = [self._times_text(factor, size) for size, factor in map(self.error, (a, b))]
        return Loose(mid, self._new(f"{radii[0]} if {test} else {radii[1]}"))

    def _signed(self, a: Value) -> str:
        return f"-{a.mid}" if isinstance(a, Sized) and a.sign < 0 else a.mid

    # --- radii -----------------------------------------------------------------------------------

    def error(self, a: Value) -> tuple[str, float]:
        """Return a name and a factor whose product bounds the error."""
        if isinstance(a, Loose):
            return a.size, a.factor
        if not a.parts:
            return a.mid, self._factor(a.rho)
        return self._new(f"{self._relative(a)} * {a.mid}"), SLACK

    def _relative(self, a: Sized) -> str:
        """Return text of the bound of the logarithmic error."""
        rates = [(n, max(abs(low), abs(high))) for n, low, high in a.parts]
        terms = [self._times_text(c, n) for n, c in rates if c]
        return self._new(" + ".join([*terms, repr(a.rho)])) if terms else repr(a.rho)

    def _covered(self, mid: str, size: str, factor: float, low: float, zero: bool) -> Loose:
        """Return a Loose quantity whose size covers its value, with the rounding of the value."""
        if factor > _LARGEST:
            raise NotSupportedError("error bounds beforehand", "too wide", "use interval code")
        return Loose(mid, size, factor + ROUND, True, low, zero)

    def _with_radius(
        self,
        mid: str,
        terms: Iterable[tuple[str, float]],
        more: float = 0.0,
        *,
        rounded: bool = False,
    ) -> Loose:
        """Return a Loose quantity with one radius: terms, and the rounding of its value."""
        texts = [repr(more)] if more else []
        texts += [self._times_text(f, n) for n, f in terms if f]
        texts += [] if rounded else [f"{ROUND!r} * abs({mid})"]
        return Loose(mid, self._new(" + ".join(texts)))

    @staticmethod
    def _times_text(factor: float, name: str) -> str:
        return name if factor == 1 else f"{factor!r} * {name}"

    def _factor(self, rho: float) -> float:
        """Return a bound of |e^t - 1|, with all roundings of what it multiplies."""
        return rho * SLACK

    # --- names -----------------------------------------------------------------------------------

    def check(self, text: str) -> None:
        """Let the results hold only where a condition does."""
        if text not in self.checks:
            self.checks.append(text)

    def name(self, text: str) -> str:
        """Return a name for a value, which is computed once."""
        return self._new(text)

    def _new(self, text: str) -> str:
        if text not in self._texts:
            self._texts[text] = f"m{len(self._texts)}"
            self.lines.append(f"{self._texts[text]} = {text}")
        return self._texts[text]

    def _made(self, a: Sized) -> Sized:
        """Return a Sized quantity, after its bounds are seen to be usable."""
        rates = (max(abs(low), abs(high)) * self.limits[n] for n, low, high in a.parts)
        if a.rho + sum(rates) > _LARGEST:
            raise NotSupportedError("error bounds beforehand", "too wide", "use interval code")
        if a.high > _EXPONENT:
            self.check(f"{a.mid} < {2.0**_WINDOW!r}")
        if a.low < -_EXPONENT:
            name = self.not_zero(a.mid) if a.zero else a.mid
            self.check(f"{name} > {2.0**-_WINDOW!r}")
        low = -_WINDOW if a.low < -_EXPONENT else a.low
        high = _WINDOW if a.high > _EXPONENT else a.high
        return replace(a, low=low, high=high)

    def not_zero(self, name: str) -> str:
        """Return a name of the same number, and of 1 where it is zero."""
        return self._new(f"1.0 if abs({name}) < {_SMALLEST!r} else {name}")
