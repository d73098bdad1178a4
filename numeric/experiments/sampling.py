"""Independent trials of a finite-size experiment: seeds, bookkeeping, and the table of results.

Stage: shared by every experiment. An experiment says which trials it wants (an address in the
table and the arguments of the draw) and how to draw one; this room runs them, here or on any
``concurrent.futures`` executor, keeps what is finished when it is interrupted, and freezes the
results as a ``Simulation`` for ``numeric.compare``.

Conventions: the axes of a table are (size, trial, *points); a trial that has not run is NaN.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.errors import RangeError, ShapeError, UnknownNameError
from numeric.experiments.single_thread import single_thread
from numeric.progress import progress

Array = NDArray[np.float64]
Address = tuple[int, ...]
Draw = Callable[..., Mapping[str, Any]]
CHECKPOINT_SECONDS = 5.0


def generator(seed: int, *labels: float) -> np.random.Generator:
    """Return the random generator of one trial, a function of the seed and the labels alone.

    Args:
        seed: seed of the whole experiment, >= 0.
        labels: what identifies the trial (size, trial number, values of its controls); two sets of
            labels that differ in any bit give independent streams.

    Example:
        >>> bool(generator(0, 200, 1).random() == generator(0, 200, 1.0).random())
        True
    """
    words = np.array(labels, dtype=np.float64).view(np.uint32)
    return np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))


@dataclass(frozen=True, eq=False)
class Simulation:
    """Results of an experiment, one number per output, size, trial and point.

    Attributes:
        name: what was simulated, a few words.
        declaration: the whole declaration as text, to tell one experiment from another.
        d: sizes, one per entry of the first axis.
        controls: value of each control at each point, all of shape ``points``.
        values: per output an array of shape ``(len(d), trials, *points)``; NaN where a trial has
            not run.
        seed: seed of the experiment; with the size, the trial number and the controls it fixes
            every trial.
    """

    name: str
    declaration: str
    d: tuple[int, ...]
    controls: Mapping[str, Array]
    values: Mapping[str, Array]
    seed: int

    def __getitem__(self, output: str) -> Array:
        """Return the trials of one output, shape ``(len(d), trials, *points)``."""
        if output not in self.values:
            raise UnknownNameError(
                f"output {output!r} of the simulation",
                "not measured",
                f"choose among {', '.join(self.values)}",
            )
        return self.values[output]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what was measured."""
        return tuple(self.values)

    @property
    def trials(self) -> int:
        """Number of trials asked for per size and point."""
        return int(next(iter(self.values.values())).shape[1])

    @property
    def points(self) -> tuple[int, ...]:
        """Shape of the grid of points."""
        return tuple(next(iter(self.values.values())).shape[2:])

    @property
    def finished(self) -> bool:
        """Whether every trial has run."""
        return not any(bool(np.isnan(table).any()) for table in self.values.values())

    def count(self, output: str) -> NDArray[np.int64]:
        """Return how many trials have run, shape ``(len(d), *points)``."""
        return np.asarray(np.isfinite(self[output]).sum(axis=1), dtype=np.int64)

    def mean(self, output: str) -> Array:
        """Return the mean over trials, shape ``(len(d), *points)``; NaN where none has run.

        Accuracy: sampling error ``stderr(output)``.
        """
        count = self.count(output)
        return np.asarray(np.nansum(self[output], axis=1) / np.where(count > 0, count, np.nan))

    def stderr(self, output: str) -> Array:
        """Return the standard error of the mean, shape ``(len(d), *points)``; NaN below two trials.

        Accuracy: relative standard deviation ``1/sqrt(2 (trials - 1))`` for normal trials.
        """
        count = self.count(output)
        spread = self[output] - self.mean(output)[:, None]
        dof = np.where(count > 1, count - 1.0, np.nan)
        return np.asarray(np.sqrt(np.nansum(spread**2, axis=1) / dof / np.maximum(count, 1)))

    def to_text(self) -> str:
        """Return the simulation as JSON text; ``from_text`` gives back the same numbers."""
        tables = {name: _to_lists(table) for name, table in self.values.items()}
        controls = {name: np.asarray(value).tolist() for name, value in self.controls.items()}
        data = {"name": self.name, "declaration": self.declaration, "seed": self.seed}
        return json.dumps({**data, "d": list(self.d), "controls": controls, "values": tables})

    @classmethod
    def from_text(cls, text: str) -> "Simulation":
        """Read what ``to_text`` wrote.

        Raises:
            ShapeError: if the text is not such a table.
        """
        try:
            data = json.loads(text)
            controls = {k: np.asarray(v, dtype=float) for k, v in data["controls"].items()}
            values = {k: np.asarray(v, dtype=float) for k, v in data["values"].items()}
            names = data["name"], data["declaration"]
            return cls(*names, tuple(data["d"]), controls, values, int(data["seed"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ShapeError(
                "read a simulation from text",
                f"not a table of trials ({error})",
                "give the text that Simulation.to_text wrote",
            ) from error

    def __repr__(self) -> str:
        done = sum(int(self.count(output).sum()) for output in self.outputs)
        asked = sum(self[output].size for output in self.outputs)
        state = "all run" if self.finished else f"{done / asked:.0%} run, interrupted"
        sizes = " ".join(map(str, self.d))
        shape = " x ".join(map(str, self.points)) or "1"
        return (
            f"Simulation({self.name}; d = {sizes}; {self.trials} trials, {state}; points: {shape};"
            f" seed {self.seed})\n  measured: {' '.join(self.outputs)}"
        )


def _to_lists(table: Array) -> Any:
    """Nested lists with None for NaN, so that the JSON is standard."""
    entries = table.astype(object)
    entries[np.isnan(table)] = None
    return entries.tolist()


@dataclass(frozen=True)
class Job:
    """One trial: where its numbers go, and the arguments of its draw.

    Attributes:
        address: leading indices of the tables; the draw returns an array for the other axes.
        arguments: arguments of the draw.
    """

    address: Address
    arguments: tuple[Any, ...]


def run(
    draw: Draw,
    jobs: Sequence[Job],
    empty: Simulation,
    *,
    executor: Executor | None = None,
    show: bool | None = None,
    checkpoint: Callable[[Simulation], None] | None = None,
) -> Simulation:
    """Run the trials that ``empty`` lacks and return it filled.

    Args:
        draw: called with the arguments of a job, returns per output an array that fits the table
            at the job's address. Must be picklable if the executor uses processes.
        jobs: the trials, in the order in which they should be run.
        empty: the table to fill; trials that are there already are not run again.
        executor: any executor of the ``concurrent.futures`` interface (processes, threads, a
            cluster's); None runs here.
        show: see ``numeric.progress.progress``.
        checkpoint: called with the table so far every few seconds, and once at the end, also when
            the work is interrupted or fails.

    Returns:
        The filled table. An interruption (Ctrl-C) stops the work and returns what is finished:
        ``finished`` is then False.

    Accuracy: that of the draws; the order of execution and the executor do not matter.
    """
    tables = {name: table.copy() for name, table in empty.values.items()}
    first = next(iter(tables.values()))
    todo = [job for job in jobs if np.isnan(first[job.address]).any()]

    def freeze() -> Simulation:
        copies = {name: table.copy() for name, table in tables.items()}
        return replace(empty, values=copies)

    saved = time.monotonic()
    try:
        with progress(len(todo), empty.name, show=show) as advance:
            for job, result in _results(draw, todo, executor):
                for name, table in tables.items():
                    table[job.address] = result[name]
                advance(1)
                if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                    checkpoint(freeze())
                    saved = time.monotonic()
    except KeyboardInterrupt:
        pass
    finally:
        if checkpoint is not None:
            checkpoint(freeze())
    return freeze()


def _results(
    draw: Draw, jobs: Iterable[Job], executor: Executor | None
) -> Iterator[tuple[Job, Mapping[str, Any]]]:
    if executor is None:
        for job in jobs:
            yield job, _draw(draw, job.arguments)
        return
    waiting: dict[Future[Mapping[str, Any]], Job] = {
        executor.submit(_draw, draw, job.arguments): job for job in jobs
    }
    try:
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        for future in waiting:
            future.cancel()


def _draw(draw: Draw, arguments: tuple[Any, ...]) -> Mapping[str, Any]:
    with single_thread():
        return draw(*arguments)


def carry_over(earlier: Simulation, empty: Simulation) -> Simulation:
    """Copy the trials of an earlier run into a new table of the same experiment.

    Args:
        earlier: a simulation of the same declaration, controls and seed; it may have other sizes
            and fewer or more trials.
        empty: the new table.

    Raises:
        RangeError: if the two differ in what was declared, in a control or in the seed.
    """
    if not _same_experiment(earlier, empty):
        raise RangeError(
            f"resume {empty.name} with seed {empty.seed}",
            f"the earlier run has seed {earlier.seed}, another declaration or other controls",
            "resume with the same declaration, controls and seed",
        )
    tables = {name: table.copy() for name, table in empty.values.items()}
    common = min(earlier.trials, empty.trials)
    for index, size in enumerate(empty.d):
        if size in earlier.d:
            for name, table in tables.items():
                table[index, :common] = earlier[name][earlier.d.index(size), :common]
    return replace(empty, values=tables)


def _same_experiment(one: Simulation, other: Simulation) -> bool:
    labels = [(x.declaration, x.seed, x.outputs, tuple(x.controls)) for x in (one, other)]
    return labels[0] == labels[1] and all(
        np.array_equal(one.controls[name], other.controls[name]) for name in one.controls
    )
