"""The benchmark: seconds, counts, errors and failures of every method, side by side in one run.

Stage: run as ``python -m numeric.bench``; prints Markdown, or writes it. Workloads: A deep random
features (``bench_features``), B effective ridges and complex densities over a population spectrum
(``bench_ridge``, ``bench_density``), C kernels (``bench_kernels``), D certificates
(``bench_certificates``). How methods are timed is described in ``bench_table``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numeric import bench_certificates, bench_density, bench_features, bench_kernels, bench_ridge
from numeric.bench_table import Section
from numeric.doctor import report
from numeric.report import check_folder, write_all


@dataclass(frozen=True)
class Sizes:
    """How much work every room is given.

    Attributes:
        depths: hidden layers of workloads A and D.
        rounds: interleaved rounds after the warm-up.
        threads: of workload A, besides one.
        features, ridge, density, kernels, certificates: points of ours and of quick rivals.
        slow_ridge, slow_density, slow_certificates: points of slow rivals.
        slow_kernels: points of Gauss-Hermite and of ``dblquad``.
        modes: eigenvalues of a population.
        sweeps: most steps of a fixed-point iteration.
        activations: names of ``bench_kernels.ACTIVATIONS``.
    """

    depths: tuple[int, ...] = (1, 2, 3)
    rounds: int = 7
    threads: int = 2
    features: int = 32_000
    ridge: int = 10_000
    slow_ridge: int = 400
    density: int = 4_000
    slow_density: int = 400
    modes: int = 1_000
    sweeps: int = 20_000
    kernels: int = 1_000_000
    slow_kernels: tuple[int, int] = (200, 2)
    activations: tuple[str, ...] = tuple(bench_kernels.ACTIVATIONS)
    certificates: int = 200
    slow_certificates: int = 40


QUICK = Sizes(
    depths=(1,),
    rounds=1,
    threads=1,
    features=256,
    ridge=64,
    slow_ridge=4,
    density=40,
    slow_density=8,
    modes=30,
    sweeps=200,
    kernels=1_000,
    slow_kernels=(4, 0),
    activations=("leaky relu", "silu"),
    certificates=4,
    slow_certificates=2,
)


def _a(sizes: Sizes) -> tuple[Section, ...]:
    made = bench_features.section(sizes.depths, sizes.features, sizes.rounds, sizes.threads)
    return (made,)


def _b(sizes: Sizes) -> tuple[Section, ...]:
    rounds, modes = sizes.rounds, sizes.modes
    real = bench_ridge.section(sizes.ridge, sizes.slow_ridge, rounds, modes)
    points = (sizes.density, sizes.slow_density)
    return real, bench_density.section(*points, min(rounds, 3), modes, sizes.sweeps)


def _c(sizes: Sizes) -> tuple[Section, ...]:
    points = (sizes.kernels, sizes.slow_kernels)
    return (bench_kernels.section(*points, sizes.rounds, sizes.activations),)


def _d(sizes: Sizes) -> tuple[Section, ...]:
    points = (sizes.certificates, sizes.slow_certificates)
    return (bench_certificates.section(sizes.depths, *points, min(sizes.rounds, 3)),)


WORKLOADS: Mapping[str, Callable[[Sizes], tuple[Section, ...]]] = {
    "A": _a,
    "B": _b,
    "C": _c,
    "D": _d,
}


def run(names: Sequence[str], sizes: Sizes) -> str:
    """Run workloads and return the Markdown text."""
    sections = [str(section) for name in names for section in WORKLOADS[name](sizes)]
    claim = (
        f"{sizes.rounds} interleaved rounds at most, one thread unless said; a run shorter than "
        "20 ms follows an untimed one of its own. "
        "Ratios are processor time per point over that of the first method of the case; build is "
        "the wall time until the first answer, with whatever the cache held."
    )
    machine = "\n".join(row for row in report().splitlines() if not row.startswith("cache"))
    return "\n\n".join(["# Methods side by side", claim, *sections, f"```\n{machine}\n```"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print or write."""
    parser = argparse.ArgumentParser(prog="python -m numeric.bench", description=__doc__)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--depths", type=int, nargs="+", help="layers of A and D")
    parser.add_argument("--points", type=int, help="points of A, a multiple of 32")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does everything run?")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file")
    chosen = parser.parse_args(arguments)
    if chosen.output is not None:
        check_folder(chosen.output.parent)
    text = run(chosen.workloads, _sizes(chosen))
    if chosen.output is None:
        print(text)
    else:
        contents = {"benchmark": (chosen.output.name, f"{text}\n".encode())}
        write_all(chosen.output.parent, contents)


def _sizes(chosen: argparse.Namespace) -> Sizes:
    given = {
        "depths": None if chosen.depths is None else tuple(chosen.depths),
        "features": chosen.points,
        "rounds": chosen.rounds,
        "threads": chosen.threads,
    }
    base = vars(QUICK if chosen.quick else Sizes())
    return Sizes(**{**base, **{k: v for k, v in given.items() if v is not None}})


if __name__ == "__main__":
    main()
