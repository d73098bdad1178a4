r"""Compiled loops beneath spectral functions and effective ridges: sums, tables, starts, steps.

Stage: arrays in, arrays out; below ``spectral_functions``, ``compressed_spectrum`` and
``ridge_readout_theory``, which say what is computed. Sums over modes have no branches and one
division per mode, so that they fill vector units; a point's numbers do not depend on the points
beside it. Compiled when first called, and stored by content.
"""

from functools import lru_cache
from types import ModuleType

from numeric.cache import load

LANES = 8
"""Sums of a table, padded with zeros to this many."""
CHANCES = 3.0
"""Steps that a point may take after it settled, as long as its residual is not accepted."""

_TEXT = '''"""Loops over the modes of a spectrum; do not edit."""

import math

import numpy as np
from numba import njit

S = dict(cache=True, error_model="numpy", nogil=True, fastmath={"contract", "nsz"})
SUMS = dict(S, fastmath={"contract", "nsz", "reassoc"})
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
def table_sums(place, table, degree, out):
    panels = table.size // (LANES * (degree + 1))
    sums = out.shape[0]
    for i in range(place.size):
        panel = min(np.int64(place[i]), panels - 1)
        t = 2.0 * (place[i] - panel) - 1.0
        at = np.uint64(panel * LANES * (degree + 1))
        {first}
        for _ in range(degree):
            at += np.uint64(LANES)
            {step}
        {store}


@njit(**S)
def starts(ratio, lam, rank, width, halvings, x_at, nodes, by_rest, cells, out):
    for i in range(lam.size):
        first, last = 1, x_at.size - 2
        for _ in range(halvings):
            mid = (first + last) >> 1
            below = x_at[mid] * (ratio[i] - by_rest[mid] * rank + nodes[mid]) < lam[i]
            first = mid if below else first
            last = last if below else mid
        first = min(first, x_at.size - 3)
        base = ratio[i] - by_rest[first] * rank
        c0, c1, c2, c3 = cells[first, 0], cells[first, 1], cells[first, 2], cells[first, 3]
        c4, c5, c6, c7 = cells[first, 4], cells[first, 5], cells[first, 6], cells[first, 7]
        ridge = lam[i] / x_at[first]
        t = 0.5
        for _ in range(4):
            a, b, h = t - 1.0, t + 1.0, -width * t
            p, d = (t - 2.0) * c7 + c6, c7
            p, d = p * b + c5, d * b + p
            p, d = p * b + c4, d * b + p
            p, d = p * a + c3, d * a + p
            p, d = p * a + c2, d * a + p
            p, d = p * t + c1, d * t + p
            p, d = p * t + c0, d * t + p
            fade = 1.0 + h * (F5 + h * (F6 + h * (F7 + h * F8)))
            fade = ridge * (1.0 + h * (1.0 + h * (F2 + h * (F3 + h * (F4 * fade)))))
            step = (p + (base - fade)) / max(d + width * fade, 1e-290)
            t = min(max(t - step, -1.0), 2.0)
        out[i] = x_at[first] * math.exp(width * t)


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
        if chances == 0.0 or not abs(value) > (bound if chances == CHANCES else 4.0 * bound):
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
'''


@lru_cache(maxsize=1)
def spectral_loops() -> ModuleType:
    """Return the loops: ``mode_sums, table_sums, starts, judge, advance``."""
    lanes = range(LANES)
    first = "; ".join(f"s{k} = table[at + np.uint64({k})]" for k in lanes)
    step = "; ".join(f"s{k} = s{k} * t + table[at + np.uint64({k})]" for k in lanes)
    stores = [f"out[{k}, i] = s{k}" for k in lanes]
    store = "\n        ".join(
        f"if sums > {k}:\n            {text}" for k, text in enumerate(stores)
    )
    text = _TEXT.replace("{first}", first).replace("{step}", step).replace("{store}", store)
    return load(text.replace("LANES", str(LANES)).replace("CHANCES", str(CHANCES)))
