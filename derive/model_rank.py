r"""Rank of the tangent functions of any parametric family, certified.

Stage: the door of ``derive.tangent_rank``. A family f(x; theta), its parameters, its inputs and a
point come in; a ``ModelRank`` goes out: a lower bound with its certificate, an upper bound with the
relations that prove it, and a status that says "exact" only where both meet.

Definition: r(theta) = dim span{df(.; theta)/dtheta_j}. For an analytic family the tangent matrix on
n generic samples has rank min(n, r(theta)), so r(theta) samples are the fewest from which the
linearised model at theta recovers f(.; theta); the least r(theta) over all theta of one function is
its optimistic sample size (``derive.theory.local_recovery``).

Lower bound over a prime field (``modular``): exponentials are free symbols by Ax's theorem, at any
depth. Elsewhere by balls (``balls``). Upper bound by exact relations (``dependencies``). A symbolic
point stands for its generic values: then the lower bound holds at random integers, and generic
values can only do better.

Source: arXiv:2406.18035, arXiv:2211.11623; Ax, Annals of Mathematics 93 (1971), theorem 3.
"""

import random
from dataclasses import dataclass, field

from sympy import Expr, Symbol

from derive.errors import NotSupportedError, UnknownNameError
from derive.provenance import AX_1971, LLR_2024, Source
from derive.tangent_rank.balls import ball_matrix, ball_rank
from derive.tangent_rank.dependencies import Dependency, UpperBound, upper_bound
from derive.tangent_rank.exponentials import plan_of
from derive.tangent_rank.family import Family, Names, Place, family_at
from derive.tangent_rank.formal import FormalRing
from derive.tangent_rank.modular import (
    SPARE,
    Certificate,
    certificate,
    independent,
    tangent_matrix,
)
from derive.tangent_rank.number_field import primes
from derive.tangent_rank.tape import ANALYTIC, ENTIRE, Tape, forward

METHODS = ("auto", "field", "balls")
_MOST_OPERATIONS = 2e9
_MOST_BALLS = 150
_CHEAP_BALLS = 40
_SECONDS = 1e-7
_PRIMES = 3
_BITS = (128, 384, 1024)


@dataclass(frozen=True)
class ModelRank:
    """The rank of the tangent functions at a point.

    Attributes:
        rank: certified lower bound; the rank itself where ``exact``.
        upper: proved upper bound.
        parameters: what was differentiated.
        method: "field" (residues modulo a prime) or "balls".
        certificates: minors that do not vanish, best first; empty for balls.
        columns: parameters of the minor.
        dependencies: relations that prove the upper bound, where they are listed.
        reason: how the upper bound is proved.
        assumptions: what the lower bound rests on beside proofs.
        generic: symbols that stand for generic values.
        bits: working precision of balls, 0 for a field.
        sources: theorems used.
    """

    rank: int
    upper: int
    parameters: tuple[Symbol, ...]
    method: str
    certificates: tuple[Certificate, ...] = ()
    columns: tuple[Symbol, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    reason: str = ""
    assumptions: tuple[str, ...] = ()
    generic: tuple[Symbol, ...] = ()
    bits: int = 0
    sources: tuple[Source, ...] = field(default=(LLR_2024, AX_1971), compare=False)

    @property
    def exact(self) -> bool:
        """Whether lower and upper bound meet and nothing is assumed."""
        return self.rank == self.upper and not self.assumptions

    @property
    def status(self) -> str:
        """Return "exact", "exact if ...", or "between l and u"."""
        if self.rank != self.upper:
            return f"between {self.rank} and {self.upper}"
        return f"exact if {'; '.join(self.assumptions)}" if self.assumptions else "exact"

    def __repr__(self) -> str:
        where = " at generic values" if self.generic else ""
        return f"ModelRank({self.rank} of {len(self.parameters)}{where}: {self.status})"


def model_rank(
    expr: Expr | str,
    parameters: Names,
    inputs: Names,
    point: Place | None = None,
    *,
    method: str = "auto",
    seed: int = 0,
) -> ModelRank:
    """Return the certified rank of the tangent functions of a family at a point.

    Args:
        expr: the family f(x; theta), SymPy or text of ``derive.reader``. Several outputs are one:
            multiply each by an input of its own and add.
        parameters: symbols or names, or one string "a,w,b".
        inputs: symbols or names of the inputs.
        point: values by parameter: rational numbers, radicals such as sqrt(2), text, or expressions
            in symbols that stand for generic values. Parameters without a value are generic.
        method: "field", "balls", or "auto": the field where its theorems apply, else balls.
        seed: of the random points.

    Raises:
        UnknownNameError: if a parameter or an input does not appear in the family.
        NotClosedError: if a symbol of the family is neither parameter nor input.
        NotSupportedError: for a family with kinks (use ``piecewise_rank``), or one too large, with
            the cost in the message.
        RangeError: for a point outside the domain.

    Example:
        >>> found = model_rank("a*tanh(w*x) + c*tanh(v*x)", "a,w,c,v", "x",
        ...                    {"a": 1, "w": 2, "c": 3, "v": 2})
        >>> found
        ModelRank(2 of 4: exact)
        >>> [str(d) for d in found.dependencies]
        ['df/da = df/dc', 'df/dw = 1/3 df/dv']
    """
    if method not in METHODS:
        raise UnknownNameError(f"method {method!r}", "not known", f"use {', '.join(METHODS)}")
    family = family_at(expr, parameters, inputs, point)
    _check_analytic(family.tape)
    _check_cost(family.tape)
    if method == "balls":
        return _by_balls(family, seed)
    try:
        found = _by_field(family, seed)
    except NotSupportedError:
        if method == "field" or len(family.tape.parameters) > _MOST_BALLS:
            raise
        return _by_balls(family, seed)
    if method == "auto" and found.assumptions and len(found.parameters) <= _CHEAP_BALLS:
        proved = _by_balls(family, seed)
        return proved if proved.rank == found.rank else found
    return found


def _check_analytic(tape: Tape) -> None:
    if tape.kinks():
        raise NotSupportedError(
            "the rank of an analytic family",
            f"it has {tape.kinks()} kinks (Max, Abs or Piecewise), so that generic samples need not"
            " reach the rank",
            "use piecewise_rank, or --regions, which samples the regions",
        )


def _check_cost(tape: Tape) -> None:
    count = len(tape.parameters)
    cost = 3.0 * (count + SPARE) * len(tape.nodes) + 0.02 * count**3
    if cost > _MOST_OPERATIONS:
        raise NotSupportedError(
            f"the exact rank of {count} parameters",
            f"about {cost:.1e} operations, {cost * _SECONDS / 60:.0f} minutes",
            "use a narrower family; splitting a neuron does not change the rank",
        )


def _by_field(family: Family, seed: int) -> ModelRank:
    """Bound the rank over prime fields from below and by relations from above."""
    tape, count = family.tape, len(family.tape.parameters)
    others = tape.functions() - ENTIRE
    if others:
        raise NotSupportedError(
            f"exact rank with {', '.join(sorted(others))}",
            "its values are not free symbols",
            "use method='balls'",
        )
    special = family.special(random.Random(seed), 9999)
    formal = FormalRing(tape, family.field, special)
    values = forward(tape, formal)
    plan = plan_of(tape, formal)
    best: list[Certificate] = []
    upper = UpperBound(count, (), "the number of parameters")
    for prime in primes(family.field, _PRIMES):
        if not independent(tape, formal, plan, prime):
            continue
        try:
            rows = tangent_matrix(tape, formal, plan, prime, points=count + SPARE, seed=seed)
        except ZeroDivisionError:  # the prime divides a denominator of the point
            continue
        best.append(certificate(rows, prime.p, seed))
        rank = len(best[-1].parameters)
        if rank < count and len(best) == 1:
            upper = _upper(family, rank, formal, values)
        if rank == upper.rank:
            break
    if not best:
        raise NotSupportedError(
            "exact rank of this family",
            "the arguments of its functions could not be proved independent",
            "use method='balls'",
        )
    best.sort(key=lambda c: -len(c.parameters))
    return ModelRank(
        rank=len(best[0].parameters),
        upper=upper.rank,
        parameters=tape.parameters,
        method="field",
        certificates=tuple(best),
        columns=tuple(tape.parameters[j] for j in best[0].parameters),
        dependencies=upper.dependencies,
        reason=upper.reason,
        assumptions=plan.assumptions,
        generic=family.symbols,
    )


def _upper(
    family: Family, target: int, formal: FormalRing | None = None, values: object = None
) -> UpperBound:
    """Bound the rank from above; at symbols, where they are kept, with them as constants."""
    if formal is not None and not family.symbols and isinstance(values, list):
        return upper_bound(family.tape, formal, values, target)
    kept = FormalRing(family.tape, family.field, family.values)
    try:
        return upper_bound(family.tape, kept, None, target)
    except NotSupportedError:  # numbers outside the field: relations are not looked for
        return UpperBound(len(family.tape.parameters), (), "the number of parameters")


def _by_balls(family: Family, seed: int) -> ModelRank:
    """Bound the rank by pivots whose balls exclude zero, at rising precision."""
    tape, count = family.tape, len(family.tape.parameters)
    unknown = tape.functions() - ANALYTIC
    if unknown or count > _MOST_BALLS:
        raise NotSupportedError(
            f"the rank of {count} parameters by balls",
            f"elimination costs about {count**3 * 4e-7:.0f} seconds for each precision",
            f"use {_MOST_BALLS} parameters or fewer",
        )
    special = family.special(random.Random(seed), 2000, 1000)
    upper = UpperBound(count, (), "the number of parameters")
    chosen: tuple[int, ...] = ()
    for bits in _BITS:
        rows = ball_matrix(tape, special, count + SPARE, bits, seed)
        rank, chosen = ball_rank(rows, bits)
        if rank < count and bits > _BITS[0] and upper.rank == count:
            upper = _upper(family, rank)
        if rank == upper.rank:
            break
    return ModelRank(
        rank=len(chosen),
        upper=upper.rank,
        parameters=tape.parameters,
        method="balls",
        columns=tuple(tape.parameters[j] for j in chosen),
        dependencies=upper.dependencies,
        reason=upper.reason,
        generic=family.symbols,
        bits=bits,
        sources=(LLR_2024,),
    )
