"""Networks of rectifiers, random biases, row norms and structured rows at finite size.

Theory: ``numeric.reference``. Each comparison declares the relative error that it must see. The
features' mean is left in: it is one large eigenvalue, whose effect falls with the size.
"""

import pytest

from derive.theory.deep_features import deep_features
from numeric.compare import compare
from numeric.experiments.deep_features import simulate
from numeric.reference import reference

pytestmark = pytest.mark.simulation

POINT = {"alpha": 1.2, "lam": 0.01, "noise": 0.1}
TWO = [("1/2", "1/2"), ("3/2", "1/2")]
OUTPUTS = ("m", "E_test")


def theory(model, gamma, digits=7):
    exact = {name: str(value) for name, value in POINT.items()}
    found = reference(model.system(digits=digits), 10, gamma=tuple(map(str, gamma)), **exact)
    return {name: float(found[name]) for name in OUTPUTS}


@pytest.mark.parametrize("widths", [(1.4, 1.6), (1.4, 1.2, 1.6)])
def test_rectifiers_of_two_and_three_layers(widths):
    model = deep_features(["relu"] * len(widths))
    run = simulate(model, **POINT, gamma=widths, d=(100, 200, 400), trials=12, seed=4)
    found = compare(theory(model, widths), run, OUTPUTS)
    assert found.agree, found.table()
    assert found.judged["E_test"].resolves < 0.03
    assert found.judged["m"].resolves < 0.06
    assert not found.moved(1.03, outputs=("E_test",)).agree
    assert not found.moved(0.97, outputs=("E_test",)).agree


def test_biases_and_norms_of_one_layer():
    model = deep_features(["tanh"], biases=[[("-1", "1/2"), (1, "1/2")]], norms=[TWO])
    run = simulate(model, **POINT, gamma=1.4, d=(100, 200, 300), trials=16, seed=1)
    found = compare(theory(model, (1.4,)), run, OUTPUTS)
    assert found.agree, found.table()
    assert found.resolves < 0.03
    assert not found.moved(1.03).agree


def test_structured_rows_of_two_layers():
    model = deep_features(["tanh", "tanh"], rows=[TWO, TWO])
    run = simulate(model, **POINT, gamma=(1.2, 1.4), d=(100, 200, 300), trials=16, seed=2)
    found = compare(theory(model, (1.2, 1.4)), run, OUTPUTS)
    assert found.agree, found.table()
    assert found.judged["E_test"].resolves < 0.03
    without = theory(deep_features(["tanh", "tanh"]), (1.2, 1.4))
    assert not compare(without, run, OUTPUTS).agree
