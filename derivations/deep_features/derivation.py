"""Deep random features, worked from the published layer maps to a checked table.

Run from top to bottom::

    python derivations/deep_features/derivation.py            # everything, a few minutes
    python derivations/deep_features/derivation.py --quick    # the same steps, under a minute

1. Both published layer maps are rewritten, symbol by symbol, as the towers of ``derive.layers``.
2. The test error with positive terms is proved equal to -F'/g^2 at exact rational points.
3. The two towers are eliminated to polynomials, whose degrees are compared with the known ones.
4. The third figure of arXiv:2302.00401 is computed: a table beside independent values, a figure.
5. Finite networks are drawn and judged against the table.

Results go to the folder ``out`` beside this file. The algebra in words is in NOTES.md.
"""

import argparse
import random
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sympy import Expr, Rational, Symbol, cancel, symbols

from derive.layers import Base, Chain, Layer, Teacher, covariance_system, kernel_system, width
from derive.system import System
from derive.theory.deep_features import DeepFeatures, deep_features
from numeric.compare import Comparison, compare
from numeric.compiled import Evaluator, compile
from numeric.experiments.deep_features import simulate
from numeric.progress import progress
from numeric.report import equations_document, figure_bytes, write_all

HERE = Path(__file__).parent
OUT = HERE / "out"
TABLE = HERE.parents[1] / "tests" / "reference" / "deep_features.toml"
ACTIVATIONS = {"tanh": "tanh", "clip": "1.1*clip(z, -2, 2)"}
WIDTH, RIDGE = 4, 1e-3
DEPTHS = (1, 2, 3, 4, 5, 6)


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Announce a stage and its time."""
    print(f"\n{title}", flush=True)
    start = time.perf_counter()
    yield
    print(f"   ({time.perf_counter() - start:.1f} s)", flush=True)


# --- 1. the layer maps ----------------------------------------------------------------------------


def kernel_map_identities() -> dict[str, Expr]:
    """Differences that must vanish: published (lambda, g, C) map less the form with k and h.

    Known at level l - 1: lambda = k (1 - h) and g = 1/k. The published map forms u, h, e; the
    tower claims h_l = h + b/(a k), k_l = a k e, lambda_l = k_l (1 - h_l), C_l k_l = C k.
    """
    k, h, a, b, alpha, gamma, C = symbols("k h a b alpha gamma C", positive=True)
    lam, g = k * (1 - h), 1 / k
    u = a * lam - b
    h_published = 1 - lam * g * u / (u + b)
    e = 1 - alpha / gamma * h_published
    lam_new, g_new, C_new = u * e, g / (e * a), C / (e * a)
    h_tower = h + b / (a * k)
    k_tower = a * k * (1 - alpha * h_tower / gamma)
    return {
        "h_l": h_published - h_tower,
        "g_l k_l = 1": g_new * k_tower - 1,
        "lambda_l = k_l (1 - h_l)": lam_new - k_tower * (1 - h_tower),
        "C_l k_l = C_(l-1) k_(l-1)": C_new * k_tower - C * k,
    }


def covariance_map_identities() -> dict[str, Expr]:
    """Differences that must vanish: published (S, x) map less the form with df."""
    x, df, a, b, alpha, before, after = symbols("x df a b alpha gamma_0 gamma_1", positive=True)
    S = (1 - df / before) / x  # df = gamma (1 - x S), the definition of df
    c = before / after
    S_new = c / (a * x)
    x_new = ((1 - c) + c * x * S) / S_new - b
    x_tower = a * x * (after - df) / before - b
    df_tower = df + b * before / (a * x)
    r = alpha / after
    return {
        "x_l": x_new - x_tower,
        "df_l": after * (1 - x_new * S_new) - df_tower,
        "lambda": x_new * (r - 1 + x_new * S_new) - x_tower * (alpha - df_tower) / after,
        "gamma_l - df_l": after - df_tower - x_tower * before / (a * x),
    }


def prove(identities: dict[str, Expr]) -> None:
    """Cancel each difference to zero, or stop."""
    for name, difference in identities.items():
        if cancel(difference) != 0:
            raise SystemExit(f"identity {name} fails: {cancel(difference)}")
        print(f"   proved: {name}")


# --- 2. the positive form of the test error -------------------------------------------------------


def chain(depth: int) -> Chain:
    """A chain whose constants stay symbols: isotropic input, linear target, hidden part."""
    layers = tuple(
        Layer(i, Symbol(f"a_{i}", positive=True), Symbol(f"b_{i}", positive=True), width(i))
        for i in range(1, depth + 1)
    )
    signal, hidden = Symbol("signal", positive=True), Symbol("hidden", positive=True)
    one = Rational(1)
    constants = [(s, one) for layer in layers for s in (layer.a, layer.b)]
    gammas = tuple(f"gamma_{i}" for i in range(1, depth + 1))
    return Chain(
        Base(one, ((one, one),)),
        layers,
        Teacher(0, signal, hidden),
        (*constants, (signal, one), (hidden, one)),
        (("gamma", gammas),) if gammas else (),
    )


def values_at(system: System, point: dict[str, Expr], first: Expr) -> dict[str, Expr]:
    """Exact values of the outputs at rational controls, with lam read off the closing equation."""
    lam = system.control("lam")
    given = {s: point[s.name] for s in (*system.controls, *(s for s, _ in system.constants))}
    given.pop(lam)
    given[system.unknowns[0]] = first
    for symbol, expr in system.triangular_lines():
        given[symbol] = expr.xreplace(given)
    given[lam] = system.equations[-1].rhs.xreplace(given)
    for symbol, expr in system.definitions:
        given[symbol] = expr.xreplace(given)
    return {"lam": given[lam]} | {n: e.xreplace(given) for n, e in system.outputs.items()}


def rational_point(depth: int, rng: random.Random) -> tuple[dict[str, Expr], Expr]:
    """Random rational controls, constants and a value of x_0."""

    def draw() -> Expr:
        return Rational(rng.randint(1, 40), rng.randint(1, 20))

    names = ["alpha", "noise", "lam", "signal", "hidden"]
    names += [f"{letter}_{i}" for i in range(1, depth + 1) for letter in ("a", "b", "gamma")]
    return {name: draw() for name in names}, draw()


def differences_of_routes(depth: int, count: int, seed: int = 0) -> set[Expr]:
    """Exact differences of lam, m, E_test, E_train between the routes at rational points.

    The covariance route writes E_test with positive terms; the kernel route differentiates F and
    takes -F'/g^2. With k_0 = alpha x_0 both describe one point of the same curve.
    """
    rng = random.Random(seed)
    first, second = covariance_system(chain(depth)), kernel_system(chain(depth))
    found: set[Expr] = set()
    for _ in range(count):
        point, x_0 = rational_point(depth, rng)
        one = values_at(first, point, x_0)
        two = values_at(second, point, point["alpha"] * x_0)
        found |= {one[name] - two[name] for name in one}
    return found


# --- 4. the figure --------------------------------------------------------------------------------


def declared(name: str, depth: int) -> DeepFeatures:
    """The network of the figure: one activation in every layer, a sign network as target."""
    return deep_features([ACTIVATIONS[name]] * depth, ["sign"])


@cache
def evaluator(name: str, depth: int) -> Evaluator:
    """Compile the equations once per network, for the test error alone."""
    system = declared(name, depth).system()
    return compile(system, outputs=["E_test"], errors=False, slopes=False)


def theory(name: str, depth: int, alpha: Sequence[float]) -> np.ndarray:
    """Test error of the figure at values of alpha.

    Accuracy: within 1e-12 relative (checked by tests/reference).
    """
    solution = evaluator(name, depth)(
        alpha=np.asarray(alpha, dtype=float), gamma=(WIDTH,) * depth, lam=RIDGE, noise=0
    )
    return np.asarray(solution.check().E_test)


def printed() -> tuple[list[float], dict[str, list[list[str]]]]:
    """Values of alpha, and the independent values as text, by activation and depth."""
    data = tomllib.loads(TABLE.read_text())["figure3"]
    return [float(a) for a in data["alpha"]], {name: data[name] for name in ACTIVATIONS}


def table(depths: Sequence[int]) -> str:
    """The table of the figure as Markdown; each cell reads computed / independent value."""
    alpha, values = printed()
    head = ["activation", "L", *(f"alpha = {a:g}" for a in alpha)]
    rows = [head, ["---"] * len(head)]
    with progress(len(ACTIVATIONS) * len(depths), "table") as advance:
        for name in ACTIVATIONS:
            for depth in depths:
                cells = zip(theory(name, depth, alpha), values[name][depth - 1], strict=True)
                shown = [f"{value:.9f} / {float(text):.7g}" for value, text in cells]
                rows.append([name, str(depth), *shown])
                advance(1)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(depths: Sequence[int], points: int) -> Figure:
    """Test error against alpha, one line a depth, with the independent values as dots."""
    drawn = Figure(figsize=(9, 4), layout="constrained")
    grid = np.geomspace(0.3, 10, points)
    alpha, values = printed()
    for axes, name in zip(drawn.subplots(1, 2, sharey=True), ACTIVATIONS, strict=True):
        for depth in depths:
            (line,) = axes.plot(grid, theory(name, depth, grid), label=f"$L = {depth}$")
            dots = [float(text) for text in values[name][depth - 1]]
            axes.plot(alpha, dots, "o", color=line.get_color(), markersize=3)
        axes.set_xscale("log")
        axes.set_xlabel(r"$\alpha = n/d$")
        axes.set_title(ACTIVATIONS[name])
    first = drawn.axes[0]
    first.set_ylabel(r"$E_{\mathrm{test}}$")
    first.legend(frameon=False, fontsize="small")
    return drawn


# --- 5. finite networks ---------------------------------------------------------------------------


def finite_size(name: str, depth: int, sizes: tuple[int, ...], trials: int) -> Comparison:
    """Draw finite networks at two points of the table and compare."""
    model, alpha = declared(name, depth), np.array([0.5, 2.0])
    point = {"alpha": alpha, "gamma": (WIDTH,) * depth, "lam": RIDGE, "noise": 0}
    drawn = simulate(model, **point, d=sizes, trials=trials, seed=0)
    return compare({"E_test": theory(name, depth, list(alpha))}, drawn, ("E_test",))


def main() -> None:
    """Work through all stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    quick = parser.parse_args().quick
    depths = (1, 2, 3) if quick else DEPTHS

    with stage("1. published layer maps as towers"):
        prove(kernel_map_identities() | covariance_map_identities())
    with stage("2. E_test with positive terms equals -F'/g^2, exactly"):
        for depth in (0, 1, 2, 3):
            found = differences_of_routes(depth, 5 if quick else 40)
            if found != {0}:
                raise SystemExit(f"depth {depth}: the routes differ by {found}")
            print(f"   depth {depth}: every difference is 0 at random rational points")
    with stage("3. one polynomial between m and lambda"):
        for depth in (0, 1) if quick else (0, 1, 2):
            relation = covariance_system(chain(depth)).polynomial()
            print(f"   depth {depth}: degrees in m and lambda {relation.degrees}")
    with stage("4. third figure of arXiv:2302.00401"):
        rows = table(depths)
        print(rows)
        drawn = figure(depths, 40 if quick else 160)
    with stage("5. finite networks"):
        sizes, trials = ((40, 80), 8) if quick else ((100, 200), 24)
        found = finite_size("tanh", 2, sizes, trials)
        moved = found.moved(1.05)
        print(found.table())
        print(f"   verdict: {found.verdict}; with the theory times 1.05: {moved.verdict}")
    contents = {
        "table": ("table.md", f"{rows}\n".encode()),
        "equations": (
            "equations.tex",
            equations_document(deep_features(["erf"]).system()).encode(),
        ),
        "comparison": ("comparison.txt", f"{found.table()}\n".encode()),
        "pdf": ("figure3.pdf", figure_bytes(drawn, "pdf")),
        "png": ("figure3.png", figure_bytes(drawn, "png")),
    }
    written = write_all(OUT, contents)
    print("\nwritten: " + ", ".join(str(path) for path in written.values()))


if __name__ == "__main__":
    main()
