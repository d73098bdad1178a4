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


@njit(**SUMS)
def mode_sums(x, values, weights, overlaps, explained, misfit, out):
    for i in range(x.size):
        ridge = x[i]
        df1, df2, t1, t2, left_over, rest1, rest2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(values.size):
            resolvent = 1.0 / (values[j] + ridge)
            share = values[j] * resolvent
            left = ridge * resolvent
            weight = weights[j] * share
            df1 += weight
            df2 += weight * share
            weight = weights[j] * left
            rest1 += weight
            rest2 += weight * (1.0 + share)
            weight = overlaps[j] * resolvent
            t1 += weight
            t2 += weight * share
            left_over += explained[j] * (left * left)
        out[0, i], out[1, i], out[2, i], out[3, i] = df1, df2, t1, t2
        out[4, i], out[5, i], out[6, i] = misfit + left_over, rest1, rest2


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
def starts(ratio, lam, rank, x_at, df, rest, slope, width, out):
    for i in range(lam.size):
        past = ratio[i] - rank
        first, last = 0, x_at.size - 1
        while last - first > 1:
            mid = (first + last) >> 1
            spare = past + rest[mid] if rest[mid] < df[mid] else ratio[i] - df[mid]
            if x_at[mid] * spare < lam[i]:
                first = mid
            else:
                last = mid
        by_rest = rest[first] < df[first]
        base = past if by_rest else ratio[i]
        left = rest[first] if by_rest else -df[first]
        right = rest[last] if by_rest else -df[last]
        a, b = width * slope[first], width * slope[last]
        ridge = lam[i] / x_at[first]
        low, high, t = 0.0, 1.0, 0.5
        for _ in range(5):
            u, h = 1.0 - t, width * t  # a cell is narrow: five terms of the exponential are enough
            fade = 1.0 - h * (1.0 - h / 2.0 * (1.0 - h / 3.0 * (1.0 - h / 4.0 * (1.0 - h / 5.0))))
            fade *= ridge
            rise = 6.0 * t * u * (right - left) + u * (u - 2.0 * t) * a + t * (t - 2.0 * u) * b
            value = u * u * ((1.0 + 2.0 * t) * left + t * a)
            value += t * t * ((1.0 + 2.0 * u) * right - u * b) + base - fade
            if value < 0.0:
                low = t
            else:
                high = t
            newton = t - value / max(rise + width * fade, 1e-290)
            settled = abs(newton - t) < 1e-9
            t = newton if low <= newton <= high else 0.5 * (low + high)
            if settled:
                break
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
