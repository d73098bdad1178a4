"""Spikes: forms against exact finite matrices, classical outliers and thresholds, refusals."""

import mpmath
import pytest
from sympy import Rational, simplify, sqrt, symbols

from derive.dyson import equations
from derive.errors import DeriveError, NotSupportedError, ParseError, RangeError, UnknownNameError
from derive.matrices import (
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    outer,
    quadratic,
    vector,
    wigner,
)
from derive.pencil import pencil
from derive.random_matrices.spectral_measure import atoms
from derive.spike_relations import relation
from derive.spikes import outliers
from derive.symbols import control

n, d = dims("n d")
theta, eta, z = control("theta", positive=True), control("eta", positive=True), control("z")
X, S = gaussian("X", d, n, 1 / n), wigner("S", d, 1 / d)
u, v, t = vector("u", d), vector("v", n), vector("t", d)
WIGNER = S + theta * outer(u)
NOISY = (X + theta * outer(u, v)) * (X + theta * outer(u, v)).T


def test_a_pencil_with_spikes_equals_its_expression_on_exact_matrices():
    built = pencil((z * eye(d) - NOISY).inv())
    assert built.verify(seed=3) > 0


def test_spikes_change_no_normalised_trace_and_the_log_says_so():
    plain = equations({"m": ntrace((X * X.T + theta * eye(d)).inv())})
    spiked = equations({"m": ntrace((NOISY + theta * eye(d)).inv())})
    assert [e.rhs for e in plain.equations] == [e.rhs for e in spiked.equations]
    assert "leave out finite rank: 2 terms" in str(spiked.log)


def test_the_outlier_of_a_spiked_wigner_matrix_and_its_threshold():
    found = relation(outliers(WIGNER, z), theta)
    assert simplify(found.closed_form() - (theta + 1 / theta)) == 0
    place = found.threshold()
    assert place == (1, 2)


def test_the_outlier_of_a_spiked_covariance_and_its_threshold():
    spiked = X.T * (eye(d) + theta * outer(u)) * X
    found = relation(outliers(spiked, z), theta)
    assert simplify(found.closed_form() - (1 + theta) * (1 + d / (n * theta))) == 0
    strength, place = found.threshold(n=4, d=1)
    assert abs(strength - 0.5) < 1e-14
    assert abs(place - 2.25) < 1e-14


def test_information_plus_noise_has_the_threshold_of_the_fourth_root():
    found = relation(outliers(NOISY, z), theta)
    expected = (1 + theta**2) * (d / n + theta**2) / theta**2
    assert simplify(found.closed_form() - expected) == 0
    strength, _ = found.threshold(n=16, d=1)
    assert abs(strength - Rational(1, 2)) < 1e-13


def test_overlaps_of_classical_models_have_their_closed_forms():
    place = theta + 1 / theta
    found = outliers(WIGNER, z).overlaps().at(1)
    system = found.system()
    g = 1 / theta
    values = {found.unknowns[0]: g, z: place}
    overlap = system.unfolded(found.outputs["overlap_u_1"]).subs(values)
    assert simplify(overlap - (1 - 1 / theta**2)) == 0


def test_vectors_aligned_with_a_covariance_enter_through_its_measure():
    c = covariance("C", d, atoms([1, 3]))
    w = vector("w", d, moment=c)
    found = relation(
        outliers(2 * X * X.T + c + theta * outer(w), z), theta, values={"n": 2, "d": 1}
    )
    strength, place = found.threshold()
    with mpmath.workdps(20):
        assert abs(place - mpmath.mpf("8.18411343503")) < 1e-10
    assert 1.06 < strength < 1.07


def test_two_free_spikes_make_two_groups_and_a_shared_vector_makes_one():
    apart = outliers(S + theta * outer(u) + eta * outer(t), z)
    assert apart.groups == (("t",), ("u",))
    linked = outliers(S + theta * (outer(u) + outer(u, t) + outer(t, u)) + eta * outer(t), z)
    assert linked.groups == (("t", "u"),)


def test_a_group_of_two_vectors_equals_its_rotated_spikes():
    both = outer(u) + outer(t) + outer(u, t) + outer(t, u)  # (u + t)(u + t)^T, length sqrt(2)
    found = relation(outliers(S + theta * both, z), theta)
    assert simplify(found.closed_form() - (2 * theta + 1 / (2 * theta))) == 0


def test_forms_of_the_full_resolvent_are_those_of_a_rank_one_update():
    found = outliers(WIGNER, z)
    g = found.equations.outputs["m"]
    system = found.equations.at(1).system()
    assert simplify(system.unfolded(found.form("u")) - g / (1 - theta * g)) == 0


def test_a_vector_of_length_two_is_a_spike_four_times_as_strong():
    long = vector("u", d, square=4)
    found = relation(outliers(S + theta * outer(long), z), theta)
    assert simplify(found.closed_form() - (4 * theta + 1 / (4 * theta))) == 0


def test_what_has_no_outliers_is_refused_by_name():
    with pytest.raises(NotSupportedError, match=r"S: it holds no spike"):
        outliers(S, z)
    with pytest.raises(NotSupportedError, match="it is not symmetric"):
        outliers(S + theta * outer(u, t), z)
    with pytest.raises(UnknownNameError, match="strength eta: condition_1 does not hold it"):
        relation(outliers(WIGNER, z), eta)
    with pytest.raises(RangeError, match="form of v: no spike of this matrix has it"):
        outliers(WIGNER, z).form("v")


def test_vectors_are_checked_as_one_writes():
    with pytest.raises(DeriveError, match="two vectors are called u"):
        outer(u, vector("u", d, square=2))
    clash = outer(vector("u", d, square=2), t)
    with pytest.raises(DeriveError, match="two different vectors are called u"):
        outliers(S + outer(u) + clash + clash.T, z)
    with pytest.raises(NotSupportedError, match="is no vector"):
        outer(u, X)
    with pytest.raises(ParseError, match="not a Python identifier"):
        vector("2u", d)
    with pytest.raises(NotSupportedError, match="it holds the spike outer"):
        quadratic(u, (WIGNER - z * eye(d)).inv())
    assert quadratic(t, (WIGNER - z * eye(d)).inv()) == ntrace((WIGNER - z * eye(d)).inv())


def test_the_inverse_of_a_lone_spike_is_refused_as_singular():
    with pytest.raises(DeriveError, match="is singular whatever its letters and sizes"):
        equations(ntrace(outer(u).inv()))


def test_a_relation_of_degree_two_states_its_branch_and_higher_ones_are_kept():
    w = vector("w", d, moment=covariance("C", d, atoms([1, 3])))
    c = covariance("C", d, atoms([1, 3]))
    place = relation(outliers(c + theta * outer(w), z), theta).closed_form()
    strong = place.subs(theta, 100)
    top = symbols("x")
    exact = sqrt(10000 + 100 + 1)  # roots of (z-1)(z-3) = theta ((z-3) + 3 (z-1))/2
    assert abs(float(strong - (2 + 100 + exact))) < 1e-9
    assert not place.has(top)
