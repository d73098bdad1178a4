r"""Continuation in compiled code: from an explicit start, along the path, to the end.

Stage: the text of the algorithm, put behind the generated blocks of a ``CoupledProgram``.

1. At tau = 0 the unknowns are explicit. A few Newton steps there settle unknowns whose start is not
   exact (derivatives, which are linear in themselves).
2. Predict along the tangent, with the curvature of the last step; correct by Newton. A step is
   accepted if the first correction is small (``NEAR``) and the second is smaller still by the
   factor ``CONTRACTS``: then Newton was inside its basin, and the root is the continuation of the
   last one. Otherwise the step is cut. So no branch is ever jumped over silently: where no step is
   short enough, the point ends as ``branch_lost`` or ``singular_jacobian``.
3. At tau = 1 Newton goes on until its step is at rounding level.
4. No point starts from the result of another one, however near: a root reached that way may be one
   that is not the physical one, or may lie beyond an edge that its own path cannot cross.
5. The residual with its rounding bound is carried to unknowns, outputs and slopes through |J^-1|.
"""

from collections.abc import Sequence

from sympy import Symbol

from derive.codegen import ScalarPrinter, array_function, rename
from derive.coupled import PATH, CoupledProgram
from derive.printing.lane_phases import RESIDUAL, Asked, row_names

WIDTH = 16
"""Points per block, which threads share out."""
MAX_STEPS = 5000
NEAR = 0.05
CONTRACTS = 0.25
NOISE = 1e-7
"""Relative step below which Newton may stop contracting: rounding, which the errors carry."""

_HEADER = '''"""Generated from the coupled program {name}; do not edit.

Operations: {counts}.
"""

import math

import numpy as np
from numba import njit

SCALAR = dict(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
UNIT = {unit!r}
N = {n}
K = {outputs}
CONTROLS = {controls}
WIDTH = {width}
CONVERGED, MAX_STEPS, STALLED, NONFINITE, BRANCH_LOST, SINGULAR = 0, 1, 2, 4, 6, 7
'''

_SOLVER = """

@njit(**SCALAR)
def factor(A, P):
    # LU with row pivoting in place; returns the smallest pivot relative to its column
    least = 1.0
    for j in range(N):
        scale = 1.0  # J = d right side/dx - 1
        for i in range(N):
            scale = max(scale, abs(A[i, j]))
        best = j
        for i in range(j + 1, N):
            if abs(A[i, j]) > abs(A[best, j]):
                best = i
        P[j] = best
        if best != j:
            for k in range(N):
                A[j, k], A[best, k] = A[best, k], A[j, k]
        pivot = A[j, j]
        if not (abs(pivot) > 0.0) or not (abs(pivot) < math.inf):
            return 0.0 if pivot == 0.0 else math.nan
        least = min(least, abs(pivot) / scale)
        for i in range(j + 1, N):
            A[i, j] /= pivot
            for k in range(j + 1, N):
                A[i, k] -= A[i, j] * A[j, k]
    return least


@njit(**SCALAR)
def minus_solve(A, P, b, out):
    # out = -A^-1 b for a factored A
    for i in range(N):
        out[i] = -b[i]
    for i in range(N):
        if P[i] != i:
            out[i], out[P[i]] = out[P[i]], out[i]
        # rows below use the pivoted order, so all swaps come first
    for i in range(N):
        for j in range(i):
            out[i] -= A[i, j] * out[j]
    for i in range(N - 1, -1, -1):
        for j in range(i + 1, N):
            out[i] -= A[i, j] * out[j]
        out[i] /= A[i, i]


@njit(**SCALAR)
def size(change, x, seen):
    # largest change relative to the unknown, or to what it recently was where it passes zero
    most = 0.0
    for i in range(N):
        if not (abs(change[i]) < math.inf):
            return math.inf
        if change[i] != 0.0:
            most = max(most, abs(change[i]) / max(abs(x[i]), seen[i], 1e-300))
    return most


@njit(**SCALAR)
def correct(c, tau, x, d, F, A, P, T):
    # one Newton correction d at x; leaves A factored and T = dF/dtau; returns the pivot measure
    step(c, tau, x, F, A, T)
    least = factor(A, P)
    if least > 0.0:
        minus_solve(A, P, F, d)
    return least


@njit(**SCALAR)
def settle(c, tau, x, d, seen, F, A, P, T):
    # Newton until it no longer moves; returns status and steps
    last = math.inf
    for count in range(1, 60):
        least = correct(c, tau, x, d, F, A, P, T)
        if least == 0.0:
            return SINGULAR, count
        change = size(d, x, seen)
        if not (change < math.inf):
            return NONFINITE, count
        for i in range(N):
            x[i] += d[i]
        if change <= 2e-16 or (change >= 0.5 * last and change < {noise!r}):
            return CONVERGED, count
        last = change
    return STALLED, 60


@njit(**SCALAR)
def inside_basin(c, tau, x, d, seen, F, A, P, T, near):
    # two Newton corrections; true if they prove that x was in the basin of the root nearby
    if not (correct(c, tau, x, d, F, A, P, T) > 0.0):
        return False, math.inf
    first = size(d, x, seen)
    if not (first <= near):
        return False, first
    for i in range(N):
        x[i] += d[i]
    if not (correct(c, tau, x, d, F, A, P, T) > 0.0):
        return False, math.inf
    second = size(d, x, seen)
    if not (second <= {contracts!r} * first or second <= {noise!r}):
        return False, math.inf
    for i in range(N):
        x[i] += d[i]
    for more in range(8):
        # close enough that the next step starts from the root and not from its neighbourhood
        if second <= 1e-4:
            return True, first
        last = second
        if not (correct(c, tau, x, d, F, A, P, T) > 0.0):
            return False, math.inf
        second = size(d, x, seen)
        if not (second <= 0.5 * last):
            return False, math.inf
        for i in range(N):
            x[i] += d[i]
    return second <= 1e-4, first


@njit(**SCALAR)
def follow(c, x, W, F, A, P, T):
    # continuation from tau = 0 to tau = 1; returns status and steps
    base, d, rate, before, seen = W[0], W[1], W[2], W[3], W[4]
    start(c, x)
    for i in range(N):
        seen[i] = 0.0
        base[i] = x[i]
    tau = 0.0
    code, count = settle(c, tau, x, d, seen, F, A, P, T)
    for i in range(N):
        if code == CONVERGED:
            base[i] = x[i]
        rate[i] = 0.0
        before[i] = 0.0
    if code == CONVERGED:
        minus_solve(A, P, T, rate)
        for i in range(N):
            if not (abs(rate[i]) < math.inf):
                code = NONFINITE
    begun = code == CONVERGED
    if not begun:
        for i in range(N):
            rate[i] = 0.0
    h, last = 1e-3, 0.0
    for i in range(N):
        # what starts at zero has no scale yet: the first, short step does not judge it
        if begun and base[i] == 0.0:
            seen[i] = math.inf
        elif begun and rate[i] != 0.0:
            h = min(h, 0.02 * abs(base[i] / rate[i]))
    for steps in range({max_steps}):
        h = min(h, 1.0 - tau)
        ahead = 1.0 if h >= 1.0 - tau else tau + h
        for i in range(N):
            bend = 0.5 * h * h * (rate[i] - before[i]) / last if last > 0.0 else 0.0
            x[i] = base[i] + h * rate[i] + bend
        if begun:
            good, first = inside_basin(c, ahead, x, d, seen, F, A, P, T, {near!r})
        else:
            code, more = settle(c, ahead, x, d, seen, F, A, P, T)
            good, first = code == CONVERGED and ahead < 1e-6, 0.0
        count += 2
        if not good:
            h *= 0.5 if begun and first < math.inf else 0.1
            last = last if begun else 0.0
            if h <= 1e-14 * tau or h < 1e-40:
                least = correct(c, tau, base, d, F, A, P, T)
                return (BRANCH_LOST if least > 1e-4 else SINGULAR), count
            continue
        begun = True
        for i in range(N):
            seen[i] = max(0.1 * abs(x[i]), 0.25 * seen[i] if seen[i] < math.inf else 0.0)
            base[i] = x[i]
            before[i] = rate[i]
        minus_solve(A, P, T, rate)
        tau, last = ahead, h
        if tau == 1.0:
            for i in range(N):
                seen[i] = 0.0
            code, more = settle(c, 1.0, x, d, seen, F, A, P, T)
            return code, count + more
        h *= min(4.0, max(0.5, 0.8 * math.sqrt({near!r} / max(first, 1e-12))))
    return MAX_STEPS, count

"""

_RUN = """

@njit(**SCALAR)
def finish(c, x, code, count, R, S, W, F, A, B, P, e, y, rows, i, out, length):
    for r in range(rows):
        out[r * length + i] = math.nan
    out[(rows - 2) * length + i] = code
    out[(rows - 1) * length + i] = count
    if code != CONVERGED:
        return
    report(c, x, R)
    residual = 0.0
    for j in range(N):
        residual = max(residual, UNIT * abs(R[j]) / max(R[N + j], 1e-300))
        for k in range(N):
            A[j, k] = R[2 * N + j * N + k]
    if not (factor(A, P) > 0.0):
        out[(rows - 2) * length + i] = SINGULAR
        return
    if not (residual <= {residual!r}):
        out[(rows - 2) * length + i] = STALLED
    for j in range(N):
        for k in range(N):
            W[0, k] = 1.0 if k == j else 0.0
        minus_solve(A, P, W[0], B[j])
    o = 2 * N + N * N
    g = o + 2 * K
    for j in range(N):
        e[j] = 0.0
        for k in range(N):
            e[j] += abs(B[k, j]) * (abs(R[k]) + R[N + k])
    for k in range(K):
        W[1, k] = R[o + K + k]
        for s in range(N):
            moved = 0.0
            for j in range(N):
                moved += R[g + k * N + j] * B[s, j]
            W[1, k] += abs(moved) * (abs(R[s]) + R[N + s])
    {slopes}
    {stores}


@njit("void(f8[::1],f8[::1],f8[::1],i8,i8,i8)", cache=True, nogil=True, error_model="numpy")
def run(inputs, constants, out, length, first, last):
    most = max(N, K) + 1
    c, x, e, y = np.empty(CONTROLS + 1), np.empty(N), np.empty(N), np.empty(N)
    W, F, T = np.empty((8, most)), np.empty(N), np.empty(N)
    A, B, P = np.empty((N, N)), np.empty((N, N)), np.empty(N, dtype=np.int64)
    R, S = np.empty({report_size} + 1), np.empty({slopes_size} + 1)
    for i in range(first * WIDTH, last * WIDTH):
        for j in range(CONTROLS):
            c[j] = inputs[j * length + i]
        code, count = follow(c, x, W, F, A, P, T)
        finish(c, x, code, count, R, S, W, F, A, B, P, e, y, {rows}, i, out, length)
"""

_TANGENT = """

@njit(**SCALAR)
def tangent(c, x, S, A, P, y, out):
    # total derivatives of the outputs by the implicit function theorem; NaN if J is singular
    slopes(c, x, S)
    for j in range(N):
        for s in range(N):
            A[j, s] = S[N + j * N + s]
    good = factor(A, P) > 0.0
    minus_solve(A, P, S, y)
    for k in range(K):
        out[k] = S[N + N * N + k] if good else math.nan
        for j in range(N):
            out[k] += S[N + N * N + K + k * N + j] * y[j]
"""

_SLOPES = """tangent(c, x, S, A, P, y, W[6])
    for k in range(K):
        W[7, k] = 8.0 * UNIT * abs(W[6, k])
    for j in range(N):
        kept = x[j]
        x[j] = kept + max(e[j], 8.0 * UNIT * abs(kept))
        tangent(c, x, S, A, P, y, W[5])
        x[j] = kept
        for k in range(K):
            W[7, k] += abs(W[5, k] - W[6, k])"""


def continuation_source(program: CoupledProgram, asked: Asked) -> str:
    """Return the generated file of a coupled program: blocks, solver, and ``run``.

    ``run(inputs, constants, out, size, first, last)`` takes flat arrays of shape (controls, size),
    (0,) and (rows, size) and solves the blocks first, ..., last - 1 of ``WIDTH`` points; the rows
    are those of ``derive.printing.lane_phases.row_names``. It releases the interpreter lock.
    """
    n, k = len(program.unknowns), len(program.outputs)
    counts = ", ".join(f"{name} {block.operations}" for name, block in program.blocks().items())
    head = _HEADER.format(
        name=program.name,
        counts=counts,
        unit=2.0**-53,
        n=n,
        outputs=k,
        controls=len(program.inputs),
        width=WIDTH,
    )
    functions = _functions(program, asked)
    rows = row_names(program, asked)
    held = _held(program)
    stored = [f"out[{r} * length + i] = {held[name]}" for r, name in enumerate(rows[:-2])]
    tail = _RUN.format(
        residual=float(RESIDUAL),
        slopes=_SLOPES if asked.slopes else "pass",
        stores="\n    ".join(stored),
        report_size=len(program.report.results),
        slopes_size=len(program.slopes.results),
        rows=len(rows),
    )
    solver = _SOLVER.format(near=NEAR, contracts=CONTRACTS, noise=NOISE, max_steps=MAX_STEPS)
    solver += _TANGENT if asked.slopes else ""
    return head + "".join(f"\n\n@njit(**SCALAR)\n{f}\n" for f in functions) + solver + tail


def _functions(program: CoupledProgram, asked: Asked) -> list[str]:
    """Print the blocks as functions that read and write arrays."""
    n, names = len(program.unknowns), rename(program)
    controls = _places(program.inputs, "c")
    x = _places(program.step.inputs[-n:] if n else (), "x")
    start = [f"x[{i}]" for i in range(n)]
    step = [f"F[{i}]" for i in range(n)]
    step += [f"A[{i}, {j}]" for i in range(n) for j in range(n)] + [f"T[{i}]" for i in range(n)]
    report = [f"R[{i}]" for i in range(len(program.report.results))]
    slopes = [f"S[{i}]" for i in range(len(program.slopes.results))]
    wanted = [
        ("start(c, x)", program.start, {}, start),
        ("step(c, tau, x, F, A, T)", program.step, x | {PATH: "tau"}, step),
        ("report(c, x, R)", program.report, x, report),
    ]
    if asked.slopes:
        wanted.append(("slopes(c, x, S)", program.slopes, x, slopes))
    return [
        array_function(head, block, ScalarPrinter(names | controls | places), stores)
        for head, block, places, stores in wanted
    ]


def _places(symbols: Sequence[Symbol], array: str) -> dict[Symbol, str]:
    return {s: f"{array}[{i}]" for i, s in enumerate(symbols)}


def _held(program: CoupledProgram) -> dict[str, str]:
    """Return where ``finish`` holds each row."""
    n = len(program.unknowns)
    held = {u: f"x[{i}]" for i, u in enumerate(program.unknowns)} | {"residual": "residual"}
    held |= {f"error {u}": f"e[{i}]" for i, u in enumerate(program.unknowns)}
    for i, name in enumerate(program.outputs):
        slope = f"d{name}_d{program.slope_control}"
        held[name], held[f"error {name}"] = f"R[{2 * n + n * n + i}]", f"W[1, {i}]"
        held[slope], held[f"error {slope}"] = f"W[6, {i}]", f"W[7, {i}]"
    return held
