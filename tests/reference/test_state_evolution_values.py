"""State evolution against values of 20 digits, and against mpmath on another route."""

from dataclasses import dataclass

import numpy as np
import pytest
from mpmath import mp, mpf

from derive.channels import ConvexReadout, Linear, Sign
from derive.errors import NotConvergedError
from derive.losses import Loss
from derive.theory import deep_features
from numeric.populations.architecture import chain_spectrum
from numeric.spectral_functions import Modes, Sums
from numeric.state_evolution import state_evolution
from numeric.state_reference import ExactModes, state_reference

LOGISTIC = ConvexReadout(Loss("logistic"), Sign())
ONE = np.ones(1)

# made with mpmath at 45 digits, by Newton's method on (V, q, m); logistic loss, sign labels
D1 = {
    "V": "6.68166568605648958496",
    "q": "7.240685464947657175",
    "m": "2.288751635451483300",
    "E_test": "0.1762585747152853683",
    "loss_train": "0.1277873308821259671",
}
D2 = {
    "V": "1.240525742966791571606",
    "q": "0.7065732709433360048",
    "m": "0.3383956643255773052",
    "E_test": "0.3681154580205112432",
    "loss_train": "0.4465077383350587811",
}
TANH = (  # kappa_1^2 and kappa_*^2 of tanh in a chain from variance one
    ("0.6057055096021588255835", "0.02741532603543025715602"),
    ("0.7635495895007040606492", "0.006573577851691746419634"),
)


@dataclass(frozen=True)
class Chain:
    """Spectral functions of a deep random network, by the recursion over its layers.

    The lowest effective ridge x_0 is explicit in everything; here x is given, and x_0 is found by
    bisection. Written out for white inputs and a linear target of variance one.
    """

    layers: tuple[tuple[str, str], ...]
    gamma: tuple[str, ...]
    rho: float = 1.0

    def at(self, x_0, number=float, one=1.0):
        """Return (x, S, T) and their derivatives in x_0 at the top of the chain."""
        x, dx, S = x_0, one, 1 / (1 + x_0)
        dS, T, dT = -(S**2), S, -(S**2)
        below = one
        for (kappa_1, kappa_star), width in zip(self.layers, self.gamma, strict=True):
            k, star, share = number(kappa_1) ** 2, number(kappa_star), below / number(width)
            below = number(width)
            top, dtop = (1 - share) + share * x * S, share * (dx * S + x * dS)
            S, dS = share / (k * x), -share * dx / (k * x**2)
            x, dx = top / S - star, (dtop - top * dS / S) / S
        return x, S, T, dx, dS, dT

    def __call__(self, x):
        x = np.asarray(x, dtype=float)
        low, high = np.full(x.shape, -50.0), np.full(x.shape, 50.0)
        for _ in range(200):
            middle = (low + high) / 2
            above = self.at(np.exp(middle))[0] > x
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        _, S, T, dx, dS, dT = self.at(np.exp((low + high) / 2))
        df1 = 1 - x * S
        return Sums(
            df1, df1 - x * (S + x * dS / dx), T, T + x * dT / dx, self.rho - T + x * dT / dx
        )

    def exact(self, x):
        """Return df1, df2, T, T2 at the working precision of mpmath."""
        x_0 = mp.findroot(lambda t: self.at(mp.exp(t), mpf, mpf(1))[0] - x, mp.log(x + 1))
        _, S, T, dx, dS, dT = self.at(mp.exp(x_0), mpf, mpf(1))
        df1 = 1 - x * S
        return df1, df1 - x * (S + x * dS / dx), T, T + x * dT / dx


DEEP = Chain(TANH, ("0.75", "1.25"))
GENERAL = ExactModes(["0.5", 2], ["0.5", "0.5"], ["0.4", 1], "0.2")
MODES = Modes(np.array([0.5, 2.0]), np.array([0.5, 0.5]), np.array([0.4, 1.0]), 0.2)


def test_logistic_regression_on_white_features_has_its_known_digits():
    curve = state_evolution(LOGISTIC, Modes(ONE, ONE, ONE), ratio=2, lam=0.05)
    for name, text in D1.items():
        assert float(curve[name]) == pytest.approx(float(text), rel=1e-13)


def test_logistic_regression_on_two_tanh_layers_has_its_known_digits():
    curve = state_evolution(LOGISTIC, DEEP, ratio=1 / 1.25, lam=0.1)
    for name, text in D2.items():
        assert float(curve[name]) == pytest.approx(float(text), rel=1e-12)


def test_the_population_of_the_architecture_gives_the_known_digits():
    spectrum = chain_spectrum(deep_features(["tanh", "tanh"]), (0.75, 1.25))
    curve = state_evolution(LOGISTIC, spectrum, ratio=0.8, lam=0.1)
    for name, text in D2.items():
        assert float(curve[name]) == pytest.approx(float(text), rel=1e-12)


def test_another_route_gives_the_known_digits_too():
    found = state_reference(
        LOGISTIC,
        DEEP.exact,
        rho=1,
        ratio="0.8",
        lam="0.1",
        start=(1.2405257429668, 0.7065732709433, 0.3383956643256),
        digits=18,
    )
    with mp.workdps(30):
        for name, text in D2.items():
            assert abs(found[name] - mpf(text)) < mpf(10) ** -17


@pytest.mark.parametrize(
    ("loss", "teacher", "ratio", "lam"),
    [
        ("hinge", Sign("0.1", "0.05"), "2", "0.05"),
        ("lad", Linear("0.3"), "2", "0.5"),
        ("huber", Linear("0.3"), "0.7", "0.01"),
        ("logistic", Sign("0.5", "0.1"), "1", "0.003"),
        ("(2 + y)*log(1 + exp(-y*z))", Sign("0.1"), "3", "0.2"),  # labels are weighted
    ],
)
def test_compiled_values_agree_with_mpmath_on_another_route(loss, teacher, ratio, lam):
    model = ConvexReadout(Loss(loss), teacher)
    curve = state_evolution(model, MODES, ratio=float(ratio), lam=float(lam))
    start = tuple(float(curve[name]) for name in ("V", "q", "m"))
    found = state_reference(
        model, GENERAL, rho=lambda: GENERAL.rho, ratio=ratio, lam=lam, start=start, digits=12
    )
    for name in ("V", "q", "m", "E_test", "loss_train"):
        assert float(curve[name]) == pytest.approx(float(found[name]), rel=2e-11)
        assert abs(float(curve[name]) - float(found[name])) < 30 * float(curve.error[name]) + 1e-13


def test_the_other_route_is_sensitive_to_a_wrong_equation():
    """A start whose m is 1% off is moved back: the gap of the equations sees it."""
    right = (6.68166568605649, 7.240685464947657, 2.2887516354514833)
    wrong = (right[0], right[1], 1.01 * right[2])
    white = ExactModes([1], [1], [1])
    found = state_reference(LOGISTIC, white, rho=1, ratio=2, lam="0.05", start=wrong, digits=8)
    assert float(found.m) == pytest.approx(right[2], rel=1e-8)


def test_a_start_far_away_is_said_to_be_far():
    white = ExactModes([1], [1], [1])
    with pytest.raises(NotConvergedError, match="start closer"):
        state_reference(
            LOGISTIC, white, rho=1, ratio=2, lam="0.05", start=(1e-3, 9.0, 0.1), digits=6
        )
