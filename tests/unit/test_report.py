"""Reports: whole files or none, exact numbers, documents that hold together."""

import csv
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.figure import Figure

from derive.errors import RangeError, ShapeError
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric.report import (
    check_folder,
    curve_csv,
    equations_document,
    figure_bytes,
    manifest,
    report,
    versions,
    write_all,
)

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
MODEL = deep_features(["erf"])


@pytest.fixture(scope="module")
def curve():
    evaluate = compile(MODEL.system())
    return evaluate(alpha=np.array([0.5, np.nan, 2.0]), gamma=(1.5,), lam=0.1, noise=0.2)


def test_everything_is_written_with_whole_contents(curve, tmp_path):
    written = report(tmp_path / "a" / "b", MODEL, curve, notes={"verdict": "agree"})
    assert set(written) == {"figure", "figure_png", "equations", "curve", "manifest"}
    assert all(path.stat().st_size > 100 for path in written.values())
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == sorted(
        path.name for path in written.values()
    )
    assert json.loads(written["manifest"].read_text())["verdict"] == "agree"


def test_csv_round_trips_every_bit_and_keeps_failed_points(curve):
    rows = list(csv.DictReader(curve_csv(curve).splitlines()))
    assert [row["status"] for row in rows] == ["converged", "bad_input", "converged"]
    assert [float(row["E_test"]) for row in rows[::2]] == curve.E_test[[0, 2]].tolist()
    assert rows[1]["E_test"] == "nan"


def test_manifest_names_declaration_program_and_versions(curve):
    made = manifest(MODEL, curve)
    assert made["declaration"]["activations"] == ["erf"]
    assert made["declaration"]["spectrum"] == [["1", "1"]]
    assert made["program"] == {"name": curve.name, "key": curve.key}
    assert (made["points"], made["converged"]) == (3, 2)
    assert json.loads(json.dumps(made)) == made


def test_versions_name_the_packages_the_numbers_rest_on():
    found = versions()
    assert {"python", "platform", "sympy", "mpmath", "numpy", "numba", "python-flint"} <= set(found)
    assert found["numpy"] == np.__version__


def test_files_are_replaced_as_a_whole_and_leave_no_temporaries(tmp_path):
    write_all(tmp_path, {"a": ("a.txt", b"first, and longer")})
    write_all(tmp_path, {"a": ("a.txt", b"second")})
    assert (tmp_path / "a.txt").read_bytes() == b"second"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert os.stat(tmp_path / "a.txt").st_mode & 0o777 == 0o644


def test_folder_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RangeError, match="cannot be written"):
        write_all(tmp_path / "file" / "out", {"a": ("a.txt", b"a")})
    with pytest.raises(RangeError, match="cannot be written"):
        check_folder(tmp_path / "file" / "out")
    with pytest.raises(RangeError, match="cannot be written"):
        write_all(tmp_path / "file", {"a": ("a.txt", b"a")})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_folder_is_tried_without_being_made(tmp_path):
    check_folder(tmp_path / "new" / "out")
    assert not list(tmp_path.iterdir())


def test_curves_over_two_axes_are_refused_before_anything_is_written(tmp_path):
    evaluate = compile(MODEL.system())
    surface = evaluate(alpha=np.array([[0.5], [1.0]]), gamma=(1.5,), lam=[0.1, 0.2], noise=0.2)
    with pytest.raises(ShapeError, match="not one axis"):
        report(tmp_path / "out", MODEL, surface)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("route", ["covariance", "kernel"])
def test_documents_define_every_constant_and_balance(route):
    text = equations_document(deep_features(["tanh", "erf"], ["sign"]).system(route))
    assert text.count("{") == text.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.count(r"\left") == text.count(r"\right")
    for heading in ("Assumptions", "Controls", "Unknowns", "Equations", "Branch", "Outputs"):
        assert rf"\subsection*{{{heading}}}" in text
    assert "@misc{schroder2024" in text


@needs_latex
def test_documents_compile(tmp_path):
    model = deep_features(["tanh", "mish"], ["sign"], centre=True)
    (tmp_path / "equations.tex").write_text(equations_document(model.system()))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "equations.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "equations.pdf").exists()


def test_figures_become_bytes_of_their_kind():
    figure = Figure()
    assert figure_bytes(figure, "pdf").startswith(b"%PDF")
    assert figure_bytes(figure, "png").startswith(b"\x89PNG")
