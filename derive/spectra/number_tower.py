r"""Exact arithmetic with algebraic numbers, one adjoined after the other, split when needed.

Stage: under Puiseux expansions. A tower holds numbers a_1, a_2, ... with a_k a root of a squarefree
monic polynomial over the numbers before it; digits say which root. A residue may be zero although
it is not zero as a polynomial; then its greatest common divisor with the modulus splits it, and the
digits choose the part that holds the root. So every zero is proved by exact algebra, and no
polynomial is ever factored.

An element of height k is a list of elements of height k - 1 (coefficients of powers of a_k, lowest
first), an element of height 0 is a rational.
"""

from dataclasses import dataclass, field
from typing import Any

import mpmath
from flint import fmpq

DIGITS = 80
Element = Any
Poly = list[Any]


@dataclass
class Tower:
    """Numbers adjoined so far.

    Attributes:
        moduli: a monic squarefree polynomial for each number.
        values: the numbers to ``DIGITS`` digits.
    """

    moduli: list[Poly] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    @property
    def height(self) -> int:
        """How many numbers were adjoined."""
        return len(self.moduli)

    def copy(self) -> "Tower":
        """Return a tower that can grow on its own."""
        return Tower(list(self.moduli), list(self.values))

    def adjoin(self, modulus: Poly, value: Any) -> Element:
        """Adjoin a root of a squarefree polynomial; return it as an element."""
        self.moduli.append(self.monic(modulus, self.height))
        self.values.append(value)
        k = self.height
        return self.reduced([self.constant(0, k - 1), self.constant(1, k - 1)], k)

    def constant(self, value: Any, height: int | None = None) -> Element:
        """Return a rational as an element."""
        k = self.height if height is None else height
        return fmpq(value) if k == 0 else [self.constant(value, k - 1)]

    def lifted(self, e: Element, height: int) -> Element:
        """Return an element of a lower height as one of the present height."""
        for _ in range(height, self.height):
            e = [e]
        return e

    def number(self, e: Element, height: int | None = None) -> Any:
        """Return an element to many digits."""
        k = self.height if height is None else height
        if k == 0:
            return mpmath.mpf(int(e.p)) / int(e.q)
        total = mpmath.mpf(0)
        for c in reversed(e):
            total = total * self.values[k - 1] + self.number(c, k - 1)
        return total

    def add(self, a: Element, b: Element, height: int | None = None) -> Element:
        """Return a + b."""
        k = self.height if height is None else height
        if k == 0:
            return a + b
        long, short = (a, b) if len(a) >= len(b) else (b, a)
        head = [self.add(x, y, k - 1) for x, y in zip(long, short, strict=False)]
        return head + list(long[len(short) :])

    def negative(self, a: Element, height: int | None = None) -> Element:
        """Return -a."""
        k = self.height if height is None else height
        return -a if k == 0 else [self.negative(x, k - 1) for x in a]

    def multiply(self, a: Element, b: Element, height: int | None = None) -> Element:
        """Return a * b."""
        k = self.height if height is None else height
        return a * b if k == 0 else self.reduced(self._product(a, b, k - 1), k)

    def _product(self, a: Poly, b: Poly, k: int) -> Poly:
        out = [self.constant(0, k)] * max(1, len(a) + len(b) - 1)
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                out[i + j] = self.add(out[i + j], self.multiply(x, y, k), k)
        return out

    def reduced(self, e: Poly, k: int) -> Element:
        """Return a polynomial in the k-th number modulo its modulus."""
        modulus = self.moduli[k - 1]
        e = list(e)
        while len(e) >= len(modulus):
            lead, shift = e[-1], len(e) - len(modulus)
            for i, c in enumerate(modulus):
                change = self.multiply(lead, c, k - 1)
                e[shift + i] = self.add(e[shift + i], self.negative(change, k - 1), k - 1)
            e.pop()
        return e or [self.constant(0, k - 1)]

    def is_zero(self, e: Element, height: int | None = None) -> bool:
        """Whether an element vanishes; proved by exact algebra."""
        k = self.height if height is None else height
        if k == 0:
            return bool(e == 0)
        e = self.trimmed(self.reduced(e, k), k - 1)
        if not e:
            return True
        with mpmath.workdps(DIGITS):
            if abs(self.number(e, k)) > mpmath.mpf(10) ** (-DIGITS // 4):
                return False
        return self._split(e, k)

    def _split(self, e: Poly, k: int) -> bool:
        """Split the modulus by what it shares with e; return whether e vanishes at the root."""
        common = self.gcd(e, self.moduli[k - 1], k - 1)
        if len(common) == 1:
            return False
        rest = self.quotient(self.moduli[k - 1], common, k - 1)
        with mpmath.workdps(DIGITS):
            inside = abs(self.number(common, k)) <= abs(self.number(rest, k))
        self.moduli[k - 1] = self.monic(common if inside else rest, k - 1)
        return bool(inside)

    def inverse(self, e: Element, height: int | None = None) -> Element:
        """Return 1/e of an element that does not vanish."""
        k = self.height if height is None else height
        if k == 0:
            return 1 / e
        if self.is_zero(e, k):
            raise ZeroDivisionError
        one, zero = [self.constant(1, k - 1)], [self.constant(0, k - 1)]
        a, b = self.moduli[k - 1], self.trimmed(self.reduced(e, k), k - 1)
        s, t = zero, one
        while len(b) > 1:
            q, r = self.divided(a, b, k - 1)
            moved = self._product(q, t, k - 1)
            s, t = t, self.add(s, self.negative(moved, k), k)
            a, b = b, r
            if not b:  # a common factor that does not vanish at the root: leave it out
                self.moduli[k - 1] = self.quotient(self.moduli[k - 1], a, k - 1)
                return self.inverse(e, k)
        scale = self.inverse(b[0], k - 1)
        return self.reduced([self.multiply(c, scale, k - 1) for c in t], k)

    def trimmed(self, p: Poly, k: int) -> Poly:
        """Return a polynomial with coefficients of height k without leading zeros."""
        p = list(p)
        while p and self.is_zero(p[-1], k):
            p.pop()
        return p

    def monic(self, p: Poly, k: int) -> Poly:
        """Return a polynomial divided by its leading coefficient."""
        p = self.trimmed(p, k)
        scale = self.inverse(p[-1], k)
        return [self.multiply(c, scale, k) for c in p[:-1]] + [self.constant(1, k)]

    def divided(self, a: Poly, b: Poly, k: int) -> tuple[Poly, Poly]:
        """Return quotient and rest of polynomials with coefficients of height k."""
        rest, scale = list(a), self.inverse(b[-1], k)
        out = [self.constant(0, k)] * max(1, len(a) - len(b) + 1)
        while len(rest) >= len(b):
            c, shift = self.multiply(rest[-1], scale, k), len(rest) - len(b)
            out[shift] = c
            for i, x in enumerate(b[:-1]):
                change = self.negative(self.multiply(c, x, k), k)
                rest[shift + i] = self.add(rest[shift + i], change, k)
            rest.pop()
        return out, self.trimmed(rest, k)

    def quotient(self, a: Poly, b: Poly, k: int) -> Poly:
        """Return a / b."""
        return self.divided(a, b, k)[0]

    def gcd(self, a: Poly, b: Poly, k: int) -> Poly:
        """Return the monic greatest common divisor."""
        a, b = self.trimmed(a, k), self.trimmed(b, k)
        while b:
            a, b = b, self.divided(a, b, k)[1]
        return self.monic(a, k)

    def squarefree_parts(self, p: Poly) -> list[tuple[int, Poly]]:
        """Return multiplicities and squarefree polynomials whose powers multiply to p (Yun)."""
        k = self.height
        p = self.monic(p, k)
        slope = self.derivative(p)
        found: list[tuple[int, Poly]] = []
        common = self.gcd(p, slope, k) if self.trimmed(slope, k) else [self.constant(1)]
        left = self.quotient(p, common, k)
        multiplicity = 1
        while len(left) > 1:
            shared = self.gcd(left, common, k)
            part = self.quotient(left, shared, k)
            if len(part) > 1:
                found.append((multiplicity, part))
            left, common = shared, self.quotient(common, shared, k)
            multiplicity += 1
        return found

    def derivative(self, p: Poly) -> Poly:
        """Return the derivative of a polynomial over the tower."""
        k = self.height
        return [self.multiply(self.constant(i, k), c, k) for i, c in enumerate(p)][1:]

    def roots(self, p: Poly) -> list[Any]:
        """Return all roots of a squarefree polynomial to many digits."""
        with mpmath.workdps(DIGITS + 20):
            coefficients = [self.number(c) for c in reversed(self.trimmed(p, self.height))]
            if len(coefficients) < 2:
                return []
            return list(mpmath.polyroots(coefficients, maxsteps=1000, extraprec=400))
