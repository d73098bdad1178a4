r"""Compiled loops beneath spectral functions and effective ridges: sums, starts, steps.

Stage: arrays in, arrays out; below ``spectral_functions``, ``ridge_starts``
and ``ridge_readout_theory``, which say what is computed. Sums over modes have no branches and one
division per mode, so that they fill vector units; a point's numbers do not depend on the points
beside it. Compiled when first called, and stored by content.
"""

from functools import lru_cache
from types import ModuleType

from numeric.cache import load
from numeric.solution import Status

WIDE = 64
"""Points that look for their cell of a table together."""
CHANCES = 3.0
"""Steps that a point may take after it settled, as long as its residual is not accepted."""

_TEXT = '''"""Loops over the modes of a spectrum; do not edit."""

import math

import numpy as np
from numba import njit

S = dict(cache=True, error_model="numpy", nogil=True, fastmath={"contract", "nsz"})
SUMS = dict(S, fastmath={"contract", "nsz", "reassoc"})
{names} = CODES
F2, F3, F4 = 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0  # of the exponential series
F5, F6, F7, F8 = 1.0 / 5.0, 1.0 / 30.0, 1.0 / 210.0, 1.0 / 1680.0  # of the same, over F4


@njit(**SUMS)
def mode_sums(x, values, weights, explained, misfit, out):
    for i in range(x.size):
        ridge = x[i]
        df1, df2, t1, t2, left_over, rest1, mixed = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(values.size):
            resolvent = 1.0 / (values[j] + ridge)
            share, left = values[j] * resolvent, ridge * resolvent
            weight, part = weights[j] * share, explained[j] * share
            df1 += weight
            df2 += weight * share
            t1 += part
            t2 += part * share
            left_over += explained[j] * (left * left)
            weight = weights[j] * resolvent
            rest1 += weight
            mixed += weight * share
        rest1, mixed = ridge * rest1, ridge * mixed
        out[0, i], out[1, i], out[2, i], out[3, i] = df1, df2, t1, t2
        out[4, i], out[5, i], out[6, i] = misfit + left_over, rest1, rest1 + mixed


@njit(**S)
def starts(ratio, lam, rank, width, edge, x_at, nodes, cells, out):
    place, c = np.empty(WIDE, np.int64), np.empty((8, WIDE))
    r, wanted, t = np.empty(WIDE), np.empty(WIDE), np.empty(WIDE)
    base, ridge, from_x = np.empty(WIDE), np.empty(WIDE), np.empty(WIDE)
    shrunk = math.exp(-width)
    for block in range(0, lam.size, WIDE):
        size = min(WIDE, lam.size - block)
        for j in range(WIDE):
            i = min(block + j, lam.size - 1)
            r[j], wanted[j], place[j] = ratio[i], lam[i], 0
        half = x_at.size >> 1
        while half:  # without branches: which way a point goes cannot be foretold
            for j in range(WIDE):
                mid = place[j] + half
                gap = r[j] - (rank if mid < edge else 0.0) + nodes[np.uint64(mid)]
                place[j] += half * np.int64(x_at[np.uint64(mid)] * gap < wanted[j])
            half >>= 1
        for j in range(WIDE):
            at = np.uint64(min(max(place[j], 1), cells.shape[0] - 3))
            base[j] = r[j] - (rank if at < edge else 0.0)
            from_x[j] = x_at[at]
            ridge[j] = wanted[j] / from_x[j]
            for k in range(8):
                c[k, j] = cells[at, k]
        for j in range(WIDE):  # where the chord of the cell vanishes
            left = base[j] + c[0, j] - ridge[j]
            right = base[j] + (c[0, j] + (c[1, j] + c[2, j])) - ridge[j] * shrunk
            t[j] = min(max(left / min(left - right, -1e-290), -1.0), 2.0)
        for _ in range(2):
            for j in range(WIDE):
                s = t[j]
                a, b, h = s - 1.0, s + 1.0, -width * s
                p, d = (s - 2.0) * c[7, j] + c[6, j], c[7, j]
                p, d = p * b + c[5, j], d * b + p
                p, d = p * b + c[4, j], d * b + p
                p, d = p * a + c[3, j], d * a + p
                p, d = p * a + c[2, j], d * a + p
                p, d = p * s + c[1, j], d * s + p
                p, d = p * s + c[0, j], d * s + p
                fade = 1.0 + h * (F5 + h * (F6 + h * (F7 + h * F8)))
                fade = ridge[j] * (1.0 + h * (1.0 + h * (F2 + h * (F3 + h * (F4 * fade)))))
                step = (p + (base[j] - fade)) / max(d + width * fade, 1e-290)
                t[j] = min(max(s - step, -1.0), 2.0)
        for j in range(WIDE):
            h = width * t[j]
            grow = 1.0 + h * (F5 + h * (F6 + h * (F7 + h * F8)))
            from_x[j] *= 1.0 + h * (1.0 + h * (F2 + h * (F3 + h * (F4 * grow))))
        for j in range(size):
            out[block + j] = from_x[j]


@njit(**S)
def judge(index, df1, df2, rest1, rest2, ratio, lam, rank, unit, state):
    for k in range(index.size):
        i = index[k]
        x, past = state[0, i], ratio[i] - rank
        spare, terms = ratio[i] - df1[k], ratio[i] + df1[k]
        if rest1.size and not df1[k] < rest1[k]:
            spare, terms = past + rest1[k], abs(past) + rest1[k]
        gap, lost = ratio[i] - df2[k], ratio[i] + df2[k]
        if rest2.size and not df2[k] < rest2[k]:
            gap, lost = past + rest2[k], abs(past) + rest2[k]
        state[1, i], state[2, i], state[3, i] = spare, gap, lost
        state[4, i] = x * spare - lam[i]
        state[5, i] = unit * (x * terms + lam[i])


@njit(**S)
def advance(index, least, near, state, moved, steps):
    count = 0
    for k in range(index.size):
        i = index[k]
        x, gap, value, bound = state[0, i], state[2, i], state[4, i], state[5, i]
        chances = state[6, i]
        if not chances > 0.0 or not abs(value) > (bound if chances == CHANCES else 4.0 * bound):
            continue
        new = max(x - value / gap, 0.25 * x) if gap > 0.0 else 2.0 * x
        new = max(new, least)
        if not abs(new - x) > near * x:
            state[6, i] = chances - 1.0
        state[0, i] = new
        steps[i] += 1
        index[count] = i
        moved[count] = new
        count += 1
    return count


@njit(**S)
def settle(lam, unit, least, most, state, steps, code, found):
    for i in range(lam.size):
        x, gap, value, bound = state[0, i], state[2, i], state[4, i], state[5, i]
        solved, free = state[6, i] >= 0.0, 1.0 / max(gap, 1e-290)
        found[0, i] = lam[i] / x if solved else state[1, i]
        found[1, i] = state[3, i] * free
        found[2, i] = 2.0 * UNIT + (bound * free / x if solved else 0.0)
        found[3, i] = unit * abs(value) / max(bound, 1e-290) if solved else 0.0
        off = solved and not abs(value) <= 4.0 * bound
        code[i] = CONVERGED
        if off:
            code[i] = MAX_STEPS if steps[i] == most else STALLED
        if least > 0.0 and x <= least and (off or not solved):
            code[i] = LEFT_RANGE
'''


_CODES = "CONVERGED, MAX_STEPS, STALLED, LEFT_RANGE"
_NUMBERS = {
    "{names}": _CODES,
    "CODES": ", ".join(str(int(Status[n])) for n in _CODES.split(", ")),
    "CHANCES": str(CHANCES),
    "WIDE": str(WIDE),
    "UNIT": str(2.0**-53),
}


@lru_cache(maxsize=1)
def spectral_loops() -> ModuleType:
    """Return the loops: ``mode_sums, starts, judge, advance, settle``."""
    text = _TEXT
    for name, number in _NUMBERS.items():
        text = text.replace(name, number)
    return load(text)
