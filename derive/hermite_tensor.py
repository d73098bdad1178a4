r"""Hermite tensors of a target of several normals.

Stage: a target f(z_1, ..., z_r) in, the symmetric tensors C_k = E[f(z) He_k(z)] out, entry by
entry as values. With counts n = (n_1, ..., n_r), |n| = k, an entry is

.. math:: C_n = \mathbb{E}\Big[f(z) \prod_j He_{n_j}(z_j)\Big].

Rules, exact: sums; products over groups of variables that share no factor; in a group of one
variable the Hermite coefficients of a function of one normal; in a group of several, a polynomial
times a function of one linear form w.z, for which E[h(w.z + b) He_n(z)] is prod_j (w_j/|w|)^n_j
times the coefficient of order |n| of h at mean b and variance |w|^2. Zeros are proved: by these
rules, by parity under sign flips, or by exchange of two variables. Everything else is an
unevaluated ``JointMean``. Source: [stein1981].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import Any

from sympy import (
    Abs,
    Add,
    Expr,
    Integer,
    Matrix,
    Max,
    Min,
    Mul,
    Poly,
    S,
    Symbol,
    expand,
    sign,
    sqrt,
    sympify,
)

from derive.errors import NoRuleError, RangeError, ShapeError
from derive.hermite import hermite_coefficient
from derive.normal.hermite_polynomials import hermite_polynomial
from derive.normal.parity import vanishes
from derive.pairs.joint_mean import JointMean
from derive.value import Kind, Value

Counts = tuple[int, ...]
_MANY = 5
"""Sign flips are tried on all subsets of up to so many variables."""


@dataclass(frozen=True)
class HermiteTensor:
    """The symmetric tensor C_k of a target.

    Attributes:
        order: k.
        variables: z_1, ..., z_r.
        entries: counts (n_1, ..., n_r) -> value, for all counts of sum k.
    """

    order: int
    variables: tuple[Symbol, ...]
    entries: dict[Counts, Value]

    def __getitem__(self, index: int | tuple[int, ...]) -> Value:
        """Return C[i_1, ..., i_k], indices from 0."""
        places = (index,) if isinstance(index, int) else tuple(index)
        if len(places) != self.order or not all(0 <= i < len(self.variables) for i in places):
            raise ShapeError(
                f"entry {places} of a tensor of order {self.order}",
                f"there are {len(self.variables)} variables",
                "give one index from 0 for each order",
            )
        return self.entries[tuple(places.count(i) for i in range(len(self.variables)))]

    @property
    def is_zero(self) -> bool:
        """Whether every entry is proved to vanish."""
        return all(value.expr == 0 for value in self.entries.values())

    @property
    def kind(self) -> Kind:
        """What the weakest entry rests on."""
        return max((v.kind for v in self.entries.values()), key=list(Kind).index)

    def array(self) -> Any:
        """Return the scalar (k = 0), the column (k = 1) or the matrix (k = 2) of expressions.

        Raises:
            ShapeError: for k > 2.
        """
        count = len(self.variables)
        if self.order == 0:
            return self[()].expr
        if self.order == 1:
            return Matrix(count, 1, lambda i, j: self[int(i)].expr)
        if self.order == 2:
            return Matrix(count, count, lambda i, j: self[int(i), int(j)].expr)
        raise ShapeError(f"a tensor of order {self.order}", "not a matrix", "use its entries")


def hermite_tensor(
    target: Any, order: int, variables: tuple[Symbol, ...] | None = None
) -> HermiteTensor:
    """Return C_k of a target.

    Args:
        target: expression in the variables and in real parameters.
        order: k >= 0.
        variables: the normals, real symbols; all free symbols in alphabetical order if None.

    Raises:
        RangeError: if k < 0, or a variable is not declared real.
        NotIntegrableError: if a mean does not exist.

    Accuracy: exact where ``Value.kind`` is closed form; see ``JointMean`` for the rest.

    Example:
        >>> from sympy import Abs, sign, symbols
        >>> z1, z2, z3 = symbols("z1:4", real=True)
        >>> hermite_tensor(z1*z2 + z1*z2*z3, 2).array()
        Matrix([
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 0]])
        >>> hermite_tensor(Abs(z1 - z2), 2).array()
        Matrix([
        [ 1/sqrt(pi), -1/sqrt(pi)],
        [-1/sqrt(pi),  1/sqrt(pi)]])
        >>> hermite_tensor(sign(z1*z2*z3), 1).is_zero
        True
    """
    f = sympify(target, strict=True)
    chosen = variables or tuple(sorted(f.free_symbols, key=str))
    if order < 0:
        raise RangeError(f"order = {order}", "negative", "give k >= 0")
    for variable in chosen:
        if not variable.is_real:
            raise RangeError(f"a tensor over {variable}", "not declared real", "use real=True")
    terms = _terms(f, chosen)
    zeros = _Symmetries(f, chosen)
    entries = {n: _entry(f, terms, zeros, n, chosen) for n in _counts(order, len(chosen))}
    return HermiteTensor(order, chosen, entries)


def _counts(order: int, size: int) -> Iterator[Counts]:
    for places in combinations_with_replacement(range(size), order):
        yield tuple(places.count(i) for i in range(size))


def _entry(
    f: Expr, terms: list[Expr], zeros: "_Symmetries", n: Counts, variables: tuple[Symbol, ...]
) -> Value:
    reason = zeros.proof(n)
    if reason:
        return Value(Integer(0), reason=reason)
    try:
        parts = [_product(term, dict(zip(variables, n, strict=True))) for term in terms]
    except NoRuleError as error:
        used = tuple(v for v in variables if v in f.free_symbols)
        hermite = Mul(*(hermite_polynomial(k, v) for v, k in zip(variables, n, strict=True) if k))
        return Value(JointMean(f * hermite, used), Kind.TWO_PRECISIONS, error.found)
    total = Add(*(part.expr for part in parts))
    weakest = max(parts, key=lambda v: list(Kind).index(v.kind))
    if weakest.kind is Kind.CLOSED_FORM:
        total = expand(total)
    return Value(total, weakest.kind, weakest.reason)


# --- rules --------------------------------------------------------------------------------------


def _terms(f: Expr, variables: tuple[Symbol, ...]) -> list[Expr]:
    """Return summands; each as it stands if a rule covers it, else multiplied out."""
    found: list[Expr] = []
    for term in Add.make_args(_without_extrema(_split_signs(f), variables)):
        groups = _groups(term, variables)
        if all(_is_covered(expr, own) for expr, own in groups):
            found.append(term)
        else:
            found += Add.make_args(expand(term, power_base=False, log=False))
    return found


def _split_signs(f: Any) -> Any:
    """Take signs and absolute values of products factor by factor."""

    def several(node: Any) -> bool:
        return isinstance(node, sign | Abs) and node.args[0].is_Mul

    return f.replace(several, lambda node: Mul(*(node.func(a) for a in node.args[0].args)))


def _without_extrema(f: Expr, variables: tuple[Symbol, ...]) -> Expr:
    """Write Max and Min of two arguments in several variables by an absolute value."""

    def several(node: Any) -> bool:
        mixed = len(node.free_symbols & set(variables)) > 1
        return isinstance(node, Max | Min) and len(node.args) == 2 and mixed

    def spelled(node: Any) -> Expr:
        a, b = node.args
        side = 1 if isinstance(node, Max) else -1
        return (a + b + side * Abs(a - b)) / 2

    return expand(f.replace(several, spelled), deep=False)


def _groups(term: Expr, variables: tuple[Symbol, ...]) -> list[tuple[Expr, tuple[Symbol, ...]]]:
    """Split a product into factors that share no variable; constants come first."""
    groups: list[tuple[Expr, set[Any]]] = []
    for factor in Mul.make_args(term):
        own: set[Any] = factor.free_symbols & set(variables)
        merged = factor
        rest = []
        for expr, seen in groups:
            if seen & own:
                merged, own = merged * expr, own | seen
            else:
                rest.append((expr, seen))
        groups = [*rest, (merged, own)]
    order = {v: i for i, v in enumerate(variables)}
    return [(expr, tuple(sorted(own, key=order.__getitem__))) for expr, own in groups]


def _is_covered(expr: Expr, own: tuple[Symbol, ...]) -> bool:
    return len(own) < 2 or _ridge(expr, own) is not None


def _product(term: Expr, counts: dict[Symbol, int]) -> Value:
    """Return E[term He_n] as a product over independent groups."""
    left = dict(counts)
    parts = []
    for expr, own in _groups(term, tuple(counts)):
        parts.append(_group(expr, own, {v: left.pop(v) for v in own}))
    if any(left.values()) or any(part.expr == 0 for part in parts):
        return Value(Integer(0), reason="a factor has mean zero")
    weakest = max(parts, key=lambda v: list(Kind).index(v.kind))
    return Value(Mul(*(part.expr for part in parts)), weakest.kind, weakest.reason)


def _group(expr: Expr, own: tuple[Symbol, ...], counts: dict[Symbol, int]) -> Value:
    if not own:
        return Value(expr)
    if len(own) == 1:
        return hermite_coefficient(expr, counts[own[0]], variable=own[0])
    ridge = _ridge(expr, own)
    if ridge is None:
        names = ", ".join(map(str, own))
        raise NoRuleError(
            f"a mean over {names}", f"{expr} does not separate in {names}", "change variables"
        )
    return ridge.coefficient(counts)


@dataclass(frozen=True)
class _Ridge:
    """``polynomial(z) * function(x)`` with x = w.z + b."""

    polynomial: Expr
    function: Expr
    x: Symbol
    weights: tuple[Expr, ...]
    offset: Expr
    variables: tuple[Symbol, ...]

    def coefficient(self, counts: dict[Symbol, int]) -> Value:
        hermite = Mul(*(hermite_polynomial(counts[v], v) for v in self.variables))
        norm = Add(*(w**2 for w in self.weights))
        found: dict[int, Value] = {}
        total: Expr = S.Zero
        for n, weight in _in_hermite_basis(self.polynomial * hermite, self.variables).items():
            k = sum(n)
            if k not in found:
                found[k] = self._mu(k, norm)
            direction = Mul(*(w**p for w, p in zip(self.weights, n, strict=True))) / sqrt(norm) ** k
            total += weight * direction * found[k].expr
        weakest = max(found.values(), key=lambda v: list(Kind).index(v.kind))
        return Value(expand(total), weakest.kind, weakest.reason)

    def _mu(self, k: int, norm: Expr) -> Value:
        if not self.function.has(self.x):
            return Value(self.function if k == 0 else Integer(0), reason="a polynomial")
        return hermite_coefficient(self.function, k, self.offset, norm, variable=self.x)


def _ridge(expr: Expr, own: tuple[Symbol, ...]) -> _Ridge | None:
    """Write a group as a polynomial times a function of one linear form, if it shows."""
    x = Symbol("x", real=True)
    factors = Mul.make_args(expr)
    smooth = [f for f in factors if f.is_polynomial(*own)]
    rest = Mul(*(f for f in factors if f not in smooth))
    polynomial = Mul(*smooth)
    if not rest.free_symbols & set(own):
        zero = (Integer(1),) + (Integer(0),) * (len(own) - 1)
        return _Ridge(polynomial, rest, x, zero, S.Zero, own)
    leaves = list(dict.fromkeys(_affine_leaves(rest, own)))
    if None in leaves or not leaves:
        return None
    base = leaves[0]
    slopes = [Poly(base, *own).coeff_monomial(v) for v in own]
    pivot = next(i for i, w in enumerate(slopes) if w != 0)
    spelled = rest
    for leaf in leaves:
        ratio = Poly(leaf, *own).coeff_monomial(own[pivot]) / slopes[pivot]
        offset = expand(leaf - ratio * base)
        if ratio == 0 or offset.free_symbols & set(own):
            return None
        spelled = spelled.xreplace({leaf: ratio * x + offset})
    if spelled.free_symbols & set(own):
        return None
    shift = Poly(base, *own).coeff_monomial(1)
    return _Ridge(polynomial, spelled, x, tuple(slopes), shift, own)


def _affine_leaves(expr: Any, own: tuple[Symbol, ...]) -> Iterator[Any]:
    """Yield the largest affine subexpressions that hold variables; None for anything else."""
    if not expr.free_symbols & set(own):
        return
    if isinstance(expr, Expr) and expr.is_polynomial(*own) and Poly(expr, *own).total_degree() == 1:
        yield expr
        return
    if not expr.args:
        yield None
        return
    for argument in expr.args:
        yield from _affine_leaves(argument, own)


def _in_hermite_basis(expr: Expr, own: tuple[Symbol, ...]) -> dict[Counts, Expr]:
    """Expand a polynomial in products of He_n."""
    rest = Poly(expr, *own)
    found: dict[Counts, Expr] = {}
    while not rest.is_zero:
        degrees, weight = max(rest.terms(), key=lambda item: (sum(item[0]), item[0]))
        found[degrees] = weight
        product = Mul(*(hermite_polynomial(k, v) for k, v in zip(degrees, own, strict=True)))
        rest = Poly(rest.as_expr() - weight * product, *own)
    return found or {(0,) * len(own): S.Zero}


# --- zeros by symmetry --------------------------------------------------------------------------


class _Symmetries:
    """Sign flips and exchanges under which a target is even or odd, each proved."""

    def __init__(self, f: Expr, variables: tuple[Symbol, ...]) -> None:
        self.flips: list[tuple[tuple[int, ...], int]] = []
        self.exchanges: list[tuple[int, int]] = []
        places = range(len(variables))
        for size in range(1, min(len(variables), _MANY) + 1):
            for chosen in combinations(places, size):
                mirrored = f.xreplace({variables[i]: -variables[i] for i in chosen})
                sense = _sense(f, mirrored)
                if sense:
                    self.flips.append((chosen, sense))
        for i, j in combinations(places, 2):
            swapped = f.xreplace({variables[i]: variables[j], variables[j]: variables[i]})
            if _sense(f, swapped) == -1:
                self.exchanges.append((i, j))

    def proof(self, n: Counts) -> str:
        """Return why an entry vanishes, or an empty text."""
        for chosen, sense in self.flips:
            if (-1) ** sum(n[i] for i in chosen) != sense:
                flipped = ", ".join(str(i + 1) for i in chosen)
                side = "even" if sense == 1 else "odd"
                return f"the target is {side} under a flip of the variables {flipped}"
        for i, j in self.exchanges:
            if n[i] == n[j]:
                return f"the target is odd under exchange of the variables {i + 1} and {j + 1}"
        return ""


def _sense(f: Expr, image: Expr) -> int:
    """Return 1 or -1 where image = ±f is proved, else 0."""
    if vanishes(image - f):
        return 1
    return -1 if vanishes(image + f) else 0
