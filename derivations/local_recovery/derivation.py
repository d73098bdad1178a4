"""Local linear recovery, worked from tangent functions to certified tables and experiments.

Run from top to bottom::

    python derivations/local_recovery/derivation.py            # everything, a few minutes
    python derivations/local_recovery/derivation.py --quick    # the same steps, under a minute

1. The table of families: closed forms beside certified ranks at a representation of a target.
2. Where singular values in double precision go wrong, and residues do not.
3. The fibre of one function, stratum by stratum, each certified.
4. Exact probabilities on finite domains.
5. The exponent law on every family of the table, and a wrong size refused.
6. Figures: stratification of 4 x 4 factorisation, convolutional lines, strata.
7. The Hessian at zero loss, and families of critical points.

Results go to the folder ``out`` beside this file. The algebra in words is in NOTES.md.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Symbol, tanh

from derive.model_rank import model_rank
from derive.recovery.completion import completion_probability
from derive.recovery.linear import DeepLinear, Diagonal, MatrixFactorization
from derive.recovery.networks import Convolutional, FullyConnected, Monomial, TwoLayer
from derive.recovery.strata import fibre_strata, rank_table
from derive.theory.local_recovery import LocalRecovery, local_recovery
from numeric.experiments.embedding import embedding_family
from numeric.experiments.local_recovery import (
    DELTAS,
    errors_by_size,
    exponent_law,
    hessian_rank,
    slopes_of,
)
from numeric.experiments.small_start import STATEMENT, small_start
from numeric.recovery_plots import (
    exponent_lines,
    recovery_curves,
    strata_figure,
    stratification_map,
)
from numeric.report import figure_bytes, write_all

HERE = Path(__file__).parent
OUT = HERE / "out"
LAYER = ((5,), (3,))
FAMILIES: dict[str, tuple[Any, Any]] = {
    "two layers, d=3, k=2": (TwoLayer(3, 4), 2),
    "two layers with biases, d=3, k=2": (TwoLayer(3, 4, bias=True), 2),
    "the same with output bias": (TwoLayer(3, 4, bias=True, output_bias=True), 2),
    "sigmoid, d=3, k=2": (TwoLayer(3, 4, "sigmoid"), 2),
    "convolution, shared": (Convolutional(*LAYER, 2, "shared"), 1),
    "convolution, local": (Convolutional(*LAYER, 2, "local"), 1),
    "convolution, fully connected": (Convolutional(*LAYER, 2, "full"), 1),
    "convolution, pooled": (Convolutional(*LAYER, 2, "pooled"), 1),
    "4x4 factorisation, rank 1": (MatrixFactorization(4, 4, 4), 1),
    "4x4 factorisation, rank 2": (MatrixFactorization(4, 4, 4), 2),
    "4x4 factorisation, rank 3": (MatrixFactorization(4, 4, 4), 3),
    "three linear layers, 4->3, rank 2": (DeepLinear((4, 3, 3, 3)), 2),
    "diagonal, depth 3, 4 of 6": (Diagonal(6, 3), 4),
    "cubes, d=3, k=2": (Monomial(3, 3, 3), 2),
    "three layers, 2-2-2-1 in 2-3-3-1": (FullyConnected((2, 3, 3, 1)), (2, 2, 2, 1)),
}


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Announce a stage and its time."""
    print(f"\n{title}", flush=True)
    start = time.perf_counter()
    yield
    print(f"   ({time.perf_counter() - start:.1f} s)", flush=True)


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def declared(name: str) -> LocalRecovery:
    """A family of the table with a random target."""
    return local_recovery(*FAMILIES[name])


# --- 1. the table ---------------------------------------------------------------------------------


def family_rows() -> list[tuple[str, int, int, str, int, str]]:
    """Name, parameters, size in closed form, its status, certified rank, its status."""
    rows = []
    for name in FAMILIES:
        model = declared(name)
        size, found = model.sample_size(), model.certify()
        if found.rank != size.value or not found.exact:
            raise SystemExit(f"{name}: closed form {size}, certified {found}")
        rows.append((name, size.parameters, size.value, size.status, found.rank, found.status))
    return rows


# --- 2. singular values against residues ----------------------------------------------------------


def neurons(count: int) -> tuple[Any, list[Symbol], dict[Symbol, int]]:
    """sum_i a_i tanh(i x) in one dimension, its parameters, and the point a_i = 1, w_i = i."""
    x = Symbol("x")
    a = [Symbol(f"a{i}") for i in range(1, count + 1)]
    w = [Symbol(f"w{i}") for i in range(1, count + 1)]
    expr = sum(s * tanh(t * x) for s, t in zip(a, w, strict=True))
    point = dict.fromkeys(a, 1) | {t: i for i, t in enumerate(w, 1)}
    return expr, [*a, *w], point


def float_ranks(count: int, tolerances: Sequence[float]) -> list[int]:
    """Ranks of the column-normalised tangent matrix in double precision, by tolerance."""
    x = np.random.default_rng(0).uniform(-3, 3, size=(40 * count, 1))
    t = np.tanh(x * np.arange(1, count + 1))
    rows = np.hstack([t, x * (1 - t**2)])
    singular = np.linalg.svd(rows / np.linalg.norm(rows, axis=0), compute_uv=False)
    return [int((singular > tolerance * singular[0]).sum()) for tolerance in tolerances]


def silent_failures() -> list[tuple[int, int, int, int, int]]:
    """True rank, certified rank, ranks in double precision at three tolerances."""
    rows = []
    for count in (5, 8, 10, 20):
        expr, theta, point = neurons(count)
        found = model_rank(expr, theta, "x", point)
        rows.append((count, found.rank, *float_ranks(count, (1e-9, 1e-12, 1e-15))))
    return rows


# --- 3. strata ------------------------------------------------------------------------------------


def certified_strata(d: int, width: int, k: int) -> list[Any]:
    """The strata of one fibre; each is certified at a point of its own, or the run stops."""
    network = TwoLayer(d, width)
    family, strata = network.family(), fibre_strata(network, k)
    for stratum in strata:
        found = family.rank(stratum.point(network, k))
        if found.rank != stratum.rank or not found.exact:
            raise SystemExit(f"{stratum}: certified {found}")
    return list(strata)


# --- 5. and 6. experiments ------------------------------------------------------------------------


def exponent_rows(seeds: int) -> list[tuple[str, int, str, str, str]]:
    """Name, size, median orders below and at the size, verdict."""
    rows = []
    for name in FAMILIES:
        law = exponent_law(declared(name), seeds=seeds)
        below, at = law.medians
        verdict = "separates" if law.separates else "DOES NOT SEPARATE"
        rows.append((name, law.claimed, f"{below:.3f}", f"{at:.3f}", verdict))
    return rows


def convolutional_orders(seeds: int, step: int) -> dict[str, tuple[Any, Any, int]]:
    """Median order of the error by number of samples, for three kinds of sharing."""
    curves = {}
    for sharing in ("shared", "local", "full"):
        model = local_recovery(Convolutional(*LAYER, 2, sharing), 1)
        size = model.sample_size().value
        n = sorted({*range(2, 25, step), size - 1, size})
        errors, _ = errors_by_size(model, n, seeds=seeds)
        orders = np.median(slopes_of(errors, DELTAS), axis=1)
        curves[sharing] = (np.array(n), orders, size)
    return curves


def factorisation_map(n: Sequence[int], targets: int, steps: int) -> tuple[dict[int, int], Any]:
    """Sizes by rank, and median test errors of training from a small start by rank and n."""
    family = MatrixFactorization(4, 4, 4)
    sizes = {r: size.value for r, size in rank_table(family, 4).items() if r}
    errors = [
        np.median(small_start(family, r, n, targets=targets, steps=steps).errors, axis=1)
        for r in sizes
    ]
    return sizes, np.array(errors)


def main() -> None:
    """Work through all stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    quick = parser.parse_args().quick
    contents: dict[str, tuple[str, bytes]] = {}

    with stage("1. optimistic sample sizes, and certified ranks at a representation"):
        rows = family_rows()
        head = ("family", "M", "O", "status", "certified rank", "certificate")
        contents["families"] = ("families.md", (markdown(head, rows) + "\n").encode())
        print(markdown(head, rows))
    with stage("2. singular values of the tangent matrix of tanh(x), ..., tanh(k x)"):
        head = ("k", "certified rank", "SVD, 1e-9", "SVD, 1e-12", "SVD, 1e-15")
        print(markdown(head, silent_failures()))
    with stage("3. the fibre of a function of 2 neurons in a network of 6, d = 3"):
        strata = certified_strata(3, 6, 2)
        print(f"   {len(strata)} strata, ranks {sorted({s.rank for s in strata})}, all certified")
    with stage("4. exact probabilities that n entries suffice"):
        for rank, sizes in ((1, range(7, 14)), (2, (12, 13, 14))):
            found = [f"{n}: {completion_probability(4, 4, n, rank).value}" for n in sizes]
            print(f"   4 x 4, rank {rank}: {', '.join(found)}")
    with stage("5. the exponent law"):
        rows = exponent_rows(3 if quick else 9)
        head = ("family", "O", "order at O - 1", "order at O", "verdict")
        contents["exponents"] = ("exponents.md", (markdown(head, rows) + "\n").encode())
        print(markdown(head, rows))
        for wrong in (6, 8):
            law = exponent_law(declared("4x4 factorisation, rank 1"), wrong, seeds=3)
            print(f"   claimed {wrong} for rank 1: {law}")
    with stage("6. figures"):
        n = (4, 7, 10, 12, 15, 16) if quick else tuple(range(3, 19))
        sizes, errors = factorisation_map(n, 6 if quick else 20, 1500 if quick else 20000)
        print(f"   small start: {STATEMENT}")
        curves = convolutional_orders(3 if quick else 9, 6 if quick else 1)
        family = MatrixFactorization(4, 4, 4)
        seen = (7, 9, 12, 16) if quick else tuple(range(6, 17))
        starts = {
            f"start {s:g}": small_start(
                family, 1, seen, observed="entries", start=s, steps=1500 if quick else 20000
            )
            for s in ((1e-3,) if quick else (1e-1, 1e-3, 1e-5))
        }
        caps = np.array([float(completion_probability(4, 4, k)) for k in seen])
        drawn = {
            "stratification": stratification_map(n, sizes, errors, "4 x 4 factorisation"),
            "convolution": exponent_lines(curves, "one kernel of 3 taps, d = 5"),
            "strata": strata_figure(strata, 8, "2 neurons in a network of 6, d = 3"),
            "starts": recovery_curves(
                {k: (v.n, v.fractions) for k, v in starts.items()}, 7, (np.array(seen), caps)
            ),
        }
        for name, figure in drawn.items():
            for kind in ("pdf", "png"):
                contents[f"{name}.{kind}"] = (f"{name}.{kind}", figure_bytes(figure, kind))
    with stage("7. Hessian at zero loss, and families of critical points"):
        model = declared("convolution, shared")
        for count in (4, 6, 12):
            found = hessian_rank(model, count)
            print(f"   n = {count}: rank {found.rank}, min(n, r) = {found.expected}")
        split = embedding_family((2, 2, 2, 1))
        print(
            f"   split network: gradient {split.wide_gradients.max():.1e} (narrow "
            f"{split.narrow_gradient:.1e}, beside the family {split.off_gradient:.1e}) at loss "
            f"{split.loss:.3f}; dimension {split.dimension}, bound {split.bound}"
        )
    written = write_all(OUT, contents)
    print("\nwritten: " + ", ".join(str(path) for path in written.values()))


if __name__ == "__main__":
    main()
