"""Gaps by complements: the same roots, known multiples of the same residuals, exact arithmetic."""

from dataclasses import replace

import pytest
from sympy import Integer, Piecewise, Rational, Symbol

from derive.chains.random_gain import MixedLayer
from derive.complement import carried
from derive.layers import Base, Chain, Layer, Teacher, covariance_system, width
from derive.program import program
from derive.symbols import Quantity
from derive.tables import FewKinds
from derive.theory.deep_features import deep_features

ROWS = ((Rational(1, 2), Rational(1, 3)), (Rational(3), Rational(2, 3)))
KINDS = FewKinds(
    (
        (Rational(1, 4), Rational(1, 3), Rational(1, 7)),
        (Rational(3, 4), Rational(2), Rational(1, 9)),
    )
)
TEACHER = Teacher(0, Integer(1), Integer(0))


def plain(level, rows=()):
    a, b = Quantity(f"a_{level}", "gain", low=0, open_low=True), Quantity(f"b_{level}", "", low=0)
    return Layer(level, a, b, width(level), rows)


def mixed(level, rows=()):
    return MixedLayer(level, KINDS, width(level), rows)


def chain(*layers):
    constants = tuple((s, s) for x in layers if isinstance(x, Layer) for s in (x.a, x.b))
    gammas = tuple(f"gamma_{x.level}" for x in layers)
    base = Base(Integer(1), ((Rational(1, 2), Rational(1, 2)), (Rational(2), Rational(1, 2))))
    known = tuple((s, Rational(1, 2 + i)) for i, (s, _) in enumerate(constants))
    return Chain(base, layers, TEACHER, known, (("gamma", gammas),) if gammas else ())


CHAINS = {
    "equal neurons": (plain(1), plain(2)),
    "no layers": (),
    "two kinds of neurons": (mixed(1), mixed(2)),
    "rows with a covariance": (plain(1), plain(2, ROWS)),
    "all of it": (mixed(1), plain(2, ROWS), mixed(3, ROWS)),
}


def at(system, widths):
    """Exact numbers for controls, constants and unknowns, away from any root."""
    gammas = {f"gamma_{i}": g for i, g in enumerate(widths, 1)}
    rest = {"alpha": Rational(7, 4), "lam": Rational(1, 9), "noise": Rational(1, 5)}
    values = {q: (gammas | rest)[q.name] for q in system.controls} | dict(system.constants)
    return values | {u: Rational(3 + 2 * i, 5) for i, u in enumerate(system.unknowns)}


def evaluated(system, values):
    found = dict(values)
    for symbol, expr in system.definitions:
        found[symbol] = expr.xreplace(found)
    return found


@pytest.mark.parametrize("widths", [(2, 3, 4), (4, 2, 1), (1, 1, 1), (6, 1, 5)])
@pytest.mark.parametrize("name", CHAINS)
def test_given_residuals_follow_from_those_for_machines_exactly(name, widths):
    system = covariance_system(chain(*CHAINS[name]))
    ready = carried(system)
    values = at(system, [Integer(w) for w in widths])
    given, machine = evaluated(system, values), evaluated(ready.system, values)
    own = [Symbol(f"own_{i}") for i in range(len(system.equations))]
    machine |= {
        s: e.residual.xreplace(machine) for s, e in zip(own, ready.system.equations, strict=True)
    }
    found = [e.xreplace(machine) for e in ready.residuals(own)]
    assert found == [e.residual.xreplace(given) for e in system.equations]


def test_residuals_without_the_links_would_differ():
    system = covariance_system(chain(*CHAINS["equal neurons"]))
    ready = carried(system)
    values = at(system, [Integer(1), Integer(1)])
    given, machine = evaluated(system, values), evaluated(ready.system, values)
    last = system.equations[-1].residual.xreplace(given)
    assert ready.system.equations[-1].residual.xreplace(machine) != last


@pytest.mark.parametrize("name", CHAINS)
def test_the_form_at_a_root_solves_its_equation(name):
    ready = carried(covariance_system(chain(*CHAINS[name])))
    values = at(ready.system, [Integer(2)] * 3)
    machine = evaluated(ready.system, values)
    for symbol, expr in ready.at_root.items():
        (equation,) = (e for e in ready.system.equations if symbol in e.rhs.free_symbols)
        there = machine | {symbol: expr.xreplace(machine)}
        assert equation.residual.xreplace(there) == 0


def test_the_choice_of_a_form_rests_on_controls_alone():
    ready = carried(covariance_system(chain(*CHAINS["all of it"])))
    chosen = [e for _, e in ready.system.definitions if isinstance(e, Piecewise)]
    controls = set(ready.system.controls)
    assert len(chosen) == 3 * len(ready.along) == 12
    assert all(e.free_symbols <= controls for e in chosen)


def test_margins_are_negative_only_where_both_complements_are_small():
    ready = carried(deep_features([]).system())
    df = Symbol("df_0", real=True)
    (margin,) = ready.margins
    (part,) = (s for s in margin.free_symbols if s.name == "df_0")
    alpha = ready.system.control("alpha")
    at_peak = {alpha: Integer(1), part: Rational(999, 1000)}
    overfitted = {alpha: Rational(1, 2), part: Rational(4999, 10000)}
    underfitted = {alpha: Integer(2), part: Rational(9999, 10000)}
    assert df.name == part.name
    assert margin.xreplace(at_peak) < 0
    assert margin.xreplace(overfitted) > 0
    assert margin.xreplace(underfitted) > 0


def test_systems_without_gaps_stay_as_they_are_and_others_say_what_was_done():
    system = deep_features(["erf"]).system()
    bare = replace(system, equations=tuple(replace(e, gap=None) for e in system.equations))
    assert carried(bare).system is bare
    assert "carry gaps by complements" in str(program(system).log)
    assert "complements" not in str(program(bare).log)
    assert "complements" not in str(system.log)
