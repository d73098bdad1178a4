r"""Formal polynomials: values of a tape in terms of inputs and values of functions, kept exact.

Stage: a ring for ``tape``. A value is a polynomial with rational coefficients in *atoms*: inputs,
named constants, values of functions at canonical arguments, and sums too long to multiply out.
Two formal values that are equal are equal functions; the converse need not hold, so a rank of
formal values bounds the rank of the functions from above, and their linear relations are proved.

Canonical forms: tanh and erf are odd, softplus(-y) = softplus(y) - y, exp is a product of powers
E[m]^c over the terms c m of its argument, and sin and cos keep no constant in their arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Any

from flint import fmpq
from sympy import Expr, Symbol

from derive.errors import RangeError
from derive.tangent_rank.number_field import NumberField
from derive.tangent_rank.tape import Tape

Monomial = tuple[tuple[int, Any], ...]
Poly = dict[Monomial, Any]
ONE: Monomial = ()
_LONGEST_EXPONENT = 100
_ODD = frozenset({"tanh", "erf", "sin", "atan", "asinh"})


@dataclass(frozen=True)
class Atom:
    """One letter of formal polynomials.

    Attributes:
        kind: input, number, symbol, function, exponential or sum.
        data: index, constant, symbol, name, monomial.
        argument: for functions and sums, the formal polynomial inside, as sorted items.
        constant: whether it holds no input.
    """

    kind: str
    data: Any
    argument: tuple[Any, ...] = ()
    constant: bool = False


@dataclass(frozen=True)
class Seen:
    """How a function node was read: value = sign * atom (+ correction), atom -1 for no atom."""

    name: str
    argument: Poly
    atom: int = -1
    sign: int = 1


class FormalRing:
    """Evaluates tapes to formal polynomials.

    Attributes:
        atoms: all letters, by index.
        seen: how each function node was read.

    Args:
        tape: the family.
        field: holds all irrational numbers.
        values: a SymPy expression for each parameter; its free symbols are constants.
        largest: most terms of a product that is multiplied out.
    """

    def __init__(
        self,
        tape: Tape,
        field: NumberField,
        values: Sequence[Expr],
        largest: int = 4000,
    ) -> None:
        self.tape = tape
        self.field = field
        self.values = values
        self.largest = largest
        self.atoms: list[Atom] = []
        self.seen: dict[int, Seen] = {}
        self._index: dict[Atom, int] = {}
        self._rules: dict[int, tuple[int, Poly]] = {}
        self._alpha = -1
        if field.degree > 1:
            self._alpha = self.atom(Atom("number", "alpha", constant=True))
            low = {self._alpha_power(k): -fmpq(c) for k, c in enumerate(field.modulus.coeffs())}
            low.pop(self._alpha_power(field.degree))
            self._rules[self._alpha] = (field.degree, {m: c for m, c in low.items() if c})

    @property
    def alpha(self) -> int:
        """Atom of the generator of the field, -1 over the rationals."""
        return self._alpha

    def _alpha_power(self, k: int) -> Monomial:
        return ((self._alpha, k),) if k else ONE

    def atom(self, atom: Atom) -> int:
        """Return the index of an atom."""
        found = self._index.get(atom)
        if found is None:
            found = self._index[atom] = len(self.atoms)
            self.atoms.append(atom)
        return found

    def letter(self, atom: Atom) -> Poly:
        """Return an atom as a polynomial."""
        return {((self.atom(atom), 1),): fmpq(1)}

    def is_constant(self, monomial: Monomial) -> bool:
        """Return whether a monomial holds no input."""
        return all(self.atoms[a].constant for a, _ in monomial)

    def parts(self, value: Poly) -> tuple[Poly, Poly]:
        """Return the part that depends on inputs and the constant part."""
        moving = {m: c for m, c in value.items() if not self.is_constant(m)}
        return moving, {m: c for m, c in value.items() if m not in moving}

    # --- the ring ---------------------------------------------------------------------------------

    def constant(self, number: Expr) -> Poly:
        """Return an exact number."""
        total: Poly = {}
        for named, value in self.field.read(number).items():
            monomial = tuple(
                sorted((self.atom(Atom("number", s, constant=True)), e) for s, e in named)
            )
            for k, c in enumerate(value.coeffs()):
                if c:
                    key = multiplied(monomial, self._alpha_power(k))
                    total[key] = total.get(key, fmpq(0)) + c
        return total

    def parameter(self, index: int) -> Poly:
        """Return the value of a parameter at the point."""
        return self._expression(self.values[index])

    def _expression(self, expr: Any) -> Poly:
        if not expr.free_symbols:
            return self.constant(expr)
        if isinstance(expr, Symbol):
            return self.letter(Atom("symbol", expr, constant=True))
        if expr.is_Add:
            return self.add([self._expression(a) for a in expr.args])
        if expr.is_Mul:
            total = self._expression(expr.args[0])
            for factor in expr.args[1:]:
                total = self.multiply(total, self._expression(factor))
            return total
        if expr.is_Pow and expr.exp.is_Integer:
            return self.power(self._expression(expr.base), int(expr.exp))
        raise RangeError(
            f"the value {expr}", "not a rational function of symbols", "name it by one symbol"
        )

    def input(self, index: int) -> Poly:
        """Return an input."""
        return self.letter(Atom("input", index))

    def add(self, values: Sequence[Poly]) -> Poly:
        """Return a sum."""
        total = dict(values[0])
        for value in values[1:]:
            for monomial, c in value.items():
                new = total.get(monomial, 0) + c
                if new:
                    total[monomial] = new
                else:
                    total.pop(monomial, None)
        return total

    def multiply(self, a: Poly, b: Poly) -> Poly:
        """Return a product, multiplied out unless it is too long."""
        if not a or not b:
            return {}
        if len(a) > 1 and len(b) > 1 and len(a) * len(b) > self.largest:
            a, b = self._wrapped(a), self._wrapped(b)
        total: Poly = {}
        for m, c in a.items():
            for n, d in b.items():
                key = multiplied(m, n)
                total[key] = total.get(key, 0) + c * d
        return self._reduced({m: c for m, c in total.items() if c})

    def _wrapped(self, value: Poly) -> Poly:
        """Return a sum as one letter, scaled so that its first coefficient is one."""
        items = sorted(value.items(), key=lambda item: _order(item[0]))
        lead = items[0][1]
        inside = tuple((m, c / lead) for m, c in items)
        constant = all(self.is_constant(m) for m in value)
        return {((self.atom(Atom("sum", "", inside, constant)), 1),): lead}

    def _reduced(self, value: Poly) -> Poly:
        """Apply alpha^n = lower terms and sin^2 = 1 - cos^2 until they no longer apply."""
        if not self._rules:
            return value
        for m, c in value.items():
            for a, e in m:
                rule = self._rules.get(a)
                if rule is not None and e >= rule[0]:
                    rest = multiplied(m, ((a, -rule[0]),))
                    others = {n: d for n, d in value.items() if n != m}
                    return self.add([others, self.multiply({rest: c}, rule[1])])
        return value

    def power(self, a: Poly, n: int) -> Poly:
        """Return an integer power."""
        if n == 0:
            return {ONE: fmpq(1)}
        if not a and n < 0:
            raise RangeError("a family at a point", "it divides by zero there", "move the point")
        if len(a) > 1 and (n < 0 or comb(len(a) + n - 1, n) > self.largest):
            a = self._wrapped(a)
        if len(a) == 1:
            ((m, c),) = a.items()
            base = {tuple((x, e * n) for x, e in m): c**n}
            return self._reduced(base)
        total = a
        for _ in range(n - 1):
            total = self.multiply(total, a)
        return total

    def select(self, test: Poly, yes: Poly, no: Poly) -> Poly:
        """Refuse: a branch is no polynomial."""
        raise RangeError("formal values of a family with kinks", "not analytic", "use regions")

    # --- functions --------------------------------------------------------------------------------

    def function(self, index: int, name: str, argument: Poly) -> Poly:
        """Return a function of a formal value in canonical form."""
        value, atom, sign = self.applied(name, argument)
        self.seen[index] = Seen(name, argument, atom, sign)
        return value

    def applied(self, name: str, argument: Poly) -> tuple[Poly, int, int]:
        """Return the value, its atom or -1, and the sign of the argument that was taken out."""
        if name == "exp":
            return self.exponential(argument), -1, 1
        if name in {"sin", "cos"}:
            return self._circular(name, argument), -1, 1
        if not argument and name in _ODD:
            return {}, -1, 1
        sign = -1 if argument and self._leads_negative(argument) else 1
        even = name not in _ODD and name != "softplus"
        inside = argument if even or sign > 0 else negated(argument)
        constant = all(self.is_constant(m) for m in inside)
        data = tuple(sorted(inside.items(), key=lambda item: _order(item[0])))
        value = self.letter(Atom("function", name, data, constant))
        ((((atom, _),), _),) = value.items()
        if even or sign > 0:
            return value, atom, 1
        if name == "softplus":
            return self.add([value, argument]), atom, -1
        return negated(value), atom, -1

    @staticmethod
    def _leads_negative(argument: Poly) -> bool:
        return bool(argument[min(argument, key=_order)] < 0)

    def exponential(self, argument: Poly) -> Poly:
        """Return exp of a formal value as a product of powers of letters E[m]."""
        total: Poly = {ONE: fmpq(1)}
        if len(argument) > _LONGEST_EXPONENT:
            argument = self._wrapped(argument)
        letters: list[tuple[int, Any]] = []
        for monomial, c in argument.items():
            only = self.atoms[monomial[0][0]] if len(monomial) == 1 else None
            if only is not None and only.data == "softplus" and monomial[0][1] == 1 and c.q == 1:
                inner = self.add([{ONE: fmpq(1)}, self.exponential(dict(only.argument))])
                total = self.multiply(total, self.power(inner, int(c)))
                continue
            letter = Atom("exponential", monomial, constant=self.is_constant(monomial))
            letters.append((self.atom(letter), _plain(Fraction(int(c.p), int(c.q)))))
        return self.multiply(total, {tuple(sorted(letters)): fmpq(1)})

    def _circular(self, name: str, argument: Poly) -> Poly:
        """Return sin or cos, the constant part split off by the addition theorem."""
        moving, fixed = self.parts(argument)
        if moving and fixed:
            (s, c), (s0, c0) = self._pair(moving), self._pair(fixed)
            if name == "sin":
                return self.add([self.multiply(s, c0), self.multiply(c, s0)])
            return self.add([self.multiply(c, c0), negated(self.multiply(s, s0))])
        return self._pair(argument)[name == "cos"]

    def _pair(self, argument: Poly) -> tuple[Poly, Poly]:
        """Return (sin, cos) of an argument."""
        if not argument:
            return {}, {ONE: fmpq(1)}
        sign = -1 if self._leads_negative(argument) else 1
        inside = argument if sign > 0 else negated(argument)
        constant = all(self.is_constant(m) for m in inside)
        data = tuple(sorted(inside.items(), key=lambda item: _order(item[0])))
        sine = self.letter(Atom("function", "sin", data, constant))
        cosine = self.letter(Atom("function", "cos", data, constant))
        ((((atom, _),), _),) = sine.items()
        ((((other, _),), _),) = cosine.items()
        self._rules.setdefault(atom, (2, {ONE: fmpq(1), ((other, 2),): fmpq(-1)}))
        return (sine if sign > 0 else negated(sine)), cosine


def negated(value: Mapping[Monomial, Any]) -> Poly:
    """Return minus a formal polynomial."""
    return {m: -c for m, c in value.items()}


def multiplied(a: Monomial, b: Monomial) -> Monomial:
    """Return the product of two monomials."""
    if not a or not b:
        return a or b
    exponents = dict(a)
    for letter, exponent in b:
        exponents[letter] = exponents.get(letter, 0) + exponent
    return tuple(sorted((letter, e) for letter, e in exponents.items() if e))


def _order(monomial: Monomial) -> tuple[Any, ...]:
    """Return a key that puts short monomials first and constants last."""
    return (not monomial, len(monomial), monomial)


def _plain(exponent: Fraction) -> Any:
    return int(exponent) if exponent.denominator == 1 else exponent
