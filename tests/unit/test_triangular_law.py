"""Laws straight from triangular Systems, against the same laws composed of transforms.

Tolerances: edges are scanned to 1e-15 of the bound, densities agree in all digits that a rounded
edge leaves; a width moved by 1e-9 would be seen.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sympy import Rational as Q

from derive.errors import NotConvergedError, NotSupportedError, RangeError, UnknownNameError
from derive.spectra.laws import (
    deep_features_covariance,
    deep_features_kernel,
    marchenko_pastur,
    semicircle,
)
from derive.spectra.transformed import inverted
from derive.spectra.triangular_law import law_of_system
from derive.symbols import Quantity
from derive.theory.deep_features import deep_features
from derive.transforms import free_product, free_sum, scaled
from numeric.spectrum import spectrum

WIDTHS = {"alpha": Q(5, 6), "gamma": [Q(7, 6), Q(3, 2)]}


@cache
def network(depth):
    return deep_features(["tanh"] * depth)


@cache
def reference():
    return law_of_system(network(2).system(), values=WIDTHS)


@cache
def composed():
    return deep_features_kernel(network(2), WIDTHS["alpha"], WIDTHS["gamma"])


def test_the_reference_kernel_has_its_published_edges_densities_and_mass():
    found = spectrum(reference())
    edges = [(0.0019385651290741389948, 1.6415832305026103185)]
    assert np.allclose(found.edges, edges, rtol=1e-12, atol=0)
    digits = [1.82245440600903465, 0.367221186464468593, 0.143744897931788224]
    assert np.allclose(found.density([0.1, 0.5, 1]), digits, rtol=1e-12, atol=0)
    assert abs(found.mass - 1) < 1e-12
    assert not found.boundary([0.5]).certified.any()  # sampled signs prove no branch


@pytest.mark.parametrize(
    ("alpha", "gamma", "bands", "atoms"),
    [
        (2, [1], 1, ((0, Q(1, 2)),)),
        (3, [2, Q(1, 2), 1], 2, ((0, Q(2, 3)),)),
        (1, [2, Q(1, 2), 1, 2], 1, ()),
    ],
)
def test_depths_one_to_four_equal_the_composition_of_gram_steps(alpha, gamma, bands, atoms):
    model = network(len(gamma))
    law = law_of_system(model.system(), values={"alpha": alpha, "gamma": gamma})
    found, expected = spectrum(law), spectrum(deep_features_kernel(model, alpha, gamma))
    assert law.atoms() == atoms == expected.law.atoms()
    assert len(found.bands) == bands
    assert np.allclose(found.edges, expected.edges, rtol=1e-12, atol=0)
    x = np.concatenate([np.linspace(*e, 60)[1:-1] for e in expected.edges])
    assert np.allclose(found.density(x), expected.density(x), rtol=1e-12, atol=0)
    assert abs(found.mass - 1) < 1e-12


def test_a_width_moved_by_one_part_in_a_billion_is_seen():
    moved = {**WIDTHS, "alpha": Q(5, 6) * (1 + Q(1, 10**9))}
    found = spectrum(law_of_system(network(2).system(), values=moved))
    assert not np.allclose(found.density([0.1]), [1.82245440600903465], rtol=1e-12, atol=0)


def test_a_gap_narrower_than_the_scan_is_refused_and_resolved_by_given_bands():
    model = deep_features(["sign", "tanh"])
    law = law_of_system(model.system(), values={"alpha": 2, "gamma": [1, 3]})
    expected = spectrum(deep_features_kernel(model, 2, [1, 3]))
    assert len(expected.bands) == 2  # the gap is 8e-5 wide
    with pytest.raises(NotConvergedError, match="no solution in the upper half-plane"):
        spectrum(law).density([0.04927])
    assert abs(spectrum(law, bands=expected.bands).mass - 1) < 1e-12


def test_exact_moments_equal_the_composition():
    values = {"alpha": Q(5, 6), "gamma": [Q(7, 6)]}
    found = law_of_system(network(1).system(), values=values).moments(3)
    expected = deep_features_kernel(network(1), Q(5, 6), [Q(7, 6)]).moments(3)
    assert [(a - b).expand() for a, b in zip(found, expected, strict=True)] == [0, 0, 0]


def test_it_composes_with_sums_products_and_scales():
    for make in (
        lambda law: free_sum(law, semicircle(Q(1, 4))),
        lambda law: free_product(law, marchenko_pastur(Q(1, 2))),
        lambda law: scaled(law, 2, 1),
    ):
        found, expected = spectrum(make(reference())), spectrum(make(composed()))
        assert np.allclose(found.edges, expected.edges, rtol=1e-12, atol=0)
        x = np.linspace(*expected.edges[0], 40)[1:-1]
        assert np.allclose(found.density(x), expected.density(x), rtol=1e-11, atol=0)
        assert abs(found.mass - 1) < 1e-12


def test_the_law_of_an_output_that_is_no_resolvent_is_refused():
    system = network(1).system()
    values = {"alpha": Q(1, 4), "gamma": [4], "noise": 1}
    lam, m = system.control("lam"), system.outputs["m"]
    outputs = {"twice": 2 * m, "square": lam * m**2, "late": m + 10**9 / (lam + 10) ** 9}
    more = system.with_outputs(**outputs)
    with pytest.raises(UnknownNameError, match="law of the output 'none': the outputs of the"):
        law_of_system(system, "none", values=values)
    for name in ("E_test", "twice"):
        with pytest.raises(NotSupportedError, match="does not tend to 1 as lam grows"):
            law_of_system(more, name, values=values)
    with pytest.raises(NotSupportedError, match="Hankel determinant of its moments is -"):
        law_of_system(more, "square", values=values)
    with pytest.raises(NotSupportedError, match="Im G changes sign"):
        law_of_system(more, "late", values=values).curve()


def test_controls_that_do_not_lead_to_infinity_and_missing_values_are_refused():
    system = network(1).system()
    with pytest.raises(UnknownNameError, match="no value for alpha, gamma_1"):
        law_of_system(system)
    with pytest.raises(NotSupportedError, match="closed by lam, not by alpha"):
        law_of_system(system, control="alpha", values=WIDTHS)
    with pytest.raises(RangeError, match="alpha = -1 is outside"):
        law_of_system(system, values={"alpha": -1, "gamma": [1]})
    short = Quantity("lam", "ridge", low=0, high=3)
    swap = {system.control("lam"): short}
    bounded = replace(
        system,
        controls=tuple(swap.get(q, q) for q in system.controls),
        equations=tuple(
            replace(e, lhs=e.lhs.xreplace(swap), rhs=e.rhs.xreplace(swap)) for e in system.equations
        ),
        definitions=tuple((s, e.xreplace(swap)) for s, e in system.definitions),
        outputs={k: e.xreplace(swap) for k, e in system.outputs.items()},
        conditions=(),
        start=None,
    )
    with pytest.raises(RangeError, match="lam stops at 3, the branch starts at infinity"):
        law_of_system(bounded, values={"alpha": 1, "gamma": [1]})


def test_a_system_with_an_implicit_unknown_is_refused():
    system = network(1).system()
    x = system.unknowns[1]
    coupled = replace(
        system,
        equations=(
            replace(system.equations[0], lhs=2 * x),
            system.equations[1],
        ),
    )
    with pytest.raises(NotSupportedError, match="the equations are coupled"):
        law_of_system(coupled, values={"alpha": 1, "gamma": [1]})


def test_inverses_of_laws_with_irrational_constants_have_a_bound():
    law = inverted(deep_features_covariance(network(1), [Q(1, 2)]))
    found = spectrum(law)
    assert abs(found.mass - 1) < 1e-10
