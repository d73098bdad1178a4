r"""The Gaussian averages of state evolution, as generated machine code.

Stage: a loss in, a compiled ``Channel`` out. With g = prox - omega and h = 1 - prox' three
averages close the equations,

.. math:: I_1 = E[h], \quad I_2 = E[g^2], \quad
          I_3 = E \sum_y \partial_{\omega_*} Z(y; \omega_*, V_*)\, g,

and Newton's method needs their slopes in (V, m, q). All of them are averages of g, g prox', h and
g^2, times 1, omega and omega^2, over two normal laws of omega,

* N(0, q) weighted by the likelihood Z = eta + (1 - 2 eta) Phi(y a omega) of the label;
* N(0, s^2), s^2 = q - m^2/rho, the law of omega where the noisy teacher field vanishes: there the
  derivative of a sign label sits, so no narrow peak is ever integrated.

Derivation: dE F(nu, omega)/dm = E d_nu d_omega F and dE F/dq = E d_omega^2 F / 2 (Price), moved
onto the densities by parts, so that kinks of the map are never differentiated twice.
Along V, d prox/dV = g prox'/V (differentiate z + V l'(z) = omega).

Rule: the line is cut at every kink of the map and at the step of the likelihood; each panel has 16
Gauss-Legendre nodes and is halved until the last two Legendre coefficients of the integrands are
below ``tol`` of their size. The error of the rule is then that of twice the order, about tol^2.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from derive.losses import Loss
from numeric.cache import load
from numeric.loss_code import loss_source, most_cuts
from numeric.threads import WORTH, run_blocks

Array = NDArray[np.float64]
_POINTS_PER_THREAD = 8  # a point takes about half a millisecond
ROWS = (
    *("I1", "I2", "I3"),
    *("I1_V", "I1_m", "I1_q", "I2_V", "I2_m", "I2_q", "I3_V", "I3_m", "I3_q"),
    *("loss_train", "loss_test", "misfit_train", "nodes", "loss_edge"),
)
"""Rows of a channel's output; misfit_train is the share of wrong labels, or the squared residual.
The test loss beyond the reach of the rule is estimated by ``loss_edge``."""

_HEADER = '''"""Generated from a loss; do not edit.

{what}
"""

import math

import numpy as np
from numba import njit
from numpy.polynomial import legendre

SCALAR = dict(cache=True, error_model="numpy", nogil=True)
NODES, WEIGHTS = legendre.leggauss(16)
ONES = np.eye(16)
TAIL_14 = 14.5 * WEIGHTS * legendre.legval(NODES, ONES[14])
TAIL_15 = 15.5 * WEIGHTS * legendre.legval(NODES, ONES[15])
REACH = 9.0
SUMS = 14
MOST = {most}
SYMMETRIC = {symmetric}
'''

_BODY = '''
@njit(**SCALAR)
def panel(law, low, high, tol, guess, part, total):
    """Add one panel to the totals; return 0, or 1 if it must be halved, and the last z."""
    label, V, q, a, flips = law
    for k in range(SUMS):
        part[k] = 0.0
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    scale = 1.0 / math.sqrt(2.0 * math.pi * q)
    t14 = t15 = s14 = s15 = largest_t = largest_s = 0.0
    z = guess
    for i in range(16):
        x = middle + half * NODES[i]
        density = scale * math.exp(-0.5 * x * x / q)
        if label != 0.0 and flips != 0.5:
            tail = 0.5 * math.erfc(-label * a * x * math.sqrt(0.5))
            density *= flips + (1.0 - 2.0 * flips) * tail
        elif label != 0.0:
            density *= 0.5
        g, h, z = prox(label, x, V, z)
        w = density * half * WEIGHTS[i]
        square = g * g
        t, s = density * h, density * square
        t14 += TAIL_14[i] * t
        t15 += TAIL_15[i] * t
        s14 += TAIL_14[i] * s
        s15 += TAIL_15[i] * s
        largest_t = max(largest_t, abs(t))
        largest_s = max(largest_s, abs(s))
        centred = x * x / q - 1.0
        part[0] += w * h
        part[1] += w * square
        part[2] += w * square * (1.0 - h)
        part[3] += w * x * g * (1.0 - h)
        part[4] += w * centred * h
        part[5] += w * centred * square
        part[6] += w * g
        part[7] += w * g * (1.0 - h)
        part[8] += w * x * h
        part[9] += w * x * square
        part[10] += w * height(label, z)
        part[11] += w * height(label, x)
        part[12] += w * (z * z if label == 0.0 else (1.0 if label * z < 0.0 else 0.0))
    floor = 1e-25 * scale  # below it nothing counts, and denormal numbers are noise
    rough = max(abs(t14), abs(t15)) > tol * max(largest_t, floor)
    rough = rough or max(abs(s14), abs(s15)) > tol * max(largest_s, floor * min(V * V, 1.0))
    if rough and half > 1e-13 * math.sqrt(q):
        return 1, guess
    for k in range(SUMS):
        total[k] += part[k]
    return 0, z


@njit(**SCALAR)
def places(law, width, out):
    """Write the ascending ends of the first panels; return their number."""
    label, V, q, a, flips = law
    end = REACH * math.sqrt(q)
    count = cuts(label, V, out)
    kept = 0
    for i in range(count):
        if -end < out[i] < end:
            out[kept] = out[i]
            kept += 1
    out[kept] = 0.0
    kept += 1
    steps = int(math.ceil(2.0 * REACH / width))
    for i in range(steps + 1):
        out[kept] = end * (2.0 * i / steps - 1.0)
        kept += 1
    for i in range(1, kept):
        place = out[i]
        j = i - 1
        while j >= 0 and out[j] > place:
            out[j + 1] = out[j]
            j -= 1
        out[j + 1] = place
    return kept


@njit(**SCALAR)
def average(law, width, tol, total):
    """Fill the sums of one law; return the number of panels, the rejected ones included."""
    ends = np.empty(MOST + int(2.0 * REACH / width) + 8)
    count = places(law, width, ends)
    lows, highs, part = np.empty(64), np.empty(64), np.empty(SUMS)
    for k in range(SUMS):
        total[k] = 0.0
    panels = 0
    z = ends[0]
    for x in (ends[0], ends[count - 1]):
        density = math.exp(-0.5 * REACH * REACH) / math.sqrt(2.0 * math.pi)
        total[13] += density * abs(height(law[0], x))
    for i in range(count - 1):
        if not ends[i + 1] > ends[i]:
            continue
        lows[0], highs[0] = ends[i], ends[i + 1]
        depth = 1
        while depth > 0:
            depth -= 1
            low, high = lows[depth], highs[depth]
            panels += 1
            split, z = panel(law, low, high, tol if panels < 20000 else math.inf, z, part, total)
            if split == 1:
                middle = 0.5 * (low + high)
                lows[depth], highs[depth] = middle, high
                lows[depth + 1], highs[depth + 1] = low, middle
                depth += 2
    return panels
'''

_RESIDUALS = '''
@njit(**SCALAR)
def residual_labels(V, q, width, tol, out):
    """Averages of a residual loss over the residual omega - y of variance q."""
    total = np.empty(SUMS)
    panels = average((0.0, V, q, 0.0, 0.0), width, tol, total)
    slopes = (-total[3] / (q * V), 0.5 * total[4] / q, 2.0 * total[2] / V, 0.5 * total[5] / q)
    out[0], out[1], out[2] = total[0], total[1], total[0]
    out[3], out[4], out[5] = slopes[0], -2.0 * slopes[1], slopes[1]
    out[6], out[7], out[8] = slopes[2], -2.0 * slopes[3], slopes[3]
    out[9], out[10], out[11] = out[3], out[4], out[5]
    out[12], out[13], out[14] = total[10], total[11], total[12]
    out[15], out[16] = 16 * panels, total[13]


@njit(**SCALAR)
def channel(points, width, tol, out):
    """Averages at many points, in the residual's variance alone."""
    for i in range(points.shape[0]):
        residual_labels(points[i, 0], points[i, 3], width, tol, out[i])
'''

_SIGNS = '''
@njit(**SCALAR)
def sign_labels(V, m, q, law_0, width, tol, out):
    """Averages over labels sign(nu), flipped with probability ``flips``; nu of variance rho."""
    s2, rho, flips = law_0
    for k in range(out.size):
        out[k] = 0.0
    a = m / math.sqrt(q * s2 * rho)
    c = (1.0 - 2.0 * flips) / math.sqrt(2.0 * math.pi * rho)
    total = np.empty(SUMS)
    for side in range(1 if SYMMETRIC else 2):
        label = 1.0 - 2.0 * side
        times = 2.0 if SYMMETRIC else 1.0
        out[15] += 16 * average((label, V, q, a, flips), width, tol, total)
        out[0] += times * total[0]
        out[1] += times * total[1]
        out[3] += times * -total[3] / (q * V)
        out[5] += times * 0.5 * total[4] / q
        out[6] += times * 2.0 * total[2] / V
        out[8] += times * 0.5 * total[5] / q
        out[12] += times * total[10]
        out[13] += times * total[11]
        out[14] += times * total[12]
        out[16] += times * total[13]
        if c != 0.0:  # half of the law at label +1, whose likelihood is 1/2 where flips = 1/2
            out[15] += 16 * average((label, V, s2, 0.0, 0.5), width, tol, total)
            edge = 2.0 * times * label * c
            push = edge * m / q
            out[2] += edge * total[6]
            out[9] += edge * total[7] / V
            out[11] -= 0.5 * edge * total[8] / s2
            out[3] += push * total[7] / V
            out[4] += edge * total[8] / s2
            out[7] += edge * total[9] / s2
            out[5] -= 0.5 * push * (1.0 / q + 1.0 / s2) * total[8]
            out[8] -= 0.5 * push * (1.0 / q + 1.0 / s2) * total[9]
    out[10] = -2.0 * m / rho * out[11]


@njit(**SCALAR)
def channel(points, width, tol, out):
    """Averages at many points: columns V, m, q, s^2, rho, flips."""
    for i in range(points.shape[0]):
        V, m, q, s2, rho, flips = points[i]
        sign_labels(V, m, q, (s2, rho, flips), width, tol, out[i])
'''

_MANY = '''
@njit(**SCALAR)
def prox_many(label, omega, V, out):
    """Proximal map at many arguments: z - omega, 1 - prox', prox."""
    for i in range(omega.size):
        out[0, i], out[1, i], out[2, i] = prox(label, omega[i], V[i], omega[i])
'''


@dataclass(frozen=True)
class Channel:
    """Compiled averages of a loss.

    Attributes:
        binary: whether labels are signs; else the loss is a function of the residual.
        source: the generated file.
        module: the compiled functions.
    """

    binary: bool
    source: str
    module: ModuleType

    def __call__(self, points: Array, *, width: float = 1.5, tol: float = 1e-7) -> Array:
        """Return the averages at many points.

        Args:
            points: columns V, m, q, s2, rho, flips, shape (count, 6). For signs s2 = q - m^2/rho
                and rho is the variance of the noisy teacher field; for residual losses s2 is the
                variance of omega - y and rho and flips are not used.
            width: width of the first panels in standard deviations.
            tol: size of the last Legendre coefficients at which a panel is accepted.

        Returns:
            Array of shape (count, len(ROWS)).

        Accuracy: about tol^2 relative for integrands that are smooth between the cuts, and
        rounding; compare two calls with different ``width`` and ``tol`` for an estimate.
        """
        out = np.zeros((len(points), len(ROWS)))
        given = np.ascontiguousarray(points, dtype=np.float64)

        def some(first: int, last: int) -> None:
            self.module.channel(given[first:last], width, tol, out[first:last])

        run_blocks(some, len(given), WORTH // _POINTS_PER_THREAD)
        return out


@lru_cache(maxsize=64)
def compile_channel(loss: Loss, binary: bool) -> Channel:
    """Compile the averages of a loss over sign labels, or over labels with normal residuals."""
    symmetric = loss.form == "margin"
    labels = ((1,) if symmetric else (1, -1)) if binary else (0,)
    what = f"Loss {loss.name}: {loss.expr}".replace("\\", "/")
    header = _HEADER.format(what=what, most=most_cuts(loss, labels), symmetric=symmetric)
    rest = _SIGNS if binary else _RESIDUALS
    source = "\n".join([header, loss_source(loss, labels), _BODY + rest + _MANY])
    return Channel(binary, source, load(source))
