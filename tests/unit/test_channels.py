"""Channels: teachers that fit their losses, closed averages, equations as LaTeX with a log."""

import numpy as np
import pytest
from sympy import lambdify

from derive.channels import ConvexReadout, Linear, Sign, residual_variance
from derive.errors import NoRuleError, NotSupportedError, RangeError
from derive.losses import Loss
from derive.provenance import cite
from derive.readouts.proximal import V
from numeric.channel_code import ROWS, compile_channel


@pytest.mark.parametrize("name", ["ridge", "huber", "lad"])
def test_closed_averages_agree_with_the_compiled_rule(name):
    closed = ConvexReadout(Loss(name), Linear()).averages()
    channel = compile_channel(Loss(name), binary=False)
    for strength, variance in ((0.3, 1.7), (4.0, 0.2), (1e-3, 5.0), (1e4, 1.0)):
        row = channel(np.array([[strength, 0, 0, variance, 1, 0]]))[0]
        for average, value in closed.items():
            exact = lambdify((V, residual_variance), value.expr, "mpmath")(strength, variance)
            assert row[ROWS.index(average)] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(("binary", "name"), [(True, "logistic"), (False, "huber")])
def test_slopes_of_the_averages_agree_with_differences(binary, name):
    channel = compile_channel(Loss(name), binary)
    middle = np.array([1.3, 0.9, 2.4])

    def averages(place):
        strength, m, q = place
        s2 = q - m**2 / 1.2 if binary else 1.2 - 2 * m + q
        return channel(np.array([[strength, m, q, s2, 1.2, 0.1]]), tol=1e-10)[0]

    slopes = averages(middle)[3:12].reshape(3, 3)
    for k, step in enumerate(np.eye(3) * 1e-5):
        difference = (averages(middle + step)[:3] - averages(middle - step)[:3]) / 2e-5
        np.testing.assert_allclose(slopes[:, k], difference, rtol=2e-8, atol=1e-10)


def test_teachers_whose_labels_the_loss_refuses_are_refused():
    with pytest.raises(RangeError, match=r"labels such as 0.5 lie outside \{-1, 1\}"):
        ConvexReadout(Loss("hinge"), Linear())
    with pytest.raises(NotSupportedError, match="not a function of y - z"):
        ConvexReadout(Loss("exp(z) - y*z"), Linear())
    with pytest.raises(NotSupportedError, match=r"loss 'logistic': no Loss; write"):
        ConvexReadout("logistic", Sign())
    with pytest.raises(NotSupportedError, match="teacher 'sign': no Teacher"):
        ConvexReadout(Loss("logistic"), "sign")


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Sign(flips=0.6), "flips = 0.6"),
        (lambda: Sign(noise=-1), "noise = -1"),
        (lambda: Linear(noise=-0.1), "noise = -0.1"),
    ],
)
def test_teachers_out_of_range_are_refused(build, text):
    with pytest.raises(RangeError, match=text):
        build()


def test_averages_over_sign_labels_have_no_closed_form_here():
    with pytest.raises(NoRuleError, match="likelihood"):
        ConvexReadout(Loss("hinge"), Sign()).averages()


def test_equations_print_as_latex_with_log_and_sources():
    model = ConvexReadout(Loss("hinge"), Sign(flips=0.1))
    text = model.latex()
    assert text.count(r"\\") > 8
    assert r"\hat V &= \frac{r}{V}" in text
    assert r"\begin{cases}" in text
    assert "x = lam/V_hat" in str(model.log)
    assert "loureiro2021" in cite(model.log.sources())
    assert repr(model) == "ConvexReadout(hinge loss, sign teacher with noise 0 and flips 0.1)"
