"""Coupled programs on lanes: each point along its own path, whatever else is under way.

Witnesses: the continuation in compiled scalar code (another text, other order of operations), NumPy
for the elimination, and numbers that must not change by a bit.
"""

import functools

import numpy as np
import pytest
from sympy import Abs, Integer, Symbol

from derive.dyson import equations
from derive.errors import NotSupportedError
from derive.matrices import dims, eye, gaussian, ntrace, wigner
from derive.printing.elimination import Elimination, Names, pick
from derive.printing.lane_phases import Asked
from derive.printing.path_phases import path_program
from derive.symbols import control
from numeric.compiled import compile
from numeric.path_ir import LARGEST, path_source
from numeric.solution import Status
from numeric.vector_code import compile_vectors

n, p, d = dims("n p d")
lam, z, noise = control("lam", positive=True), control("z", positive=True), control("noise")
Z, W, V = gaussian("Z", d, n, 1 / n), gaussian("W", p, d, 1 / d), gaussian("V", p, n, 1 / n)
S = wigner("S", d, 1 / d)
SYSTEMS = ("features", "tied", "shifted", "inside")


@functools.cache
def declared(name):
    """Programs of 2, 4 and 2 unknowns, and one whose real points may have no answer."""
    features = W * Z + V
    gram = (features.T * features + lam * eye(n)).inv()
    tied = W.T * W * Z * Z.T * W.T * W + lam * eye(d)
    both = (z * eye(d) - S - Z * Z.T).inv()
    return {
        "features": lambda: equations({"g": ntrace(gram), "e": ntrace(noise * gram * gram)}),
        "tied": lambda: equations({"m": ntrace(tied.inv())}),
        "shifted": lambda: equations({"g": ntrace(both)}),
        "inside": lambda: equations({"g": ntrace(both)}),
    }[name]().program(**({"complex_controls": ("z",)} if name == "shifted" else {}))


@functools.cache
def both(name):
    return compile(declared(name)), compile(declared(name), method="path")


def random_points(name, rng, count):
    ranges = {"z_re": (-1, 1), "z_im": (-6, 0), "lam": (-8, 3), "z": (-0.5, 1)}
    program = declared(name)
    found = {q.name: 10 ** rng.uniform(*ranges.get(q.name, (-1, 1)), count) for q in program.inputs}
    for group, names in program.groups.items():
        found[group] = tuple(found.pop(k) for k in names)
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_lanes_agree_with_the_scalar_continuation(name, rng):
    lanes, scalar = both(name)
    assert (lanes.method, scalar.method) == ("llvm", "path")
    points = random_points(name, rng, 500)
    ours = lanes(**points)
    alone = scalar(**points)
    assert np.array_equal(ours.status, alone.status)
    for key in (*ours.unknowns, *ours.outputs, *ours.slopes):
        true, error = alone[key], alone.error[key]
        assert np.nanmax(np.abs(ours[key] - true) / (error + ours.error[key])) < 1
        assert np.nanmax(np.abs(np.log(ours.error[key] / error))) < np.log(30)
        moved = np.abs(ours[key] * (1 + 1e-5) - true) > error + ours.error[key]
        assert np.mean(moved[np.isfinite(true)]) > 0.9


def test_points_inside_a_spectrum_end_with_a_cause(rng):
    lanes, _ = both("inside")
    found = lanes(**random_points("inside", rng, 300))
    assert set(np.unique(found.status)) == {Status.CONVERGED, Status.SINGULAR_JACOBIAN}
    assert np.array_equal(np.isnan(found.g), found.status != Status.CONVERGED)


@pytest.mark.parametrize("method", ["llvm", "path"])
def test_every_answer_is_the_limit_from_the_upper_half_plane(method, rng):
    """A start from the neighbour gave 1 wrong root in 250 on such points, marked as converged."""
    points = {key: 10 ** rng.uniform(-2, 2, 8000) for key in ("n", "d")}
    points["z"] = 10 ** rng.uniform(-1, 1, 8000)
    found = compile(declared("inside"), method=method)(**points)
    above = compile(declared("shifted"))(**points | {"z": (points["z"], 1e-9)})
    known = (found.status == 0) & (above.status == 0)
    assert known.sum() > 1000
    assert np.all(np.abs(found.g - above.g_re)[known] < 1e-5 * np.abs(above.g_re[known]))
    assert np.all(np.abs(above.g_im[known]) < 1e-4)


@pytest.mark.parametrize("name", ["features", "shifted"])
def test_order_and_threads_and_neighbours_change_no_bit(name, rng):
    lanes, _ = both(name)
    points = random_points(name, rng, 203)
    order = rng.permutation(203)
    whole = lanes(**points, threads=1)
    shuffled = lanes(**{k: np.asarray(v)[..., order] for k, v in points.items()}, threads=2)
    single = lanes(**{k: np.asarray(v)[..., 7:8] for k, v in points.items()})
    for key in (*whole.unknowns, *whole.outputs, *whole.slopes):
        assert np.array_equal(whole[key][order], shuffled[key], equal_nan=True)
        assert single[key][0] == whole[key][7]
    assert np.array_equal(whole.residual[order], shuffled.residual)
    assert np.array_equal(whole.steps[order], shuffled.steps)


@pytest.mark.parametrize("width", [8, 32])
def test_the_width_changes_no_bit(width, rng):
    lanes, _ = both("features")
    points = rng.uniform(0.1, 2.0, (len(lanes.program.inputs), 96))
    out = np.empty((len(lanes.solve(points)), 96))
    run = compile_vectors(path_source(lanes.program, lanes.asked, width))
    run(points.ravel(), np.empty(0), out.reshape(-1), 96, 0, 96 // width)
    assert np.array_equal(out, lanes.solve(points))


def test_what_is_not_asked_for_is_not_computed():
    ready = declared("features")
    bare = compile(ready, outputs=["e"], errors=False, slopes=False)
    point = {"n": 1.0, "p": 0.7, "d": 2.0, "lam": 0.1, "noise": 0.5}
    found = bare(**point)
    assert (list(found.outputs), found.slopes, found.error) == (["e"], {}, {})
    assert abs(found.e / both("features")[0](**point).e - 1) < 1e-14
    assert path_program(ready, bare.asked).slope is None


def test_missing_points_keep_their_places():
    lanes, _ = both("features")
    ridges = np.array([0.1, np.nan, 0.2, np.nan])
    found = lanes(n=1.0, p=0.7, d=2.0, lam=ridges, noise=0.5)
    assert list(found.status) == [0, Status.BAD_INPUT, 0, Status.BAD_INPUT]


def test_programs_without_unknowns_go_by_the_scalar_path():
    plain = equations({"g": ntrace(S * S)})
    assert compile(plain).method == "path"
    with pytest.raises(NotSupportedError, match=f"has 0 unknowns, which is not 1 to {LARGEST}"):
        compile(plain, method="llvm")


# --- the elimination --------------------------------------------------------------------------


def solved(matrix, right, zeros=()):
    """Run the written-out elimination on numbers; entries in ``zeros`` are zero in the text."""
    size = len(matrix)
    entries = {(i, j): Symbol(f"a{i}_{j}", real=True) for i in range(size) for j in range(size)}
    columns = [Symbol(f"b{i}", real=True) for i in range(size)]
    entries |= dict.fromkeys(zeros, Integer(0))
    rows = [[entries[i, j] for j in range(size)] for i in range(size)]
    lines = []
    found = Elimination(rows, [[b] for b in columns], Names(lines))
    values = dict(zip((*entries.values(), *columns), (*np.ravel(matrix), *right), strict=True))
    for symbol, expr in lines:
        values[symbol] = float(expr.xreplace(values))
    return [values[row[0]] for row in found.solutions]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_elimination_solves_what_numpy_solves(size, rng):
    for _ in range(4):
        matrix, right = rng.normal(size=(size, size)), rng.normal(size=size)
        assert np.allclose(solved(matrix, right), np.linalg.solve(matrix, right), rtol=1e-9)


def test_the_elimination_exchanges_rows_where_the_first_pivot_vanishes():
    matrix = np.array([[0.0, 1.0, 2.0], [1e-18, 3.0, -1.0], [2.0, 1.0, 1.0]])
    assert np.allclose(solved(matrix, [1, 2, 3]), np.linalg.solve(matrix, [1, 2, 3]), rtol=1e-14)
    assert np.allclose(
        solved(matrix, [1, 2, 3], {(0, 0)}), np.linalg.solve(matrix, [1, 2, 3]), rtol=1e-14
    )


def test_selections_drop_what_never_holds():
    x = Symbol("x", real=True)
    assert pick((x > x + 1, x), other=Abs(x)) == Abs(x)
    assert pick((x > 0, x), (x < x + 1, -x), (x > 1, x**2), other=x**3).args[-1][0] == -x


def test_every_line_of_a_tick_is_needed():
    ready = declared("tied")
    phases = path_program(ready, Asked(ready.outputs)).phases
    assert [b.block.pruned() == b.block for b in phases.values()] == [True] * 4
