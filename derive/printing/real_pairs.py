"""Complex equations as real ones: every quantity becomes its real and its imaginary part.

Stage: between coupled equations and their programs. The equations are rational in their controls,
so they hold off the real axis as they stand; written in pairs they need no complex arithmetic, and
Jacobians and rounding bounds are those of real code.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Add, Expr, I, Integer, Mul, Pow, Symbol

from derive.block import Line, fresh
from derive.coupled import PathEquations
from derive.errors import NotSupportedError, UnknownNameError
from derive.symbols import Quantity
from derive.system import Equation

Pair = tuple[Expr, Expr]


def real_pairs(
    equations: PathEquations, complex_controls: Sequence[str]
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """Split coupled equations into real and imaginary parts.

    Args:
        equations: rational equations with a path.
        complex_controls: names of the controls that leave the real axis.

    Returns:
        The new unknowns, equations, definitions, outputs and start by attribute name, and the
        groups: each complex control with the names of its parts.

    Raises:
        UnknownNameError: for a control that does not exist.
        NotSupportedError: for an expression that is not rational in complex quantities.
    """
    controls = {q.name: q for q in equations.controls}
    for name in complex_controls:
        if name not in controls:
            found = f"the controls are {', '.join(controls)}"
            raise UnknownNameError(f"control {name!r}", found, "use one of them")
    parts: dict[Symbol, Pair] = {controls[n]: _parts(controls[n]) for n in complex_controls}
    start = [_Splitter(dict(parts), None).split(e) for e in equations.start]
    parts |= {u: _parts(u) for u in equations.unknowns}
    splitter = _Splitter(parts, [])
    for symbol, expr in equations.definitions:
        splitter.define(symbol, expr)
    sides = [splitter.split(e.rhs) for e in equations.equations]
    outputs = {name: splitter.split(e) for name, e in equations.outputs.items()}
    left = [parts[u] for u in equations.unknowns]
    new = {
        "unknowns": tuple(part for pair in left for part in pair),
        "equations": tuple(
            Equation(x, e)
            for pair, side in zip(left, sides, strict=True)
            for x, e in zip(pair, side, strict=True)
        ),
        "definitions": tuple(splitter.lines or ()),
        "outputs": {
            f"{name}_{tag}": e
            for name, pair in outputs.items()
            for tag, e in zip(("re", "im"), pair, strict=True)
        },
        "start": tuple(part for pair in start for part in pair),
    }
    return new, {n: (f"{n}_re", f"{n}_im") for n in complex_controls}


def _parts(quantity: Quantity) -> tuple[Quantity, Quantity]:
    name, meaning = quantity.name, quantity.meaning or quantity.name
    return (
        Quantity(f"{name}_re", f"real part of {meaning}"),
        Quantity(f"{name}_im", f"imaginary part of {meaning}"),
    )


class _Splitter:
    """Splits expressions; intermediate pairs become lines, unless ``lines`` is None."""

    def __init__(self, parts: Mapping[Symbol, Pair], lines: list[Line] | None) -> None:
        self.parts = dict(parts)
        self.lines = lines
        self._powers: dict[Expr, Pair] = {}

    def define(self, symbol: Symbol, expr: Expr) -> None:
        """Add a definition of the equations, as two lines or as one real line."""
        real, imaginary = self.split(expr)
        self.parts[symbol] = self._named((real, imaginary), symbol.name)

    def split(self, expr: Expr) -> Pair:
        """Return real and imaginary part."""
        if not expr.has(I) and not expr.free_symbols & self.parts.keys():
            return expr, Integer(0)
        if isinstance(expr, Symbol):
            return self.parts[expr]
        if expr == I:
            return Integer(0), Integer(1)
        if isinstance(expr, Add):
            pairs = [self.split(a) for a in expr.args]
            return Add(*(a for a, _ in pairs)), Add(*(b for _, b in pairs))
        if isinstance(expr, Mul):
            return self._product([self.split(a) for a in expr.args])
        if isinstance(expr, Pow) and expr.exp.is_Integer:
            return self._power(expr)
        raise NotSupportedError(
            f"real and imaginary part of {expr}",
            "it is not rational in complex quantities",
            "keep controls inside roots and functions real",
        )

    def _power(self, expr: Pow) -> Pair:
        if expr in self._powers:
            return self._powers[expr]
        exponent = int(expr.exp)
        pair = self._named(self.split(expr.base))
        if exponent < 0:
            real, imaginary = pair
            norm, _ = self._named((real**2 + imaginary**2, Integer(0)))
            pair = self._named((real / norm, -imaginary / norm))
        self._powers[expr] = self._product([pair] * abs(exponent))
        return self._powers[expr]

    def _product(self, pairs: Sequence[Pair]) -> Pair:
        real = Mul(*(a for a, b in pairs if b == 0))
        total: Pair | None = None
        for a, b in (self._named(pair) for pair in pairs if pair[1] != 0):
            if total is None:
                total = (a, b)
            else:
                c, d = total
                total = self._named((a * c - b * d, a * d + b * c))
        if total is None:
            return real, Integer(0)
        return real * total[0], real * total[1]

    def _named(self, pair: Pair, name: str = "") -> Pair:
        """Name the parts of a pair, so that nothing is written out twice."""
        if self.lines is None:
            return pair
        out = []
        for tag, part in zip(("re", "im"), pair, strict=True):
            if part.is_Symbol or part.is_Number:
                out.append(part)
                continue
            symbol = fresh(f"{name or f'pair_{len(self.lines)}'}_{tag}")
            self.lines.append((symbol, part))
            out.append(symbol)
        return out[0], out[1]
