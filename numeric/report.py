"""Writing results to a folder: figure, equations, curve, manifest. The only room that writes files.

Stage: the end of the way. Every file is complete when it appears: contents are made first, written
to a temporary name in the same folder, and renamed.
"""

import csv
import importlib.metadata
import io
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import latex

from derive.balls import enclose
from derive.constant import definitions
from derive.errors import RangeError
from derive.latex import align, document, escape, items, output_latex
from derive.provenance import cite
from derive.system import System
from derive.theory.deep_features import DeepFeatures
from numeric.compare import Comparison, compare
from numeric.experiments.sampling import Simulation
from numeric.solution import Solution, Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGES = (
    "stieltjes",
    "sympy",
    "mpmath",
    "numpy",
    "scipy",
    "numba",
    "python-flint",
    "matplotlib",
)


def report(
    folder: str | Path,
    model: DeepFeatures,
    curve: Solution,
    simulation: Simulation | None = None,
    *,
    comparison: Comparison | None = None,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write a curve and its witnesses to a folder.

    Args:
        folder: created if missing; files of the same names are replaced.
        model: the declaration.
        curve: values over one axis of points.
        simulation: the experiment.
        comparison: theory against experiment; made here if it is missing and the experiment was
            run at the points of the curve.
        notes: more entries for the manifest (command, references, timings).

    Returns:
        What was written: "figure", "figure_png", "equations", "curve", "manifest", and, if there
        was an experiment, "simulation" and "comparison".

    Raises:
        RangeError: if the folder cannot be written to.
        ShapeError: if the curve has no single axis of points.
    """
    from numeric.plots import learning_curve  # noqa: PLC0415  (drawing loads slowly)

    if simulation is not None and comparison is None:
        comparison = compare(curve, simulation)
    made = manifest(model, curve, simulation, comparison) | dict(notes or {})
    texts = {
        "equations": ("equations.tex", equations_document(model.system())),
        "curve": ("curve.csv", curve_csv(curve)),
        "manifest": ("manifest.json", json.dumps(made, indent=2) + "\n"),
    }
    if simulation is not None and comparison is not None:
        texts["simulation"] = ("simulation.json", simulation.to_text())
        texts["comparison"] = ("comparison.txt", comparison.table() + "\n")
    contents = {key: (name, text.encode()) for key, (name, text) in texts.items()}
    figure = learning_curve(curve, simulation)
    for key, kind in (("figure", "pdf"), ("figure_png", "png")):
        contents[key] = (f"curve.{kind}", figure_bytes(figure, kind))
    return write_all(folder, contents)


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that could not be written to, before hours are spent on what goes there.

    Tries a nameless file in the folder, or in its nearest parent that exists; creates nothing.

    Raises:
        RangeError: if the folder is a file, or nothing can be written there.
    """
    target = Path(folder)
    nearest = next((p for p in (target, *target.absolute().parents) if p.exists()), target)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> RangeError:
    return RangeError(
        f"folder {target}", f"cannot be written ({error.strerror})", "give another folder"
    )


def write_all(folder: str | Path, contents: Mapping[str, tuple[str, bytes]]) -> dict[str, Path]:
    """Write named contents to a folder, each file complete when it appears.

    Raises:
        RangeError: if the folder cannot be made or written to.
    """
    target = Path(folder)
    written = {}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for key, (name, data) in contents.items():
            handle, temporary = tempfile.mkstemp(dir=target, prefix=f".{name}.")
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, target / name)
            written[key] = target / name
    except OSError as error:
        raise _unwritable(target, error) from error
    return written


def figure_bytes(figure: "Figure", kind: str) -> bytes:
    """Return a figure as the bytes of a file of a kind, such as "pdf" or "png"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150)
    return buffer.getvalue()


def curve_csv(solution: Solution) -> str:
    """Return a solution as CSV: controls, outputs, errors, slopes, residual and status."""
    columns: dict[str, Any] = dict(solution.controls)
    for name, values in solution.outputs.items():
        columns[name] = values
        columns[f"error_{name}"] = solution.error[name]
    columns |= dict(solution.slopes)
    columns["residual"] = solution.residual
    flat = {name: np.ravel(values) for name, values in columns.items()}
    status = [Status(int(s)).name.lower() for s in np.ravel(solution.status)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*flat, "status"])
    for row, state in zip(zip(*flat.values(), strict=True), status, strict=True):
        writer.writerow([*(repr(float(v)) for v in row), state])
    return buffer.getvalue()


def manifest(
    model: DeepFeatures,
    curve: Solution,
    simulation: Simulation | None = None,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """Return what is needed to repeat a run: declaration, keys, seeds, versions, verdict."""
    made: dict[str, Any] = {
        "declaration": {
            "activations": [str(a) for a in model.activations],
            "target": str(model.target),
            "spectrum": [[str(v), str(w)] for v, w in model.spectrum],
            "signal": str(model.signal),
            "centre": model.centre,
        },
        "program": {"name": curve.name, "key": curve.key},
        "points": int(curve.status.size),
        "converged": int(np.sum(curve.status == Status.CONVERGED)),
        "largest_residual": _maximum(curve.residual),
        "versions": versions(),
    }
    if simulation is not None and comparison is not None:
        made["experiment"] = {
            "d": list(simulation.d),
            "trials": simulation.trials,
            "seed": simulation.seed,
            "verdict": comparison.verdict,
            "resolves": comparison.resolves,
            "verdict_of_theory_times_1.05": comparison.moved(1.05).verdict,
        }
    return made


def versions() -> dict[str, str]:
    """Return versions of Python and of the packages that the numbers rest on."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _maximum(values: Any) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else None


def equations_document(system: System) -> str:
    """Return the equations of a system as a LaTeX document that compiles by itself."""
    controls = [
        rf"${latex(q)}$ (\texttt{{{escape(q.name)}}}): {escape(q.meaning)}" for q in system.controls
    ]
    unknowns = [rf"${latex(q)}$: {escape(q.meaning)}" for q in system.unknowns]
    conditions = [rf"${latex(c.expr)} > 0$: {escape(c.meaning)}" for c in system.conditions]
    steps = [
        rf"{escape(s.rule)}{': ' + escape(s.result) if s.result else ''} {escape(str(s.source))}"
        for s in system.log
    ]
    named = definitions(e for _, e in system.constants)
    constants = [(latex(c), latex(c.value)) for c in named]
    constants += [(latex(s), latex(e)) for s, e in system.constants]
    values = [
        rf"${latex(s)} = {enclose(e, 20).str(20)}$"
        for s, e in (*((c, c.value) for c in named), *system.constants)
    ]
    sections = [
        ("Assumptions", items([escape(a) for a in system.assumptions])),
        ("Controls", items(controls)),
        ("Unknowns", items(unknowns)),
        ("Constants", align(constants)),
        ("Their values", items(values)),
        ("Definitions", align((latex(s), latex(e)) for s, e in system.definitions)),
        ("Equations", align((latex(e.lhs), latex(e.rhs)) for e in system.equations)),
        ("Branch", items(conditions)),
        ("Outputs", align((output_latex(n), latex(e)) for n, e in system.outputs.items())),
        ("Steps", items(steps)),
        (
            "Sources",
            rf"\begin{{verbatim}}{chr(10)}{cite(system.log.sources())}{chr(10)}\end{{verbatim}}",
        ),
    ]
    return document(f"System {system.name}", sections)
