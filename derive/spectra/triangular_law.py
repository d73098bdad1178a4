r"""The law behind a resolvent output of a triangular System: free sums and products take it.

Stage: a ``System`` (``derive.system``) in, a ``Law`` out. Everything in a triangular System is
rational in its first unknown u, so it is a curve already: where the output is the normalised trace
of (A + lam)^-1, the law of A has

.. math:: z(u) = -\mathrm{lam}(u), \qquad G(u) = -\mathrm{output}(u),

at any depth, without elimination. The curve starts where lam and 1/output grow together.

Branch: -G and those unknowns whose imaginary parts kept one sign at sampled points of the physical
branch are the upper functions. They exclude roots and prove none (``unique`` is false): mass and
moments (``numeric.spectrum``) judge the whole.
Bands are scanned for: a gap far narrower than the grid of ``numeric.support`` is refused where a
density is asked inside it, not resolved; ``spectrum(law, bands=...)`` takes edges known otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import mpmath
from sympy import Expr, Integer, Matrix, Poly, Rational, Symbol, oo, sympify

from derive.balls import enclose
from derive.block import Line, symbols_of
from derive.constant import Constant
from derive.eliminate import Fractions, generators
from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.exact import Number
from derive.spectra.curve import LARGE, Node, Sheet, evaluate, value_of
from derive.spectra.follow_curve import DIGITS, Walk
from derive.spectra.laurent import Laurent
from derive.spectra.law import Atom, Law
from derive.spectra.system_law import SAMPLES
from derive.symbols import Quantity
from derive.system import System

_SHRINK = 0.98
_FAR = 10**6
_SMALL = 1e-5
_TINY = 1e-12
_TERMS = 4
_P = (101, 103, 107, 109, 113, 127)


@dataclass(frozen=True)
class TriangularLaw(Law):
    """Law whose resolvent a triangular System holds, with numbers for all controls it rests on.

    Attributes:
        system: the equations.
        output: name of the normalised trace of (A + control)^-1.
        control: what is minus the spectral argument.
        values: exact values of the other controls and of the constants in use.
    """

    system: System = field(repr=False, hash=False)
    output: str
    control: Quantity
    values: tuple[tuple[Symbol, Expr], ...] = field(repr=False)

    @property
    def nonnegative(self) -> bool:
        """If the control may take every positive value: no -lam is in the support then."""
        return self.control.low == 0

    @property
    def bound(self) -> Expr:
        """The outermost critical values of z(u), met from infinity in steps of two per cent."""
        return self._edges

    def write(self, sheet: Sheet, large: Expr) -> Node:
        """Write the code of the System, the first unknown as parameter."""
        node, names = self._written(sheet, large)
        sheet.upper += [-node.g, *(s * n for s, n in zip(self._signs, names, strict=True) if s)]
        sheet.tower = sheet.unique = False
        return node

    def _written(self, sheet: Sheet, large: Expr | None) -> tuple[Node, list[Expr]]:
        """Return the node and the unknowns in use, as they are called on the sheet."""
        known = {s: sheet.parameter(v) for s, v in self.values}
        start = Integer(0) if large is None else self._start(sheet, known, large)
        known[self.system.unknowns[0]] = sheet.unknown(start)
        closing = self.system.equations[-1].rhs
        for symbol, expr in _code(self.system, self.output):
            known[symbol] = sheet.line("y", expr.xreplace(known))
        lam, m = closing.xreplace(known), self.system.outputs[self.output].xreplace(known)
        t = min((lam * m - 1, (lam * m - 1).expand()), key=lambda e: e.count_ops())
        names = [known[u] for u in self.system.unknowns if u in known]
        return sheet.node(-lam, -m, t), names

    def _start(self, sheet: Sheet, known: Mapping[Symbol, Expr], large: Expr) -> Expr:
        """Return the first unknown far out, ``c`` times the argument or its inverse."""
        power, rate = self._far
        c = rate.xreplace(dict(known))
        return large / c if power == -1 else c / large

    @cached_property
    def _far(self) -> tuple[int, Expr]:
        """Return where the control is infinite (u**-1 or u is small), and z there times that."""
        near = {s: _rounded(v) for s, v in self.values}
        exact = {s: v for s, v in self.values if v.is_Rational}
        for power in (-1, 1):
            try:
                z, g = (s.stripped() for s in self._series(_TERMS, power, near))
            except RangeError:  # neither end of the first unknown need be regular
                continue
            if z.order == -1 and g.order == 1 and z.terms[0] * g.terms[0] == 1:
                return power, sympify(self._series(_TERMS, power, exact)[0][-1], strict=True)
        name = f"{self.control} {self.output}"
        found = f"{name} does not tend to 1 as {self.control} grows: no normalised resolvent"
        raise NotSupportedError(_asked(self.output), found, "give the output that is a resolvent")

    def _series(
        self, count: int, power: int, fixed: Mapping[Symbol, Expr]
    ) -> tuple[Laurent, Laurent]:
        """Expand z and G in a small e, where u = e**power; what is not fixed stays a symbol."""
        one, zero = Integer(1), Integer(0)
        free = [s for s, _ in self.values if s not in fixed]
        known: dict[Any, Any] = {s: _constant(s, count) for s in free}
        known[self.system.unknowns[0]] = Laurent(power, (one, *[zero] * (count - 1)))
        lines = [(s, e.xreplace(fixed)) for s, e in _code(self.system, self.output)]
        found = evaluate(tuple(lines), known, lambda c: _constant(c, count))
        pair = (self.system.equations[-1].rhs, self.system.outputs[self.output])
        z, g = (-value_of(e.xreplace(fixed), found, lambda c: _constant(c, count)) for e in pair)
        return z, g

    def moments(self, count: int) -> list[Expr]:
        """Residues at infinity: -[e^-1] z^k G dz/de, exact."""
        found = self._residues(count, {s: v for s, v in self.values if v.is_Rational})
        return [m.xreplace(dict(self.values)) for m in found]

    @cached_property
    def near_moments(self) -> tuple[Expr, ...]:
        """The first four moments, every irrational constant rounded at its twentieth digit."""
        return tuple(self._residues(4, {s: _rounded(v) for s, v in self.values}))

    def _residues(self, count: int, fixed: Mapping[Symbol, Expr]) -> list[Expr]:
        z, g = self._series(count + 4, self._far[0], fixed)
        slope = Laurent(z.order - 1, tuple(c * (z.order + i) for i, c in enumerate(z.terms)))
        term, out = g * slope, []
        for _ in range(count):
            term = term * z
            out.append(-term[-1])
        return out

    @cached_property
    def _bare(self) -> tuple[Sheet, Node, list[Expr]]:
        sheet = Sheet()
        return sheet, *self._written(sheet, LARGE)

    @cached_property
    def _walk(self) -> Walk:
        sheet, node, _ = self._bare
        return Walk(sheet.curve(node), mpmath.mpf(str(self.bound.evalf(DIGITS))))

    @cached_property
    def _signs(self) -> tuple[int, ...]:
        """Signs of the imaginary parts of the unknowns at sampled points; 0 where they differ."""
        walk, names = self._walk, self._bare[2]
        seen: list[set[int]] = [set() for _ in (walk.curve.g, *names)]
        for re, im in SAMPLES:
            u = walk.at(walk.bound * mpmath.mpc(re, im))
            for signs, value in zip(seen, walk.values(u, (walk.curve.g, *names)), strict=True):
                signs.add(int(mpmath.sign(value.imag)))
        if seen[0] != {-1}:
            found = "Im G changes sign in the upper half-plane: no Stieltjes transform"
            raise NotSupportedError(
                _asked(self.output), found, "give an output that is a resolvent"
            )
        return tuple(s.pop() if len(s) == 1 else 0 for s in seen[1:])

    @cached_property
    def _edges(self) -> Rational:
        sheet, node, _ = self._bare
        walk = Walk(sheet.curve(node), mpmath.mpf(1))
        m1, m2 = (mpmath.mpf(float(m)) for m in self.near_moments[:2])
        scale = abs(m1) + mpmath.sqrt(abs(m2))
        sides = (1,) if self.nonnegative else (1, -1)
        edge = max(self._edge(walk, side * scale) for side in sides)
        return Rational(mpmath.nstr(edge * mpmath.mpf("1.02"), 8))

    def _edge(self, walk: Walk, scale: Any) -> Any:
        """Follow the real curve from infinity while z falls and G rises; return the last |z|."""
        share, last = scale * _FAR, (mpmath.inf, mpmath.mpf(0))
        while abs(share) > abs(scale) / _FAR:
            u = value_of(walk.curve.start[0], {**walk.known, LARGE: share}, mpmath.mpmathify)
            z, g = (v * mpmath.sign(scale) for v in walk.values([u], (walk.curve.z, walk.curve.g)))
            if z >= last[0] or g <= last[1]:
                return last[0]
            last, share = (z, g), share * _SHRINK
        raise RangeError(_asked(self.output), "no edge of the support was met", "use polynomial()")

    def atoms(self) -> tuple[Atom, ...]:
        """Return rational poles of G on the branch; place and mass are common roots, exactly.

        Raises:
            NotSupportedError: for an atom whose place or mass is not a small rational.
        """
        return self._atoms

    @cached_property
    def _atoms(self) -> tuple[Atom, ...]:
        walk, found = self._walk, []
        for place in self._poles(walk):
            near, far = (self._mass(walk, place, k) for k in (12, 8))
            if near > max(_SMALL, far / 2):  # a singular density loses most of it on the way in
                found.append(self._proved(_near(place), _near(near)))
        return tuple(dict.fromkeys(found))

    def _mass(self, walk: Walk, place: Any, digits: int) -> Any:
        step = walk.bound * mpmath.mpf(10) ** -digits
        (g,) = walk.values(walk.at(mpmath.mpc(place, step)), (walk.curve.g,))
        return -(g * step).imag

    def _poles(self, walk: Walk) -> list[Any]:
        """Return the real values of z at real poles of G, to twenty digits."""
        fractions, z, g = self._fractions([_rounded(v) for _, v in walk.curve.parameters])
        unknown, out = walk.curve.unknowns[0], []
        with mpmath.workdps(2 * DIGITS):
            bottom, top, under = (
                [mpmath.mpf(int(c)) for c in Poly(fractions.expr(p), unknown).all_coeffs()]
                for p in (fractions.fraction(g)[1], *fractions.fraction(z))
            )
            for r in mpmath.polyroots(bottom, maxsteps=400, extraprec=1000):
                d = mpmath.polyval(under, r.real)
                if abs(r.imag) < mpmath.mpf(10) ** -DIGITS * (1 + abs(r)) and d != 0:
                    out.append(mpmath.polyval(top, r.real) / d)
        return [x for x in out if abs(x) < 2 * walk.bound]

    def _fractions(self, numbers: Sequence[Expr]) -> tuple[Fractions, Expr, Expr]:
        """Return the field of fractions in u with z and G in it, at rational parameters."""
        curve = self._walk.curve
        fixed = {s: v for (s, _), v in zip(curve.parameters, numbers, strict=True)}
        lines = [(s, e.xreplace(fixed)) for s, e in curve.lines]
        z, g = curve.z.xreplace(fixed), curve.g.xreplace(fixed)
        fractions = Fractions(generators(lines, [z, g], curve.unknowns))
        for symbol, expr in lines:
            fractions.define(symbol, expr)
        return fractions, z, g

    def _proved(self, place: Rational, mass: Rational) -> Atom:
        """Return the pair if z = place, 1/G = 0 and (z - place) G = mass have a common root.

        Irrational constants are replaced by arbitrary rationals with long denominators, thrice: an
        exact test that a relation between them and the pair could pass only at all three by chance.
        """
        for seed in (1, 2, 3):
            values = enumerate(v for _, v in self._walk.curve.parameters)
            numbers = [v if v.is_Rational else Rational(_P[i % 3] ** 9, _P[-seed] ** 9 + i)
                       for i, v in values]  # fmt: skip
            fractions, z, g = self._fractions(numbers)
            at_place = fractions.fraction(z - place)[0]
            residue = fractions.fraction((z - place) * g - mass)[0]
            if fractions.fraction(g)[1].gcd(at_place).gcd(residue).degrees()[0] == 0:
                said = (
                    f"an atom near {float(place):.12g} of mass {float(mass):.12g} is not rational"
                )
                raise NotSupportedError(_asked(self.output), said, "give the atoms of the law")
        return place, mass


def law_of_system(
    system: System,
    output: str = "m",
    control: str = "lam",
    values: Mapping[str, Number | Sequence[Number]] | None = None,
) -> TriangularLaw:
    """Return the law of A, where an output of a System is the normalised trace of (A + lam)^-1.

    Args:
        system: triangular and rational, closed by ``lam = ...``.
        output: name of the resolvent output.
        control: name of the control that shifts A; it must range up to infinity.
        values: exact values of the other controls and groups that the output rests on.

    Raises:
        UnknownNameError: for an unknown output or control, or a missing value.
        RangeError: if the control does not reach infinity, where the branch starts; for a value
            out of its range.
        NotSupportedError: if the System is not triangular in this control, or the output is not
            seen to be a normalised resolvent.

    Derivation: m = -G, lam = -z; what is asked of the output is lam m -> 1, non-negative Hankel
    determinants of its first four moments and one sign of Im G at sampled points.

    Example:
        >>> from sympy import Rational
        >>> from derive.theory.deep_features import deep_features
        >>> law = law_of_system(deep_features([]).system(), values={"alpha": 4})
        >>> law.moments(2), law.atoms()
        ([1, 5], ((0, 3/4),))
    """
    asked = _asked(output)
    if output not in system.outputs:
        known = ", ".join(system.outputs)
        raise UnknownNameError(asked, f"the outputs of the system are {known}", "use one of them")
    shift = system.control(control)
    if system.equations[-1].lhs != shift:
        found = f"the system is closed by {system.equations[-1].lhs}, not by {control}"
        raise NotSupportedError(asked, found, "give the control that shifts the matrix")
    if shift.high != oo:
        found = f"{control} stops at {shift.high}, the branch starts at infinity"
        raise RangeError(asked, found, "declare the control without an upper end")
    exact = {s: _positive(s, v) for s, v in system.constants}
    exact |= system._exact_values(values or {})
    exprs = [e for _, e in _code(system, output)]
    exprs += [system.equations[-1].rhs, system.outputs[output]]
    used = {s for e in exprs for s in symbols_of(e)} - {shift}
    missing = sorted(q.name for q in system.controls if q in used and q not in exact)
    if missing:
        raise UnknownNameError(asked, f"no value for {', '.join(missing)}", "give values=")
    for q in system.controls:
        if q in exact and not q.low <= exact[q] <= q.high:
            found = f"{q.name} = {exact[q]} is outside [{q.low}, {q.high}]"
            raise RangeError(asked, found, "give a value in its range")
    kept = sorted(((s, v) for s, v in exact.items() if s in used), key=lambda p: str(p[0]))
    law = TriangularLaw(system, output, shift, tuple(kept))
    _check_moments(law)
    return law


def _check_moments(law: TriangularLaw) -> None:
    """Refuse moments whose Hankel determinants are negative: no positive measure has them."""
    m = [Integer(1), *law.near_moments]
    forms = [Matrix(k, k, lambda i, j: m[i + j]) for k in (2, 3)]
    if law.nonnegative:
        forms += [Matrix(k, k, lambda i, j: m[i + j + 1]) for k in (1, 2)]
    for form in forms:
        value = form.det(method="berkowitz")
        if value < -_TINY * law.near_moments[1] ** (form.rows * (form.rows - 1) / 2):
            found = (
                f"a Hankel determinant of its moments is {float(value):.6g}: no positive measure"
            )
            raise NotSupportedError(
                _asked(law.output), found, "give the output that is a resolvent"
            )


def _code(system: System, output: str) -> tuple[Line, ...]:
    """Return the lines that the closing equation and then the output need, in order."""
    closing = system.equations[-1]
    lines = system.triangular_lines()
    first = _needed(lines, closing.rhs)
    closed = [(q, closing.rhs) for q in system.controls if q == closing.lhs]
    both = (*first, *closed, *(x for x in lines if x not in first))
    wanted = dict.fromkeys((*first, *_needed(both, system.outputs[output])))
    return tuple(x for x in both if x in wanted)


def _needed(lines: Sequence[Line], expr: Expr) -> tuple[Line, ...]:
    wanted, out = set(symbols_of(expr)), []
    for symbol, definition in reversed(lines):
        if symbol in wanted:
            wanted |= set(symbols_of(definition))
            out.append((symbol, definition))
    return tuple(reversed(out))


def _positive(symbol: Symbol, value: Expr) -> Expr:
    """Return a positive constant as one atom, any other as it is."""
    if value.is_Rational or not enclose(value, 20) > 0:
        return value
    return Constant(symbol.name, value)


def _rounded(value: Expr) -> Expr:
    return value if isinstance(value, Rational) else Rational(str(value.evalf(20)))


def _constant(value: Expr, count: int) -> Laurent:
    return Laurent(0, (value, *[Integer(0)] * (count - 1)))


def _near(value: Any) -> Rational:
    """Return a rational with a small denominator next to a number; it is proved afterwards."""
    close = Fraction(mpmath.nstr(value, 25)).limit_denominator(10**6)
    return Rational(close.numerator, close.denominator)


def _asked(output: str) -> str:
    return f"law of the output {output!r}"
