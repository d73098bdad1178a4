"""Programs: blocks of a system known by hand, the key, refusals."""

import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from sympy import Integer, Rational, Symbol, exp, sqrt

from derive.errors import NotSupportedError, UnknownNameError
from derive.program import UNIT, program
from derive.symbols import Quantity, control
from derive.system import Condition, Equation, Start, System
from derive.theory.deep_features import deep_features

lam = control("lam", "ridge", low=0)
c = control("c", "shift", positive=True)
x = Quantity("x", "first", low=0, open_low=True)
y = Quantity("y", "second", low=0, open_low=True)
k = Symbol("k", positive=True)


def tower(**changes):
    """lam = k x y with y = x + c."""
    parts = {
        "name": "tower",
        "controls": (lam, c),
        "unknowns": (x, y),
        "equations": (Equation(y, x + c), Equation(lam, k * x * y)),
        "outputs": {"m": 1 / y},
        "constants": ((k, Integer(2)),),
        "conditions": (Condition(x, "x is positive"),),
        "start": Start((), sqrt(lam), "above"),
    }
    return System(**(parts | changes))


def run(block, **values):
    """Results of a block at exact numbers."""
    given = {s: Rational(values.get(s.name, 0)) for s in block.inputs}
    for symbol, expr in block.lines:
        given[symbol] = expr.xreplace(given)
    return [expr.xreplace(given) for expr in block.results]


def test_tower_gives_unknowns_value_slope_and_guard():
    found = run(program(tower()).tower, lam=5, c=3, k=2, x=1)
    # y = 4, 2*1*4 - 5 = 3, d(2 x (x + 3))/dx = 10, guard x = 1
    assert found == [4, 3, 10, 1]


def test_newton_step_solves_the_linearised_system():
    # At (x, y) = (1, 5): residuals 4 - 5 = -1 and 10 - 5 = 5; dy - dx = -1, 10 dx + 2 dy = -5.
    step = run(program(tower()).newton, lam=5, c=3, k=2, x=1, y=5)
    assert step == [Rational(-1, 4), Rational(-5, 4)]


def test_newton_step_vanishes_at_the_solution():
    assert run(program(tower()).newton, lam=8, c=3, k=2, x=1, y=4) == [0, 0]


def test_slope_is_the_derivative_along_the_solution():
    # dx/dlam = 1/(k (2 x + c)) = 1/10 and m = 1/(x + c): dm/dlam = -1/160.
    slope, error = run(program(tower()).slopes, lam=8, c=3, k=2, x=1, y=4, unit_roundoff=0)
    assert (slope, error) == (Rational(-1, 160), 0)


def test_report_holds_residual_errors_and_outputs():
    unit = Fraction(1, 2**53)
    residual, *rest = run(program(tower()).report, lam=8, c=3, k=2, x=1, y=4, unit_roundoff=unit)
    errors, (output, output_error) = rest[:2], rest[2:]
    assert residual == 0
    assert all(0 < error < 200 * unit for error in errors)
    assert output == Rational(1, 4)
    assert 0 < output_error < 200 * unit


def test_residual_grows_with_the_defect():
    unit = Fraction(1, 2**53)
    defect = run(program(tower()).report, lam=9, c=3, k=2, x=1, y=4, unit_roundoff=unit)
    assert defect[0] > Rational(1, 100)
    assert defect[1] > Rational(1, 100)  # the error of x is of the order of dx = 1/10


def test_key_depends_on_everything_that_changes_numbers():
    keys = {
        program(model).key
        for model in (
            tower(),
            tower(constants=((k, Integer(3)),)),
            tower(constants=((k, exp(-1)),)),
            tower(equations=(Equation(y, x + 2 * c), Equation(lam, k * x * y))),
            tower(outputs={"m": 2 / y}),
            tower(start=Start((), 2 * sqrt(lam), "above")),
            tower(name="other"),
        )
    }
    assert len(keys) == 7
    assert program(tower()).key == program(tower()).key


def test_key_is_the_same_in_another_process():
    code = (
        "from derive.program import program; from derive.theory.deep_features import deep_features;"
        "print(program(deep_features(['erf'])).key)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == program(deep_features(["erf"])).key


def test_programs_survive_pickling():
    frozen = program(deep_features(["erf"]))
    again = pickle.loads(pickle.dumps(frozen))
    assert again.key == frozen.key
    assert again.text() == frozen.text()


def test_keys_survive_pickling_where_sympy_writes_an_expression_in_another_way():
    frozen = program(deep_features([]))
    again = pickle.loads(pickle.dumps(frozen))
    assert again.key == frozen.key


def test_averages_over_tables_are_known_without_slopes():
    plain, mixed = program(deep_features(["erf"])), program(deep_features(["erf"], biases="1/2"))
    assert (plain.averages, mixed.averages) == (False, True)
    assert "slopes" not in vars(plain) | vars(mixed)
    assert (plain.means, bool(mixed.means)) == ((), True)


def test_slopes_are_built_when_asked_for_and_again_after_pickling():
    frozen = program(deep_features(["erf"]))
    again = pickle.loads(pickle.dumps(frozen))
    assert replace(again, name="other").slopes == again.slopes == frozen.slopes
    assert again == frozen


def test_a_program_passes_through():
    frozen = program(tower())
    assert program(frozen) is frozen


def test_blocks_are_closed_over_controls_constants_and_unknowns():
    frozen = program(deep_features(["erf", "tanh"]))
    known = {*frozen.inputs, *(s for s, _ in frozen.constants), UNIT}
    for block in frozen.blocks().values():
        assert {s.name for s in set(block.inputs) - known} <= set(frozen.unknowns)
    assert "deep_features_covariance" in repr(frozen)


def test_proof_says_why_the_root_is_the_only_one():
    proof = program(deep_features(["erf"])).proof
    assert "strictly increasing" in proof.uniqueness
    assert len(proof.meanings) == len(proof.conditions.results)


def test_systems_without_start_or_triangle_are_refused():
    with pytest.raises(NotSupportedError, match="only triangular systems with a starting point"):
        program(tower(start=None))
    with pytest.raises(NotSupportedError, match="only triangular systems with a starting point"):
        program(tower(equations=(Equation(y, x + y * c), Equation(lam, x * y * k))))


def test_unknown_slope_controls_are_refused():
    with pytest.raises(UnknownNameError, match="the controls are c, lam"):
        program(tower(), "beta")
