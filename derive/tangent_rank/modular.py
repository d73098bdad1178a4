r"""Tangent functions as residues modulo a prime, at random values of their free symbols.

Stage: a tape and its plan in, ranks and certificates out. Inputs and basis exponentials are drawn
at random from the prime field; everything else follows by ring operations. The matrix of tangent
functions at these values is the image, under a ring homomorphism, of their values at a point of the
variety on which they are algebraically independent. A minor that does not vanish modulo p does not
vanish there, so the rank of the matrix never exceeds the rank of the functions; a random point
misses it with probability about degree/p.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flint import nmod_mat
from sympy import Expr

from derive.tangent_rank.exponentials import Exponential, Plan
from derive.tangent_rank.formal import FormalRing, Monomial, Poly
from derive.tangent_rank.number_field import Prime
from derive.tangent_rank.tape import Tape, columns, forward

BLOCK = 64
"""Points that are evaluated together; long enough for speed, short enough for memory."""
SPARE = 8
"""Points beyond the number of parameters."""
_MOST_REFUSED = 20
Residue = int | list[int]


class ModularRing:
    """Evaluates a tape at ``size`` random points modulo a prime.

    A value is an int where it is the same at all points, else a list.

    Args:
        formal: the formal pass of the same tape, which knows how functions were read.
        plan: which exponentials are free.
        prime: the field.
        size: number of points.
        rng: source of the values.
        fixed: values of constants, shared by all blocks of one prime.
    """

    def __init__(
        self,
        formal: FormalRing,
        plan: Plan,
        prime: Prime,
        size: int,
        rng: random.Random,
        fixed: dict[Any, int],
    ) -> None:
        self.formal, self.plan, self.prime, self.p = formal, plan, prime, prime.p
        self.size, self.rng, self.fixed = size, rng, fixed
        self._inputs = [self._draw() for _ in formal.tape.inputs]
        self._atoms: dict[int, Residue] = {}
        self._logs: dict[int, list[int]] = {}
        self._free: dict[int, list[int]] = {}
        self._values: dict[int, Residue] = {}

    def _draw(self) -> list[int]:
        return [self.rng.randrange(1, self.p) for _ in range(self.size)]

    def _constant(self, key: Any) -> int:
        if key not in self.fixed:
            self.fixed[key] = self.rng.randrange(1, self.p)
        return self.fixed[key]

    # --- the ring ---------------------------------------------------------------------------------

    def constant(self, number: Expr) -> int:
        """Return the image of a number; named constants are random."""
        total = 0
        for monomial, value in self.formal.field.read(number).items():
            term = self.prime.image(value)
            for name, exponent in monomial:
                term = term * pow(self._constant(name), exponent, self.p) % self.p
            total += term
        return total % self.p

    def parameter(self, index: int) -> int:
        """Return the image of a parameter's value."""
        return self.constant(self.formal.values[index])

    def input(self, index: int) -> list[int]:
        """Return random values of an input."""
        return self._inputs[index]

    def add(self, values: Sequence[Residue]) -> Residue:
        """Return a sum."""
        p = self.p
        lists = [v for v in values if not isinstance(v, int)]
        base = sum(v for v in values if isinstance(v, int)) % p
        if not lists:
            return base
        if len(lists) == 1:
            return [(base + x) % p for x in lists[0]] if base else lists[0]
        return [(base + sum(row)) % p for row in zip(*lists, strict=True)]

    def multiply(self, a: Residue, b: Residue) -> Residue:
        """Return a product."""
        p = self.p
        if isinstance(a, int):
            if isinstance(b, int):
                return a * b % p
            return 0 if a == 0 else b if a == 1 else [a * y % p for y in b]
        if isinstance(b, int):
            return self.multiply(b, a)
        return [x * y % p for x, y in zip(a, b, strict=True)]

    def power(self, a: Residue, n: int) -> Residue:
        """Return an integer power.

        Raises:
            ZeroDivisionError: if a point has no such power.
        """
        p = self.p
        if n == 0:
            return 1
        if isinstance(a, int):
            return self._power(a, n)
        if n == 2:
            return [x * x % p for x in a]
        return [self._power(x, n) for x in a]

    def _power(self, x: int, n: int) -> int:
        if n < 0 and x == 0:
            raise ZeroDivisionError
        return pow(x, n, self.p)

    def select(self, test: Residue, yes: Residue, no: Residue) -> Residue:
        """Never reached: families with kinks go through regions."""
        raise NotImplementedError

    # --- functions --------------------------------------------------------------------------------

    def function(self, index: int, name: str, argument: Residue) -> Residue:
        """Return a function from the free symbols of the plan."""
        known = self._function(index, name, argument)
        self._values[index] = known
        return known

    def _function(self, index: int, name: str, argument: Residue) -> Residue:
        if index in self.plan.exponentials:
            return self._rational(name, self.exponential(self.plan.exponentials[index]))
        seen = self.formal.seen[index]
        if seen.atom < 0:
            return 0
        value = self._atom(seen.atom)
        if seen.sign > 0:
            return value
        if name == "softplus":
            return self.add([value, argument])
        return self.multiply(self.p - 1, value)

    def _atom(self, atom: int) -> Residue:
        if self.formal.atoms[atom].constant:
            return self._constant(("atom", atom))
        if atom not in self._atoms:
            self._atoms[atom] = self._draw()
        return self._atoms[atom]

    def _rational(self, name: str, z: Residue) -> Residue:
        """Return tanh, sin or cos from an exponential."""
        if name == "exp":
            return z
        if name == "tanh":
            return self.multiply(self.add([z, self.p - 1]), self.power(self.add([z, 1]), -1))
        half = pow(2, -1, self.p)
        inverse = self.power(z, -1)
        if name == "cos":
            return self.multiply(half, self.add([z, inverse]))
        factor = half * pow(self.prime.i, -1, self.p) % self.p
        return self.multiply(factor, self.add([z, self.multiply(self.p - 1, inverse)]))

    def exponential(self, spec: Exponential) -> Residue:
        """Return exp(y) from its integer exponents, through logarithms to a primitive root."""
        if spec.alone:
            (symbol,) = spec.powers
            if symbol not in self._free:
                self._free[symbol] = self._draw()
            return self._free[symbol]
        p, order = self.p, self.p - 1
        base = sum(n * self._constant(("log", b)) for b, n in spec.constants.items()) % order
        lists = [(n, self._log(k)) for k, n in spec.powers.items()]
        if lists:
            logs = [
                base + sum(row)
                for row in zip(*([n * a for a in log] for n, log in lists), strict=True)
            ]
            value: Residue = [pow(self.prime.generator, e % order, p) for e in logs]
        else:
            value = pow(self.prime.generator, base, p)
        for atom, n in spec.values.items():
            inside = self.add([1, self.exponential(self.plan.inside[atom])])
            value = self.multiply(value, self.power(inside, n))
        return value

    def _log(self, symbol: int) -> list[int]:
        if symbol not in self._logs:
            self._logs[symbol] = [self.rng.randrange(self.p - 1) for _ in range(self.size)]
        return self._logs[symbol]

    def monomial(self, monomial: Monomial) -> Residue:
        """Return a formal monomial, from values that the forward pass has left behind."""
        total: Residue = 1
        for atom, exponent in monomial:
            total = self.multiply(total, self.power(self._letter(atom), int(exponent)))
        return total

    def _letter(self, index: int) -> Residue:
        atom = self.formal.atoms[index]
        if atom.kind == "input":
            return self._inputs[atom.data]
        if atom.kind == "number":
            return self.prime.alpha if atom.data == "alpha" else self._constant(atom.data)
        if atom.kind == "sum":
            return self.polynomial(dict(atom.argument))
        for node, seen in self.formal.seen.items():
            if seen.atom == index:
                value = self._values[node]
                if seen.name == "softplus":
                    return self._atom(index)
                return value if seen.sign > 0 else self.multiply(self.p - 1, value)
        raise ZeroDivisionError  # an atom that no node shows; the caller gives up

    def polynomial(self, value: Poly) -> Residue:
        """Return a formal polynomial."""
        parts = [self.multiply(self.prime.rational(c), self.monomial(m)) for m, c in value.items()]
        return self.add(parts or [0])


@dataclass(frozen=True)
class Certificate:
    """A minor of the tangent matrix that does not vanish modulo a prime.

    Attributes:
        prime: the prime.
        seed: seed of the points; the same seed gives the same matrix.
        points: numbers of the points in the minor.
        parameters: numbers of the parameters in the minor.
        determinant: the minor modulo the prime, not zero.
    """

    prime: int
    seed: int
    points: tuple[int, ...]
    parameters: tuple[int, ...]
    determinant: int


def tangent_matrix(
    tape: Tape, formal: FormalRing, plan: Plan, prime: Prime, *, points: int, seed: int
) -> list[list[int]]:
    """Return tangent functions at random points modulo a prime, one row a parameter.

    Raises:
        ZeroDivisionError: if the prime divides a denominator of the point.
    """
    rng = random.Random(f"{seed}/{prime.p}")
    fixed: dict[Any, int] = {}
    rows: list[list[int]] = [[] for _ in tape.parameters]
    done = refused = 0
    while done < points:
        size = min(BLOCK, points - done)
        ring = ModularRing(formal, plan, prime, size, rng, fixed)
        try:
            gradient = columns(tape, ring, forward(tape, ring))
        except ZeroDivisionError:
            refused += 1
            if refused > _MOST_REFUSED:
                raise
            continue
        for row, value in zip(rows, gradient, strict=True):
            row.extend([value or 0] * size if value is None or isinstance(value, int) else value)
        done += size
    return rows


def independent(tape: Tape, formal: FormalRing, plan: Plan, prime: Prime) -> bool:
    """Return whether the functions that the plan leaves open are proved independent with 1."""
    count = len(plan.monomials) + 1
    if count == 1:
        return True
    rng = random.Random(prime.p)
    fixed: dict[Any, int] = {}
    entries: list[list[int]] = [[] for _ in range(count)]
    try:  # also a prime that divides a denominator ends here
        while len(entries[0]) < count + SPARE:
            ring = ModularRing(formal, plan, prime, BLOCK, rng, fixed)
            forward(tape, ring)
            entries[0] += [1] * BLOCK
            for row, monomial in zip(entries[1:], plan.monomials, strict=True):
                value = ring.monomial(monomial)
                row.extend([value] * BLOCK if isinstance(value, int) else value)
    except ZeroDivisionError:
        return False
    width = len(entries[0])
    table = nmod_mat(count, width, [x for row in entries for x in row], prime.p)
    return bool(table.rank() == count)


def certificate(rows: Sequence[Sequence[int]], prime: int, seed: int) -> Certificate:
    """Return a minor of full rank; its size is the rank modulo the prime."""
    count, width = len(rows), len(rows[0])
    by_point = nmod_mat(width, count, [row[i] for i in range(width) for row in rows], prime)
    chosen = pivots(by_point)
    if not chosen:
        return Certificate(prime, seed, (), (), 1)
    kept = nmod_mat(len(chosen), width, [x for j in chosen for x in rows[j]], prime)
    points = pivots(kept)
    minor = nmod_mat(len(chosen), len(chosen), [rows[j][i] for j in chosen for i in points], prime)
    return Certificate(prime, seed, tuple(points), tuple(chosen), int(minor.det()))


def pivots(table: Any) -> list[int]:
    """Return the pivot columns of a matrix modulo a prime."""
    reduced, rank = table.rref()
    found: list[int] = []
    column = 0
    for i in range(rank):
        while int(reduced[i, column]) == 0:
            column += 1
        found.append(column)
        column += 1
    return found
