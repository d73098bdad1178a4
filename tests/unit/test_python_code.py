"""The readable Python file needs ``math`` alone and finds what the compiled evaluator finds."""

import ast

import numpy as np
import pytest

from derive.errors import NotSupportedError
from derive.printing.python_code import python_source
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.compiled import compile

LIMIT = 1e-13


def points(rng, depth, count):
    def spread(low, high):
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    widths = {f"gamma_{k + 1}": spread(0.2, 5) for k in range(depth)}
    return {"alpha": spread(0.1, 10), **widths, "lam": spread(1e-3, 10), "noise": spread(0.1, 1)}


def executed(text):
    space = {}
    exec(text, space)  # our own printed code
    return space["solve"]


def largest_difference(text, ready, controls):
    """Largest relative difference to the compiled evaluator, unknowns and outputs."""
    solve, solution = executed(text), compile(ready, errors=False, slopes=False)(**controls)
    worst = 0.0
    for i in range(len(controls["lam"])):
        found = solve(**{name: float(v[i]) for name, v in controls.items()})
        assert list(found) == [*ready.unknowns, *ready.outputs]
        worst = max(worst, *(abs(v / solution[n][i] - 1) for n, v in found.items()))
    return worst


@pytest.mark.parametrize("depth", [1, 2])
def test_the_file_finds_what_the_compiled_evaluator_finds(rng, depth):
    ready = program(deep_features(["tanh"] * depth))
    assert largest_difference(python_source(ready), ready, points(rng, depth, 25)) <= LIMIT


@pytest.mark.parametrize(
    "planted",
    [("\na_1 = ", "\na_1 = (1 + 3e-12) * "), ("return [out_m", "return [(1 + 3e-13)*out_m")],
)
def test_a_planted_error_in_the_file_is_seen(rng, planted):
    ready = program(deep_features(["tanh"]))
    text = python_source(ready)
    assert planted[0] in text
    assert largest_difference(text.replace(*planted), ready, points(rng, 1, 25)) > LIMIT


def test_the_file_imports_math_alone_and_describes_what_it_takes_and_gives():
    ready = program(deep_features(["erf"]))
    tree = ast.parse(python_source(ready))
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert imported == ["math"]
    assert not any(isinstance(n, ast.ImportFrom) for n in ast.walk(tree))
    (solve,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "solve")
    text = ast.get_docstring(solve)
    assert all(f"{q.name}: {q.meaning}" in text for q in ready.inputs)
    assert all(name in text for name in (*ready.unknowns, *ready.outputs))
    assert all(a in ast.get_docstring(tree) for a in ready.assumptions)


def test_every_number_of_the_file_is_in_the_file():
    tree = ast.parse(python_source(program(deep_features(["erf"]))))
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    known = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets}
    known |= {f.name for f in functions} | {"math"}
    for f in functions[:-1]:
        local = {a.arg for a in f.args.args}
        names = [n for n in ast.walk(f) if isinstance(n, ast.Name)]
        local |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
        read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
        assert read <= local | known | {"min", "max", "abs"}, f"{f.name}"


def test_means_over_tables_are_refused_by_name():
    system = deep_features(["relu", "relu"]).system(digits=4)
    with pytest.raises(NotSupportedError, match="it averages over tables"):
        python_source(system)
