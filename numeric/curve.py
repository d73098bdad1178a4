"""A learning curve with its witnesses: solve, recompute, simulate, compare.

Stage: a declaration and controls in, a ``CurveRun`` out: everything the report writes and the
terminal shows. Nothing is printed or written here.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.errors import RangeError
from derive.program import program as freeze
from derive.system import System
from derive.theory.deep_features import DeepFeatures
from numeric.compare import Comparison, compare
from numeric.compiled import Evaluator, compile
from numeric.experiments.deep_features import simulate
from numeric.experiments.sampling import Simulation
from numeric.progress import progress
from numeric.reference import Reference, reference
from numeric.solution import Solution
from numeric.workers import workers

OUTPUTS = ("m", "E_test", "E_train")


@dataclass(frozen=True)
class Check:
    """A point of the curve recomputed at many digits on both routes.

    Attributes:
        alpha: the point.
        reference: digits of the main route.
        second: digits of the other route.
        error: largest relative difference of the evaluator to the reference, over the outputs.
        routes: largest relative difference between the two routes at full precision.
    """

    alpha: float
    reference: Reference
    second: Reference
    error: float
    routes: float


@dataclass(frozen=True)
class Experiment:
    """Sizes and trials of the experiment.

    Attributes:
        d: input dimensions, two or more.
        trials: draws per size and point.
        points: values of alpha, spread over the grid.
        seed: seed of the draws.
    """

    d: tuple[int, ...]
    trials: int
    points: int = 5
    seed: int = 0


@dataclass(frozen=True)
class CurveRun:
    """A curve and its witnesses.

    Attributes:
        model: the declaration.
        system: its equations (main route).
        evaluator: the compiled program.
        solution: values over the grid of alpha.
        checks: points recomputed at many digits.
        simulation: the experiment, if asked for.
        comparison: theory against experiment.
        moved: the same comparison with the theory multiplied by 1.05.
        seconds: wall time of each stage.
    """

    model: DeepFeatures
    system: System
    evaluator: Evaluator
    solution: Solution
    checks: tuple[Check, ...]
    simulation: Simulation | None
    comparison: Comparison | None
    moved: Comparison | None
    seconds: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """The word "agree" if every witness agrees, else "disagree"; "unchecked" without any."""
        if not self.checks and self.comparison is None:
            return "unchecked"
        checked = all(c.error < 1e-10 and c.routes < 1e-20 for c in self.checks)
        compared = self.comparison is None or self.comparison.agree
        return "agree" if checked and compared and self.solution.converged else "disagree"

    def notes(self) -> dict[str, Any]:
        """Return verdict, references and timings, for a manifest."""
        references = [
            {
                "alpha": c.alpha,
                "digits": c.reference.digits,
                "values": {o: str(c.reference[o]) for o in OUTPUTS},
                "evaluator_relative_error": c.error,
                "routes_relative_difference": c.routes,
            }
            for c in self.checks
        ]
        seconds = {name: round(value, 3) for name, value in self.seconds.items()}
        return {"verdict": self.verdict, "references": references, "seconds": seconds}


def run_curve(
    model: DeepFeatures,
    controls: Mapping[str, Any],
    *,
    references: int = 5,
    experiment: Experiment | None = None,
    show: bool | None = None,
) -> CurveRun:
    """Compute a learning curve over alpha with its witnesses.

    Args:
        model: the declaration.
        controls: alpha (1-D array), gamma, lam, noise.
        references: number of points recomputed at 30 digits on both routes.
        experiment: sizes and trials; None for no experiment.
        show: force or silence progress bars.

    Raises:
        RangeError: controls out of range; lam = 0 with an experiment.

    Accuracy: ``CurveRun.solution.error`` per point; ``Check.error`` at the references.
    """
    clock = _Clock()
    if experiment is not None and not float(controls["lam"]) > 0:
        raise RangeError("experiment at lam = 0", "it needs a ridge", "give lam > 0")
    system = model.system("covariance")
    clock.lap("derive")
    evaluator = compile(system)
    solution = evaluator(**controls)
    clock.lap("compile and solve")
    checks = _checks(model, system, solution, controls, references, show)
    clock.lap("reference")
    simulation, comparison, moved = None, None, None
    if experiment is not None:
        simulation, comparison = _experiment(model, evaluator, controls, experiment, show)
        moved = comparison.moved(1.05)
        clock.lap("experiment")
    return CurveRun(
        model,
        system,
        evaluator,
        solution,
        checks,
        simulation,
        comparison,
        moved,
        clock.laps,
    )


class _Clock:
    def __init__(self) -> None:
        self.last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self.last
        self.last = now


def spread(alpha: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return indices of ``count`` points spread evenly over a grid, ends included."""
    count = min(count, alpha.size)
    return np.unique(np.linspace(0, alpha.size - 1, count).round().astype(np.intp))


def _checks(
    model: DeepFeatures,
    system: System,
    solution: Solution,
    controls: Mapping[str, Any],
    count: int,
    show: bool | None,
) -> tuple[Check, ...]:
    if not count:
        return ()
    main, other = freeze(system), freeze(model.system("kernel"))
    alpha = np.atleast_1d(solution.controls["alpha"])
    checks = []
    with progress(count, "references", show=show) as advance:
        for i in spread(alpha, count):
            point = {**controls, "alpha": float(alpha[i])}
            first = reference(main, 30, **point)
            second = reference(other, 30, **point)
            values = {o: np.atleast_1d(solution[o])[i] for o in OUTPUTS}
            checks.append(
                Check(
                    float(alpha[i]),
                    first,
                    second,
                    max(_relative(values[o], first[o]) for o in OUTPUTS),
                    max(_relative(second[o], first[o]) for o in OUTPUTS),
                )
            )
            advance(1)
    return tuple(checks)


def _relative(a: Any, b: Any) -> float:
    """Return |a - b|/|b|, zero for two equal infinities or zeros."""
    if a == b:
        return 0.0
    return float(abs(a - b) / abs(b)) if b else float("inf")


def _experiment(
    model: DeepFeatures,
    evaluator: Evaluator,
    controls: Mapping[str, Any],
    experiment: Experiment,
    show: bool | None,
) -> tuple[Simulation, Comparison]:
    alpha = np.atleast_1d(np.asarray(controls["alpha"], dtype=float))
    inner = alpha[spread(alpha, experiment.points + 2)[1:-1]] if alpha.size > 2 else alpha
    at = {**controls, "alpha": inner}
    with workers() as pool:
        simulation = simulate(
            model,
            **at,
            d=experiment.d,
            trials=experiment.trials,
            seed=experiment.seed,
            executor=pool,
            progress=show,
        )
    return simulation, compare(evaluator(**at), simulation)


def sizes(d: int) -> tuple[int, ...]:
    """Return the two sizes of an experiment at dimension d: half of it, and all of it.

    Raises:
        RangeError: below d = 20, where the extrapolation in 1/d means nothing.
    """
    if d < 20:
        raise RangeError(f"d = {d}", "too small for an extrapolation in 1/d", "give d >= 20")
    return (d // 2, d)


def parse_grid(text: str) -> Sequence[float]:
    """Read a grid: "low:high:count" (geometric), "low:high:count:lin", "1,2,5" or one number.

    Raises:
        RangeError: for anything else, and for NaN.

    Example:
        >>> [round(float(v), 3) for v in parse_grid("0.1:10:3")], parse_grid("1,2")
        ([0.1, 1.0, 10.0], [1.0, 2.0])
    """
    parts = text.split(":")
    if len(parts) == 1:
        return [read_number(p, "grid") for p in text.split(",")]
    spacing = parts.pop() if len(parts) == 4 else "log"
    if len(parts) != 3 or spacing not in ("log", "lin"):
        raise RangeError(f"grid {text!r}", "not low:high:count", "write it like 0.1:10:200")
    low, high = read_number(parts[0], "grid"), read_number(parts[1], "grid")
    count = read_number(parts[2], "grid")
    if count != int(count) or not 1 <= count <= 10_000_000:
        raise RangeError(f"grid {text!r}", f"{parts[2]} points", "give 1 to 10000000 points")
    if spacing == "log" and not 0 < low <= high:
        raise RangeError(f"grid {text!r}", "ends not positive and rising", "give 0 < low <= high")
    space = np.geomspace if spacing == "log" else np.linspace
    return [float(v) for v in space(low, high, int(count))]


def read_number(text: str, what: str) -> float:
    """Read one finite number.

    Raises:
        RangeError: naming what was asked and what was found.

    Accuracy: the double nearest to the text.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise RangeError(f"{what} {text!r}", "not a finite number", "give a number such as 0.1")
    return value
