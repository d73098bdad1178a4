"""The C functions of FLINT, for machine code that computes with balls.

Stage: below ``ball_ir`` and ``ball_points``. python-flint brings the library along; here it is
opened a second time for its plain C functions, and their addresses are given to LLVM. Nothing of
Python's objects is shared: numbers go in as text and come out as integers, so any FLINT of this
major version will do. Where it cannot be found, or does not answer as expected, there is no
library, and proofs go through python-flint's objects.

A ball is 48 bytes (``arb_struct``): the exponent of its centre, the count of its 64-bit limbs twice
with the sign in the last bit, two words that are the limbs or a capacity and their address, and the
exponent and 30 bits of its radius.
"""

import ctypes
import ctypes.util
import glob
import os
from collections.abc import Iterator
from functools import lru_cache

import flint
import llvmlite.binding as llvm
from flint import arb

BALL = 48
"""Bytes of a ball."""
PREFIX = "flint_"
"""What the names of functions begin with in LLVM, so that no other library's are taken."""
UNARY = {
    "exp": "arb_exp",
    "log": "arb_log",
    "sin": "arb_sin",
    "cos": "arb_cos",
    "tan": "arb_tan",
    "sinh": "arb_sinh",
    "cosh": "arb_cosh",
    "tanh": "arb_tanh",
    "asin": "arb_asin",
    "acos": "arb_acos",
    "atan": "arb_atan",
    "log1p": "arb_log1p",
    "expm1": "arb_expm1",
    "erf": "arb_hypgeom_erf",
    "erfc": "arb_hypgeom_erfc",
    "sqrt": "arb_sqrt",
    "rsqrt": "arb_rsqrt",
    "inv": "arb_inv",
}
"""void f(z, x, precision)."""
BINARY = {
    "add": "arb_add",
    "sub": "arb_sub",
    "mul": "arb_mul",
    "div": "arb_div",
    "pow": "arb_pow",
    "Max": "arb_max",
    "Min": "arb_min",
    "union": "arb_union",
}
"""void f(z, x, y, precision)."""
SCALED = {"mul_si": "arb_mul_si", "add_si": "arb_add_si", "pow_ui": "arb_pow_ui"}
"""void f(z, x, integer, precision)."""
PLAIN = {"neg": "arb_neg", "abs": "arb_abs", "set": "arb_set", "mid": "arb_get_mid_arb"}
"""void f(z, x)."""
TESTS = {
    "lt": "arb_lt",
    "le": "arb_le",
    "gt": "arb_gt",
    "ge": "arb_ge",
    "eq": "arb_eq",
    "ne": "arb_ne",
}
"""int f(x, y): whether the relation certainly holds."""
JUDGES = {"positive": "arb_is_positive", "finite": "arb_is_finite"}
"""int f(x)."""
OTHERS = {
    "clear": ("void", ("ptr",), "arb_clear"),
    "set_d": ("void", ("ptr", "double"), "arb_set_d"),
    "set_str": ("i32", ("ptr", "ptr", "i64"), "arb_set_str"),
    "accuracy": ("i64", ("ptr",), "arb_rel_accuracy_bits"),
    "get_d": ("double", ("ptr", "i32"), "arf_get_d"),
}


def signatures() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Return result, arguments and C name of each function, in LLVM's types."""
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    found |= {n: ("void", ("ptr", "ptr", "i64"), c) for n, c in UNARY.items()}
    found |= {n: ("void", ("ptr", "ptr", "ptr", "i64"), c) for n, c in BINARY.items()}
    found |= {n: ("void", ("ptr", "ptr", "i64", "i64"), c) for n, c in SCALED.items()}
    found |= {n: ("void", ("ptr", "ptr"), c) for n, c in PLAIN.items()}
    found |= {n: ("i32", ("ptr", "ptr"), c) for n, c in TESTS.items()}
    found |= {n: ("i32", ("ptr",), c) for n, c in JUDGES.items()}
    return found | OTHERS


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return FLINT's C library with its functions known to LLVM, or None where there is none."""
    for path in _candidates():
        try:
            found = ctypes.CDLL(path)
            if not _answers(found):
                continue
            for name, (_, _, symbol) in signatures().items():
                address = ctypes.cast(getattr(found, symbol), ctypes.c_void_p).value
                llvm.add_symbol(PREFIX + name, address)
        except (OSError, AttributeError, ValueError):
            continue
        return found
    return None


def load(target: int, ball: arb) -> None:
    """Write a python-flint ball to an address that holds a ball, exactly."""
    centre, radius = ball.mid().man_exp(), ball.rad().man_exp()
    text = " ".join(format(int(v), "x") for v in (*centre, *radius))
    found = library()
    assert found is not None, "asked by callers"
    found.arb_load_str.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    found.arb_load_str(target, text.encode())


def _candidates() -> Iterator[str]:
    """Where wheels put the library, then where the system has one."""
    package = os.path.dirname(os.path.abspath(flint.__file__))
    beside = os.path.join(os.path.dirname(package), "python_flint.libs")
    for folder in (beside, os.path.join(package, ".dylibs"), package):
        yield from sorted(glob.glob(os.path.join(glob.escape(folder), "libflint*")))
    named = ctypes.util.find_library("flint")
    if named:
        yield named


def _answers(found: ctypes.CDLL) -> bool:
    """Whether a library is FLINT 3 with the layout of balls that is described above."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(found, "flint_version")), 2) != b"3.":
        return False
    words = (ctypes.c_int64 * 12)()
    found.arb_set_str.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64]
    found.arb_mul.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    address = ctypes.addressof(words)
    found.arb_set_str(address, b"-0.75", 128)
    found.arb_mul(address + BALL, address, address, 128)
    factor, square = list(words[:6]), list(words[6:])
    return factor[:3] == [0, 3, (3 << 62) - 2**64] and factor[4:] == [0, 0] and square[:2] == [0, 2]
