"""Compiled branch-safe solver of spectral curves: the generated module.

Stage: a ``Curve`` in, source text out (stored and imported by ``numeric.cache``). Per point z:

1. Newton in the unknowns, from the solution at the point before. A step that would take an upper
   function out of the upper half-plane is halved until it does not. It stops where the next step,
   foretold by the last two (size^3/last^2: convergence is quadratic), is below 1e-17.
2. Where that fails: from the explicit solution at a large imaginary part, Im z is brought down by a
   factor that adapts; as soon as Newton reaches the target itself the continuation stops.

A solution is accepted only with all upper functions strictly in the upper half-plane, which by
uniqueness proves the branch (``derive.spectra.curve``), at Im z = 0 as well; nothing is read off a
largest imaginary part, and no imaginary offset enters a density.
"""

from collections.abc import Iterable

from sympy import Expr, Integer, Symbol

from derive.block import Block, Line, chain
from derive.printing.pair_code import Pair, kinds_of, pair_function, point_sums
from derive.spectra.curve import LARGE, Curve
from numeric.point_tree import GATHERED, HEADER

WARM, CONTINUED, LOST = 0, 1, 2
"""How a point was reached: from its neighbour, by continuation in Im z, or not at all."""

_HEADER = '''"""Generated from a spectral curve with {k} unknown(s); do not edit."""

import math

import numpy as np
from numba import njit

END, DIRECT, FAR, JUMP, LOWER, REAL = -1, 0, 1, 2, 3, 4
S = dict(error_model="numpy", fastmath={{"contract", "nsz"}})
LOOSE = dict(S, fastmath={{"contract", "nsz", "reassoc"}})
'''

_SINGLE = """
@njit(**S)
def moves(c, zr, zi, u, d, work):
    er, ei = zr - c[0], zi - c[1]
    sr, si = c[{first_slope}], c[{first_slope} + 1]
    scale = 1.0 / (sr * sr + si * si)
    d[0] = (er * sr + ei * si) * scale
    d[1] = (ei * sr - er * si) * scale
    return math.hypot(d[0], d[1]) / (math.hypot(u[0], u[1]) + 1e-300)
"""

_COUPLED = """
@njit(**S)
def moves(c, zr, zi, u, d, work):
    for row in range({k}):
        for column in range({k}):
            j = {first_slope} + 2 * ({k} * row + column)
            work[row, column] = complex(c[j], c[j + 1])
    work[0, {k}] = complex(zr - c[0], zi - c[1])
    for row in range(1, {k}):
        work[row, {k}] = complex(-c[2 + 2 * row], -c[3 + 2 * row])
    for column in range({k}):
        best = column
        for row in range(column + 1, {k}):
            if abs(work[row, column]) > abs(work[best, column]):
                best = row
        for j in range({k} + 1):
            work[column, j], work[best, j] = work[best, j], work[column, j]
        for row in range({k}):
            if row != column:
                factor = work[row, column] / work[column, column]
                for j in range(column, {k} + 1):
                    work[row, j] -= factor * work[column, j]
    size = 0.0
    for j in range({k}):
        step = work[j, {k}] / work[j, j]
        d[2 * j] = step.real
        d[2 * j + 1] = step.imag
        share = abs(step) / (math.hypot(u[2 * j], u[2 * j + 1]) + 1e-300)
        if not (share <= size):
            size = share
    return size
"""

_DRIVER = """
@njit(**S)
def margin(c):
    least = math.inf
    for j in range({first_upper}, {last_upper}, 2):
        size = abs(c[j]) + abs(c[j + 1])
        share = c[j + 1] / size
        if not (share >= least):
            least = share
    return least


@njit(**S)
def at(u, p{tables}):
    return curve({u_args}, p{tables})


{moves}@njit(**S)
def newton(zr, zi, u, c, d, trial, work, most, floor, p{tables}):
    last = math.inf
    for count in range(1, most + 1):
        size = moves(c, zr, zi, u, d, work)
        if not (size < math.inf):
            return False, count, math.inf, c
        scale = 1.0
        inside = False
        for _ in range(30):
            for j in range({k2}):
                trial[j] = u[j] + scale * d[j]
            c = at(trial, p{tables})
            if margin(c) > floor:
                inside = True
                break
            scale *= 0.5
        if not inside:
            return False, count, math.inf, c
        for j in range({k2}):
            u[j] = trial[j]
        ahead = size * (size / last) ** 2
        if scale == 1.0:
            if last < 1e-2 and ahead < 1e-17:
                return True, count, min(size, 3e-16), c
            if size <= 3e-16 or (size < 1e-8 and size >= 0.25 * last):
                return True, count, size, c
        last = size
    return last < 1e-12, most, last, c


@njit("void(f8[::1],f8[::1],f8[::1],f8,b1,f8[:,::1]{signature})", cache=True, nogil=True, **S)
def sweep(x, y, p, bound, real, out{tables}):
    u, d, trial, keep = np.ones({k2}), np.empty({k2}), np.empty({k2}), np.empty({k2})
    work = np.empty(({k}, {k} + 1), np.complex128)
    c = at(u, p{tables})
    warm = False
    for i in range(x.size):
        zr, zi = x[i], y[i]
        task = DIRECT if warm else FAR
        path = {warm} if warm else {continued}
        total = 0
        high = 1e-3 * bound if real else zi
        now = 0.0
        factor = 0.3
        while task >= 0:
            goal, most, floor = zi, 12, 0.0
            if task == FAR:
                now = max(64.0 * bound, 64.0 * abs(zr), zi)
                goal, most = now, 60
                begin(zr, now, u, p)
                c = at(u, p{tables})
            elif task == JUMP:
                goal, most = high, 8
            elif task == LOWER:
                goal = max(high, factor * now)
            elif task == REAL:
                floor = -2.0
            done, count, size, c = newton(zr, goal, u, c, d, trial, work, most, floor, p{tables})
            total += count
            if total > 20000:
                done = False
                break
            if task == DIRECT:
                done = done and margin(c) > 1e-13 + 64.0 * size
                task = END if done else FAR
                path = {warm} if done else {continued}
            elif task == REAL:
                done = done and abs(margin(c)) < 1e-12
                high *= 1e-2
                task = FAR if not done and high > 1e-14 * bound else END
            elif task == JUMP:
                done = done and margin(c) > 1e-13 + 64.0 * size
                task = LOWER if not done else (REAL if real else END)
                if not done:
                    for j in range({k2}):
                        u[j] = keep[j]
                    c = at(u, p{tables})
                    if now < 1e-17 * bound:
                        task = END
            elif done or (task == LOWER and factor < 0.9999):
                if done:
                    for j in range({k2}):
                        keep[j] = u[j]
                    if task == LOWER:
                        now = goal
                        factor = max(0.05, factor * factor)
                    task = JUMP if now <= max(4.0 * bound, high) else LOWER
                else:
                    for j in range({k2}):
                        u[j] = keep[j]
                    c = at(u, p{tables})
                    factor = math.sqrt(factor)
            else:
                task = END
        warm = done and not real
        out[0, i] = c[2]
        out[1, i] = c[3]
        out[2, i] = math.hypot(c[0] - zr, c[1] - zi) / (math.hypot(zr, zi) + 1e-12 * bound)
        out[3, i] = margin(c)
        out[4, i] = total
        out[5, i] = path if done else {lost}
        for j in range({k2}):
            out[6 + j, i] = u[j]
"""


def spectral_source(curve: Curve) -> str:
    """Return the module of a curve: functions ``sweep`` and, for towers, ``rungs``.

    Both take the parameters, then the tree of each table (``point_tree``) and its scratch array.
    The text does not depend on the values of the parameters.
    """
    k, tables = (
        len(curve.unknowns),
        "".join(f", {kind}{i}" for kind in "tw" for i in range(len(curve.tables))),
    )
    u_args = ", ".join(f"u[{j}]" for j in range(2 * k))
    first_upper = 4 + 2 * len(curve.constraints)
    last_upper = first_upper + 2 * len(curve.upper)
    blocks = [_curve_block(curve), *([_rungs_block(curve)] if curve.is_tower else [])]
    parts = [_HEADER.format(k=k), _sums_text(blocks)]
    parts += [_curve_text(curve, blocks[0], tables), _start_text(curve)]
    first_slope = last_upper
    moves = (_SINGLE if k == 1 else _COUPLED).format(k=k, first_slope=first_slope)
    parts.append(
        _DRIVER.format(
            moves=moves.strip() + "\n\n\n",
            k=k,
            k2=2 * k,
            tables=tables,
            u_args=u_args,
            first_upper=first_upper,
            last_upper=last_upper,
            signature=",f8[::1]" * (2 * len(curve.tables)),
            warm=WARM,
            continued=CONTINUED,
            lost=LOST,
        )
    )
    if curve.is_tower:
        parts.append(_rungs_text(curve, blocks[1], tables))
    return "\n".join(parts)


def _sums_text(blocks: Iterable[Block]) -> str:
    """Print the sums over tables that the blocks call."""
    kinds = {kinds_of([*(e for _, e in b.lines), *b.results]) for b in blocks} - {frozenset()}
    loops = [f"\n@njit(**LOOSE)\n{point_sums(k)}\n" for k in sorted(kinds, key=sorted)]
    return "\n".join([f"HEADER = {HEADER}\n{GATHERED}", *loops] if loops else [])


def _block(curve: Curve, lines: Iterable[Line], results: Iterable[Expr]) -> Block:
    """Return code without the lines that no result needs."""
    inputs = (*curve.unknowns, *(s for s, _ in curve.parameters))
    return Block(inputs, tuple(lines), tuple(results)).pruned()


def _curve_block(curve: Curve) -> Block:
    lines, slopes = list(curve.lines), []
    equations = (curve.z, *curve.constraints)
    for j, u in enumerate(curve.unknowns):
        slopes.append(_along(curve.lines, u, f"d{j}", lines))
    results: list[Expr] = [curve.z, curve.g, *curve.constraints, *curve.upper]
    results += [chain(e, slope) for e in equations for slope in slopes]
    return _block(curve, lines, results)


def _curve_text(curve: Curve, block: Block, tables: str) -> str:
    names = [f"u{j}{part}" for j in range(len(curve.unknowns)) for part in "ri"]
    known: dict[Symbol, Pair] = {
        u: (f"u{j}r", f"u{j}i") for j, u in enumerate(curve.unknowns)
    } | _parameters(curve)
    arguments = (*names, "p" + tables)
    text = pair_function("curve", arguments, known, block.lines, block.results)
    return f"\n@njit(**S)\n{text}\n"


def _start_text(curve: Curve) -> str:
    known: dict[Symbol, Pair] = {LARGE: ("zr", "zi")} | _parameters(curve)
    text = pair_function("start", ("zr", "zi", "p"), known, [], curve.start)
    stores = "\n".join(f"    u[{j}] = s[{j}]" for j in range(2 * len(curve.unknowns)))
    begin = f"def begin(zr, zi, u, p):\n    s = start(zr, zi, p)\n{stores}"
    return f"\n@njit(**S)\n{text}\n\n\n@njit(**S)\n{begin}\n"


def _rungs_block(curve: Curve) -> Block:
    """Return value, slope and curvature of every rung and the splits."""
    lines, u = list(curve.lines), curve.unknowns[0]
    first = _along(curve.lines, u, "d", lines)
    second = _along(tuple(lines), u, "dd", lines)
    results: list[Expr] = []
    for rung in curve.ladder:
        slope = first.get(rung.omega, Integer(0))
        results += [rung.omega, slope, chain(slope, second)]
    results += [s for rung in curve.ladder for s in rung.splits]
    return _block(curve, lines, results)


def _rungs_text(curve: Curve, block: Block, tables: str) -> str:
    """Print the rungs for a real unknown."""
    u = curve.unknowns[0]
    known: dict[Symbol, Pair] = {u: ("x", "0.0" if curve.tables else "")} | _parameters(curve)
    text = pair_function("rungs", ("x", "p" + tables), known, block.lines, block.results)
    return f"\n@njit(cache=True, **S)\n{text}\n"


def _parameters(curve: Curve) -> dict[Symbol, Pair]:
    return {s: (f"p[{i}]", "") for i, (s, _) in enumerate(curve.parameters)}


def _along(code: Iterable[Line], u: Symbol, tag: str, lines: list[Line]) -> dict[Symbol, Expr]:
    """Append the derivative lines of code in one unknown; return the derivatives by symbol."""
    slope: dict[Symbol, Expr] = {u: Integer(1)}
    for symbol, expr in code:
        value = chain(expr, slope)
        if not (value.is_Symbol or value.is_Number):
            name = Symbol(f"{symbol.name}_{tag}")
            lines.append((name, value))
            value = name
        slope[symbol] = value
    return slope
