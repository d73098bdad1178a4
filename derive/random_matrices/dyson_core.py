"""From an averaged pencil to a smallest coupled core: merging, elimination, order.

Stage: inside the Dyson equations. Every merge that the series suggest is checked as an identity:
with the merged values put in, both sides of each dropped equation must agree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sympy import Expr, Integer, Symbol

from derive.block import Line
from derive.random_matrices.averaged_pencil import TAU, AveragedPencil, FreeGroup, averaged
from derive.random_matrices.block_inverse import inverse_entries
from derive.random_matrices.covariance_map import Index
from derive.random_matrices.dependency_graph import ordered, smallest_core
from derive.random_matrices.trace_series import agrees, candidates, doubt
from derive.rewrite import Log, Step
from derive.symbols import Quantity


@dataclass(frozen=True)
class Core:
    """Equations ordered for solution.

    Attributes:
        unknowns: core unknowns, in the order in which their groups can be solved.
        equations: right side for each core unknown.
        lines: definitions of all other traces, in order.
        values: each block trace (unknown or output) as an expression in symbols of the core.
        start: value of each core unknown at tau = 0.
        log: steps.
    """

    unknowns: tuple[Quantity, ...]
    equations: tuple[Expr, ...]
    lines: tuple[Line, ...]
    values: Mapping[Index, Expr]
    start: tuple[Expr, ...]
    log: Log


def core_of(model: AveragedPencil) -> Core:
    """Return the reduced equations of an averaged pencil."""
    merged, log = _merge(model)
    found, auxiliary = model.traces(merged)
    merged = {b: e.xreplace(model.field.backward) for b, e in merged.items()}
    right: dict[Symbol, Expr] = {}
    for b in sorted(model.unknowns, key=lambda b: (b[0] != b[1], b)):
        if b not in merged and b in found:
            right[model.unknowns[b]] = found[b]
        elif b not in merged:
            merged[b] = Integer(0)
    right.update(_energies(model, merged))
    traces = len(right)
    right.update(auxiliary)
    core = smallest_core(right, {s for s, _ in auxiliary})
    lines = tuple((s, right[s]) for s in ordered(right, core) if s not in core)
    log = log.then(
        Step("keep the smallest coupled core", f"{traces} traces, {len(core)} of them unknown")
    )
    values = {b: merged.get(b, s) for b, s in model.unknowns.items()}
    for b in model.outputs:
        if b not in values:
            values[b] = found.get(b, Integer(0))
    start = _start(model, core)
    unknowns = tuple(s for s in core if isinstance(s, Quantity))
    return Core(unknowns, tuple(right[s] for s in core), lines, values, start, log)


def _merge(model: AveragedPencil) -> tuple[dict[Index, Expr], Log]:
    """Check the suggested merges; those that fail are dropped and the rest is tried again."""
    suggested = candidates(model)
    while True:
        merged: dict[Index, Expr] = {
            b: Integer(0) if s is None else s[1] * model.unknowns[s[0]]
            for b, s in suggested.items()
        }
        failed = agrees(model, merged, suggested) if suggested else []
        if not failed:
            break
        suggested = {b: s for b, s in suggested.items() if b not in failed}
    zeros = sum(1 for s in suggested.values() if s is None)
    result = f"{len(model.unknowns)} traces in eta, {zeros} vanish, {len(merged) - zeros} repeat"
    if merged:
        chance = doubt(model, len(merged))
        result += f"; identities at random points, one of them false with probability {chance:.0e}"
    return merged, Log((Step("merge equal unknowns", result),))


def _energies(model: AveragedPencil, merged: Mapping[Index, Expr]) -> dict[Symbol, Expr]:
    """Right sides h + E[D (1 + G D)^-1] for the self-energies, D = C s - h."""
    result: dict[Symbol, Expr] = {}
    for group in model.free:
        for place, value in _energy_residuals(model, group, merged).items():
            symbol = model.energies[place]
            result[symbol] = symbol + value
    return result


def _energy_residuals(
    model: AveragedPencil, group: FreeGroup, merged: Mapping[Index, Expr]
) -> dict[Index, Expr]:
    field, variables = model.field, model.variables(group.basis)
    shift = _shifted(group, variables)
    d: dict[Index, Any] = {
        (i, l): -field.convert(model.energies[i, l]) for i in group.rows for l in group.cols
    }
    for e, coordinate in model.entries_of(group.basis):
        value = field.convert(e.coefficient) * field.convert(shift[coordinate])
        d[e.row, e.col] += value
    g = {
        (l, i): field.convert(merged.get((l, i), model.unknowns[l, i]))
        for l in group.cols
        for i in group.rows
        if (l, i) in model.unknowns
    }
    table = {(l, m): field.convert(Integer(int(l == m))) for l in group.cols for m in group.cols}
    for l in group.cols:
        for m in group.cols:
            for i in group.rows:
                if (l, i) in g:
                    table[l, m] += g[l, i] * d[i, m]
    table = {k: x for k, x in table.items() if x}
    inverse = inverse_entries(
        table, list(table) + [(l, m) for l in group.cols for m in group.cols], field.domain.one
    )
    result = {}
    for i in group.rows:
        for m in group.cols:
            terms = [d[i, l] * inverse[l, m] for l in group.cols if (l, m) in inverse]
            total = sum(terms[1:], terms[0])
            result[i, m] = averaged(field.expr(total), group.basis, variables)
    return result


def _shifted(group: FreeGroup, variables: list[Symbol]) -> list[Expr]:
    """Spectral variables on the path: their mean at tau = 0, themselves at tau = 1."""
    means = [group.basis[2].mean(s, variables) for s in variables]
    return [m + TAU * (s - m) for m, s in zip(means, variables, strict=True)]


def _start(model: AveragedPencil, core: Iterable[Symbol]) -> tuple[Expr, ...]:
    """Values at tau = 0: self-energies are means, traces follow explicitly."""
    means: dict[Symbol, Expr] = dict.fromkeys(model.energies.values(), Integer(0))
    for group in model.free:
        variables = model.variables(group.basis)
        for e, coordinate in model.entries_of(group.basis):
            mean = group.basis[2].mean(variables[coordinate], variables)
            means[model.energies[e.row, e.col]] += e.coefficient * mean
    explicit = model.explicit()
    values: dict[Symbol, Expr] = {s: explicit.get(b, Integer(0)) for b, s in model.unknowns.items()}
    return tuple(means[s] if s in means else values[s].xreplace(means) for s in core)
