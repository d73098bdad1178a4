"""The whole physical domain: every random point converges, and none is silently wrong."""

import numpy as np
import pytest

from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.reference import reference

POINTS = 2500
CHECKED = 25


def draw(rng, depth, count):
    return {
        "alpha": 10 ** rng.uniform(-2, 2, count),
        "gamma": [10 ** rng.uniform(-1, 1, count) for _ in range(depth)],
        "lam": 10 ** rng.uniform(-8, 2, count),
        "noise": rng.uniform(0, 2, count),
    }


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_point_of_the_domain_converges_and_is_right(depth, rng):
    model = deep_features((["tanh", "erf", "z*exp(-z**2/8)", "clip(z, -2, 2)"])[:depth])
    controls = draw(rng, depth, POINTS)
    solution = compile(model.system())(**controls)
    assert solution.converged
    for output in ("m", "E_test", "E_train"):
        assert np.all(np.isfinite(solution[output]))
        assert np.all(solution[output] > 0)
    worst = np.argsort(-solution.error["E_test"] / solution.E_test)[: CHECKED // 2]
    for i in {*worst.tolist(), *rng.integers(0, POINTS, CHECKED // 2).tolist()}:
        point = {k: float(v[i]) for k, v in controls.items() if k != "gamma"}
        truth = reference(
            model.system(), 20, gamma=[float(g[i]) for g in controls["gamma"]], **point
        )
        for output in ("m", "E_test", "E_train"):
            off = abs(float(truth[output]) - solution[output][i])
            assert off <= 1e-10 * float(truth[output])
            assert off <= 2 * solution.error[output][i] + 1e-15 * float(truth[output])
        slope = abs(float(truth["dE_test_dlam"]) - solution.dE_test_dlam[i])
        assert slope <= 10 * solution.error["dE_test_dlam"][i] + 1e-13 * abs(
            float(truth["dE_test_dlam"])
        )
