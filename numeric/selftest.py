"""What a compiled evaluator is worth: random points of its ranges against rigorous balls.

Stage: an Evaluator in, a ``SelfTest`` out, kept beside its machine code and shown in its repr. The
witness is ball Newton with a proof (``numeric.proof``) at the doubles that the evaluator was given;
a few points are drawn where two positive controls are equal, because that is where interpolation
peaks lie and digits are lost.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from flint import arb
from numpy.typing import NDArray

from derive.coupled import AnyProgram, CoupledProgram
from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.program import Program
from derive.symbols import Quantity
from numeric.cache import content_key, read_bytes, write_bytes
from numeric.proof import PROVED, PointProof, Verdict, standing
from numeric.proof_points import prove_points
from numeric.solution import Solution, Status

LOSES = 1e-10
"""Relative error from which a warning is given."""
_COINCIDENT = 0.25
_SPAN = (1e-2, 1e2)
_SLOPE_SPAN = (1e-8, 1e2)
Keep = Callable[[str, str, bytes], None]


class Compiled(Protocol):
    """What a self-test needs of an evaluator."""

    @property
    def program(self) -> AnyProgram:
        """The program behind it."""

    @property
    def source(self) -> str:
        """The generated source."""

    def __call__(self, **controls: Any) -> Solution:
        """Solve."""


@dataclass(frozen=True)
class Worst:
    """The largest errors of one unknown, output or slope.

    Attributes:
        name: of the quantity.
        relative: largest |found - true|/|true|.
        where: controls at which it was found.
        units: largest |found - true| over the claimed error; NaN if none is claimed.
        units_where: controls at which it was found.
    """

    name: str
    relative: float
    where: Mapping[str, float]
    units: float
    units_where: Mapping[str, float]


@dataclass(frozen=True)
class SelfTest:
    """Errors of an evaluator on random points.

    Attributes:
        name: name of the program.
        key: content key of the program.
        points: number of points drawn.
        digits: digits of the witness.
        seed: of the draw.
        failures: statement -> number of points that have no comparison, or a wrong root.
        first_failure: controls of the first of them, empty if there is none.
        worst: largest errors by quantity.
        note: what the witness does not prove about the branch; empty if nothing is missing.

    Accuracy: errors are measured against balls of ``digits`` digits; the largest over all inputs is
        at least what is seen here.
    """

    name: str
    key: str
    points: int
    digits: int
    seed: int
    failures: Mapping[str, int]
    first_failure: Mapping[str, float]
    worst: tuple[Worst, ...]
    note: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each regime that loses digits, breaks its error bound, or fails."""
        lines = [
            f"{count} of {self.points} points: {statement}, first at {_at(self.first_failure)}"
            for statement, count in self.failures.items()
        ]
        for w in self.worst:
            if w.relative > LOSES:
                lines.append(f"{w.name} loses digits: {w.relative:.0e} at {_at(w.where)}")
            if w.units > 1:
                where = _at(w.units_where)
                lines.append(f"{w.name}: claimed error too small, by {w.units:.1f} at {where}")
        return tuple(lines)

    @property
    def summary(self) -> str:
        """One line: the worst relative error and the number of warnings."""
        most = max(self.worst, key=lambda w: w.relative)
        count = len(self.warnings)
        tail = f"; {count} warning{'s' * (count != 1)}" if count else ""
        worst = f"worst relative error {most.relative:.0e} ({most.name})"
        return f"self-test on {self.points} points, {self.digits} digits: {worst}{tail}"

    def __repr__(self) -> str:
        rows = [f"SelfTest({self.name}; {self.summary})"]
        rows.append("  quantity         relative   of the claimed error")
        rows += [f"  {w.name:14s} {w.relative:10.1e}   {w.units:10.2g}" for w in self.worst]
        rows += [f"  note: {self.note}"] if self.note else []
        return "\n".join([*rows, *(f"  warning: {line}" for line in self.warnings)])

    def to_json(self) -> str:
        """Return the self-test as JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SelfTest":
        """Read what ``to_json`` wrote."""
        data = json.loads(text)
        return cls(**{**data, "worst": tuple(Worst(**w) for w in data["worst"])})


def self_test(
    evaluator: Compiled,
    points: int = 200,
    digits: int = 50,
    seed: int = 0,
    *,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    keep: Keep | None = write_bytes,
) -> SelfTest:
    """Compare an evaluator with rigorous balls on random points of its declared ranges.

    Args:
        evaluator: what ``numeric.compile`` returns.
        points: how many points.
        digits: digits of the witness, 20 to 1000.
        seed: of the draw.
        ranges: bounds per control that replace the default ones: nonnegative controls are drawn
            log-uniformly from 0.01 to 100 (the slope control from 1e-8), as far as declared.
        keep: where the result goes, called with the key of the machine code, a file name and the
            content; None keeps nothing.

    Raises:
        RangeError: points or digits out of range, or a range that is not one.
        UnknownNameError: a range for an unknown control.
        NotSupportedError: for what was not compiled.

    Accuracy: see ``SelfTest``.

    Example:
        >>> from numeric.compiled import compile
        >>> from derive.theory.deep_features import deep_features
        >>> test = self_test(compile(deep_features([]).system()), 20, keep=None)
        >>> max(w.relative for w in test.worst if w.name == "x_0") < 1e-12, test.failures
        (True, {})
    """
    if points < 1 or not 20 <= digits <= 1000:
        asked = f"self-test with {points} points, {digits} digits"
        raise RangeError(asked, "out of range", "give points >= 1 and 20 <= digits <= 1000")
    program = getattr(evaluator, "program", None)
    if not (callable(evaluator) and isinstance(program, Program | CoupledProgram)):
        raise NotSupportedError(
            f"self-test of {evaluator!r}", "it is no evaluator", "give numeric.compile(model)"
        )
    drawn = draw(program, points, seed, ranges or {})
    solution = evaluator(**_grouped(program, drawn))
    result = _compare(program, drawn, solution, digits, seed)
    if keep is not None:
        keep(content_key(evaluator.source), _file(program), result.to_json().encode())
    return result


def recall(evaluator: Compiled) -> SelfTest | None:
    """Return the self-test that was kept for an evaluator, or None.

    Accuracy: as it was measured then; the kept file belongs to this machine code and program.
    """
    content = read_bytes(content_key(evaluator.source), _file(evaluator.program))
    if content is None:
        return None
    try:
        return SelfTest.from_json(content.decode())
    except (ValueError, TypeError, KeyError):
        return None


def _file(program: AnyProgram) -> str:
    return f"selftest-{program.key}.json"


def _at(controls: Mapping[str, float]) -> str:
    return ", ".join(f"{k}={v:.4g}" for k, v in controls.items())


def draw(
    program: AnyProgram, points: int, seed: int, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, NDArray[np.float64]]:
    """Return random controls, by name; in a quarter of the points two positive ones are equal.

    Raises:
        RangeError: a range that is empty or outside the declared one.
        UnknownNameError: a range for an unknown control.
    """
    rng = np.random.default_rng(seed)
    names = [q.name for q in program.inputs]
    for name in ranges:
        if name not in names:
            known = ", ".join(names)
            raise UnknownNameError(f"range of {name!r}", f"the controls are {known}", "use one")
    out = {}
    for q in program.inputs:
        low, high = _bounds(q, q.name == program.slope_control, ranges.get(q.name))
        logarithmic = low > 0
        ends = (math.log(low), math.log(high)) if logarithmic else (low, high)
        values = rng.uniform(*ends, size=points)
        out[q.name] = np.clip(np.exp(values) if logarithmic else values, low, high)
    alike = [q.name for q in program.inputs if q.open_low and q.low == 0 and q.high == math.inf]
    alike = [n for n in alike if n != program.slope_control and n not in ranges]
    for i in np.flatnonzero(rng.uniform(size=points) < _COINCIDENT) if len(alike) > 1 else []:
        source, target = rng.choice(alike, size=2, replace=False)
        out[str(target)][i] = out[str(source)][i]
    return out


def _bounds(
    quantity: Quantity, slope: bool, given: tuple[float, float] | None
) -> tuple[float, float]:
    if given is not None:
        low, high = given
        if not (low < high and quantity.contains(low) and quantity.contains(high)):
            raise RangeError(
                f"range {given} of {quantity.name}", "not inside its range", quantity.range_text()
            )
        return low, high
    if quantity.low >= 0:
        low, high = _SLOPE_SPAN if slope else _SPAN
        low, high = max(low, quantity.low), min(high, quantity.high)
        return (low, high) if low < high else (quantity.low, min(quantity.high, 2 * quantity.low))
    return max(quantity.low, -_SPAN[1]), min(quantity.high, _SPAN[1])


def _grouped(program: AnyProgram, drawn: Mapping[str, Any]) -> dict[str, Any]:
    grouped = {n for names in program.groups.values() for n in names}
    flat = {n: v for n, v in drawn.items() if n not in grouped}
    return flat | {g: tuple(drawn[n] for n in names) for g, names in program.groups.items()}


def _compare(
    program: AnyProgram,
    drawn: Mapping[str, NDArray[np.float64]],
    solution: Solution,
    digits: int,
    seed: int,
) -> SelfTest:
    proofs = prove_points(
        solution, program, range(solution.status.size), digits, outputs=True, doubles=True
    )
    names = (*solution.unknowns, *solution.outputs, *solution.slopes)
    table = _Table(names)
    failures: Counter[str] = Counter()
    first: dict[str, float] = {}
    for i, proof in enumerate(proofs):
        at = {n: float(v[i]) for n, v in drawn.items()}
        failure = _failure(proof, Status(int(solution.status[i])), digits)
        if failure:
            failures[failure] += 1
            first = first or at
            continue
        for name in names:
            claimed = float(solution.error[name][i]) if name in solution.error else math.nan
            table.add(name, float(solution[name][i]), claimed, proof.enclosures[name], at)
    return SelfTest(
        name=program.name,
        key=program.key,
        points=solution.status.size,
        digits=digits,
        seed=seed,
        failures=dict(failures),
        first_failure=first,
        worst=table.worst(),
        note=standing(program)[1],
    )


def _failure(proof: PointProof, status: Status, digits: int) -> str:
    """Say why the answer at a point cannot be compared; empty if it can."""
    if status != Status.CONVERGED:
        return f"not solved ({status.name.lower()})"
    if proof.verdict not in (*PROVED, Verdict.DISAGREES) or proof.digits < min(digits, 20):
        return proof.verdict.statement
    return ""


class _Table:
    """Keeps the largest errors by quantity."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._worst = {n: Worst(n, 0.0, {}, math.nan, {}) for n in names}

    def add(
        self, name: str, found: float, claimed: float, true: arb, at: Mapping[str, float]
    ) -> None:
        """Record one comparison."""
        worst = self._worst[name]
        difference = float(abs(arb(found) - true).mid())
        size = float(abs(true).mid())
        relative = difference / size if size else (math.inf if difference else 0.0)
        units = difference / claimed if claimed else (math.inf if difference else 0.0)
        if not worst.where or relative > worst.relative:
            worst = Worst(name, relative, at, worst.units, worst.units_where)
        if units > worst.units or (math.isnan(worst.units) and not math.isnan(units)):
            worst = Worst(name, worst.relative, worst.where, units, at)
        self._worst[name] = worst

    def worst(self) -> tuple[Worst, ...]:
        """Return the largest errors, in order."""
        return tuple(self._worst.values())
