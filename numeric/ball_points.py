"""Proofs of many points of a triangular program by machine code, beside ``proof.Engine``.

Stage: below ``certify``. The same steps as the engine's, on the same balls, but without an object
per number: a batch takes controls as the text that prints them and returns stored balls, from which
a ``PointProof`` is made when one is asked for. What a batch does not prove goes to the engine,
which proves it with more digits or says why not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray
from sympy import Expr

from derive.balls import enclose
from derive.enclosing.ball_program import working_precision
from derive.errors import NotSupportedError
from derive.program import Program
from numeric.ball_ir import PLAN, RUN, WORDS, ball_code
from numeric.ball_library import BALL, library, load
from numeric.kept import kept
from numeric.proof import FIRST_BITS, GUARD_BITS, PointProof, Verdict, bits_of, standing
from numeric.threads import run_blocks
from numeric.vector_code import functions_of

_WIDTH = 32
_COST = 64
"""Float64 points that take as long as a proof: what a thread is worth."""
_LIMB = 64
_RADIUS_BITS = 30
Words = NDArray[np.int64]
_Text = tuple[NDArray[np.int8], NDArray[np.int64]]


@dataclass(frozen=True)
class Batch:
    """Proofs of points, stored as integers.

    Attributes:
        names: unknowns, then outputs and slopes if they were asked for.
        done: whether each point is proved, shape (points,).
        digits: significant digits of the least accurate result, shape (points,).
        mids: centres as doubles, shape (points, names).
        words: balls, shape (points, names, words).
    """

    names: tuple[str, ...]
    done: NDArray[np.bool_]
    digits: NDArray[np.int64]
    mids: NDArray[np.float64]
    words: Words
    standing: tuple[Verdict, str]

    def proof(self, i: int, controls: Mapping[str, Fraction | Expr]) -> PointProof:
        """Return the proof of one point that is done, at the controls that it was proved for."""
        balls = {name: ball(self.words[i, k]) for k, name in enumerate(self.names)}
        return PointProof(*self.standing, controls, balls, int(self.digits[i]))


def ball(words: Words) -> arb:
    """Return a stored ball exactly."""
    size, exponent, radius_exponent, radius = (int(v) for v in words[:WORDS])
    count = size >> 1
    limbs = words[WORDS : WORDS + count].astype("<i8").tobytes()
    mantissa = int.from_bytes(limbs, "little")
    centre = (-mantissa if size & 1 else mantissa, exponent - _LIMB * count)
    with working_precision(max(_LIMB * count, 2)):
        return arb(centre, (radius, radius_exponent - _RADIUS_BITS))


class BallPoints:
    """Machine code of one program, with its numbers enclosed at the precisions that were used.

    Args:
        program: what was solved.

    Raises:
        NotSupportedError: without FLINT's library, or for functions without a call.
    """

    def __init__(self, program: Program) -> None:
        if library() is None:
            raise NotSupportedError(
                "proofs by machine code", "FLINT's library was not found", "use proof.Engine"
            )
        if program.means:
            raise NotSupportedError(
                "proofs by machine code", "the program has means over tables", "use proof.Engine"
            )
        self.program, self.standing = program, standing(program)
        self._code = ball_code(program)
        self._prove, self._release = functions_of(
            self._code.source, prove=len(RUN) * "p" + "ii", release="p"
        )
        control = program.slope_control
        slopes = [f"d{o}_d{control}" for o in program.outputs] if control else []
        self.names = (*program.unknowns, *program.outputs, *slopes)
        self._numbers: dict[int, list[tuple[int, arb]]] = {}

    def prove(
        self,
        controls: Sequence[NDArray[np.float64]],
        starts: Sequence[NDArray[np.float64]],
        chosen: NDArray[np.bool_],
        digits: int,
        outputs: bool,
        *,
        doubles: bool = False,
        threads: int | None = None,
    ) -> Batch:
        """Prove chosen points to a number of digits.

        Args:
            controls: each control as floats, shape (points,).
            starts: each unknown, shape (points,).
            chosen: which points to prove.
            digits: significant digits; points that lack some are tried with twice the bits.
            outputs: whether outputs and slopes are enclosed.
            doubles: whether a control is its double, or the shortest decimal that prints as it.
            threads: at most this many.
        """
        left = chosen & np.all([np.isfinite(s) & (s != 0) for s in starts], axis=0)
        left &= np.all(np.isfinite(controls), axis=0)
        needed = np.array([outputs or needed for needed in self._code.needed])
        text = _written(np.where(left & needed[:, None], controls, 0.0), doubles)
        given = (text, np.ascontiguousarray(starts, dtype=np.float64))
        wanted = bits_of(digits)
        found = self._run(given, left, digits, wanted, outputs, threads)
        left = left & ~found.done
        if left.any():
            found = _merged(found, self._run(given, left, digits, 2 * wanted, outputs, threads))
        return found

    def _run(
        self,
        given: tuple[_Text, NDArray[np.float64]],
        left: NDArray[np.bool_],
        digits: int,
        wanted: int,
        outputs: bool,
        threads: int | None,
    ) -> Batch:
        """Try the points that are left once, at one precision."""
        points, bits, known, schedule = left.size, wanted + GUARD_BITS, FIRST_BITS, []
        while 2 * known < wanted + 12:
            schedule.append(min(bits, 3 * known + GUARD_BITS))  # some are lost near peaks
            known *= 2
        limbs = -(-bits // _LIMB)
        names = self.names if outputs else self.names[: len(self.program.unknowns)]
        rows = len(names)
        plan = [points, bits, len(schedule), limbs, rows, int(outputs), *schedule]
        assert len(plan) == len(PLAN) + len(schedule)
        words = np.zeros((points, rows, WORDS + limbs), dtype=np.int64)
        mids = np.full((points, rows), np.nan)
        todo, accuracy = left.astype(np.int8), np.zeros(points, dtype=np.int64)
        arrays: list[NDArray[Any]] = [*given[0], given[1], words, todo, accuracy, mids]
        arrays.append(np.array(plan, dtype=np.int64))
        addresses = [_address(a) for a in arrays]
        numbers = self._enclosed(bits, known)

        def solve(begin: int, end: int) -> None:
            place = np.zeros(BALL * self._code.places, dtype=np.int8)
            start = _address(place)
            for index, value in numbers:
                load(start + BALL * index, value)
            try:
                self._prove(start, *addresses, begin * _WIDTH, min(points, end * _WIDTH))
            finally:
                self._release(start)

        run_blocks(solve, -(-points // _WIDTH), _WIDTH * _COST, threads)
        reached = np.floor(np.clip(accuracy, 0, bits) / math.log2(10)).astype(np.int64)
        done = left & (todo == 0) & (reached >= digits)
        return Batch(names, done, np.where(done, reached, 0), mids, words, self.standing)

    def _enclosed(self, bits: int, known: int) -> list[tuple[int, arb]]:
        """Return the numbers of the code, and the size of boxes, at a precision."""
        if bits not in self._numbers:
            digits = math.ceil((bits + 8) * math.log10(2))
            with working_precision(bits):
                found = [(place, enclose(e, digits).arb()) for place, e in self._code.numbers]
                size = arb(2) ** (6 - known)
                self._numbers[bits] = [
                    *found,
                    (self._code.size, size),
                    (self._code.size + 1, arb(1, size)),
                ]
        return self._numbers[bits]


_MADE: dict[int, tuple[Program, BallPoints | None]] = {}


def ball_points(program: Program) -> BallPoints | None:
    """Return the machine code of a program, made once; None where there can be none."""

    def make() -> tuple[Program, BallPoints | None]:
        try:
            return program, BallPoints(program)
        except NotSupportedError:
            return program, None

    return kept(_MADE, id(program), make)[1]


def _written(controls: NDArray[np.float64], doubles: bool) -> _Text:
    """Return controls of shape (controls, points) as written, point by point, and the offsets."""
    values, where = np.unique(controls.T, return_inverse=True)
    exact = map(str, map(Decimal, values.tolist())) if doubles else map(repr, values.tolist())
    written = list(map(list(exact).__getitem__, np.ravel(where).tolist()))
    lengths = np.fromiter(map(len, written), dtype=np.int64, count=len(written))
    offsets = np.cumsum(lengths + 1) - lengths - 1
    return np.frombuffer("\0".join([*written, ""]).encode(), dtype=np.int8), offsets


def _merged(old: Batch, new: Batch) -> Batch:
    """Return the proofs of both passes; the later one has more words."""
    words = np.zeros_like(new.words)
    words[:, :, : old.words.shape[2]] = old.words
    which = new.done
    words[which] = new.words[which]
    return Batch(
        old.names,
        old.done | which,
        np.where(which, new.digits, old.digits),
        np.where(which[:, None], new.mids, old.mids),
        words,
        old.standing,
    )


def _address(values: NDArray[Any]) -> int:
    return int(values.__array_interface__["data"][0])
