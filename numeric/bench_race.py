"""Many processes that need the same machine code at once, and find none in the cache.

Stage: run as ``python -m numeric.bench_race``; prints Markdown. In each round all processes are
told of one new, empty cache folder and compile the same kernel into it at the same moment; after
the last round a fresh process solves from every folder. A failure is a process that ends, prints to
its error stream or returns another number, and a folder with unfinished files.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from numeric.compiled import METHODS

_RACER = """
import os, sys
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric import vector_code
ready = program(deep_features([]).system())
print("ready", flush=True)
for line in sys.stdin:
    os.environ["STIELTJES_CACHE"] = line.strip()
    vector_code._ENGINES.clear()
    for name in [n for n in sys.modules if n.startswith("stieltjes_kernel_")]:
        del sys.modules[name]
    evaluate = compile(ready, outputs=(), errors=False, slopes=False, method={method!r})
    print(float(evaluate(alpha=2.0, lam=0.1, noise=0.0).x_0).hex(), flush=True)
"""


@dataclass(frozen=True)
class Race:
    """What came of a race.

    Attributes:
        method: of ``numeric.compiled.METHODS``.
        processes: how many raced.
        rounds: how many times.
        failures: what went wrong, one line each.
        seconds: wall time of a round.
    """

    method: str
    processes: int
    rounds: int
    failures: tuple[str, ...]
    seconds: float


def race(method: str, processes: int = 8, rounds: int = 20) -> Race:
    """Let processes race for the cold kernel of a linear network, round by round."""
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(turn) for turn in range(rounds)]
        racers = [_racer(method) for _ in range(processes)]
        began = time.perf_counter()
        values = {line for folder in folders for line in _round(racers, folder)}
        seconds = (time.perf_counter() - began) / rounds
        failures = [text for racer in racers for text in _ended(racer)]
        after = _racer(method)
        values |= {line for folder in folders for line in _round([after], folder)}
        failures += _ended(after)
        failures += [f"numbers differ: {sorted(values)}"] if len(values) > 1 else []
        failures += [str(p) for f in folders for p in f.rglob("*.tmp*")]
        failures += [f"nothing in {f}" for f in folders if not any(f.rglob("kernel.*"))]
    return Race(method, processes, rounds, tuple(failures), seconds)


def _racer(method: str) -> "subprocess.Popen[str]":
    """Start a process and wait until it only lacks the name of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RACER.format(method=method)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NUMBA_NUM_THREADS": "1"},
    )
    _line(process)
    return process


def _round(racers: Sequence["subprocess.Popen[str]"], folder: Path) -> list[str]:
    """Tell all processes of a folder and return their answers."""
    alive = [r for r in racers if r.poll() is None]
    for racer in alive:
        assert racer.stdin is not None, "a pipe was asked for"
        with suppress(BrokenPipeError):
            racer.stdin.write(f"{folder}\n")
            racer.stdin.flush()
    return [line for r in alive if (line := _line(r))]


def _line(racer: "subprocess.Popen[str]") -> str:
    assert racer.stdout is not None, "a pipe was asked for"
    return racer.stdout.readline().strip()


def _ended(racer: "subprocess.Popen[str]") -> list[str]:
    """End a process and return what it complained about."""
    _, errors = racer.communicate()
    code = [f"ended with {racer.returncode}"] if racer.returncode else []
    return code + errors.splitlines()[-1:]


def table(races: Sequence[Race]) -> str:
    """Return races as a Markdown table, failures below it."""
    lines = ["| method | processes | rounds | failures | s per round |", "| --- " * 5 + "|"]
    for r in races:
        shown = f"{len(r.failures)} | {r.seconds:.2f}"
        lines.append(f"| {r.method} | {r.processes} | {r.rounds} | {shown} |")
    return "\n".join([*lines, *(f"* {r.method}: {text}" for r in races for text in r.failures)])


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    print(table([race(m, chosen.processes, chosen.rounds) for m in chosen.methods]))


if __name__ == "__main__":
    main()
