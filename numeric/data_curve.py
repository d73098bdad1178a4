"""A learning curve from a file of arrays: read, predicted, measured on parts of the same data.

Stage: behind the command ``derive predict``; a file name in, a table out. Files are NumPy archives
(``np.savez``) with features under "X" or "features" and labels under "y" or "labels"; pickled
objects in them are not opened.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derive.errors import RangeError, UnknownNameError
from numeric.compare import Comparison, compare
from numeric.experiments.data_readout import subsample
from numeric.experiments.sampling import Simulation
from numeric.population import predict_learning_curve
from numeric.solution import Solution, Status

Array = NDArray[np.float64]
_NAMES = {"features": ("X", "features"), "labels": ("y", "labels")}


@dataclass(frozen=True)
class DataCurve:
    """A predicted curve and what was measured.

    Attributes:
        curve: the prediction, of shape (sizes, ridges).
        simulation: errors on random parts, if they were asked for.
        comparison: the verdict, if there is one.
    """

    curve: Solution
    simulation: Simulation | None = None
    comparison: Comparison | None = None

    def table(self) -> str:
        """Return one line per training size and ridge."""
        head = f"{'n':>8s} {'lam':>10s}  {'E_test':>24s}  {'E_train':>12s}"
        lines = [head + ("  measured E_test" if self.simulation else "")]
        for place in np.ndindex(self.curve.shape):
            n, lam = (float(self.curve.controls[name][place]) for name in ("n", "lam"))
            status = Status(int(self.curve.status[place]))
            text = f"{n:8g} {lam:10.4g}  "
            if status is Status.CONVERGED:
                value, error = self.curve.E_test[place], self.curve.error["E_test"][place]
                text += f"{value:12.6g} +/- {error:7.2g}  {self.curve.E_train[place]:12.6g}"
            else:
                text += f"{'not resolved by so many samples':>38s}"
            lines.append(text + self._measured(place))
        if self.comparison is not None:
            lines.append(f"prediction and measurement {self.comparison.verdict}")
        return "\n".join(lines)

    def _measured(self, place: tuple[int, ...]) -> str:
        if self.simulation is None:
            return ""
        mean = self.simulation.mean("E_test")[0][place]
        return f"  {mean:.6g} +/- {self.simulation.stderr('E_test')[0][place]:.2g}"


def read_arrays(path: str) -> tuple[Array, Array]:
    """Return features and labels of a NumPy archive.

    Raises:
        RangeError: if the file cannot be read as one.
        UnknownNameError: if the arrays are not there.
    """
    if not Path(path).exists():
        raise _no_archive(path, "there is no such file")
    if not zipfile.is_zipfile(path):
        raise _no_archive(path, "it is another kind of file")
    try:
        with np.load(Path(path), allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _no_archive(path, str(error)) from error
    features, labels = (_named(found, what, path) for what in ("features", "labels"))
    return features, labels


def _no_archive(path: str, reason: str) -> RangeError:
    remedy = "write it with np.savez(path, X=..., y=...)"
    return RangeError(f"file {path}", f"not a NumPy archive of arrays: {reason}", remedy)


def _named(found: Mapping[str, NDArray[Any]], what: str, path: str) -> Array:
    for name in _NAMES[what]:
        array = found.get(name)
        if array is not None and array.dtype.kind not in "biuf":
            kind = f"entries of type {array.dtype}"
            raise RangeError(f"{what} in {path}", kind, "store real numbers")
        if array is not None:
            return np.asarray(array, dtype=float)
    raise UnknownNameError(
        f"{what} in {path}",
        f"it holds {', '.join(sorted(found)) or 'nothing'}",
        f"store them under {' or '.join(_NAMES[what])}",
    )


def data_curve(
    path: str,
    lam: Sequence[float],
    sizes: Sequence[float] | None = None,
    *,
    intercept: bool = True,
    measure: int = 0,
    seed: int = 0,
) -> DataCurve:
    """Predict the learning curve of the data in a file, and measure it if asked.

    Args:
        path: a NumPy archive.
        lam: ridges.
        sizes: training sizes; by default eight from N/50 to 4 N/5.
        intercept: whether the regression fits an intercept.
        measure: random parts per size on which it is measured; 0 for none.
        seed: of the parts.
    """
    x, y = read_arrays(path)
    count = max(int(y.shape[0]) if y.ndim else 0, 1)
    if sizes is None:
        sizes = np.unique(np.geomspace(max(2, count / 50), max(2, 0.8 * count), 8).round()).tolist()
    n = np.array([round(s) for s in sizes])
    curve = predict_learning_curve(x, y, np.asarray(lam, dtype=float), n, intercept=intercept)
    if not measure:
        return DataCurve(curve)
    found = subsample(x, y, lam, n.tolist(), intercept=intercept, trials=measure, seed=seed)
    verdict = compare(curve, found, ("E_test",), allowance=0.0)
    return DataCurve(curve, found, verdict)
