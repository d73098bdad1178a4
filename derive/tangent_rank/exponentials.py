r"""Which exponentials of a family are independent symbols, and how the others follow from them.

Stage: after the formal pass, before residues. Every tanh(u), exp(u), sin(u), cos(u) is a rational
function of z = exp(2u), exp(u) or exp(iu). Let y_1, ..., y_n be the exponents in the order of the
tape, each in the field C(x, z_1, ..., z_{i-1}), and the softplus values v = log(1 + exp(y)).

Theorem (Ax 1971, theorem 3). If y_1, ..., y_n are linearly independent over Q modulo constants,
then C(y, exp y) has transcendence degree at least n + rank(dy/dx) over C.

Adding the x_j to the list where they are independent of it makes the rank d. The field is generated
by x and exp(y), so x and exp(y) are then algebraically independent over C, for networks of any
depth: the exponentials of all layers are free symbols. For v = log(1 + exp y) the roles swap: v is
a free symbol and exp(v) is known. Distinct arguments up to sign give independent v: write
exp(y) = c u^k with c > 0 and u a primitive monomial; of all 1 + c u^k in one u, a largest k has the
root of angle pi/k and modulus c^(-1/k), which no other has; for different u they are coprime.

Values erf(u) of affine u, distinct up to sign, are algebraically independent over C(x, exponentials
of polynomials): by Ostrowski's theorem a relation would make sum c_i erf(u_i) an element R of that
field; comparing the coefficients of exp(-u_i^2) along a line gives r' - 2 u_i u_i' r = c_i u_i',
which no rational r solves, as the left side has degree at least one.

Exponentials of algebraic constants are independent by Lindemann and Weierstrass; constants of
several other kinds (pi beside exp(1)) are only believed to be, and the plan says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import lcm
from typing import Any

from flint import fmpq, fmpq_mat

from derive.errors import NotSupportedError
from derive.tangent_rank.formal import FormalRing, Monomial, Poly
from derive.tangent_rank.tape import Tape

_FACTOR = {"tanh": 2, "exp": 1, "sin": 1, "cos": 1}
Place = tuple[bool, Monomial]


@dataclass(frozen=True)
class Exponential:
    """One exponential: exp(y) = constants * prod_k Z_k^{powers_k}.

    Attributes:
        powers: integer exponents of the basis symbols, by number of the symbol.
        constants: integer exponents of the constant symbols.
        values: integer exponents of known numbers exp(v) = 1 + exp(y), by softplus atom.
        alone: whether it is a basis symbol that nothing else uses.
    """

    powers: dict[int, int]
    constants: dict[int, int]
    values: dict[int, int]
    alone: bool


@dataclass(frozen=True)
class Plan:
    """How to give a value to every function of a tape.

    Attributes:
        exponentials: by function node.
        inside: exp(y) of each softplus log(1 + exp(y)), by its atom.
        symbols: number of basis symbols.
        constants: number of constant symbols.
        monomials: functions whose linear independence with 1 remains to be certified.
        assumptions: unproved independence of constants that the values rest on.
    """

    exponentials: dict[int, Exponential]
    inside: dict[int, Exponential]
    symbols: int
    constants: int
    monomials: tuple[Monomial, ...]
    assumptions: tuple[str, ...]


@dataclass
class _Rows:
    """Exponents as vectors over the rationals."""

    places: dict[Place, int] = field(default_factory=dict)
    moving: list[dict[int, Any]] = field(default_factory=list)
    fixed: list[dict[Place, Any]] = field(default_factory=list)

    def add(self, value: Poly, ring: FormalRing, imaginary: bool) -> None:
        moving, fixed = ring.parts(value)
        place = self.places
        self.moving.append(
            {place.setdefault((imaginary, m), len(place)): c for m, c in moving.items()}
        )
        self.fixed.append({(imaginary, m): c for m, c in fixed.items()})


def plan_of(tape: Tape, ring: FormalRing) -> Plan:
    """Return the plan of a tape whose formal pass is done.

    Raises:
        NotSupportedError: if a function is not of the kinds above, or nests them in a way that the
            theorems do not cover.
    """
    softplus = _softplus_atoms(ring)
    rows = _Rows()
    for atom in softplus:
        rows.add({((atom, 1),): fmpq(1)}, ring, imaginary=False)
    for atom in softplus:
        rows.add(dict(ring.atoms[atom].argument), ring, imaginary=False)
    nodes: list[int] = []
    for index, seen in ring.seen.items():
        _check(seen.name, seen.argument, ring)
        exponent = _exponent(seen.name, seen.argument)
        if exponent is not None:
            nodes.append(index)
            rows.add(exponent, ring, seen.name in {"sin", "cos"})
    pivots, combinations = _basis(rows)
    exponentials, symbols, bases = _exponentials(rows, pivots, combinations, softplus)
    return Plan(
        exponentials=dict(zip(nodes, exponentials[2 * len(softplus) :], strict=True)),
        inside=dict(zip(softplus, exponentials[len(softplus) : 2 * len(softplus)], strict=True)),
        symbols=symbols,
        constants=len(bases),
        monomials=_uncertain(rows, ring),
        assumptions=_assumptions(ring, bases),
    )


def _softplus_atoms(ring: FormalRing) -> list[int]:
    found = {s.atom: None for s in ring.seen.values() if s.name == "softplus" and s.atom >= 0}
    return [a for a in found if not ring.atoms[a].constant]


def _exponent(name: str, argument: Poly) -> Poly | None:
    factor = _FACTOR.get(name)
    return None if factor is None else {m: factor * c for m, c in argument.items()}


def _check(name: str, argument: Poly, ring: FormalRing) -> None:
    if name not in {*_FACTOR, "softplus", "erf"}:
        raise NotSupportedError(
            f"exact rank with {name}", "its values are not free symbols", "use method='balls'"
        )
    moving, _ = ring.parts(argument)
    kinds = {ring.atoms[a].kind for m in moving for a, _ in m if not ring.atoms[a].constant}
    erf = any(seen.name == "erf" for seen in ring.seen.values())
    if erf and (name == "softplus" or kinds - {"input"}):
        raise NotSupportedError(
            "exact rank with erf beside nested functions or logarithms",
            "independence is not known",
            "use method='balls'",
        )
    if name == "erf" and any(not _affine(m, ring) for m in moving):
        raise NotSupportedError(
            "exact rank with erf of a curved argument",
            "independence is not known",
            "use method='balls'",
        )
    if "exponential" in kinds:
        raise NotSupportedError(
            f"exact rank with {name} of exp", "independence is not checked", "use method='balls'"
        )
    if name == "softplus" and any(ring.atoms[a].kind == "sum" for m in moving for a, _ in m):
        raise NotSupportedError(
            "exact rank with a long softplus", "not multiplied out", "use method='balls'"
        )


def _affine(monomial: Monomial, ring: FormalRing) -> bool:
    moving = [(a, e) for a, e in monomial if not ring.atoms[a].constant]
    return len(moving) == 1 and moving[0][1] == 1 and ring.atoms[moving[0][0]].kind == "input"


def _basis(rows: _Rows) -> tuple[list[int], list[dict[int, Any]]]:
    """Return the rows of a basis, and every row as a combination of them."""
    count, width = len(rows.moving), len(rows.places)
    if not count or not width:
        return [], [{} for _ in rows.moving]
    table = fmpq_mat(width, count)
    for j, row in enumerate(rows.moving):
        for i, c in row.items():
            table[i, j] = c
    reduced, rank = table.rref()
    pivots: list[int] = []
    for i in range(rank):
        start = pivots[-1] + 1 if pivots else 0
        pivots.append(next(j for j in range(start, count) if reduced[i, j]))
    combinations = [
        {pivots[i]: reduced[i, j] for i in range(rank) if reduced[i, j]} for j in range(count)
    ]
    return pivots, combinations


def _exponentials(
    rows: _Rows,
    pivots: Sequence[int],
    combinations: Sequence[dict[int, Any]],
    softplus: Sequence[int],
) -> tuple[list[Exponential], int, dict[Place, int]]:
    """Return every exponential over basis symbols with integer exponents, and the constants."""
    known = len(softplus)
    scale = dict.fromkeys(pivots, 1)
    users = dict.fromkeys(pivots, 0)
    for j, combination in enumerate(combinations):
        for k, c in combination.items():
            scale[k] = lcm(scale[k], int(c.q))
            users[k] += j != k
    if any(scale[k] > 1 for k in range(known)):
        raise NotSupportedError(
            "exact rank with a root of 1 + exp",
            "a fraction of a softplus in an exponent",
            "use method='balls'",
        )
    residues = [_residue(rows.fixed, j, combinations[j]) for j in range(len(combinations))]
    bases: dict[Place, int] = {}
    roots: dict[Place, int] = {}
    for residue in residues:
        for place, c in residue.items():
            bases.setdefault(place, len(bases))
            roots[place] = lcm(roots.get(place, 1), int(c.q))
    order = {k: n for n, k in enumerate(p for p in pivots if p >= known)}
    out = [
        Exponential(
            powers={order[k]: int(c * scale[k]) for k, c in combination.items() if k >= known},
            constants={bases[b]: int(c * roots[b]) for b, c in residue.items()},
            values={softplus[k]: int(c) for k, c in combination.items() if k < known},
            alone=users.get(j) == 0 and scale[j] == 1,
        )
        for j, (combination, residue) in enumerate(zip(combinations, residues, strict=True))
    ]
    return out, len(order), bases


def _residue(
    fixed: Sequence[dict[Place, Any]], j: int, combination: dict[int, Any]
) -> dict[Place, Any]:
    """Return the constant that a row has beside its combination; basis rows keep none."""
    if j in combination:
        return {}
    total = dict(fixed[j])
    for k, c in combination.items():
        for place, value in fixed[k].items():
            total[place] = total.get(place, 0) - c * value
    return {place: c for place, c in total.items() if c}


def _uncertain(rows: _Rows, ring: FormalRing) -> tuple[Monomial, ...]:
    """Return the moving parts of all places unless each is a power product of inputs."""
    moving = {
        tuple((a, e) for a, e in m if not ring.atoms[a].constant): None for _, m in rows.places
    }
    plain = all(ring.atoms[a].kind == "input" and e > 0 for m in moving for a, e in m)
    return () if plain else tuple(moving)


def _assumptions(ring: FormalRing, bases: dict[Place, int]) -> tuple[str, ...]:
    """Return what is believed but not proved about the constants."""
    named = {str(a.data) for a in ring.atoms if a.kind == "number" and a.data != "alpha"}
    values = [a for a in ring.atoms if a.kind == "function" and a.constant]
    algebraic = all(_algebraic(m, ring) for _, m in bases)
    nested = not algebraic or any(not _algebraic(m, ring) for a in values for m, _ in a.argument)
    others = {a.data for a in values} - {"tanh", "sin", "cos"}
    powers = any(a.kind == "exponential" and a.constant for a in ring.atoms)
    kinds = sorted(named | {f"a value of {name}" for name in others})
    if bases or powers or "tanh" in {a.data for a in values}:
        kinds.append("exponentials of the biases")
    proved = kinds in ([], ["sqrt(pi)"], ["exponentials of the biases"]) and not nested
    if proved:
        return ()
    if nested:
        kinds.append("nested constants")
    believed = "not proved; part of Schanuel's conjecture where the exponents are independent"
    return (f"algebraic independence of {', '.join(dict.fromkeys(kinds))} ({believed})",)


def _algebraic(monomial: Monomial, ring: FormalRing) -> bool:
    return all(ring.atoms[a].data == "alpha" for a, _ in monomial)
