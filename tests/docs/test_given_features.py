"""The worked derivation on given features: its stages at small size, the numbers of its notes."""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "derivations" / "deep_features"
# The first figure of arXiv:2402.13999 at d = 1000, ridge 1e-4, two draws of the weights, computed
# independently of this package (sampled matrices, the published formulas, NumPy), three digits.
PRINTED = {
    "0": (0.177, 0.212, 0.174, 0.107, 0.063, 0.050),
    "0.2": (0.161, 0.158, 0.102, 0.064, 0.038, 0.030),
    "0.5": (0.131, 0.095, 0.058, 0.040, 0.026, 0.020),
    "0.8": (0.117, 0.076, 0.046, 0.031, 0.020, 0.015),
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("given_features", FOLDER / "given_features.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def noted():
    text = (FOLDER / "GIVEN_FEATURES.md").read_text()
    rows = re.findall(r"^\| (0[.\d]*) \| (.+) \|$", text, flags=re.MULTILINE)
    return {name: tuple(map(float, cells.split(" | "))) for name, cells in rows}


def test_the_notes_hold_the_first_figure_as_computed_independently(noted):
    # two draws of the weights on each side: one unit of the third decimal
    assert set(noted) == set(PRINTED)
    for name, values in noted.items():
        assert values == pytest.approx(PRINTED[name], rel=0, abs=1.05e-3)


def test_curves_at_a_smaller_size_order_as_in_the_figure(script):
    curves = script.rainbow_curves(80, 1)
    ordered = [curves[decay][1:] for decay in script.DECAYS]
    assert all(np.all(b < a) for a, b in pairwise(ordered))
    assert len(script.table(curves).splitlines()) == 2 + len(script.DECAYS)


def test_stages_run_at_small_size(script):
    assert script.finite_size((24, 48), 4).agree
    text = script.trained_table(30, 20, 4)
    assert text.count("order 3") == 2
    assert script.figure(24, 1).axes[0].get_legend() is not None
