r"""Theory against experiment: Student t, extrapolation in 1/d, and the error it would have seen.

Stage: a curve (any mapping from outputs to values, or a ``Solution``) and a ``Simulation`` in, a
``Comparison`` out: a table, a verdict, and the smallest error of the theory that this experiment
would have rejected.

What is tested. The theory holds at infinite size; a mean at size d is off by about b/d. So the
verdict rests on the intercept of ``a + b/d``, and a point is rejected if

    |a - theory| > limit * stderr + allowance.

- ``limit`` is a two-sided Student quantile at ``level / N`` for N tests (Bonferroni over points and
  outputs, which may depend on one another), so that a right theory is rejected in at most ``level``
  of all comparisons.
- ``allowance`` covers what the fit leaves: with two sizes or more, the next term of the expansion,
  taken as c/d^2 with c = b^2/a as if the expansion were geometric; with one size nothing can be
  extrapolated and the caller must state an allowance; always the theory's own error estimate and
  1e-12 relative for rounding.

Power. ``resolves`` is the relative error that would have been rejected with probability 0.98; it
counts the allowance twice, because finite-size bias may happen to hide the error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from derive.errors import (
    NotConvergedError,
    NotSupportedError,
    RangeError,
    ShapeError,
    UnknownNameError,
)
from numeric.compare_table import full_table, summary
from numeric.experiments.sampling import Simulation
from numeric.judged import Judged, count_rejected, count_tested, resolves, resolves_at_each_point
from numeric.student import Intercept, extrapolate, two_sided_limit

Array = NDArray[np.float64]
LEVEL = 1e-3
ROUNDING = 1e-12
_CONTROL_RTOL = 1e-9


class Theory(Protocol):
    """Values by output name; ``controls`` and ``error`` mappings are read where they exist."""

    def __getitem__(self, output: str, /) -> Any:
        """Return the values of one output, one per point."""


@dataclass(frozen=True)
class Rules:
    """What a comparison accepts.

    Attributes:
        level: chance of rejecting a right theory, over all points and outputs.
        limit: limit on |t| if it was given, in place of the one that follows from ``level``.
        allowance: relative allowance for finite-size bias if it was given.
    """

    level: float = LEVEL
    limit: float | None = None
    allowance: float | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """A theory, an experiment and the verdict.

    Attributes:
        judged: what was found per output.
        simulation: the experiment.
        theory: what was compared, by output.
        error: error estimate of the theory, by output.
        rules: what was accepted.
    """

    judged: Mapping[str, Judged]
    simulation: Simulation
    theory: Mapping[str, Array]
    error: Mapping[str, Array]
    rules: Rules

    @property
    def agree(self) -> bool:
        """Whether no point is rejected."""
        return self.rejected == 0

    @property
    def verdict(self) -> str:
        """The word "agree" or "disagree"."""
        return "agree" if self.agree else "disagree"

    @property
    def tests(self) -> int:
        """Number of (output, point) pairs that were tested."""
        return count_tested(self.judged)

    @property
    def rejected(self) -> int:
        """Number of (output, point) pairs at which the theory is rejected."""
        return count_rejected(self.judged)

    @property
    def resolves(self) -> float:
        """Smallest relative error of the whole curve of an output that would have been rejected.

        The largest over the outputs: an error of this size in any one of them is seen (probability
        0.98), if it is there at all points.

        Accuracy: that of the standard errors, a relative ``1/sqrt(2 dof)``.
        """
        return resolves(self.judged)

    @property
    def resolves_at_each_point(self) -> float:
        """Relative error that would have been rejected at whichever point of any output it is.

        Accuracy: as ``resolves``.
        """
        return resolves_at_each_point(self.judged)

    def moved(self, factor: float, outputs: Sequence[str] | None = None) -> "Comparison":
        """Compare the same experiment with the theory multiplied by a factor: it should disagree.

        Args:
            factor: what the theory is multiplied by.
            outputs: which outputs to move; all by default.
        """
        chosen = tuple(self.theory) if outputs is None else tuple(outputs)
        moved = {k: v * factor if k in chosen else v for k, v in self.theory.items()}
        return _judge(moved, self.error, self.simulation, self.rules)

    def table(self) -> str:
        """Return the full table: every output, point and size, then the verdict."""
        return full_table(self.judged, self.simulation)

    def __repr__(self) -> str:
        return summary(self.judged, self.simulation)


def compare(
    theory: Theory,
    simulation: Simulation,
    outputs: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
    limit: float | None = None,
    allowance: float | None = None,
) -> Comparison:
    """Compare a theory with an experiment.

    Args:
        theory: values by output name, each of the shape ``simulation.points``; a mapping or a
            ``Solution``. Points where it is NaN are left out and counted as not tested.
        simulation: the experiment.
        outputs: which outputs to compare; all that were measured by default.
        level: chance of rejecting a right theory, over all points and outputs, 0 < level < 1.
        limit: a fixed limit on |t|, in place of the Student quantiles that follow from ``level``.
        allowance: relative allowance for finite-size bias. Required when there is one size; with
            more it replaces the estimate from the extrapolation.

    Raises:
        ShapeError: if theory and simulation have different points.
        RangeError: if they were made at different controls, or one size comes without allowance.
        UnknownNameError: if an output is missing on one side.
        NotConvergedError: if no point can be tested.
        NotSupportedError: if the second argument is no experiment.

    Accuracy: the level and the power rest on normal means, which the averages of many nearly
    independent terms are; the degrees of freedom of the extrapolation are Satterthwaite's.

    Example:
        >>> import numpy as np
        >>> trials = 1.0 + 0.01 * np.array([[1, -1, 1, -1.0], [0.5, -0.5, 0.5, -0.5]])
        >>> simulation = Simulation("toy", "", (100, 200), {}, {"m": trials}, seed=0)
        >>> compare({"m": 1.0}, simulation).verdict, compare({"m": 2.0}, simulation).verdict
        ('agree', 'disagree')
    """
    if not 0 < level < 1:
        raise RangeError(f"level = {level}", "not a probability", "give 0 < level < 1")
    if not isinstance(simulation, Simulation):
        remedy = "give what numeric.simulate or numeric.sample return"
        raise NotSupportedError(f"compare with {simulation!r}", "it is no Simulation", remedy)
    if len(simulation.d) == 1 and allowance is None:
        raise RangeError(
            f"compare at the single size d = {simulation.d[0]}",
            "one size cannot tell an error of the theory from finite-size bias",
            "simulate a second size, or give allowance= (relative)",
        )
    _check_controls(theory, simulation)
    chosen = simulation.outputs if outputs is None else tuple(outputs)
    values = {output: _values(theory, output, simulation) for output in chosen}
    error = {output: _error(theory, output, values[output]) for output in chosen}
    result = _judge(values, error, simulation, Rules(level, limit, allowance))
    if not result.tests:
        raise NotConvergedError(
            f"compare {', '.join(chosen)}",
            "no point has both a theory and two trials at the sizes needed",
            "look at the status of the theory, and run more trials",
        )
    return result


def _judge(
    theory: Mapping[str, Array], error: Mapping[str, Array], simulation: Simulation, rules: Rules
) -> Comparison:
    fits = {output: _fit(simulation, output) for output in theory}
    known = {o: np.isfinite(fits[o].stderr) & np.isfinite(theory[o]) for o in theory}
    share = rules.level / max(1, sum(int(one.sum()) for one in known.values()))
    judged = {}
    for output, fit in fits.items():
        dof = np.where(known[output], fit.dof, np.nan)
        bound = two_sided_limit(share, dof) if rules.limit is None else rules.limit + 0 * dof
        at_size = simulation.mean(output) - theory[output]
        judged[output] = Judged(
            theory=theory[output],
            value=fit.value,
            stderr=fit.stderr,
            dof=dof,
            least_dof=fit.least_dof,
            limit=bound,
            allowance=error[output] + _allowance(fit, theory[output], rules.allowance),
            t_size=at_size / np.maximum(simulation.stderr(output), np.finfo(float).tiny),
        )
    return Comparison(judged, simulation, theory, error, rules)


def _fit(simulation: Simulation, output: str) -> Intercept:
    mean, stderr = simulation.mean(output), simulation.stderr(output)
    count = simulation.count(output)
    if len(simulation.d) > 1:
        return extrapolate(np.array(simulation.d, dtype=float), mean, stderr, count.astype(float))
    dof = np.maximum(count[0] - 1.0, 1.0)
    none = np.zeros(mean[0].shape)
    return Intercept(np.asarray(mean[0]), np.asarray(stderr[0]), dof, dof, none, none)


def _allowance(fit: Intercept, theory: Array, relative: float | None) -> Array:
    size = np.abs(theory)
    rounding = ROUNDING * size
    if relative is not None:
        return np.asarray(relative * size + rounding)
    scale = np.abs(fit.value)
    next_term = np.divide(fit.slope**2, scale, out=np.zeros(scale.shape), where=scale > 0)
    return np.asarray(np.abs(fit.curvature) * next_term + rounding)


def _values(theory: Theory, output: str, simulation: Simulation) -> Array:
    simulation[output]  # an output that was not measured is refused by name
    try:
        values = np.asarray(theory[output], dtype=float)
    except (KeyError, UnknownNameError) as error:
        raise UnknownNameError(
            f"compare {output!r}", "the theory does not hold it", "choose outputs= it has"
        ) from error
    if values.shape != simulation.points:
        raise ShapeError(
            f"compare {output!r}",
            f"theory of shape {values.shape}, simulation with points of shape {simulation.points}",
            "evaluate the theory at the points of the simulation (simulation.controls)",
        )
    return values


def _error(theory: Theory, output: str, values: Array) -> Array:
    """Error estimate of the theory, zero where it gives none."""
    errors = getattr(theory, "error", None)
    known = errors.get(output) if isinstance(errors, Mapping) else None
    if known is None:
        return np.zeros(values.shape)
    return np.nan_to_num(np.abs(np.asarray(known, dtype=float)), nan=0.0)


def _check_controls(theory: Theory, simulation: Simulation) -> None:
    """Refuse a theory that was evaluated at other controls than the experiment's."""
    controls = getattr(theory, "controls", None)
    if not isinstance(controls, Mapping):
        return
    for name in sorted(controls.keys() & simulation.controls.keys()):
        ours, theirs = simulation.controls[name], np.asarray(controls[name], dtype=float)
        if ours.shape == theirs.shape and not np.allclose(ours, theirs, rtol=_CONTROL_RTOL, atol=0):
            raise RangeError(
                f"compare at {name}",
                f"theory {_range(theirs)}, simulation {_range(ours)}",
                "evaluate the theory at the controls of the simulation",
            )


def _range(values: Array) -> str:
    if float(values.min()) == float(values.max()):
        return f"at {values.min():g}"
    return f"from {values.min():g} to {values.max():g}"
