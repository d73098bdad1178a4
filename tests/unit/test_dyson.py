"""Dyson equations against closed forms, other derivations, and sampled matrices.

Tolerances: the reference solver runs at 30 digits and stops at 1e-25; 1e-18 leaves room for the
conditioning of the core. Sampled traces fluctuate like 1/N: 5/N is
allowed, and a theory that is off by 10/N is rejected.
"""

from functools import cache

import mpmath as mp
import pytest
from sympy import I, Rational, Symbol, diff, sqrt

from derive.dyson import equations
from derive.errors import (
    DeriveError,
    NotClosedError,
    NotSupportedError,
    ShapeError,
    UnknownNameError,
)
from derive.matrices import (
    commuting,
    covariance,
    dims,
    eye,
    gaussian,
    ntrace,
    quadratic,
    vector,
    wigner,
)
from derive.pencil import pencil
from derive.random_matrices.averaged_pencil import AveragedPencil
from derive.random_matrices.covariance_map import covariance_pairs, matching, nonzero_blocks
from derive.random_matrices.dependency_graph import smallest_core
from derive.random_matrices.matrix_blocks import block
from derive.random_matrices.spectral_measure import atoms, marchenko_pastur, power_law
from derive.symbols import control
from numeric.experiments.matrices import sample

EXACT = mp.mpf(10) ** -18
n, p, d, q = dims("n p d q")
lam = control("lam", positive=True)
k1, ks, k2, kt = control("k1"), control("ks"), control("k2"), control("kt")
noise = control("noise")
W, V = gaussian("W", p, d, 1 / d), gaussian("V", q, p, 1 / p)
X, N, N2 = gaussian("X", d, n, 1), gaussian("N", p, n, 1), gaussian("N2", q, n, 1)
Z = gaussian("Z", d, n, 1 / n)
S = wigner("S", d, 1 / d)
C = covariance("C", d, atoms([1, 4]))
D = covariance("D", d, atoms([Rational(1, 2), 3], [Rational(1, 4), Rational(3, 4)]))
POINT = {"n": 9, "d": 4, "p": 6, "k1": "0.7", "ks": "0.5", "lam": "0.3"}
SIZES = {"n": 360, "d": 160, "p": 240, "k1": 0.7, "ks": 0.5, "lam": 0.3}


def ridge(K):
    return (K + lam * eye(K.shape[0])).inv()


def value(expression):
    return equations({"value": expression})


def close(a, b, tolerance=EXACT):
    return abs(a - b) < tolerance * (1 + abs(b))


# ---- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", ["0.25", "1", "3"])
@pytest.mark.parametrize("ridge_value", ["2", "0.01"])
def test_marchenko_pastur_solves_its_quadratic(follow, ratio, ridge_value):
    found = follow(value(ntrace(ridge(Z * Z.T))), {"n": 1, "d": ratio, "lam": ridge_value})
    with mp.workdps(30):
        c, z = mp.mpf(ratio), mp.mpf(ridge_value)
        b = z + 1 - c
        exact = (-b + mp.sqrt(b * b + 4 * c * z)) / (2 * c * z)
        assert close(found["value"], exact)


def test_marchenko_pastur_has_one_unknown_and_a_pencil_of_two_blocks():
    found = value(ntrace(ridge(Z * Z.T)))
    assert (len(found.unknowns), found.pencil.size) == (1, 2)
    assert found.system("mp").controls == (d, lam, n)


def test_semicircle_outside_its_support(follow):
    z = control("z", positive=True)
    found = follow(value(ntrace((z * eye(d) - S).inv())), {"d": 1, "z": 3})
    with mp.workdps(30):
        assert close(found["value"], (3 - mp.sqrt(5)) / 2)


def test_irrational_and_complex_scalars_are_carried(follow):
    z = control("z", positive=True)
    root = value(ntrace((z * eye(d) - sqrt(2) * S).inv()))
    imaginary = value(ntrace((S - I * z * eye(d)).inv()))
    with mp.workdps(30):
        assert close(follow(root, {"d": 1, "z": 3})["value"], (3 - 1) / mp.mpf(4))
        exact = 1j * (mp.sqrt(13) - 3) / 2
        assert close(follow(imaginary, {"d": 1, "z": 3})["value"], exact)


def test_free_sum_of_two_signs_is_the_arcsine_law(follow):
    z = control("z", positive=True)
    signs = [covariance(name, d, atoms([-1, 1])) for name in "AB"]
    found = value(ntrace((z * eye(d) - signs[0] - signs[1]).inv()))
    with mp.workdps(30):
        assert close(follow(found, {"d": 1, "z": 3})["value"], 1 / mp.sqrt(5))
    assert "generic position" in found.assumptions[1]


def test_free_product_of_projections_has_the_known_transform(follow):
    z = control("z", positive=True)
    P, Q = (covariance(name, d, atoms([0, 1])) for name in "PQ")
    found = value(ntrace((z * eye(d) - P * Q * P).inv()))
    with mp.workdps(30):
        s = mp.mpf(2)
        nonzero = (1 / s) * (1 + (mp.sqrt(s / (s - 1)) - 1) / 2)
        assert close(follow(found, {"d": 1, "z": 2})["value"], nonzero)


def test_signs_that_commute_add_like_numbers(follow):
    z = control("z", positive=True)
    A, B = commuting("A B", d, atoms([(1, 1), (1, -1), (-1, 1), (-1, -1)]))
    found = follow(value(ntrace((z * eye(d) - A - B).inv())), {"d": 1, "z": 3})
    with mp.workdps(30):
        assert close(found["value"], mp.mpf(1) / 4 + mp.mpf(1) / 6 + mp.mpf(1) / 20)


# ---- deterministic equivalents -------------------------------------------------------------------


def gram_trace(points, weights, r, ridge_value):
    """Root of 1/m = lam + <s/(1 + r m s)>."""

    def residual(m):
        return (
            1 / m
            - ridge_value
            - sum(w * s / (1 + r * m * s) for s, w in zip(points, weights, strict=True))
        )

    low, high = (
        1 / (ridge_value + sum(w * s for s, w in zip(points, weights, strict=True))),
        1 / ridge_value,
    )
    return mp.findroot(residual, (low, high), solver="anderson", tol=mp.mpf(10) ** -50)


@pytest.mark.parametrize("samples", ["1.5", "0.5"])
def test_anisotropic_marchenko_pastur_solves_its_scalar_equation(follow, samples):
    root, _ = commuting("root Omega", p, atoms([(1, 1), (2, 4)]))
    Y = gaussian("Y", p, n, 1 / p)
    found = follow(value(ntrace(ridge(Y.T * root**2 * Y))), {"n": samples, "p": 1, "lam": "0.2"})
    with mp.workdps(30):
        half = mp.mpf(1) / 2
        assert close(
            found["value"], gram_trace((1, 4), (half, half), mp.mpf(samples), mp.mpf("0.2"))
        )


def words_of_a_resolvent():
    """Words of the multi-resolvent formulas: features root Z0, target features B Z0 + K Z1."""
    joint = atoms([(1, 3, 1, 2, 1), (2, 1, 1, -1, 3), (3, Rational(1, 2), 2, 1, 0)])
    root, A, B, K, T = commuting("root A B K T", p, joint)
    Z0, Z1 = gaussian("Z0", p, n, 1), gaussian("Z1", p, n, 1)
    F, target = root * Z0, B * Z0 + K * Z1
    G = (F * F.T / p + lam * eye(p)).inv()
    return {
        "word6": ntrace(A * G * T * G),
        "word7": ntrace(F.T * G * root**2 * G * F) / p,
        "word8": ntrace(target * F.T * G * root**2 * G * F * target.T * A) / p**2 * p,
    }, joint


def test_words_of_two_resolvents_follow_the_multi_resolvent_formulas(follow):
    words, joint = words_of_a_resolvent()
    with mp.workdps(30):
        ridge_value, r = mp.mpf("0.4"), mp.mpf("1.7")
        found = follow(equations(words), {"n": r, "p": 1, "lam": ridge_value})
        points = [[mp.mpf(Rational(x).p) / Rational(x).q for x in pt] for pt in joint.points]
        omega = [pt[0] ** 2 for pt in points]
        m = gram_trace(omega, [mp.mpf(1) / 3] * 3, r, ridge_value)
        M = [1 / (ridge_value * (1 + r * m * o)) for o in omega]

        def mean(function):
            return sum(function(*pt, o, x) for pt, o, x in zip(points, omega, M, strict=True)) / 3

        two = mean(lambda c, a, b, k, t, o, x: (o * x) ** 2)
        delta = r * (ridge_value * m) ** 2 * two
        six = mean(lambda c, a, b, k, t, o, x: a * t * x * x) + (r * (ridge_value * m) ** 2) * mean(
            lambda c, a, b, k, t, o, x: a * o * x * x
        ) * mean(lambda c, a, b, k, t, o, x: t * o * x * x) / (1 - delta)
        seven = (ridge_value * m) ** 2 * two / (1 - delta)

        def inside(c, a, b, k, t, o, x):
            phi, psi = c * b, b * b + k * k
            return a * ((psi - 2 * r * ridge_value * m * phi**2 * x) * two + r * phi**2 * o * x * x)

        eight = (ridge_value * m) ** 2 * r * mean(inside) / (1 - delta)
        assert close(found["word6"], six)
        assert close(found["word7"], seven)
        assert close(found["word8"], eight)


# ---- random features, from expression to test error ----------------------------------------------


def features(depth):
    first = k1 * W * X + ks * N
    return (first, p) if depth == 1 else (k2 * V * first + kt * N2, q)


def ridge_error(depth):
    F, width = features(depth)
    gram = ridge(F.T * F / width)
    return ntrace(gram), ntrace((X.T * X / d + noise * eye(n)) * gram)


def layer_calculus(t, alpha, layers, noise_value):
    """Explicit layer recursion at its parameter t, for Omega_0 = 1 and rho = 1.

    Returns lam, g, F, and whether t is on the physical interval.
    """
    l0 = 1 / t - 1 / (1 + alpha * t)
    l, g, c, physical = l0, t, mp.mpf(1), True
    for gamma, kappa, kappa_star2 in layers:
        u = kappa**2 * l - kappa_star2
        h = 1 - l * g * u / (u + kappa_star2)
        e = 1 - alpha / gamma * h
        physical = physical and u > 0 and e > 0
        l, g, c = u * e, g / (e * kappa**2), c / (e * kappa**2)
    return l, g, c * ((1 - l0 * t) + noise_value * t), physical


def layer_errors(ridge_value, alpha, layers, noise_value):
    """Return g and E_test = -F'/g^2; lam falls from infinity on the physical interval."""

    def at(t):
        return layer_calculus(t, alpha, layers, noise_value)

    low, high = mp.mpf(0), mp.mpf(100)
    for _ in range(140):
        middle = (low + high) / 2
        l, _, _, physical = at(middle)
        low, high = (middle, high) if physical and l > ridge_value else (low, middle)
    slope = mp.diff(lambda t: at(t)[2], low) / mp.diff(lambda t: at(t)[0], low)
    g = at(low)[1]
    return g, -slope / g**2


@cache
def error_equations(depth):
    g, F = ridge_error(depth)
    found = equations({"m": g, "F": F}).differentiate("F", lam)
    return found.with_output("E_test", lambda o: -o["F_lam"] / o["m"] ** 2)


KAPPAS = (("0.6057", "0.0274"), ("0.7635", "0.0066"))
FEATURE_POINTS = [
    (1, "1.25", ("2",), "0.01", "0.1"),
    (1, "0.5", ("0.8",), "0.2", "0.0"),
    (1, "3", ("2",), "1", "0.5"),
    (2, "1.25", ("2", "1.2"), "0.01", "0.1"),
    (2, "0.6", ("0.5", "2"), "0.5", "0.2"),
]


@pytest.mark.parametrize(("depth", "alpha", "gammas", "ridge_value", "sigma2"), FEATURE_POINTS)
def test_random_feature_test_error_equals_the_layer_calculus(
    follow, depth, alpha, gammas, ridge_value, sigma2
):
    found = error_equations(depth)
    with mp.workdps(40):
        layers = [
            (mp.mpf(gamma), mp.mpf(k), mp.mpf(s))
            for gamma, (k, s) in zip(gammas, KAPPAS, strict=False)
        ]
        point = {"n": alpha, "d": 1, "p": gammas[0], "q": gammas[-1], "lam": ridge_value}
        point |= {"noise": sigma2, "k1": KAPPAS[0][0], "ks": mp.sqrt(mp.mpf(KAPPAS[0][1]))}
        point |= {"k2": KAPPAS[1][0], "kt": mp.sqrt(mp.mpf(KAPPAS[1][1]))}
        values = follow(found, point)
        m, error = layer_errors(mp.mpf(ridge_value), mp.mpf(alpha), layers, mp.mpf(sigma2))
        assert close(values["m"], m)
        assert close(values["E_test"], error, mp.mpf(10) ** -16)


def test_the_reference_value_of_the_random_feature_error(follow):
    g, F = ridge_error(1)
    found = equations({"m": g, "E_test": -diff(F, lam) / g**2})
    point = {"n": "1.25", "d": 1, "p": 2, "lam": "0.01", "noise": "0.1"}
    with mp.workdps(30):
        point |= {"k1": "0.6057055096021588255835"}
        point |= {"ks": mp.sqrt(mp.mpf("0.02741532603543025715602"))}
        values = follow(found, point)
        assert close(values["m"], mp.mpf("16.27660312933519190762"))
        assert close(values["E_test"], mp.mpf("0.5016916486643046421394"))


def test_implicit_derivatives_equal_words_of_two_resolvents(follow):
    _, F = ridge_error(1)
    implicit = error_equations(1)
    words = equations({"F_lam": diff(F, lam)})
    assert implicit.pencil.size < words.pencil.size
    point = {**POINT, "q": 5, "k2": "0.9", "kt": "0.2", "noise": "0.1"}
    assert close(follow(implicit, point)["F_lam"], follow(words, point)["F_lam"])


def test_random_features_need_two_unknowns_and_their_words_four():
    g, F = ridge_error(1)
    assert len(equations({"m": g, "F": F}).unknowns) == 2
    assert len(equations({"F_lam": diff(F, lam)}).unknowns) == 4


def test_sheet_figures_of_the_noisy_linear_model(follow):
    Xn, Nn = gaussian("X", d, n, 1 / n), gaussian("N", p, n, 1 / n)
    F = k1 * W * Xn + ks * Nn
    R = ridge(F * F.T)
    found = equations(
        {"a": ntrace(R), "b": ntrace(W.T * R * F * Xn.T), "c": ntrace(Xn * F.T * R * R * F * Xn.T)}
    )
    values = follow(found, {**POINT, "n": 12, "d": 8, "p": 10})
    assert abs(values["a"] - mp.mpf("1.610425")) < 5e-7
    assert abs(values["b"] - mp.mpf("0.513713")) < 5e-7
    assert abs(values["c"] - mp.mpf("0.476418")) < 5e-7


# ---- sampled matrices ----------------------------------------------------------------------------

SAMPLED = {
    "tied weights": ntrace(ridge(W.T * W * Z * Z.T * W.T * W)),
    "tied noisy weights": ntrace(
        ridge(
            (k1 * W.T * (k1 * W * Z + ks * N / n * 2) + Z)
            * (k1 * W.T * (k1 * W * Z + ks * N / n * 2) + Z).T
        )
    ),
    "free with noise": ntrace(D * ridge(C * Z * Z.T * C + D)),
    "power law": ntrace(ridge(Z.T * covariance("P", d, power_law(Rational(1, 2))) * Z)),
    "free sum with Marchenko-Pastur": ntrace(
        ridge(covariance("M", d, marchenko_pastur(Rational(1, 2))) + S + 3 * eye(d))
    ),
    "block": ntrace(block([[lam * eye(d), Z], [Z.T, -eye(n)]]).inv()),
    "nested": ntrace(ridge(Z * ridge(Z.T * Z) * Z.T)),
    "no ridge": ntrace((Z * Z.T).inv()),
    "quartic": ntrace((S**2 + lam * eye(d)).inv() * C),
    "complex": ntrace(
        ridge(gaussian("Y", d, n, 1 / n, complex=True) * gaussian("Y", d, n, 1 / n, complex=True).H)
    ),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_equations_agree_with_sampled_matrices(follow, name):
    theory = float(mp.re(follow(value(SAMPLED[name]), POINT, digits=15)["value"]))
    sampled = sample(SAMPLED[name], SIZES, seed=5, trials=2).mean("value").real
    resolved = 5 / SIZES["d"] * abs(theory)
    assert abs(sampled - theory) < resolved
    assert abs(sampled - theory * (1 + 10 / SIZES["d"])) > resolved


def test_the_equations_and_the_experiment_read_one_declaration(follow):
    Xn = gaussian("X", d, n, 1 / n)
    found = equations({"m": ntrace(ridge(Xn * Xn.T))}).differentiate("m", lam)
    found = found.with_output("df", lambda o: o["m"] + lam * o["m_lam"])
    sampled = sample(found, SIZES, trials=2)
    values = follow(found, POINT)
    assert abs(sampled.mean("df") - float(values["df"])) < 5 / SIZES["d"] * float(values["df"])


def test_quadratic_forms_and_several_outputs_share_the_core(follow):
    T, root = commuting("T root", d, atoms([(1, 2), (5, 1)]))
    R = ridge(root * Z * Z.T * root)
    found = equations({"form": quadratic(vector("u", d, moment=T), R), "trace": ntrace(R)})
    sampled = sample(found, SIZES, trials=2)
    values = follow(found, POINT)
    assert len(found.unknowns) == 1
    assert abs(sampled.mean("form") - float(values["form"])) < 5 / SIZES["d"] * float(
        values["form"]
    )


# ---- structure -----------------------------------------------------------------------------------


def test_impossible_blocks_are_zero_before_anything_is_inverted():
    found = pencil(ridge(Z * Z.T))
    model = AveragedPencil(found, ((0, 0),))
    assert model.nonzero == {(0, 0), (1, 1)}
    assert len(covariance_pairs(found)) == 2


def test_patterns_without_a_fixed_inverse_start_from_all_blocks():
    assert matching(2, [(0, 0), (1, 0)]) is None
    assert nonzero_blocks((d, d), [(0, 1), (1, 0)], ()) == {(0, 1), (1, 0)}
    assert nonzero_blocks((d, n), [(0, 0)], ()) == {(0, 0), (1, 1)}


def test_repeated_resolvents_do_not_repeat_unknowns():
    R = ridge(Z * Z.T)
    assert len(equations({"a": ntrace(R), "b": ntrace(R * R)}).unknowns) == 2
    assert "repeat" in str(equations(ntrace(R * R)).log)


def test_false_merges_are_refuted_and_dropped(follow, monkeypatch):
    expression = ntrace(W.T * ridge(W * Z * Z.T * W.T) * W)
    honest = follow(value(expression), POINT)["value"]

    def wrong(model):
        first, *others = model.unknowns
        return dict.fromkeys(others, (first, 2 * lam))

    monkeypatch.setattr("derive.random_matrices.dyson_core.candidates", wrong)
    found = value(expression)
    assert "0 repeat" in str(found.log)
    assert close(follow(found, POINT)["value"], honest)


def test_explicit_chains_have_no_unknowns(follow):
    found = value(ntrace(S * S * C))
    assert found.unknowns == ()
    assert close(follow(found, {"d": 1})["value"], mp.mpf(5) / 2)


def test_cores_break_every_cycle():
    a, b, c = (control(x) for x in "abc")
    assert len(smallest_core({a: 1 / b, b: 1 / c, c: 1 / a})) == 1
    assert smallest_core({a: b + lam, b: c + lam, c: lam}) == []
    assert smallest_core({a: a**2 + b, b: lam}) == [a]


def test_sums_of_different_order_in_the_size_are_told(follow):
    G, _ = ridge_error(1)
    assert len(equations(G).assumptions) == 1
    unscaled = value(ntrace(ridge(X.T * W.T * W * X / (d * p))))
    assert "N**-1" in unscaled.assumptions[1]
    assert "no limit in ratios alone" in unscaled.assumptions[1]
    small = follow(unscaled, {"n": 1, "d": 1, "p": 1, "lam": 1})["value"]
    large = follow(unscaled, {"n": 100, "d": 100, "p": 100, "lam": 1})["value"]
    assert abs(small - large) > 0.1
    scaled = value(G)
    point = {"k1": 1, "ks": 1, "lam": 1}
    one = follow(scaled, {"n": 1, "d": 1, "p": 1, **point})["value"]
    hundred = follow(scaled, {"n": 100, "d": 100, "p": 100, **point})["value"]
    assert close(one, hundred)


def test_the_log_tells_the_story_and_the_system_is_closed():
    g, F = ridge_error(1)
    found = equations({"m": g, "F": F})
    text = str(found.log)
    assert "linear pencil: 5 blocks" in text
    assert "helton2007" in text
    system = found.system("features")
    assert set(system.outputs) == {"m", "F"}
    assert [c.name for c in system.controls] == ["d", "k1", "ks", "lam", "n", "noise", "p"]


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: equations(S), ShapeError, "take ntrace"),
        (lambda: equations(ntrace(S) + Symbol("x")).controls, NotClosedError, "they use x"),
        (
            lambda: equations(ntrace(S.inv() * gaussian("S", d, d, 1))),
            DeriveError,
            "the letter S is declared",
        ),
        (
            lambda: equations(ntrace(gaussian("a", d, 1, 1) * gaussian("a", d, 1, 1).T)),
            NotSupportedError,
            "vector",
        ),
        (
            lambda: equations(
                ntrace((gaussian("a", d, 1, 1) * gaussian("a", d, 1, 1).T).inv() * S)
            ),
            DeriveError,
            r"a\*a.T is singular",
        ),
        (lambda: value(ntrace(S * S)).output("m"), UnknownNameError, "the outputs are value"),
        (
            lambda: equations(ntrace(S) * ntrace(gaussian("S", d, d, 1))),
            DeriveError,
            "the letter S",
        ),
        (
            lambda: equations(ntrace(block([[S, Z], [Z.T, eye(n)]]).part(0, 1))),
            ShapeError,
            "only square",
        ),
    ],
)
def test_bad_input_is_refused_with_one_clear_line(build, kind, words):
    with pytest.raises(kind, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)
