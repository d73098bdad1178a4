r"""Newton's method for the state evolution of a convex readout, many points at once.

Stage: beneath ``numeric.state_evolution``. The unknowns are

.. math:: t = \log(1 + c \hat V / \lambda) \ge 0, \quad \hat m, \quad v = \log \hat q,

with c the mean eigenvalue. From them x = lam/V_hat and, in explicit form, V = df1 x/lam,
m = m_hat x T/lam and q = (x/lam)^2 (m_hat^2 T2 + q_hat df2); so V > 0, q > 0 and
rho - m^2/q >= 0 hold at every step by construction, and a V_hat that vanishes is a regular point.

Each point starts at a ridge so large that the equations are explicit, and follows the unique root
down to its own ridge: a tangent predictor over log lam, Newton with the analytic Jacobian and
backtracking, shorter steps after a failure. All points move together, so that spectral functions
written in Python are called once for all of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric.channel_code import Channel
from numeric.solution import Status
from numeric.spectral_functions import SpectralFunctions, Sums

Array = NDArray[np.float64]
_SPREAD = 1e-4  # step in log x of the third spectral moments, which only the Jacobian uses
_TINY = 1e-18
Mixture = tuple[Array, Array]
PURE: Mixture = (np.zeros(1), np.ones(1))
Mesh = tuple[float, float]
Given = tuple[Array, Array, Array, Sums]  # y = x/lam, y around x, q_hat, sums around x
COARSE: Mesh = (1.5, 1e-6)
FINE: Mesh = (1.0, 1e-10)
ACCEPTED = 1e-8
_ON_THE_WAY = 1e-3
_FIRST = 4.0
_SHORTEST = 0.02
_BUDGET = 12
_LONGEST = 300
_PARTS = ("u", "F", "J", "along", "averages", "fields", "across")


@dataclass(frozen=True)
class Problem:
    """What is solved: one channel, one spectrum, and a list of points.

    Attributes:
        channel: compiled averages.
        spectrum: spectral functions.
        ratio: samples per feature, shape (N,).
        lam: ridges, shape (N,).
        noise: variance added to the teacher field, shape (N,).
        flips: probability that a sign label is flipped, shape (N,).
        mixtures: variances and weights of normal noises that are mixed, for the coarse and the
            fine rule; one of variance zero for most teachers.
        scale: mean eigenvalue, or any number of its size.
    """

    channel: Channel
    spectrum: SpectralFunctions
    ratio: Array
    lam: Array
    noise: Array
    flips: Array
    scale: float
    mixtures: tuple[Mixture, Mixture] = (PURE, PURE)

    @property
    def noisy(self) -> Array:
        """Variance of the noisy teacher field.

        Accuracy: rounding.
        """
        return np.asarray(self.spectrum.rho + self.noise)


@dataclass
class State:
    """Where some points are, N of them.

    Attributes:
        u: unknowns (t, s, v), shape (N, 3).
        F: residuals there, shape (N, 3).
        J: Jacobian of F in u, shape (N, 3, 3).
        along: derivative of F in log lam, shape (N, 3).
        averages: rows of the channel, shape (N, rows).
        fields: V, m, q, x, shape (N, 4).
        across: q - m^2/rho for signs, the residual's variance for real labels, shape (N,).
    """

    u: Array
    F: Array
    J: Array
    along: Array
    averages: Array
    fields: Array
    across: Array

    def take(self, other: "State", where: NDArray[np.bool_]) -> None:
        """Replace the rows ``where`` by the rows of another state of that many points."""
        for name in _PARTS:
            getattr(self, name)[where] = getattr(other, name)


def evaluate(problem: Problem, rows: NDArray[np.intp], u: Array, lam: Array, mesh: Mesh) -> State:
    """Return the residual of the equations and its Jacobian at some points.

    Args:
        problem: all points.
        rows: which of them.
        u: their unknowns, shape (len(rows), 3).
        lam: their ridges (the path runs through larger ones), shape (len(rows),).
        mesh: width and tolerance of the rule.

    Accuracy: that of the averages; the derivative of q along x rests on a difference of spectral
    sums and holds 7 digits, which costs no digit of the root.
    """
    ratio = problem.ratio[rows]
    with np.errstate(all="ignore"):
        fields, chain, points = _fields(problem, rows, u, lam)
        averages = _averages(problem, points, mesh)
        V, unit = fields[:, 0], np.sqrt(problem.noisy[rows])
        I1, I2, I3 = averages[:, :3].T
        dI = averages[:, 3:12].reshape(-1, 3, 3) @ chain
        pull = problem.scale * ratio / (lam * V)
        root = unit * np.sqrt(ratio / I2)
        target = np.stack([np.log1p(pull * I1), root * I3, np.log(ratio * I2 / V**2)], 1)
        logs = chain[:, 0] / V[:, None]
        drift = np.empty_like(dI)
        drift[:, 0] = (pull / (1 + pull * I1))[:, None] * (dI[:, 0] - I1[:, None] * logs)
        drift[:, 0, 3] -= pull * I1 / (1 + pull * I1)
        drift[:, 1] = root[:, None] * (dI[:, 2] - 0.5 * (I3 / I2)[:, None] * dI[:, 1])
        drift[:, 2] = dI[:, 1] / I2[:, None] - 2 * logs
        if not problem.channel.binary:  # s does not enter: m_hat = V_hat
            drift[:, 1], target[:, 1] = 0.0, u[:, 1]
        scale = 1 / (1 + np.abs(u[:, 1]))
        F, J, along = u - target, np.eye(3) - drift[:, :, :3], -drift[:, :, 3]
        F[:, 1], J[:, 1], along[:, 1] = (
            F[:, 1] * scale,
            J[:, 1] * scale[:, None],
            along[:, 1] * scale,
        )
    return State(u.copy(), F, J, along, averages, fields, points[:, 3])


def _averages(problem: Problem, points: Array, mesh: Mesh) -> Array:
    """Return the channel's averages, mixed over the noises of the teacher."""
    variances, weights = problem.mixtures[mesh == FINE]
    if len(weights) == 1:
        return problem.channel(points, width=mesh[0], tol=mesh[1])
    many = np.repeat(points[None], len(weights), axis=0)
    rho = points[:, 4] + variances[:, None]
    many[:, :, 3] += points[:, 1] ** 2 * (1 / points[:, 4] - 1 / rho)  # q - m^2/rho
    many[:, :, 4] = rho
    rows = problem.channel(many.reshape(-1, points.shape[1]), width=mesh[0], tol=mesh[1])
    return np.asarray(np.tensordot(weights, rows.reshape(*many.shape[:2], -1), 1))


def _fields(
    problem: Problem, rows: NDArray[np.intp], u: Array, lam: Array
) -> tuple[Array, Array, Array]:
    """Return (V, m, q, x), their derivatives in (t, m_hat, v, log lam), and the channel's input."""
    t, q_hat = u[:, 0], np.exp(u[:, 2])
    x = problem.scale / np.expm1(t)
    slide = np.exp([0.0, _SPREAD, -_SPREAD])[:, None]
    known = np.isfinite(x) & (x > 0)
    sums = problem.spectrum(np.where(known, x, problem.scale) * slide)
    y = np.where(known, x, np.nan) / lam
    V = y * sums.df1[0]
    chain = np.zeros((len(t), 3, 4))
    chain[:, 0, 0], chain[:, 0, 3] = -np.exp(t) / np.expm1(t) * y * sums.df2[0], -V
    parts = _sign_fields if problem.channel.binary else _residual_fields
    m, q, s2 = parts(problem, rows, u, (y, y * slide, q_hat, sums), chain)
    points = np.stack([V, m, q, s2, problem.noisy[rows], problem.flips[rows]], 1)
    return np.stack([V, m, q, x], 1), chain, points


def _sign_fields(
    problem: Problem, rows: NDArray[np.intp], u: Array, given: Given, chain: Array
) -> tuple[Array, Array, Array]:
    """Return m, q, q - m^2/rho for sign labels; fill the derivatives of m and q."""
    y, y_slid, q_hat, sums = given
    rho = problem.noisy[rows]
    scale = np.sqrt(q_hat / rho)
    m_hat = u[:, 1] * scale
    T, T2, df2 = sums.T[0], sums.T2[0], sums.df2[0]
    m = y * m_hat * T
    second = y_slid**2 * (m_hat**2 * sums.T2 + q_hat * sums.df2)
    q = second[0]
    per_t = -np.exp(u[:, 0]) / np.expm1(u[:, 0])
    chain[:, 1, 0] = per_t * y * m_hat * T2
    chain[:, 2, 0] = per_t * (second[1] - second[2]) / (2 * _SPREAD)
    chain[:, 1, 1], chain[:, 2, 1] = y * T * scale, 2 * y**2 * m_hat * T2 * scale
    chain[:, 1, 2], chain[:, 2, 2] = 0.5 * m, q
    chain[:, 1, 3], chain[:, 2, 3] = -m, -2 * q
    spread = np.maximum(sums.unexplained[0] * T2 - (T - T2) ** 2, 0.0)
    known = spread + problem.noise[rows] * T2
    s2 = y**2 * (m_hat**2 * known + q_hat * df2 * rho) / rho
    return m, q, np.maximum(s2, 1e-20 * q)


def _residual_fields(
    problem: Problem, rows: NDArray[np.intp], u: Array, given: Given, chain: Array
) -> tuple[Array, Array, Array]:
    """Return m, q and the residual's variance; its derivatives stand in the place of those of q.

    With m_hat = V_hat, which a loss of y - z makes exact, the variance is a sum of positive terms:
    what the readout leaves unexplained, the noise, and the spread of the estimator.
    """
    _, y_slid, q_hat, sums = given
    wobble = y_slid**2 * q_hat * sums.df2
    left = sums.unexplained + wobble
    per_t = -np.exp(u[:, 0]) / np.expm1(u[:, 0])
    chain[:, 2, 0] = per_t * (left[1] - left[2]) / (2 * _SPREAD)
    chain[:, 2, 2], chain[:, 2, 3] = wobble[0], -2 * wobble[0]
    return sums.T[0], sums.T2[0] + wobble[0], problem.noise[rows] + left[0]


def solve(problem: Problem) -> tuple[State, NDArray[np.int8], NDArray[np.int32]]:
    """Return the root of every point, its status and the number of evaluations it took.

    Accuracy: scaled residuals below ``ACCEPTED`` with the coarse rule.
    """
    count = len(problem.lam)
    state, lam, steps = _start(problem)
    step = np.full(count, _FIRST)
    status = np.where(np.isfinite(state.F).all(1), Status.CONVERGED, Status.NONFINITE)
    while True:
        left = np.flatnonzero((lam > problem.lam) & (status == Status.CONVERGED))
        if not left.size:
            break
        trial = np.maximum(lam[left] * np.exp(-step[left]), problem.lam[left])
        moved = np.log(trial / lam[left])
        change = -moved[:, None] * solved(state.J[left], state.along[left])
        guess = state.u[left] + change
        guess[:, 0] = np.maximum(guess[:, 0], 0.2 * state.u[left, 0])
        last = trial <= problem.lam[left]
        found, ok, taken = newton(
            problem, left, guess, trial, tol=np.where(last, ACCEPTED, _ON_THE_WAY)
        )
        steps[left] += taken
        _take(state, found, left, ok)
        lam[left[ok]] = trial[ok]
        pace = np.where(taken <= 3, 2.0, np.where(taken <= 6, 1.2, 0.7))
        step[left] = np.where(ok, np.abs(moved) * pace, np.abs(moved) / 4)
        status[left[step[left] < 1e-7]] = Status.STALLED
        status[left[steps[left] > _LONGEST]] = Status.MAX_STEPS
    return state, status.astype(np.int8), steps


def _take(state: State, found: State, rows: NDArray[np.intp], ok: NDArray[np.bool_]) -> None:
    mask = np.zeros(len(state.u), dtype=bool)
    mask[rows[ok]] = True
    state.take(_rows(found, ok), mask)


def _start(problem: Problem) -> tuple[State, Array, NDArray[np.int32]]:
    """Return roots at ridges so large that one explicit evaluation nearly solves them."""
    rows = np.arange(len(problem.lam))
    lam = np.maximum(problem.lam, 3 * problem.scale * np.maximum(problem.ratio, 1))
    state, ok, steps = newton(problem, rows, _explicit(problem, rows, lam), lam, tol=ACCEPTED)
    for _ in range(6):
        again = rows[~ok]
        if not again.size:
            break
        lam[again] *= 30
        guess = _explicit(problem, again, lam[again])
        found, fine, taken = newton(problem, again, guess, lam[again], tol=ACCEPTED)
        steps[again] += taken
        _take(state, found, again, np.ones(len(again), dtype=bool))
        ok[again] = fine
    return state, lam, steps


def _explicit(problem: Problem, rows: NDArray[np.intp], lam: Array) -> Array:
    """Return the unknowns at a large ridge, where predictions nearly vanish."""
    V = problem.scale / lam
    rho, ratio = problem.noisy[rows], problem.ratio[rows]
    q = 0.01 * rho
    s2 = q if problem.channel.binary else rho
    points = np.stack([V, 0 * V, q, s2, rho, problem.flips[rows]], 1)
    averages = _averages(problem, points, COARSE)
    I1, I2, I3 = averages[:, :3].T
    with np.errstate(all="ignore"):
        t = np.maximum(np.log1p(problem.scale / lam * ratio * I1 / V), _TINY)
        return np.stack([t, np.sqrt(ratio * rho / I2) * I3, np.log(ratio * I2 / V**2)], 1)


def newton(
    problem: Problem,
    rows: NDArray[np.intp],
    guess: Array,
    lam: Array,
    *,
    tol: Array | float,
    mesh: Mesh = COARSE,
) -> tuple[State, NDArray[np.bool_], NDArray[np.int32]]:
    """Run Newton's method with backtracking from a guess.

    Returns:
        The last state, who reached ``tol`` and who took how many evaluations.

    Accuracy: scaled residuals below ``tol`` where it converged.
    """
    state = evaluate(problem, rows, guess, lam, mesh)
    taken = np.ones(len(rows), dtype=np.int32)
    length = np.ones(len(rows))
    goal = np.broadcast_to(np.asarray(tol, dtype=float), (len(rows),))
    while True:
        norm = np.abs(state.F).max(1)
        active = np.flatnonzero((norm > goal) & (length > _SHORTEST) & (taken < _BUDGET))
        if not active.size:
            return state, norm <= goal, taken
        J, u = state.J[active], state.u[active]
        move = _bounded(u, -solved(J, state.F[active]))
        trial = state.u[active] + length[active, None] * move
        trial[:, 0] = np.maximum(trial[:, 0], _TINY)
        new = evaluate(problem, rows[active], trial, lam[active], mesh)
        taken[active] += 1
        again = _size(u, solved(J, new.F))
        better = np.isfinite(new.F).all(1) & (again < (1 - length[active] / 4) * _size(u, move))
        _take(state, new, active, better)
        length[active] = np.where(better, np.minimum(1.0, 4 * length[active]), length[active] / 3)


def _size(u: Array, move: Array) -> Array:
    """Return the size of a change of the unknowns; Newton steps are judged by it."""
    return np.asarray((np.abs(move) / (1 + np.abs(u) * [0, 1, 0])).max(1))


def _bounded(u: Array, move: Array) -> Array:
    """Shorten steps that leave the region where the linearisation means anything."""
    with np.errstate(all="ignore"):
        down = np.where(move[:, 0] < 0, 0.9 * u[:, 0] / -move[:, 0], np.inf)
        sizes = np.array([3.0, 3.0, 4.0]) / np.abs(move)
    return move * np.minimum(1.0, np.minimum(down, sizes.min(1)))[:, None]


def solved(J: Array, F: Array) -> Array:
    """Solve many 3 x 3 systems; a singular one gives no step.

    Accuracy: rounding times the condition number.
    """
    usable = np.asarray(np.isfinite(J).all((1, 2)) & np.isfinite(F).all(1))
    out = np.zeros_like(F)
    with np.errstate(all="ignore"):
        volume = np.abs(np.linalg.det(np.where(usable[:, None, None], J, 0)))
    safe = usable & (volume > 1e-300)
    out[safe] = np.linalg.solve(J[safe], F[safe][:, :, None])[:, :, 0]
    return out


def _rows(state: State, where: NDArray[np.bool_]) -> State:
    return State(*(getattr(state, name)[where] for name in _PARTS))
