"""Extreme and nearly degenerate points: no failure, and every error estimate covers the truth.

The witness shares no code with the evaluator: bisection at 80 to 150 digits on the covariance
recursion as it is printed on paper, and for the outputs the kernel form F = power/k_L with its
derivative taken as a difference.
"""

from dataclasses import dataclass, replace

import mpmath
import numpy as np
import pytest

from derive.theory.deep_features import deep_features
from numeric.compiled import compile

MP = mpmath.mp.clone()
COUNT = 2000
CASES = {
    "generic": lambda rng, n: (spread(rng, 0.1, 1, n), spread(rng, 0.01, 1, n)),
    "no nonlinear part": lambda rng, n: (spread(rng, 0.1, 1, n), np.zeros(n)),
    "hardly a linear part": lambda rng, n: (spread(rng, 1e-8, 1e-4, n), spread(rng, 0.01, 1, n)),
    "hardly a nonlinear part": lambda rng, n: (spread(rng, 0.1, 1, n), spread(rng, 1e-12, 1e-6, n)),
}


def spread(rng, low, high, count=COUNT):
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def beside(rng, values):
    """Values within a relative 1e-9 to 1e-3 of others."""
    return values * (1 + rng.choice([-1, 1], values.size) * spread(rng, 1e-9, 1e-3, values.size))


@dataclass(frozen=True)
class Chain:
    """One point of the recursion, in exact doubles."""

    alpha: float
    gamma: tuple
    a: tuple
    b: tuple

    def levels(self, x, lam):
        """Return lam of x_0 minus lam, and the x_l; None left of the physical interval."""
        widths = [MP.mpf(1), *map(MP.mpf, self.gamma)]
        df, found = 1 / (1 + x), [x]
        for a, b, here, wide in zip(self.a, self.b, widths, widths[1:], strict=False):
            gap = wide - df
            df += MP.mpf(b) * here / (MP.mpf(a) * x)
            x = MP.mpf(a) * x * gap / here - MP.mpf(b)
            if gap <= 0 or x <= 0:
                return None, found
            found.append(x)
        gap = MP.mpf(self.alpha) - df
        return (x * gap / widths[-1] - lam, found) if gap > 0 else (None, found)

    def root(self, lam):
        low, high = MP.mpf(10) ** -60, MP.mpf(10) ** 60
        for step in range(int(MP.dps * 3.4) + 80):
            middle = MP.sqrt(low * high) if step < 60 else (low + high) / 2
            value, _ = self.levels(middle, lam)
            low, high = (middle, high) if value is None or value < 0 else (low, middle)
        return self.levels(high, lam)[1]

    def power(self, lam, noise):
        """Return F = power/k_L and k_L at one ridge."""
        x = self.root(lam)
        alpha = MP.mpf(self.alpha)
        first, last = alpha * x[0], alpha * x[-1] / MP.mpf(([1, *self.gamma])[-1])
        return (first / (first + alpha) + MP.mpf(noise)) / last, last

    def values(self, lam, noise):
        lam = MP.mpf(lam)
        step = lam * MP.mpf(10) ** -25
        ahead, behind = self.power(lam + step, noise)[0], self.power(lam - step, noise)[0]
        rate, last = (ahead - behind) / (2 * step), self.power(lam, noise)[1]
        found = {f"x_{i}": x for i, x in enumerate(self.root(lam))}
        return found | {"m": 1 / last, "E_test": -rate * last**2, "E_train": -rate * lam**2}


@pytest.fixture(scope="module", params=[1, 2, 3])
def evaluator(request):
    model = deep_features(["tanh"] * request.param)
    return request.param, compile(model.system(), slopes=False)


def with_layers(evaluate, a, b):
    names = [str(s) for s, _ in evaluate.program.constants]
    table = {f"a_{i}": v for i, v in enumerate(a, 1)} | {f"b_{i}": v for i, v in enumerate(b, 1)}
    values = [table.get(n, 1.0) for n in names]
    return replace(evaluate, constants=np.array(values))


def extreme(rng, depth):
    """Controls over twenty orders of magnitude; two fifths of them nearly degenerate."""
    alpha, lam = spread(rng, 1e-3, 1e3), spread(rng, 1e-14, 1e6)
    gamma = [spread(rng, 1e-3, 1e3) for _ in range(depth)]
    fifths = np.array_split(np.arange(COUNT), 10)
    gamma[-1][fifths[0]] = beside(rng, alpha[fifths[0]])
    gamma[-1][fifths[1]] = alpha[fifths[1]]
    gamma[0][fifths[2]] = beside(rng, np.ones(fifths[2].size))
    alpha[fifths[3]] = beside(rng, np.ones(fifths[3].size))
    return {"alpha": alpha, "gamma": tuple(gamma), "lam": lam, "noise": spread(rng, 1e-3, 10)}


def truth(controls, a, b, i):
    chain = Chain(controls["alpha"][i], tuple(g[i] for g in controls["gamma"]), tuple(a), tuple(b))
    return chain.values(controls["lam"][i], controls["noise"][i])


@pytest.mark.parametrize("case", sorted(CASES))
def test_extreme_points_converge_and_errors_cover_the_truth(evaluator, case, rng):
    depth, evaluate = evaluator
    a, b = CASES[case](rng, depth)
    controls = extreme(rng, depth)
    solution = with_layers(evaluate, a, b)(**controls)
    assert solution.converged
    names = (*solution.unknowns, *solution.outputs)
    assert all(np.all(np.isfinite(solution[n]) & (solution[n] > 0)) for n in names)
    claimed = np.max([solution.error[n] / solution[n] for n in names], axis=0)
    assert np.max(claimed) < 1e-6
    MP.dps = 150
    for i in (*np.argsort(claimed)[-5:], *rng.choice(COUNT, 4)):
        exact = truth(controls, a, b, i)
        for name in names:
            distance = abs(MP.mpf(float(solution[name][i])) - exact[name])
            assert distance <= MP.mpf(float(solution.error[name][i])), f"{name} {i}"


def test_moderate_points_keep_thirteen_digits_of_every_unknown(evaluator, rng):
    depth, evaluate = evaluator
    a, b = spread(rng, 0.1, 1, depth), spread(rng, 0.01, 1, depth)
    controls = {
        "alpha": spread(rng, 0.1, 10, 30),
        "gamma": tuple(spread(rng, 0.2, 5, 30) for _ in range(depth)),
        "lam": spread(rng, 1e-6, 10, 30),
        "noise": spread(rng, 0.01, 1, 30),
    }
    solution = with_layers(evaluate, a, b)(**controls)
    MP.dps = 60
    for i in range(30):
        chain = Chain(controls["alpha"][i], tuple(g[i] for g in controls["gamma"]), a, b)
        for name, exact in zip(solution.unknowns, chain.root(controls["lam"][i]), strict=True):
            assert abs(MP.mpf(float(solution[name][i])) / exact - 1) <= 1e-13, f"{name} {i}"


def test_an_error_estimate_ten_thousand_times_too_small_would_be_seen(evaluator, rng):
    depth, evaluate = evaluator
    a, b = CASES["generic"](rng, depth)
    controls = extreme(rng, depth)
    solution = with_layers(evaluate, a, b)(**controls)
    worst = int(np.argmax(solution.error["m"] / solution.m))
    MP.dps = 150
    distance = abs(MP.mpf(float(solution.m[worst])) - truth(controls, a, b, worst)["m"])
    assert distance > solution.error["m"][worst] / 1e4
