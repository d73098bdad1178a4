"""Sums read off a table of polynomials, as vector LLVM IR.

Stage: below ``compressed_spectrum``. A panel holds the coefficients of up to eight polynomials, the
highest power first, one register per power. Eight points go through Horner's rule together, each
with one register for its sums; then the block is turned, so that each sum is stored as a row. No
branches and no memory in between.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from numeric.vector_code import functions_of

LANES = 8
"""Polynomials per panel, padded with zeros, and points per block."""
Array = NDArray[np.float64]
_VECTOR = f"<{LANES} x double>"


def table_sums(place: Array, table: Array, sums: int) -> Array:
    """Evaluate the polynomials of a table.

    Args:
        place: panel and coordinate in it as one number in [0, panels], shape (points,), contiguous;
            whole blocks (``blocks_of``) are not copied.
        table: coefficients, shape (panels, degree + 1, LANES), contiguous.
        sums: how many polynomials are wanted.

    Returns:
        Values of shape (sums, points).

    Accuracy: one rounding per power, relative to the sizes of the terms.

    Example:
        >>> line = np.zeros((1, 2, LANES))
        >>> line[0, 0, 0], line[0, 1, 0] = 3.0, 1.0  # 3 t + 1 for t from -1 to 1
        >>> table_sums(np.array([0.0, 0.5, 1.0]), line, 1)
        array([[-2.,  1.,  4.]])
    """
    size = place.size
    if size % LANES:
        padded = blocks_of(size)
        padded[:size] = place
        return table_sums(padded, table, sums)[:, :size]
    out = np.empty((sums, size))
    run = _compiled(table.shape[1] - 1, sums)
    run(place.ctypes.data, table.ctypes.data, out.ctypes.data, len(table), 0, size)
    return out


def blocks_of(size: int) -> Array:
    """Return room for places in whole blocks; those beyond ``size`` are zero.

    Accuracy: exact.
    """
    room = np.empty(-(-size // LANES) * LANES)
    room[size:] = 0.0
    return room


@lru_cache(maxsize=16)
def _compiled(degree: int, sums: int) -> Callable[..., None]:
    return functions_of(table_source(degree, sums), plain=False, table_sums="pppiii")[0]


def table_source(degree: int, sums: int) -> str:
    """Return the module with ``table_sums(place, table, out, panels, first, size)``."""
    lines: list[str] = []
    count = 0

    def new(text: str) -> str:
        nonlocal count
        count += 1
        lines.append(f"%v{count} = {text}")
        return f"%v{count}"

    def splat(value: str) -> str:
        one = new(f"insertelement {_VECTOR} poison, double {value}, i64 0")
        mask = f"<{LANES} x i32> zeroinitializer"
        return new(f"shufflevector {_VECTOR} {one}, {_VECTOR} poison, {mask}")

    at, t = [], []
    for p in range(LANES):
        index = new(f"add i64 %i, {p}")
        source = new(f"getelementptr double, ptr %place, i64 {index}")
        place = new(f"load double, ptr {source}")
        whole = new(f"fptosi double {place} to i64")
        panel = new(f"call i64 @llvm.smin.i64(i64 {whole}, i64 %top)")
        left = new(f"sitofp i64 {panel} to double")
        part = new(f"fsub double {place}, {left}")
        twice = new(f"fadd double {part}, {part}")
        t.append(splat(new(f"fsub double {twice}, 1.0")))
        offset = new(f"mul i64 {panel}, {LANES * (degree + 1)}")
        at.append(new(f"getelementptr double, ptr %table, i64 {offset}"))
    total = [new(f"load {_VECTOR}, ptr {a}, align 8") for a in at]
    for power in range(1, degree + 1):
        for p in range(LANES):
            source = new(f"getelementptr double, ptr {at[p]}, i64 {LANES * power}")
            term = new(f"load {_VECTOR}, ptr {source}, align 8")
            factors = f"{_VECTOR} {total[p]}, {_VECTOR} {t[p]}, {_VECTOR} {term}"
            total[p] = new(f"call {_VECTOR} @llvm.fma.v{LANES}f64({factors})")
    for k, row in enumerate(_turned(total, new)[:sums]):
        start = new(f"mul i64 %size, {k}")
        index = new(f"add i64 {start}, %i")
        target = new(f"getelementptr double, ptr %out, i64 {index}")
        lines.append(f"store {_VECTOR} {row}, ptr {target}, align 8")
    body = "\n  ".join(lines)
    return f"""declare i64 @llvm.smin.i64(i64, i64)
declare {_VECTOR} @llvm.fma.v{LANES}f64({_VECTOR}, {_VECTOR}, {_VECTOR})

define void @table_sums(ptr noalias %place, ptr noalias %table, ptr noalias %out,
                        i64 %panels, i64 %first, i64 %size) {{
entry:
  %top = sub i64 %panels, 1
  br label %head
head:
  %i = phi i64 [ %first, %entry ], [ %next, %block ]
  %more = icmp slt i64 %i, %size
  br i1 %more, label %block, label %done
block:
  {body}
  %next = add i64 %i, {LANES}
  br label %head
done:
  ret void
}}
"""


def _turned(rows: list[str], new: Callable[[str], str]) -> list[str]:
    """Return the columns of a square block, by exchanging halves of ever larger squares."""
    rows, step = list(rows), 1
    while step < LANES:
        for a in (k for k in range(LANES) if not k & step):
            b = a + step
            low = [j if not j & step else LANES + j - step for j in range(LANES)]
            high = [j + step if not j & step else LANES + j for j in range(LANES)]
            pair = f"{_VECTOR} {rows[a]}, {_VECTOR} {rows[b]}"
            rows[a], rows[b] = (
                new(f"shufflevector {pair}, <{LANES} x i32> <{_mask(m)}>") for m in (low, high)
            )
        step *= 2
    return rows


def _mask(places: list[int]) -> str:
    return ", ".join(f"i32 {k}" for k in places)
