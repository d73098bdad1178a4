"""Tables for the terminal."""

import numpy as np
import pytest

from derive.activation import Activation
from derive.theory.deep_features import deep_features
from numeric.curve import run_curve
from numeric.terminal import activation_text, curve_text


@pytest.fixture(scope="module")
def text():
    controls = {"alpha": np.geomspace(0.5, 5, 40), "gamma": (2.0,), "lam": 0.1, "noise": 0.2}
    return curve_text(run_curve(deep_features(["erf"]), controls, references=1, show=False))


def test_curve_shows_at_most_nine_rows_with_their_errors(text):
    rows = [line for line in text.splitlines() if line.endswith(" converged")]
    assert len(rows) == 9
    assert rows[0].split()[0] == "0.5"
    assert rows[-1].split()[0] == "5"
    assert "+/-" in text
    assert "40 of 40 points converged" in text


def test_curve_ends_with_the_verdict_and_the_times(text):
    assert text.splitlines()[-1].startswith("verdict: agree   (derive ")


def test_constants_are_shown_with_their_names(text):
    assert "a_1 = 0.424413181578" in text  # 4/(3 pi)


def test_ridge_regression_says_that_it_has_no_layers():
    controls = {"alpha": [2.0], "lam": 1.5, "noise": 1.0}
    shown = curve_text(run_curve(deep_features([]), controls, references=0, show=False))
    assert "none (ridge regression)" in shown
    assert "1.428571429" in shown  # 8/7 (1 + 1/4)
    assert "verdict: unchecked" in shown


def test_activation_table_shows_kinds_forms_and_reasons():
    shown = activation_text(Activation("relu"))
    assert "parity: neither even nor odd" in shown
    assert shown.count("[closed form]") == 4
    assert "kappa_1    = 0.5" in shown
    assert r"\frac" in activation_text(Activation("relu"), as_latex=True)
    rough = activation_text(Activation("tanh"), digits=10)
    assert "note: no rule for tanh(z)" in rough


def test_variance_is_read_exactly():
    shown = activation_text(Activation("z"), variance="0.1", digits=5)
    assert "variance: 0.1" in shown
    assert "= 1/10" in shown
