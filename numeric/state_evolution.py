r"""Learning curves of convex readouts: errors of any convex loss on any spectrum.

Stage: a declared ``derive.channels.ConvexReadout`` and spectral functions in, a ``ReadoutCurve``
out. Spectra and losses are independent of one another: an architecture, weight matrices or data
give the sums of ``numeric.spectral_functions``, a loss and a teacher the averages of
``numeric.channel_code``, and ``numeric.state_newton`` solves the equations between them.

Conventions: n/p samples per feature; the estimator minimises the sum of losses plus
(lam/2) |theta|^2. Outputs, with the label noise of the teacher:

* signs: ``E_test`` the probability of a wrong sign on fresh noisy labels, ``E_gen`` on labels
  without noise and flips, ``E_train`` the share of wrong signs on the training set;
* real labels: ``E_test`` the mean squared error on fresh labels, ``E_gen`` without their noise,
  ``E_train`` the mean squared residual of the training set;
* ``loss_train`` and ``loss_test``, means per sample; ``norm`` = |theta|^2/p;
* the overlaps ``V``, ``m``, ``q``, the hats, and the effective ridge ``x``, as unknowns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from derive.channels import ConvexReadout, Logistic
from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.exact import exact_number
from numeric.channel_code import ROWS, compile_channel
from numeric.controls import real_array
from numeric.far_spectrum import mean_eigenvalue, with_far_field
from numeric.logistic_mixture import normal_mixture
from numeric.solution import Solution, Status
from numeric.spectral_functions import SpectralFunctions
from numeric.state_newton import (
    COARSE,
    FINE,
    PURE,
    Mixture,
    Problem,
    State,
    evaluate,
    newton,
    solve,
    solved,
)

Array = NDArray[np.float64]
OUTPUTS = ("E_test", "E_gen", "E_train", "loss_train", "loss_test", "norm")
_RESIDUAL = 1e-11
_ROUNDING = 2e-15
_NUDGE = 1e-6
_RECOVERED = 1e-6


@dataclass(frozen=True, repr=False)
class ReadoutCurve(Solution):
    """A ``Solution`` that knows its readout.

    Attributes:
        model: what was solved.
        rho: second moment of the teacher field.
    """

    model: ConvexReadout | None = None
    rho: float = 1.0

    def truth(self, omega: ArrayLike) -> Array:
        r"""Return P(label = 1 | prediction = omega) on fresh inputs.

        Args:
            omega: predictions, any shape W.

        Returns:
            Array of shape S + W, with S the shape of the grid.

        Raises:
            NotSupportedError: for a teacher of real labels.

        Accuracy: that of m and q.

        Derivation: nu given omega is N(m omega/q, rho - m^2/q), so the likelihood of the teacher
        is eta + (1 - 2 eta) Phi(m omega/q / sqrt(rho + Delta - m^2/q)). Source: [clarte2023].
        """
        noise, flips = _teacher(self._declared())
        w = np.asarray(omega, dtype=float)
        m, q = (self[k].reshape(self.shape + (1,) * w.ndim) for k in ("m", "q"))
        variances, weights = _mixtures(self._declared())[1]
        rest = np.maximum(self.rho + noise - m**2 / q, 0.0)[..., None] + variances
        with np.errstate(divide="ignore", invalid="ignore"):
            clean = ndtr((m * w / q)[..., None] / np.sqrt(rest)) @ weights
        return np.asarray(flips + (1 - 2 * flips) * clean)

    def calibration(self, confidence: ArrayLike) -> Array:
        r"""Return how much a logistic readout claims beyond the truth, at given confidences.

        The readout claims P(label = 1) = sigma(omega); the calibration at confidence c is
        c - E[P(label = 1) | sigma(omega) = c], positive where it is overconfident (c > 1/2).

        Args:
            confidence: numbers between 0 and 1, any shape W.

        Returns:
            Array of shape S + W.

        Raises:
            RangeError: a confidence outside (0, 1).
            NotSupportedError: a loss other than the logistic one, or real labels.

        Accuracy: that of m and q.
        """
        if self._declared().loss.name != "logistic":
            raise NotSupportedError(
                f"calibration of the {self._declared().loss.name} loss",
                "its predictions are no probabilities",
                "use truth(omega) with a link of your own",
            )
        c = np.asarray(confidence, dtype=float)
        if not np.all((c > 0) & (c < 1)):
            raise RangeError(f"confidence = {confidence!r}", "out of range", "give 0 < c < 1")
        return np.asarray(c - self.truth(np.log(c) - np.log1p(-c)))

    def _declared(self) -> ConvexReadout:
        if self.model is None or not self.model.teacher.signs:
            raise NotSupportedError(
                f"label probabilities of {self.name}", "its labels are real", "use a Sign teacher"
            )
        return self.model


def state_evolution(
    model: ConvexReadout, spectrum: SpectralFunctions, *, ratio: ArrayLike, lam: ArrayLike
) -> ReadoutCurve:
    """Solve the state evolution of a convex readout over a grid.

    Args:
        model: loss and teacher.
        spectrum: spectral functions of the features, such as ``Modes``.
        ratio: samples per feature n/p > 0, any shape.
        lam: ridge > 0 in the convention (lam/2) |theta|^2, broadcast with ``ratio``.

    Returns:
        Values with error, residual and status per point; a point that fails keeps its place. A loss
        with a kink at y = z recovers a target without noise and misfit exactly below a critical
        ridge, where V = 0: such points have the status LEFT_RANGE.

    Raises:
        RangeError: lam or ratio not positive; a target without variance and noise.
        ShapeError: if ratio and lam do not broadcast.

    Accuracy: ``error`` carries rounding, and the difference between two rules of different panels
    and order, through the inverse Jacobian to each output.

    Example:
        >>> import numpy as np
        >>> from derive.channels import Sign
        >>> from derive.losses import Loss
        >>> from numeric.spectral_functions import Modes
        >>> one = np.ones(1)
        >>> model = ConvexReadout(Loss("logistic"), Sign())
        >>> curve = state_evolution(model, Modes(one, one, one), ratio=2, lam=0.05)
        >>> print(f"{float(curve.E_test):.13f} {float(curve.loss_train):.13f}")
        0.1762585747153 0.1277873308821
        >>> float(curve.calibration(0.9).round(6))
        -0.006707
    """
    problem, shape = _problem(model, spectrum, ratio, lam)
    state, status, steps = solve(problem)
    state, spread = _refine(problem, state, status, steps)
    values = _values(problem, state)
    errors = _errors(problem, state, spread, values)
    residual = np.abs(state.F).max(1)
    status[(status == Status.CONVERGED) & ~(residual < _RESIDUAL)] = Status.STALLED
    least = float(getattr(spectrum, "least", 0.0))
    status[(status != Status.CONVERGED) & (state.fields[:, 3] <= least)] = Status.LEFT_RANGE
    if not problem.channel.binary:
        recovered = state.across < _RECOVERED * problem.noisy
        status[(status != Status.CONVERGED) & recovered] = Status.LEFT_RANGE
    failed = status != Status.CONVERGED

    def grid(row: Array) -> Array:
        return np.where(failed, np.nan, row).reshape(shape)

    table = {name: grid(row) for name, row in values.items()}
    return ReadoutCurve(
        name=repr(model),
        key=problem.channel.module.__name__.rsplit("_", 1)[-1],
        controls={"ratio": problem.ratio.reshape(shape), "lam": problem.lam.reshape(shape)},
        outputs={name: table[name] for name in OUTPUTS},
        error={name: grid(row) for name, row in errors.items()},
        unknowns={name: row for name, row in table.items() if name not in OUTPUTS},
        slopes={},
        residual=grid(residual),
        status=status.reshape(shape),
        steps=steps.reshape(shape),
        model=model,
        rho=float(spectrum.rho),
    )


def _problem(
    model: ConvexReadout, spectrum: SpectralFunctions, ratio: ArrayLike, lam: ArrayLike
) -> tuple[Problem, tuple[int, ...]]:
    if not isinstance(model, ConvexReadout):
        remedy = 'give ConvexReadout(Loss("logistic"), Sign())'
        raise NotSupportedError(f"a readout with {model!r}", "it is no ConvexReadout", remedy)
    given = {"ratio": real_array("ratio", ratio), "lam": real_array("lam", lam)}
    for name, value in given.items():
        if not (value.size and np.all(np.isfinite(value) & (value > 0))):
            raise RangeError(
                f"{name} = {float(np.min(value)) if value.size else 'nothing'}",
                "out of range",
                f"give finite {name} > 0; for lam -> 0 follow a grid of small ridges",
            )
    try:
        arrays = np.broadcast_arrays(*given.values())
    except ValueError as error:
        raise ShapeError("ratio and lam", str(error), "give shapes that broadcast") from error
    noise, flips = _teacher(model)
    if not spectrum.rho + noise > 0:
        raise RangeError(
            f"rho = {spectrum.rho} with noise = {noise}", "labels do not vary", "give a target"
        )
    count = arrays[0].size
    r, ridge = (np.ascontiguousarray(a.reshape(-1), dtype=float) for a in arrays)
    channel = compile_channel(model.loss, model.teacher.signs)
    teacher = np.full(count, noise), np.full(count, flips)
    far = with_far_field(spectrum)
    scale = mean_eigenvalue(far)
    return Problem(channel, far, r, ridge, *teacher, scale, _mixtures(model)), arrays[0].shape


def _teacher(model: ConvexReadout) -> tuple[float, float]:
    noise = float(exact_number(model.teacher.noise))
    return noise, float(exact_number(getattr(model.teacher, "flips", 0)))


def _mixtures(model: ConvexReadout) -> tuple[Mixture, Mixture]:
    """Return the noises that are mixed, for the coarse and for the fine rule."""
    if not isinstance(model.teacher, Logistic):
        return PURE, PURE
    scale = float(exact_number(model.teacher.scale))
    return normal_mixture(scale, fine=False), normal_mixture(scale, fine=True)


def _refine(
    problem: Problem, state: State, status: NDArray[np.int8], steps: NDArray[np.int32]
) -> tuple[State, Array]:
    """Polish converged points with the finer rule; return how far the two rules differ in F."""
    rows = np.arange(len(problem.lam))
    good = rows[status == Status.CONVERGED]
    spread = np.zeros((len(rows), 3))
    if not good.size:
        return state, spread
    fine = evaluate(problem, good, state.u[good], problem.lam[good], FINE)
    spread[good] = np.abs(fine.F - state.F[good])
    moved = fine.u - solved(fine.J, fine.F)
    moved[:, 0] = np.maximum(moved[:, 0], 0.1 * fine.u[:, 0])
    found, _, taken = newton(problem, good, moved, problem.lam[good], tol=_ROUNDING, mesh=FINE)
    steps[good] += taken + 1
    mask = status == Status.CONVERGED
    state.take(found, mask)
    return state, spread


def _values(problem: Problem, state: State) -> dict[str, Array]:
    """Return outputs and unknowns at a state."""
    V, m, q, x = state.fields.T
    row = dict(zip(ROWS, state.averages.T, strict=True))
    rho, noise, flips = problem.spectrum.rho, problem.noise, problem.flips
    q_hat = np.exp(state.u[:, 2])
    V_hat = problem.lam / x
    m_hat = state.u[:, 1] * np.sqrt(q_hat / problem.noisy) if problem.channel.binary else V_hat
    with np.errstate(all="ignore"):
        sums = problem.spectrum(x)
        lost = m_hat**2 * (sums.T - sums.T2) + q_hat * (sums.df1 - sums.df2)
        norm = lost / (x * V_hat**2)
        if problem.channel.binary:
            across = np.sqrt(np.maximum(state.across, 0.0))
            clean = np.arctan2(np.sqrt(np.maximum(q * rho - m**2, 0.0)), m) / np.pi
            wrong = np.arctan2(across, m / np.sqrt(problem.noisy)) / np.pi
            gen = np.where(noise == 0, wrong, clean)
            variances, weights = problem.mixtures[1]
            if len(weights) > 1:
                width = np.sqrt(problem.noisy + variances[:, None])
                wrong = weights @ np.arccos(m / (width * np.sqrt(q))) / np.pi
            test = flips + (1 - 2 * flips) * wrong
        else:
            test, gen = state.across, state.across - noise
    return {
        "E_test": test,
        "E_gen": gen,
        "E_train": row["misfit_train"],
        "loss_train": row["loss_train"],
        "loss_test": row["loss_test"],
        "norm": norm,
        "V": V,
        "m": m,
        "q": q,
        "x": x,
        "V_hat": V_hat,
        "m_hat": m_hat,
        "q_hat": q_hat,
    }


def _errors(
    problem: Problem, state: State, spread: Array, values: dict[str, Array]
) -> dict[str, Array]:
    """Carry the errors of the residuals to each output, with slopes by small steps."""
    rows = np.arange(len(problem.lam))
    doubt = spread + np.abs(state.F) + _ROUNDING * (1 + np.abs(state.u))
    columns = [solved(state.J, np.tile(unit, (len(rows), 1))) for unit in np.eye(3)]
    shift = np.einsum("jni,nj->ni", np.abs(columns), doubt)
    errors = {name: _ROUNDING * np.abs(value) for name, value in values.items()}
    for k in range(3):
        u = np.where(np.isfinite(state.u), state.u, 1.0)
        step = _NUDGE * np.maximum(np.abs(u[:, k]), 1e-3 if k == 0 else 1.0)
        u[:, k] += step
        moved = _values(problem, evaluate(problem, rows, u, problem.lam, COARSE))
        with np.errstate(all="ignore"):
            for name, value in moved.items():
                slope = np.abs(value - values[name]) / step
                errors[name] = errors[name] + slope * shift[:, k]
    edge = ROWS.index("loss_edge")
    errors["loss_test"] = errors["loss_test"] + state.averages[:, edge]
    return errors
