r"""Spectral measures of deterministic matrices: atoms, power laws, Marchenko-Pastur, empirical.

Stage: what a covariance letter is declared with. A measure knows one thing: how to average an
expression over itself, exactly (a finite sum) or as an unevaluated ``Integral`` over a smooth
parametrisation. A measure on several coordinates is the joint spectrum of commuting matrices.
"""

from collections.abc import Sequence
from typing import Any, cast

from mpmath import mp
from sympy import (
    Add,
    Basic,
    Dummy,
    Expr,
    Integral,
    Max,
    Rational,
    S,
    Symbol,
    Tuple,
    acos,
    cos,
    pi,
    sin,
    sqrt,
)

from derive.errors import RangeError, ShapeError
from derive.random_matrices.scalars import masses, scalar

DIGITS = 25
"""Digits of the nodes and weights of quadrature rules."""


class SpectralMeasure(Basic):
    """Limit of the eigenvalue distribution of one or several commuting matrices."""

    def __new__(cls, *args: Basic) -> Any:
        """Build the measure from exact arguments; users call the functions below."""
        return Basic.__new__(cls, *args)

    @property
    def coordinates(self) -> int:
        """Number of commuting matrices that the measure describes."""
        return 1

    def mean(self, expr: Expr, variables: Sequence[Symbol]) -> Expr:
        """Return the mean of an expression in ``variables``, one per coordinate."""
        raise NotImplementedError

    def rule(self, nodes: int) -> tuple[tuple[tuple[Expr, ...], Expr], ...]:
        """Return points and weights whose sums approximate means; exact for finitely many atoms."""
        raise NotImplementedError


class Atoms(SpectralMeasure):
    """Finitely many atoms; args are the points (a Tuple of Tuples) and their weights."""

    @property
    def coordinates(self) -> int:
        """Number of coordinates of each point."""
        return len(cast(Tuple, self.args[0])[0])

    @property
    def points(self) -> tuple[tuple[Expr, ...], ...]:
        """The atoms."""
        return tuple(tuple(point) for point in cast(Tuple, self.args[0]))

    @property
    def weights(self) -> tuple[Expr, ...]:
        """Their weights, of sum one."""
        return tuple(cast(Tuple, self.args[1]))

    def mean(self, expr: Expr, variables: Sequence[Symbol]) -> Expr:
        """Return the exact weighted sum."""
        total: Expr = S.Zero
        for point, weight in zip(self.points, self.weights, strict=True):
            total += weight * expr.xreplace(dict(zip(variables, point, strict=True)))
        return total

    def rule(self, nodes: int) -> tuple[tuple[tuple[Expr, ...], Expr], ...]:
        """Return the atoms themselves."""
        return tuple(zip(self.points, self.weights, strict=True))


class PowerLaw(SpectralMeasure):
    """Eigenvalues (k/N)^(-a), k = 1..N, as N grows; args: the exponent a, 0 <= a < 1."""

    def mean(self, expr: Expr, variables: Sequence[Symbol]) -> Expr:
        """Return an ``Integral`` over the quantile level in (0, 1)."""
        u = Dummy("u", positive=True)
        value = u ** (-cast(Expr, self.args[0]))
        return Integral(expr.xreplace({variables[0]: value}), (u, 0, 1))

    def rule(self, nodes: int) -> tuple[tuple[tuple[Expr, ...], Expr], ...]:
        """Return the Gauss rule of the power law, in 1/s."""
        a = cast(Expr, self.args[0])
        return tuple(((u**-a,), w) for u, w in level_nodes(nodes, a))


class MarchenkoPastur(SpectralMeasure):
    """Eigenvalues of scale * Z Z^T, Z of size N x M with variance 1/M; args: N/M and the scale."""

    def mean(self, expr: Expr, variables: Sequence[Symbol]) -> Expr:
        r"""Return an ``Integral`` over the angle of x = 1 + c + 2 sqrt(c) cos(theta), smooth."""
        c, scale = cast(Expr, self.args[0]), cast(Expr, self.args[1])
        angle = Dummy("theta", real=True)
        x = 1 + c + 2 * sqrt(c) * cos(angle)
        bulk = expr.xreplace({variables[0]: scale * x}) * 2 * sin(angle) ** 2 / (pi * x)
        integral = Integral(bulk, (angle, 0, pi))
        weight = Max(0, 1 - 1 / c)
        if weight == 0:
            return integral
        return integral + weight * expr.xreplace({variables[0]: S.Zero})

    def rule(self, nodes: int) -> tuple[tuple[tuple[Expr, ...], Expr], ...]:
        """Return the Gauss rule of the continuous part, and the atom at zero."""
        c, scale = cast(Expr, self.args[0]), cast(Expr, self.args[1])
        points = [((scale * x,), w) for x, w in wishart_nodes(nodes, c)]
        zeros = Max(0, 1 - 1 / c)
        return (*points, *((((S.Zero,), zeros),) if zeros != 0 else ()))


def wishart_nodes(nodes: int, ratio: Expr) -> tuple[tuple[Expr, Expr], ...]:
    """Return the Gauss rule of the continuous part of a Marchenko-Pastur law of scale one.

    Its orthogonal polynomials have constant recurrence coefficients 1 + c and c after the first
    step; above ratio one the continuous part is 1/c times the law of c Z Z^T at ratio 1/c.

    Raises:
        RangeError: if the ratio is not a number.

    Example:
        >>> sum(w * x**3 for x, w in wishart_nodes(4, Rational(1, 2))).evalf(12)
        2.75000000000
    """
    if not ratio.is_Rational:
        raise RangeError(f"rule of a law of ratio {ratio}", "not a number", "put one in")
    with mp.workdps(2 * DIGITS):
        c = _number(ratio)
        mass = mp.mpf(1) if c <= 1 else 1 / c
        diagonal = [max(c, mp.mpf(1))] + [1 + c] * (nodes - 1)
        rule = _gauss(diagonal, [mp.sqrt(c)] * (nodes - 1))
        return tuple((_exact(x), _exact(mass * w)) for x, w in rule)


def level_nodes(nodes: int, exponent: Expr) -> tuple[tuple[Expr, Expr], ...]:
    """Return levels u in (0, 1) and weights: the Gauss rule in v = u^a, for functions of u^-a.

    With du = v^(1/a - 1) dv / a it is the rule of a Jacobi weight, exact for polynomials in v of
    degree below twice the number of nodes.

    Raises:
        RangeError: if the exponent is not a number.

    Example:
        >>> sum(w * u for u, w in level_nodes(4, Rational(1, 2))).evalf(12)
        0.500000000000
    """
    if not exponent.is_Rational:
        raise RangeError(f"rule of a power law of exponent {exponent}", "not a number", "put it in")
    if exponent == 0:
        return ((S.Half, S.One),)
    with mp.workdps(2 * DIGITS):
        a = _number(exponent)
        beta = 1 / a - 1
        diagonal, beside = [beta / (beta + 2)], []
        for k in range(1, nodes):  # recurrence of Jacobi polynomials with weight (1 + y)^beta
            twice = 2 * k + beta
            diagonal.append(beta**2 / (twice * (twice + 2)))
            beside.append(2 * k * (k + beta) / (twice * mp.sqrt(twice**2 - 1)))
        rule = _gauss(diagonal, beside)
        return tuple((_exact(((1 + y) / 2) ** (1 / a)), _exact(w)) for y, w in rule)


def _gauss(diagonal: Sequence[Any], beside: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return nodes and weights of total one from the recurrence of orthogonal polynomials."""
    count = len(diagonal)
    matrix = mp.matrix(count, count)
    for k in range(count):
        matrix[k, k] = diagonal[k]
        if k:
            matrix[k, k - 1] = matrix[k - 1, k] = beside[k - 1]
    values, vectors = mp.eigsy(matrix)
    return [(values[k], vectors[0, k] ** 2) for k in range(count)]


def _number(value: Any) -> Any:
    return mp.mpf(int(value.p)) / int(value.q)


def _exact(value: Any) -> Rational:
    return Rational(mp.nstr(value, DIGITS))


def summed(integral: Integral, nodes: int, measures: Sequence[SpectralMeasure]) -> Expr:
    """Return the sum that stands for an integral made by ``mean`` of one of some measures.

    Args:
        integral: over an angle, or over the level of a power law.
        nodes: how many.
        measures: those that the integral may come from; one of its kind.

    Raises:
        RangeError: if there are several of its kind, or none.
    """
    variable, _, high = integral.limits[0]
    kind = MarchenkoPastur if high == pi else PowerLaw
    found = {cast(Expr, m.args[0]) for m in measures if isinstance(m, kind)}
    if len(found) != 1:
        names = ", ".join(sorted(map(str, found))) or "no parameter known"
        remedy = "give the other one by atoms or count="
        raise RangeError(f"sum over a {kind.__name__} spectrum", names, remedy)
    parameter = found.pop()
    if kind is PowerLaw:
        rule = level_nodes(nodes, parameter)
        return Add(*(w * integral.function.xreplace({variable: u}) for u, w in rule))
    terms = []
    for x, w in wishart_nodes(nodes, parameter):
        angle = acos((x - 1 - parameter) / (2 * sqrt(parameter))).evalf(2 * DIGITS)
        density = 2 * sin(angle) ** 2 / (pi.evalf(2 * DIGITS) * x)
        body = integral.function.xreplace({variable: angle})
        terms.append(w / density * body.xreplace({f: f.evalf(DIGITS) for f in body.atoms(pi)}))
    return Add(*terms)


def summed_over(expr: Expr, nodes: int, measures: Sequence[SpectralMeasure]) -> Expr:
    """Return an expression with sums over nodes in place of all its integrals."""
    found = expr.atoms(Integral)
    return expr.xreplace({i: summed(i, nodes, measures) for i in found}) if found else expr


def atoms(points: Sequence[object], weights: Sequence[object] | None = None) -> Atoms:
    """Return the measure with the given atoms.

    Args:
        points: eigenvalues, or tuples of them for commuting matrices; length k.
        weights: non-negative numbers of sum one, length k; equal when left out.

    Raises:
        ShapeError: if lengths differ. RangeError: if the weights do not sum to one.

    Example:
        >>> s = Symbol("s")
        >>> atoms([1, 4]).mean(s**2, [s])
        17/2
    """
    tuples = [p if isinstance(p, (tuple, list, Tuple)) else (p,) for p in points]
    if len({len(p) for p in tuples}) > 1:
        raise ShapeError("atoms", "points of different lengths", "give one value per matrix")
    exact = masses(weights, len(tuples))
    values = Tuple(*(Tuple(*(scalar(x) for x in p)) for p in tuples))
    return Atoms(values, Tuple(*exact))


def empirical(eigenvalues: Sequence[object]) -> Atoms:
    """Return the empirical measure of a list of eigenvalues (equal weights, merged).

    Example:
        >>> empirical([1, 1, 2]).weights
        (2/3, 1/3)
    """
    counts: dict[Expr, int] = {}
    for value in eigenvalues:
        exact = scalar(value)
        counts[exact] = counts.get(exact, 0) + 1
    total = sum(counts.values())
    return atoms(list(counts), [Rational(c, total) for c in counts.values()])


def power_law(exponent: object, count: int | None = None) -> SpectralMeasure:
    """Return the power law of exponent a.

    Args:
        exponent: a >= 0; eigenvalues (k/N)^(-a) in the limit of large N, which needs a < 1.
        count: when given, the atoms k^(-a), k = 1..count, of equal weight (any a).

    Raises:
        RangeError: if the limit measure has no mean.

    Example:
        >>> power_law(1, count=3).points
        ((1,), (1/2,), (1/3,))
    """
    a = scalar(exponent)
    if count is not None:
        return atoms([Rational(k) ** -a for k in range(1, count + 1)])
    if a.is_negative or (a - 1).is_nonnegative:
        remedy = "give 0 <= a < 1, or count= for finitely many eigenvalues"
        raise RangeError(f"power law of exponent {a}", "its limit has no mean", remedy)
    return PowerLaw(a)


def marchenko_pastur(ratio: object, scale: object = 1) -> MarchenkoPastur:
    """Return the Marchenko-Pastur measure of scale * Z Z^T, Z of size N x M, ratio = N/M.

    Raises:
        RangeError: if the ratio is not positive.
    """
    c = scalar(ratio)
    if c.is_nonpositive:
        raise RangeError("Marchenko-Pastur measure", f"ratio {c}", "give a positive ratio N/M")
    return MarchenkoPastur(c, scalar(scale))
