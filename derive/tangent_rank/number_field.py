"""Exact real numbers as polynomials in one algebraic number, and their images modulo a prime.

Stage: below the rings. All irrational radicals of a point generate one field K = Q(alpha); a number
of K is a polynomial in alpha with rational coefficients. A prime modulo which the minimal
polynomial of alpha has a simple root gives a ring homomorphism from the numbers of K with
denominators prime to p, so ranks modulo p never exceed ranks over K. Numbers that are not known to
be algebraic (pi, exp(1), log(2)) become named constants that no homomorphism needs to know.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flint import fmpq, fmpq_poly, nmod_poly
from sympy import Expr, Poly, Pow, Rational, Symbol, exp, pi, preorder_traversal, prevprime, sqrt
from sympy.ntheory import primitive_root
from sympy.polys.numberfields import primitive_element

from derive.errors import NotSupportedError, RangeError
from derive.exact import exact_number

LARGEST_DEGREE = 24
Coordinates = dict[tuple[tuple[Expr, int], ...], Any]
"""Monomials in named constants, each a sorted tuple of pairs (constant, exponent), to K."""


@dataclass(frozen=True, eq=False)
class NumberField:
    """K = Q(alpha), with the radicals that generate it as polynomials in alpha.

    Attributes:
        modulus: minimal polynomial of alpha; of degree one for K = Q.
        radicals: each radical as a polynomial in alpha.
    """

    modulus: Any
    radicals: dict[Expr, Any]

    @property
    def degree(self) -> int:
        """Dimension of K over the rationals."""
        return int(self.modulus.degree())

    def read(self, number: Any) -> Coordinates:
        """Return a number as a polynomial in named constants with coefficients in K.

        Raises:
            NotSupportedError: for a quotient by a named constant or an unknown number.
            RangeError: for a number that is not finite and real.
        """
        if number.is_Rational:
            value = fmpq_poly([fmpq(int(number.p), int(number.q))])
            return {(): value} if value else {}
        if number.is_Float:
            return self.read(exact_number(float(number)))
        if number in self.radicals:
            return {(): self.radicals[number]}
        if number.is_Add:
            return self._sum([self.read(a) for a in number.args])
        if number.is_Mul:
            return self._product([self.read(a) for a in number.args])
        if number.is_Pow and number.exp.is_Integer:
            return self._power(number)
        return self._named(number)

    def _named(self, number: Any) -> Coordinates:
        if not number.is_real or not number.is_finite:
            raise RangeError(f"the number {number}", "not finite and real", "give a real number")
        if number == pi or (number.is_Pow and number.base == pi and (2 * number.exp).is_Integer):
            power = 2 if number == pi else int(2 * number.exp)
            return {((sqrt(pi), power),): fmpq_poly([1])}
        if isinstance(number, exp) and number.args[0].is_Rational:
            power = number.args[0]
            return {((exp(Rational(1, power.q)), int(power.p)),): fmpq_poly([1])}
        if number.is_algebraic:
            raise NotSupportedError(
                f"the number {number}",
                "only radicals of rational numbers generate the field",
                "use method='balls'",
            )
        return {((number, 1),): fmpq_poly([1])}

    def _sum(self, parts: list[Coordinates]) -> Coordinates:
        out: Coordinates = {}
        for part in parts:
            for monomial, value in part.items():
                out[monomial] = out.get(monomial, fmpq_poly()) + value
        return {m: v for m, v in out.items() if v}

    def _product(self, parts: list[Coordinates]) -> Coordinates:
        total = parts[0]
        for part in parts[1:]:
            terms = [
                {_joined(m, n): (a * b) % self.modulus}
                for m, a in total.items()
                for n, b in part.items()
            ]
            total = self._sum(terms)
        return total

    def _power(self, number: Any) -> Coordinates:
        base, exponent = self.read(number.base), int(number.exp)
        if exponent > 0:
            return self._product([base] * exponent)
        if len(base) != 1:
            raise NotSupportedError(
                f"the number {number}", "a quotient by a sum of constants", "give it as a constant"
            )
        ((monomial, value),) = base.items()
        divisor, inverse, _ = value.xgcd(self.modulus)
        inverse = inverse / divisor.coeffs()[0]
        inverted = {tuple((s, -e) for s, e in monomial): inverse % self.modulus}
        return self._product([inverted] * -exponent)


def _joined(a: tuple[tuple[Expr, int], ...], b: tuple[tuple[Expr, int], ...]) -> Any:
    exponents = dict(a)
    for symbol, exponent in b:
        exponents[symbol] = exponents.get(symbol, 0) + exponent
    return tuple(sorted(((s, e) for s, e in exponents.items() if e), key=lambda t: str(t[0])))


def number_field(numbers: Iterable[Expr]) -> NumberField:
    """Return a field that holds the algebraic irrationalities of some numbers.

    Raises:
        NotSupportedError: if its degree exceeds ``LARGEST_DEGREE``.

    Example:
        >>> from sympy import sqrt
        >>> number_field([sqrt(2) + 1, sqrt(3)]).degree
        4
    """
    radicals: dict[Any, None] = {}
    for number in numbers:
        if not number.is_Rational:
            found = (a for a in preorder_traversal(number) if _is_radical(a))
            radicals.update(dict.fromkeys(found))
    names = list(radicals)
    if not names:
        return NumberField(fmpq_poly([0, 1]), {})
    x = Symbol("x")
    minimal, _, images = primitive_element(names, x, ex=True)
    modulus = _polynomial(Poly(minimal, x).all_coeffs())
    if modulus.degree() > LARGEST_DEGREE:
        raise NotSupportedError(
            f"a point with {len(names)} radicals",
            f"they generate a field of degree {modulus.degree()}",
            f"use radicals of a field of degree {LARGEST_DEGREE} or less",
        )
    return NumberField(modulus, {n: _polynomial(c) for n, c in zip(names, images, strict=True)})


def _is_radical(number: Any) -> bool:
    if isinstance(number, Pow) and number.exp.is_Rational and not number.exp.is_Integer:
        return bool(number.base.is_Rational)
    return False


def _polynomial(coefficients: Iterable[Any]) -> Any:
    """Return a polynomial from coefficients, highest first."""
    exact = [Rational(c) for c in coefficients]
    return fmpq_poly([fmpq(int(c.p), int(c.q)) for c in reversed(exact)])


@dataclass(frozen=True)
class Prime:
    """A prime with the images that a homomorphism needs.

    Attributes:
        p: the prime, congruent to 1 modulo 4.
        generator: a primitive root.
        i: a square root of -1.
        alpha: a simple root of the minimal polynomial.
    """

    p: int
    generator: int
    i: int
    alpha: int

    def rational(self, value: Any) -> int:
        """Return the image of a rational number; its denominator is prime to p.

        Raises:
            ZeroDivisionError: if p divides the denominator.
        """
        bottom = int(value.q) % self.p
        if bottom == 0:
            raise ZeroDivisionError
        return int(value.p) * pow(bottom, -1, self.p) % self.p

    def image(self, value: Any) -> int:
        """Return the image of a polynomial in alpha."""
        total = 0
        for c in reversed(value.coeffs()):
            total = (total * self.alpha + self.rational(c)) % self.p
        return total


def primes(field: NumberField, count: int, below: int = 2**31) -> list[Prime]:
    """Return primes that suit a field, largest first below a bound.

    Example:
        >>> [prime.p % 4 for prime in primes(number_field([]), 2)]
        [1, 1]
    """
    found: list[Prime] = []
    p = below
    while len(found) < count:
        p = int(prevprime(p))
        if p % 4 != 1:
            continue
        root = _simple_root(field.modulus, p)
        if root is not None:
            generator = _primitive_root(p)
            found.append(Prime(p, generator, pow(generator, (p - 1) // 4, p), root))
    return found


@lru_cache(maxsize=256)
def _primitive_root(p: int) -> int:
    return int(primitive_root(p))


def _simple_root(modulus: Any, p: int) -> int | None:
    if modulus.degree() == 1:
        return 0
    if int(modulus.denom()) % p == 0:
        return None
    image = nmod_poly([int(c.p) * pow(int(c.q), -1, p) % p for c in modulus.coeffs()], p)
    for factor, multiplicity in image.factor()[1]:
        if factor.degree() == 1 and multiplicity == 1:
            return -int(factor[0]) * pow(int(factor[1]), -1, p) % p
    return None
