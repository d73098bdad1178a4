"""Ridge curves from spectral functions: published digits, balls at hard points, limits."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from derive.errors import NotConvergedError, RangeError, ShapeError
from numeric.compressed_spectrum import compress
from numeric.ridge_readout_theory import effective_ridge, ridge_curve
from numeric.ridge_reference import exact_modes, ridge_balls
from numeric.solution import Status
from numeric.spectral_functions import Modes

TWO_ATOMS = Modes(np.array([1.0, 4.0]), np.array([0.5, 0.5]), np.array([0.5, 8.0]))
# Made with mpmath at 45 digits on the matrix formulas, independently of this package.
TWO_ATOMS_AT = {
    "m": 2.176091982893929984147,
    "delta": 0.4829158338485780062298,
    "E_test": 0.5562354550788418884658,
    "E_train": 0.105359368048831021681,
}
HARMONIC_AT = {
    "m": 84.59320623184903017221,
    "delta": 0.5537908061098235052043,
    "E_test": 0.2336903079740708708844,
    "E_train": 0.001672290307094805427821,
}


def harmonic(p):
    values = 1 / np.arange(1, p + 1.0)
    return Modes(values, np.full(p, 1 / p), values**2 / p)


def exact_harmonic(p):
    values = [Fraction(1, j) for j in range(1, p + 1)]
    return exact_modes(values, [Fraction(1, p)] * p, [v * v / p for v in values])


def power_law(p, exponent, strength):
    values = np.arange(1, p + 1.0) ** -exponent
    return Modes(values, np.full(p, 1 / p), values**strength / p, misfit=0.01)


@pytest.mark.parametrize("name", sorted(TWO_ATOMS_AT))
def test_two_atoms_to_every_digit_of_a_double(name):
    curve = ridge_curve(TWO_ATOMS, ratio=1.5, lam=0.2, noise=0.25)
    assert curve[name] == pytest.approx(TWO_ATOMS_AT[name], rel=2e-15)


@pytest.mark.parametrize("name", sorted(HARMONIC_AT))
def test_harmonic_spectrum_to_every_digit_of_a_double(name):
    curve = ridge_curve(harmonic(100), ratio=0.6, lam=1e-3, noise=0.1)
    assert curve[name] == pytest.approx(HARMONIC_AT[name], rel=1e-14)


def test_isotropic_features_give_the_marchenko_pastur_trace():
    flat = Modes(np.ones(1), np.ones(1), np.zeros(1))
    assert ridge_curve(flat, ratio=2, lam=0.1).m == pytest.approx(5.422144385112380095, rel=1e-15)


def test_ridgeless_below_the_peak_is_rational():
    curve = ridge_curve(TWO_ATOMS, ratio=0.5, lam=0, noise=0.25)
    assert curve.m == pytest.approx(1, rel=1e-15)
    assert curve.delta == pytest.approx(5 / 9, rel=1e-15)
    assert curve.E_test == pytest.approx(25 / 16, rel=1e-14)
    assert curve.E_train == 0


def test_ridgeless_above_the_peak_is_the_classical_formula():
    curve = ridge_curve(power_law(50, 1, 1), ratio=[4.0], lam=0, noise=0.2)
    assert curve.E_test[0] == pytest.approx(0.21 / (1 - 1 / 4), rel=1e-15)
    assert curve.E_train[0] == pytest.approx(0.21 * (1 - 1 / 4), rel=1e-15)
    assert np.isinf(curve.m[0])
    assert curve.spare[0] == 0.75


def test_at_the_peak_the_ridgeless_error_is_infinite_and_small_ridges_follow_the_root_law():
    modes = harmonic(100)
    curve = ridge_curve(modes, ratio=1, lam=[0.0, 1e-16], noise=0.1)
    assert np.isinf(curve.E_test[0])
    slope = np.mean(1 / modes.values)
    assert curve.E_test[1] == pytest.approx(0.1 / (2 * np.sqrt(1e-16 * slope)), rel=1e-5)


def test_missing_directions_move_the_peak_to_the_rank():
    values = np.array([1.0, 2.0, 0.0, 0.0])
    modes = Modes(values, np.full(4, 0.25), values / 4, misfit=0.1)
    same = Modes(values[:2], np.full(2, 0.5), values[:2] / 4, misfit=0.1)
    ratio, lam = np.array([0.3, 0.5, 0.9]), np.array([0.0, 0.1, 0.0])
    curve = ridge_curve(modes, ratio=ratio, lam=lam, noise=0.2)
    # p counts twice as many features: the same errors at twice the ratio, with lam p unchanged
    other = ridge_curve(same, ratio=2 * ratio, lam=2 * lam, noise=0.2)
    assert curve.E_test == pytest.approx(other.E_test, rel=1e-13)
    assert curve.E_train == pytest.approx(other.E_train, rel=1e-13)


def test_eight_newton_steps_are_never_needed():
    rng = np.random.default_rng(0)
    for exponent in (0.0, 1.5, 6.0):
        lam = 10 ** rng.uniform(-14, 6, 400)
        ratio = 10 ** rng.uniform(-3, 3, 400)
        ratio[:200] = 1.0
        lam[0] = 1e-10
        curve = ridge_curve(power_law(300, exponent, 1.5), ratio=ratio, lam=lam, noise=0.1)
        assert curve.converged
        assert curve.steps.max() <= 4
        assert curve.residual.max() < 2e-15


HARD = [
    ("1", "1e-10", "0.1"),
    ("1", "1e-14", "0"),
    ("1.02", "1e-12", "0.1"),
    ("0.98", "1e-8", "0"),
    ("0.02", "1e3", "0.3"),
    ("50", "1e-9", "0.3"),
    ("3", "0", "0.3"),
    ("0.3", "0", "0.3"),
]


@pytest.mark.parametrize("point", HARD)
def test_errors_are_within_their_estimates_of_proved_digits(point):
    ratio, lam, noise = point
    exact = ridge_balls(exact_harmonic(50), ratio=ratio, lam=lam, noise=noise, digits=22)
    curve = ridge_curve(harmonic(50), ratio=float(ratio), lam=float(lam), noise=float(noise))
    for name in exact:
        true = float(exact[name].mid)
        # the inputs 1/j, 1/50 and the controls are themselves rounded
        allowed = 3 * curve.error[name] + 1e-16 * abs(true)
        assert abs(curve[name] - true) <= allowed, f"{name} {float(curve[name])} {true}"
        assert curve.error[name] <= 1e-9 * abs(true) + 1e-300


def test_gcv_identity_in_the_misspecified_case():
    curve = ridge_curve(power_law(80, 1.2, 1.0), ratio=0.7, lam=[1e-6, 0.1, 10], noise=0.3)
    kept = np.array([1e-6, 0.1, 10]) * curve.m
    assert curve.E_train == pytest.approx(kept**2 * curve.E_test, rel=1e-13)


def test_hundreds_of_decades_neither_overflow_nor_pretend():
    tiny = Modes(np.array([1e-200]), np.ones(1), np.zeros(1), misfit=1.0)
    unit = Modes(np.ones(1), np.ones(1), np.zeros(1), misfit=1.0)
    one = ridge_curve(tiny, ratio=0.5, lam=1e-200)
    assert one.E_test == pytest.approx(float(ridge_curve(unit, ratio=0.5, lam=1.0).E_test))
    # half of the directions lie above the ridge and half below: a second peak, at n = p/2, where
    # rounding wins over 1 - delta; the error says so
    wide = Modes(np.array([1e20, 1e-20]), np.full(2, 0.5), np.array([1.0, 0.0]), misfit=1.0)
    peak = ridge_curve(wide, ratio=0.5, lam=1.0)
    exact = 1 / (2 * np.sqrt(2e-20))
    assert peak.x == pytest.approx(np.sqrt(2e20), rel=1e-6)
    assert abs(peak.E_test - exact) <= peak.error["E_test"]
    assert peak.error["E_test"] > 1e-6 * exact


def test_points_of_a_grid_do_not_depend_on_one_another():
    modes = power_law(40, 2, 1)
    ratio = np.array([0.1, 1.0, 1.0, 30.0])
    lam = np.array([1e-12, 1e-6, 0.0, 3.0])
    whole = ridge_curve(modes, ratio=ratio[:, None], lam=lam, noise=0.1)
    alone = [[ridge_curve(modes, ratio=r, lam=l, noise=0.1).E_test for l in lam] for r in ratio]
    assert np.all(np.isclose(whole.E_test, alone, rtol=1e-8) | (whole.E_test == alone))


def test_nan_is_a_status_and_not_a_crash():
    curve = ridge_curve(TWO_ATOMS, ratio=[1.0, np.nan], lam=0.1)
    assert curve.status.tolist() == [Status.CONVERGED, Status.BAD_INPUT]
    assert np.isnan(curve.E_test[1])
    with pytest.raises(NotConvergedError, match="NaN"):
        curve.check()


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ({"ratio": 0.0, "lam": 1.0}, "ratio = 0"),
        ({"ratio": [1.0, -1.0], "lam": 1.0}, r"ratio\[1\]"),
        ({"ratio": 1.0, "lam": -1e-3}, "lam = -0.001"),
        ({"ratio": 1.0, "lam": 1.0, "noise": np.inf}, "noise = inf"),
    ],
)
def test_controls_out_of_range_are_named(controls, words):
    with pytest.raises(RangeError, match=words):
        ridge_curve(TWO_ATOMS, **controls)


def test_grids_that_do_not_broadcast_are_refused():
    with pytest.raises(ShapeError, match="broadcast"):
        ridge_curve(TWO_ATOMS, ratio=np.ones(2), lam=np.ones(3))


def test_the_exact_route_refuses_what_it_cannot_do():
    with pytest.raises(RangeError, match="diverges"):
        ridge_balls(exact_harmonic(3), ratio=1, lam=0)
    with pytest.raises(ShapeError, match="one length"):
        exact_modes([1], [1, 2], [1])
    with pytest.raises(RangeError, match="not positive"):
        exact_modes([0], [1], [0])


def test_starts_from_the_table_are_near_rounding_so_that_one_evaluation_is_enough(rng):
    modes = power_law(400, 1.5, 2.0)
    ratio, lam = 10 ** rng.uniform(-1.3, 1.3, 500), 10 ** rng.uniform(-8, 1, 500)
    found = effective_ridge(modes, ratio, lam)
    assert np.mean(found.steps == 0) > 0.9
    assert found.residual.max() < 1e-15
    moved = effective_ridge(modes, ratio, lam * (1 + 1e-6)).x / found.x - 1
    assert np.all(moved > 0)
    assert np.all(moved < 1.01e-6 * ratio / found.gap + 1e-13)


def test_roots_in_the_outermost_cells_of_the_table_are_found():
    one = Modes(np.ones(1), np.ones(1), np.zeros(1))
    ratio, lam = np.array([1e-6, 1.0, 1e6]), np.array([1e3, 1e-14, 1e3])
    b = 1 + lam - ratio  # r x^2 - b x - lam = 0
    root = np.sqrt(b * b + 4 * ratio * lam)
    exact = [(b + root)[0] / (2 * ratio[0]), (b + root)[1] / 2, (2 * lam / (root - b))[2]]
    for i in range(3):
        found = effective_ridge(one, ratio[i : i + 1], lam[i : i + 1])
        assert found.status[0] == 0
        assert found.x[0] == pytest.approx(exact[i], rel=1e-14)


@pytest.mark.parametrize("quick", [False, True])
def test_a_point_depends_neither_on_its_neighbours_nor_on_what_was_asked_before(rng, quick):
    def functions():
        modes = power_law(300, 1.5, 2.0)
        return compress(modes, 1e-10, 1e3) if quick else modes

    ratio, lam = 10 ** rng.uniform(-1.3, 1.3, 333), 10 ** rng.uniform(-7, 1, 333)
    whole = effective_ridge(functions(), ratio, lam)
    again = functions()
    effective_ridge(again, np.array([2.0]), np.array([0.3]))
    order = rng.permutation(333)
    moved = effective_ridge(again, ratio[order], lam[order])
    for name in ("x", "spare", "gap", "relative", "residual", "status"):
        assert np.array_equal(getattr(whole, name)[order], getattr(moved, name))
    for i in (0, 100, 332):
        alone = effective_ridge(functions(), ratio[i : i + 1], lam[i : i + 1])
        assert alone.x[0] == whole.x[i]
        assert alone.sums.unexplained[0] == whole.sums.unexplained[i]


def test_sums_that_are_not_numbers_are_not_called_converged():
    def broken(x):
        return replace(TWO_ATOMS(x), df1=np.full(np.shape(x), np.nan))

    broken.mean = TWO_ATOMS.mean
    found = effective_ridge(broken, np.array([2.0]), np.array([0.1]))
    assert found.status[0] != 0


EXTREME = [
    (r, lam)
    for r in (1e-300, 1e-10, 1.0, 1e100, 1e300)
    for lam in (0.0, 1e-300, 1e-14, 1.0, 1e100, 1e300)
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("ratio", "lam"), [c for c in EXTREME if not c[1] or 1e-290 < c[1] / c[0] < 1e290]
)
def test_extreme_controls_are_solved(ratio, lam):
    found = effective_ridge(TWO_ATOMS, np.array([ratio]), np.array([lam]))
    assert found.status[0] == Status.CONVERGED
    assert np.isfinite(found.x[0])
    assert found.residual[0] < 1e-14


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("ratio", "lam"), [(1e-300, 1e100), (1e-300, 1e300), (1e300, 1e-300), (1e300, 1.0)]
)
def test_what_is_beyond_doubles_is_not_called_converged(ratio, lam):
    found = effective_ridge(TWO_ATOMS, np.array([ratio]), np.array([lam]))
    assert found.status[0] != Status.CONVERGED
