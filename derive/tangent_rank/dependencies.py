r"""Linear relations between tangent functions, found and then proved.

Stage: the formal pass in, an upper bound of the rank out. Every tangent function is a formal
polynomial whose coefficients may hold constants (exp of a bias, symbols of the point). Relations
are looked for modulo a prime or over the field of the constants, and each one is accepted only if
its formal combination is exactly zero. A relation between formal polynomials is a relation between
functions, so the number of parameters less the number of independent relations bounds the rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import fmpq, fmpq_mat, nmod_mat
from sympy import QQ, Expr, Integer, Mul, Rational, Symbol
from sympy import exp as sympy_exp
from sympy.polys.matrices import DomainMatrix

from derive.tangent_rank.formal import ONE, FormalRing, Monomial, Poly, multiplied
from derive.tangent_rank.modular import pivots
from derive.tangent_rank.tape import Tape, columns, forward

_PRIME = 2**61 - 1
_PROVED = "relations verified exactly"
_LARGEST_TABLE = 4_000_000
_LARGEST_FIELD = 150
Split = dict[Monomial, Poly]
"""A tangent function: from monomials of functions to coefficients that are constants."""


@dataclass(frozen=True)
class Dependency:
    """sum_j coefficients_j df/dtheta_j = 0, identically in the inputs.

    Attributes:
        coefficients: pairs (parameter, exact coefficient), none of them zero.
    """

    coefficients: tuple[tuple[Symbol, Expr], ...]

    def __str__(self) -> str:
        first, *rest = self.coefficients
        if not rest:
            return f"df/d{first[0]} = 0"
        if len(rest) == 1:
            ratio = -rest[0][1] / first[1]
            return f"df/d{first[0]} = {_factor(ratio)}df/d{rest[0][0]}"
        terms = " + ".join(f"{_factor(c / first[1])}df/d{s}" for s, c in self.coefficients)
        return f"{terms.replace('+ -', '- ')} = 0"


def _factor(value: Expr) -> str:
    """Return a coefficient as it stands before a derivative."""
    if value in {1, -1}:
        return "" if value == 1 else "-"
    return f"{value} " if value.is_Atom else f"({value}) "


@dataclass(frozen=True)
class UpperBound:
    """A proved bound of the rank.

    Attributes:
        rank: at most this.
        dependencies: independent relations that prove it, where they are listed.
        reason: how it is proved.
    """

    rank: int
    dependencies: tuple[Dependency, ...]
    reason: str


def upper_bound(
    tape: Tape, formal: FormalRing, values: Sequence[Any] | None = None, target: int = 0
) -> UpperBound:
    """Return a proved upper bound of the rank of the tangent functions.

    Args:
        tape: the family.
        formal: formal values of the tape, at the point.
        values: what ``forward`` returned for them, if it ran.
        target: a lower bound; the search ends when it is met.
    """
    values = forward(tape, formal) if values is None else values
    found = [_split(c or {}, formal) for c in columns(tape, formal, values)]
    scales = [_common_constant(c, formal) for c in found]
    if all(s is not None for s in scales):
        rational = [_divided(c, s) for c, s in zip(found, scales, strict=True) if s is not None]
        kernel = _rational_kernel(rational)
        if kernel:
            named = tuple(_named(tape, formal, vector, scales) for vector in kernel)
            return UpperBound(len(found) - len(kernel), named, _PROVED)
    best = UpperBound(len(found), (), "the number of parameters")
    if target >= best.rank:
        return best
    for attempt in (_by_scaling, _over_constants, _by_width, _block_rank):
        new = attempt(tape, formal, found)
        best = new if new.rank < best.rank else best
        if best.rank <= target:
            break
    return best


def _by_scaling(tape: Tape, formal: FormalRing, found: Sequence[Split]) -> UpperBound:
    """Look for rational relations between theta_j df/dtheta_j, as homogeneity gives them."""
    flat: list[Poly] = []
    for j, column in enumerate(found):
        joined = {multiplied(m, f): c for m, part in column.items() for f, c in part.items()}
        flat.append(formal.multiply(joined, formal.parameter(j) or {ONE: fmpq(1)}))
    kernel = _rational_kernel(flat) or []
    named = []
    for vector in kernel:
        factors = ((j, Rational(int(c.p), int(c.q))) for j, c in sorted(vector.items()))
        pairs = ((tape.parameters[j], c * (formal.values[j] or Integer(1))) for j, c in factors)
        named.append(Dependency(tuple(pairs)))
    return UpperBound(len(found) - len(kernel), tuple(named), _PROVED)


def _by_width(tape: Tape, formal: FormalRing, found: Sequence[Split]) -> UpperBound:
    """Count the functions whose combinations all tangent functions are."""
    count = len({m for c in found for m in c})
    reason = f"all tangent functions are combinations of {count} functions"
    return UpperBound(min(count, len(found)), (), reason)


def _split(value: Poly, formal: FormalRing) -> Split:
    out: Split = {}
    for monomial, c in value.items():
        moving = tuple((a, e) for a, e in monomial if not formal.atoms[a].constant)
        fixed = tuple((a, e) for a, e in monomial if formal.atoms[a].constant)
        part = out.setdefault(moving, {})
        part[fixed] = part.get(fixed, fmpq(0)) + c
    return out


def _common_constant(column: Split, formal: FormalRing) -> Monomial | None:
    """Return the one constant that all coefficients are rational multiples of, if there is one."""
    found = {fixed for part in column.values() for fixed in part}
    if len(found) > 1:
        return None
    only = next(iter(found), ONE)
    return None if any(a == formal.alpha for a, _ in only) else only


def _divided(column: Split, scale: Monomial) -> dict[Monomial, Any]:
    return {moving: part[scale] for moving, part in column.items()}


def _rational_kernel(found: Sequence[Mapping[Monomial, Any]]) -> list[dict[int, Any]] | None:
    """Return proved independent relations, or None if there may be more than could be proved."""
    distinct, copies = _without_copies(found)
    kernel = list(copies)
    rows: dict[Monomial, int] = {}
    for j in distinct:
        for monomial in found[j]:
            rows.setdefault(monomial, len(rows))
    if len(rows) * len(distinct) > _LARGEST_TABLE:
        return kernel
    entries = [0] * (len(rows) * len(distinct))
    for n, j in enumerate(distinct):
        for monomial, c in found[j].items():
            bottom = pow(int(c.q), -1, _PRIME)
            entries[rows[monomial] * len(distinct) + n] = int(c.p) * bottom % _PRIME
    if not rows:
        return kernel
    table = nmod_mat(len(rows), len(distinct), entries, _PRIME)
    reduced, rank = table.rref()
    chosen = pivots(table)
    for n in range(len(distinct)):
        if n in chosen:
            continue
        vector = {distinct[n]: fmpq(-1)}
        for i in range(rank):
            if int(reduced[i, n]):
                vector[distinct[chosen[i]]] = _rational(int(reduced[i, n]))
        if not _vanishes(vector, found):
            exact = _exact_kernel(found, distinct, rows)
            return None if exact is None else copies + exact
        kernel.append(vector)
    return kernel


def _without_copies(
    found: Sequence[Mapping[Monomial, Any]],
) -> tuple[list[int], list[dict[int, Any]]]:
    """Drop columns that vanish or are multiples of an earlier one, with the relations."""
    first: dict[Any, tuple[int, Any]] = {}
    kernel: list[dict[int, Any]] = []
    for j, column in enumerate(found):
        if not column:
            kernel.append({j: fmpq(1)})
            continue
        items = sorted(column.items())
        lead = items[0][1]
        key = tuple((m, c / lead) for m, c in items)
        if key in first:
            other, factor = first[key]
            kernel.append({j: fmpq(1), other: -lead / factor})
        else:
            first[key] = (j, lead)
    return [j for j, _ in first.values()], kernel


def _rational(residue: int) -> Any:
    """Return the rational number of smallest size with a residue (possibly a wrong one)."""
    bound = int((_PRIME // 2) ** 0.5)
    low, high = (_PRIME, 0), (residue, 1)
    while high[0] > bound:
        quotient = low[0] // high[0]
        low, high = high, (low[0] - quotient * high[0], low[1] - quotient * high[1])
    return fmpq(high[0], high[1]) if high[1] else fmpq(0)


def _vanishes(vector: Mapping[int, Any], found: Sequence[Mapping[Monomial, Any]]) -> bool:
    total: dict[Monomial, Any] = {}
    for j, factor in vector.items():
        for monomial, c in found[j].items():
            total[monomial] = total.get(monomial, fmpq(0)) + factor * c
    return not any(total.values())


def _exact_kernel(
    found: Sequence[Mapping[Monomial, Any]], kept: Sequence[int], rows: Mapping[Monomial, int]
) -> list[dict[int, Any]] | None:
    """Return the kernel by exact elimination, where that is affordable."""
    if len(rows) * len(kept) > _LARGEST_TABLE // 20:
        return None
    table = fmpq_mat(len(rows), len(kept))
    for n, j in enumerate(kept):
        for monomial, c in found[j].items():
            table[rows[monomial], n] = c
    reduced, rank = table.rref()
    chosen = pivots_of(reduced, rank)
    return [
        {kept[n]: fmpq(-1)} | {kept[chosen[i]]: reduced[i, n] for i in range(rank) if reduced[i, n]}
        for n in range(len(kept))
        if n not in chosen
    ]


def pivots_of(reduced: Any, rank: int) -> list[int]:
    """Return the pivot columns of a reduced matrix."""
    found: list[int] = []
    column = 0
    for i in range(rank):
        while not reduced[i, column]:
            column += 1
        found.append(column)
        column += 1
    return found


def _named(
    tape: Tape, formal: FormalRing, vector: Mapping[int, Any], scales: Sequence[Monomial | None]
) -> Dependency:
    """Return a relation between columns that were divided by constants, in words."""
    pairs = []
    for j, c in sorted(vector.items()):
        scale = scales[j] or ONE
        value = Rational(int(c.p), int(c.q)) / constant_expression(formal, scale)
        pairs.append((tape.parameters[j], value))
    return Dependency(tuple(pairs))


def constant_expression(formal: FormalRing, monomial: Monomial) -> Expr:
    """Return a constant monomial as a SymPy expression."""
    return Mul(*(_letter(formal, a) ** Rational(Fraction(e)) for a, e in monomial))


def _letter(formal: FormalRing, index: int) -> Expr:
    atom = formal.atoms[index]
    if atom.kind in {"number", "symbol"}:
        return Symbol("alpha") if atom.data == "alpha" else atom.data
    if atom.kind == "exponential":
        return sympy_exp(constant_expression(formal, atom.data))
    return Symbol(f"{atom.data or 'sum'}_{index}")


# --- relations over the field of the constants ----------------------------------------------------


def _over_constants(tape: Tape, formal: FormalRing, found: Sequence[Split]) -> UpperBound:
    """Bound the rank where coefficients hold constants."""
    letters = sorted({a for c in found for part in c.values() for m in part for a, _ in m})
    count = sum(len(part) for c in found for part in c.values())
    small = len(found) * max(len(letters), 1) <= _LARGEST_FIELD and count <= 10 * _LARGEST_FIELD
    if small and formal.alpha not in letters and _whole(found):
        return _fraction_field(tape, formal, found, letters)
    return UpperBound(len(found), (), "the number of parameters")


def _whole(found: Sequence[Split]) -> bool:
    exponents = (e for c in found for part in c.values() for m in part for _, e in m)
    return all(isinstance(e, int) for e in exponents)


def _fraction_field(
    tape: Tape, formal: FormalRing, found: Sequence[Split], letters: Sequence[int]
) -> UpperBound:
    """Return the kernel over the field of rational functions of the constants, exactly."""
    names = [Symbol(f"c_{a}") for a in letters]
    field = QQ.frac_field(*names)
    images = dict(zip(letters, field.gens, strict=True))
    rows: dict[Monomial, int] = {}
    for column in found:
        for monomial in column:
            rows.setdefault(monomial, len(rows))
    table: dict[int, dict[int, Any]] = {}
    for j, column in enumerate(found):
        for monomial, part in column.items():
            value = field.zero
            for fixed, c in part.items():
                term = field(QQ(int(c.p), int(c.q)))
                for a, e in fixed:
                    term *= images[a] ** e
                value += term
            if value:
                table.setdefault(rows[monomial], {})[j] = value
    matrix = DomainMatrix(table, (max(len(rows), 1), len(found)), field)
    real = {n: _letter(formal, a) for n, a in zip(names, letters, strict=True)}
    listed = []
    for vector in matrix.nullspace().to_sdm().values():
        first = vector[min(vector)]
        pairs = ((tape.parameters[j], (c / first).as_expr()) for j, c in sorted(vector.items()))
        listed.append(Dependency(tuple((s, c.xreplace(real)) for s, c in pairs)))
    return UpperBound(
        len(found) - len(listed), tuple(listed), "kernel over the field of the constants, exactly"
    )


def _block_rank(tape: Tape, formal: FormalRing, found: Sequence[Split]) -> UpperBound:
    """Bound the rank over K = Q(alpha) by a rank over Q: dim_K = dim_Q / degree."""
    degree = formal.field.degree
    columns_: list[Poly] = []
    for column in found:
        flat = {multiplied(m, f): c for m, part in column.items() for f, c in part.items()}
        for _ in range(degree):
            columns_.append(flat)
            if degree > 1:
                flat = formal.multiply(flat, {((formal.alpha, 1),): fmpq(1)})
    kernel = _rational_kernel(columns_[::degree]) or []
    listed = tuple(_named(tape, formal, vector, [ONE] * len(found)) for vector in kernel)
    rows: dict[Monomial, int] = {}
    for flat in columns_:
        for monomial in flat:
            rows.setdefault(monomial, len(rows))
    if not rows or len(rows) * len(columns_) > _LARGEST_TABLE // 10:
        return UpperBound(len(found) - len(listed), listed, _PROVED)
    table = fmpq_mat(len(rows), len(columns_))
    for j, flat in enumerate(columns_):
        for monomial, c in flat.items():
            table[rows[monomial], j] = c
    rank = int(table.rank()) // degree
    if rank == len(found) - len(listed):
        return UpperBound(rank, listed, _PROVED)
    return UpperBound(rank, (), "exact rank of formal coefficients")
