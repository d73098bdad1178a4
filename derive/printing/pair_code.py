"""Complex straight-line code printed as pairs of real numbers.

Stage: rational expressions with complex and real symbols in, lines of scalar Python out (the
subset that Numba compiles). A complex number is two names; real factors stay single, and common
subexpressions are computed once. Numba's own complex numbers are an order of magnitude slower.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sympy import Expr, Symbol

from derive.block import Line
from derive.errors import NotSupportedError
from derive.spectra.curve import PointSum

Pair = tuple[str, str]
"""Names of real and imaginary part; an empty second name says that the value is real."""
Kind = tuple[int, int]
"""Exponents k and p of a ``PointSum``."""


@dataclass
class PairPrinter:
    """Prints code line by line.

    Attributes:
        known: pairs by symbol.
        kinds: exponents of the point sums, which are summed together.
        lines: the code so far.
    """

    known: dict[Symbol, Pair]
    kinds: frozenset[Kind] = frozenset()
    lines: list[str] = field(default_factory=list)
    sums: dict[tuple[Expr, ...], str] = field(default_factory=dict)
    cache: dict[Expr, Pair] = field(default_factory=dict)

    def run(self, code: Iterable[Line]) -> None:
        """Print straight-line code."""
        for symbol, expr in code:
            self.known[symbol] = self.pair(expr)

    def pair(self, expr: Any) -> Pair:
        """Print an expression and return where its value is."""
        if expr.is_Symbol:
            return self.known[expr]
        if expr.is_Rational:
            return (_number(expr), "")
        if expr not in self.cache:
            self.cache[expr] = self._compound(expr)
        return self.cache[expr]

    def _compound(self, expr: Any) -> Pair:
        if expr.is_Add:
            return self._sum([self.pair(a) for a in expr.args])
        if expr.is_Mul:
            reals = [a for a in expr.args if not self.pair(a)[1]]
            others = [a for a in expr.args if self.pair(a)[1]]
            total = self.pair(reals[0]) if reals else self.pair(others.pop(0))
            for factor in (*reals[1:], *others):
                total = self._product(total, self.pair(factor))
            return total
        if expr.is_Pow and expr.exp.is_Integer:
            return self._power(self.pair(expr.base), int(expr.exp))
        if isinstance(expr, PointSum):
            return self._point_sum(expr)
        raise NotSupportedError("code for a curve", f"{expr} is not rational", "use rational laws")

    def name(self, text: str) -> str:
        """Give a name to a real value."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def _sum(self, pairs: list[Pair]) -> Pair:
        real = self.name(" + ".join(p[0] for p in pairs))
        parts = [p[1] for p in pairs if p[1]]
        return (real, self.name(" + ".join(parts)) if len(parts) > 1 else "".join(parts))

    def _product(self, a: Pair, b: Pair) -> Pair:
        if not a[1]:
            return (self.name(f"{a[0]} * {b[0]}"), self.name(f"{a[0]} * {b[1]}") if b[1] else "")
        if not b[1]:
            return self._product(b, a)
        real = self.name(f"{a[0]} * {b[0]} - {a[1]} * {b[1]}")
        return (real, self.name(f"{a[0]} * {b[1]} + {a[1]} * {b[0]}"))

    def _power(self, a: Pair, k: int) -> Pair:
        if k < 0:
            a = self._reciprocal(a)
        total = a
        for bit in bin(abs(k))[3:]:
            total = self._product(total, total)
            total = self._product(total, a) if bit == "1" else total
        return total

    def _reciprocal(self, a: Pair) -> Pair:
        if not a[1]:
            return (self.name(f"1.0 / {a[0]}"), "")
        scale = self.name(f"1.0 / ({a[0]} * {a[0]} + {a[1]} * {a[1]})")
        return (self.name(f"{a[0]} * {scale}"), self.name(f"-{a[1]} * {scale}"))

    def _point_sum(self, expr: Any) -> Pair:
        table, p, k, u = expr.args
        x = self.pair(u)
        if (table, u) not in self.sums:
            self.sums[table, u] = name = f"s{len(self.sums)}"
            parts = [f"{name}_{i}{j}" for i, j in sorted(self.kinds)]
            names = ", ".join(part + end for part in parts for end in "ri")
            call = f"{_sums_name(self.kinds)}({x[0]}, {x[1] or 0.0}, t{int(table)}, w{int(table)})"
            self.lines.append(f"{names} = {call}")
        name = f"{self.sums[table, u]}_{int(k)}{int(p)}"
        return (f"{name}r", f"{name}i")


def pair_function(
    name: str,
    arguments: tuple[str, ...],
    known: Mapping[Symbol, Pair],
    code: Iterable[Line],
    results: Iterable[Expr],
) -> str:
    """Return the text of a function that returns real and imaginary part of each result.

    Example:
        >>> u, p = Symbol("u"), Symbol("p", real=True)
        >>> args, known = ("a", "b", "c"), {u: ("a", "b"), p: ("c", "")}
        >>> print(pair_function("f", args, known, [], [p * u + 1]))
        def f(a, b, c):
            v0 = c * a
            v1 = c * b
            v2 = 1.0 + v0
            return v2, v1,
    """
    code, results = list(code), list(results)
    printer = PairPrinter(dict(known), kinds_of([*(e for _, e in code), *results]))
    printer.run(code)
    out = [part or "0.0" for pair in map(printer.pair, results) for part in pair]
    body = "\n".join(f"    {line}" for line in printer.lines)
    return f"def {name}({', '.join(arguments)}):\n{body}\n    return {', '.join(out)},"


def point_sums(kinds: Iterable[Kind]) -> str:
    """Return the text of a function that sums w a**p/(u - a)**k over points a, for every (k, p).

    What ``gathered`` collects for u from a tree lies in a scratch array after ``HEADER`` words, one
    quarter each: origins and offsets, which sum to a, weights w, and re - a, which ``apart`` fills
    in. One division serves all sums; the loop has no branches, so that it fills vector units.
    """
    kinds = sorted(kinds)
    lines = [f"def {_sums_name(kinds)}(re, im, tree, scratch):"]
    lines += ["    count = gathered(re, im, tree, scratch)"]
    lines += ["    quarter = (scratch.size - HEADER) // 4"]
    lines += ["    apart(re, scratch, count, quarter)"]
    lines += [f"    s{k}{p}{part} = 0.0" for k, p in kinds for part in "ri"]
    lines += ["    for i in range(HEADER, HEADER + count):"]
    lines += ["        a = scratch[i] + scratch[np.uint64(quarter + i)]"]
    lines += ["        w = scratch[np.uint64(2 * quarter + i)]"]
    lines += ["        d = scratch[np.uint64(3 * quarter + i)]"]
    lines += ["        scale = 1.0 / (d * d + im * im)"]
    lines += ["        q1r = d * scale", "        q1i = -im * scale"]
    for k in range(2, max(k for k, _ in kinds) + 1):
        lines.append(f"        q{k}r = q{k - 1}r * q1r - q{k - 1}i * q1i")
        lines.append(f"        q{k}i = q{k - 1}r * q1i + q{k - 1}i * q1r")
    for k, p in kinds:
        factor = "w * " + "a * " * p
        lines += [f"        s{k}{p}{part} += {factor}q{k}{part}" for part in "ri"]
    parts = [f"s{k}{p}{part}" for k, p in kinds for part in "ri"]
    return "\n".join([*lines, f"    return ({', '.join(parts)})"])


def kinds_of(exprs: Iterable[Expr]) -> frozenset[Kind]:
    """Return which (k, p) of ``PointSum`` occur."""
    found: set[Any] = set()
    for expr in exprs:
        found |= expr.atoms(PointSum)
    return frozenset((int(e.args[2]), int(e.args[1])) for e in found)


def _sums_name(kinds: Iterable[Kind]) -> str:
    return "_".join(["point_sums", *(f"{k}{p}" for k, p in sorted(kinds))])


def _number(value: Any) -> str:
    return repr(int(value.p) / int(value.q))
