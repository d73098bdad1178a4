"""The command ``derive``: exit codes, tables, files, and refusals that leave nothing behind."""

import csv
import importlib.metadata
import json
import re
import shlex
import sys

import mpmath
import numpy as np
import pytest
from click.testing import CliRunner

import numeric.cli
import numeric.curve
from numeric.cli import main

FAST = ["--gamma", "1.5", "--alpha", "1:2:3", "--references", "0"]
ERF_KAPPA_1 = mpmath.mpf("0.6514700158705598954485")


def invoke(*words):
    return CliRunner().invoke(main, list(words))


def refused(result):
    """The message, if the command refused with exit code 2 and one line on standard error."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("derive: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A whole run with reference, experiment and files: the result, the folder and the words."""
    folder = tmp_path_factory.mktemp("curve") / "new" / "out"
    words = ["curve", "z*exp(-z**2/8)", "--gamma", "2", "--lam", "0.1", "--noise", "0.2"]
    words += ["--alpha", "0.5:4:7", "--simulate", "60,4", "--references", "1", "--out", str(folder)]
    saved, sys.argv = sys.argv, ["derive", *words]
    try:
        return invoke(*words), folder, words
    finally:
        sys.argv = saved


# --- runs that succeed ----------------------------------------------------------------------------


def test_version_is_that_of_the_distribution():
    result = invoke("--version")
    assert result.exit_code == 0
    assert importlib.metadata.version("stieltjes") in result.stdout


@pytest.mark.parametrize("words", [[], ["curve"], ["demo"], ["activation"]])
def test_help_prints_usage(words):
    result = invoke(*words, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_activation_prints_closed_forms_with_their_digits():
    result = invoke("activation", "erf", "--digits", "22", "--latex")
    assert result.exit_code == 0
    shown = re.search(r"kappa_1 += \[?([0-9.]+)", result.stdout).group(1)
    with mpmath.workdps(30):
        # 2/sqrt(3 pi), from E erf' = (2/sqrt(pi)) E exp(-z^2).
        assert abs(mpmath.mpf(shown) - 2 / mpmath.sqrt(3 * mpmath.pi)) < 1e-20
    assert "closed form" in result.stdout
    assert r"\sqrt{3}" in result.stdout
    assert "parity: odd" in result.stdout


def test_activation_without_closed_form_says_what_its_digits_rest_on():
    result = invoke("activation", "tanh", "--digits", "15")
    assert result.exit_code == 0
    assert "0.60570550960215" in result.stdout  # the last digit of a ball may be rounded away
    assert re.search(r"kappa_1 .*\[(certified digits|digits on which two)", result.stdout)


def test_curve_prints_declaration_values_and_unchecked_verdict():
    result = invoke("curve", "erf", *FAST)
    assert result.exit_code == 0
    assert "depth 1: erf" in result.stdout
    assert "3 of 3 points converged" in result.stdout
    assert "verdict: unchecked" in result.stdout
    squared = float(re.search(r"a_1 = ([0-9.]+)", result.stdout).group(1))
    assert squared == pytest.approx(float(ERF_KAPPA_1**2), rel=1e-11)


def test_layers_are_separated_by_semicolons_and_relu_is_centred_on_request():
    words = ["curve", "relu; tanh", "--gamma", "1.5,1.2", "--alpha", "1", "--references", "0"]
    result = invoke(*words, "--centre", "--target", "sign")
    assert result.exit_code == 0
    assert "depth 2: relu, tanh; the mean of each layer is removed" in result.stdout


def test_run_with_witnesses_agrees_and_exits_with_zero(written):
    result, _, _ = written
    assert result.exit_code == 0, result.output
    assert "verdict: agree" in result.stdout
    assert "references (mpmath, 30 digits" in result.stdout
    assert "theory times 1.05" in result.stdout


def test_all_files_are_written_and_named(written):
    result, folder, _ = written
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "comparison.txt",
        "curve.csv",
        "curve.pdf",
        "curve.png",
        "equations.tex",
        "manifest.json",
        "simulation.json",
    }
    assert all(str(folder / name) in result.stdout for name in names)


def test_csv_has_one_row_per_point_and_the_named_columns(written):
    _, folder, _ = written
    rows = list(csv.DictReader((folder / "curve.csv").read_text().splitlines()))
    assert len(rows) == 7
    assert list(rows[0])[:4] == ["alpha", "gamma_1", "lam", "noise"]
    wanted = {"m", "E_test", "E_train", "error_m", "error_E_test", "error_E_train"}
    assert wanted | {"dE_test_dlam", "residual", "status"} <= set(rows[0])
    assert {row["status"] for row in rows} == {"converged"}
    alpha = np.array([float(row["alpha"]) for row in rows])
    assert alpha == pytest.approx(np.geomspace(0.5, 4, 7), rel=1e-15)
    # E_train = (lam m)^2 E_test holds for ridge regression of any features.
    m, test, train = (np.array([float(r[k]) for r in rows]) for k in ("m", "E_test", "E_train"))
    assert train == pytest.approx((0.1 * m) ** 2 * test, rel=1e-12)


def test_manifest_repeats_the_run(written):
    _, folder, words = written
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["declaration"]["activations"] == ["z*exp(-z**2/8)"]
    assert manifest["declaration"]["centre"] is False
    assert manifest["command"] == shlex.join(["derive", *words])
    assert manifest["points"] == manifest["converged"] == 7
    assert manifest["largest_residual"] < 1e-13
    assert manifest["verdict"] == "agree"
    assert re.fullmatch("[0-9a-f]{12}", manifest["program"]["key"])
    assert manifest["experiment"]["d"] == [30, 60]
    assert (manifest["experiment"]["trials"], manifest["experiment"]["seed"]) == (4, 0)
    assert manifest["experiment"]["resolves"] > 0
    assert manifest["references"][0]["evaluator_relative_error"] < 1e-12
    assert {"python", "numpy", "sympy", "mpmath", "numba"} <= set(manifest["versions"])
    assert set(manifest["seconds"]) >= {"derive", "compile and solve", "reference", "experiment"}


def test_equations_are_a_whole_document_that_names_its_sources(written):
    _, folder, _ = written
    text = (folder / "equations.tex").read_text()
    assert text.startswith(r"\documentclass")
    assert text.rstrip().endswith(r"\end{document}")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert "schroder2024" in text


def test_figures_are_a_pdf_and_a_png(written):
    _, folder, _ = written
    assert (folder / "curve.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_comparison_table_names_outputs_and_verdicts(written):
    _, folder, _ = written
    text = (folder / "comparison.txt").read_text()
    assert all(name in text for name in ("m", "E_test", "E_train"))


def test_demo_declares_two_mish_layers_with_their_means_removed(monkeypatch):
    seen = {}

    def record(expr, controls, **options):
        seen.update(options, expr=expr, **controls)
        return 0

    monkeypatch.setattr(numeric.cli, "_curve", record)
    assert invoke("demo", "--out", "somewhere", "--seed", "3").exit_code == 0
    assert seen["expr"] == "z*tanh(log(1+exp(z)))"
    assert (seen["centre"], seen["out"], seen["gamma"]) == (True, "somewhere", (2.0, 1.2))
    assert len(seen["alpha"]) == 200
    assert seen.get("references", 5) == 5
    assert len(seen["experiment"].d) == 2
    assert seen["experiment"].seed == 3


# --- verdicts and interruption --------------------------------------------------------------------


def test_reference_that_differs_in_the_ninth_digit_gives_exit_code_one(monkeypatch):
    true = numeric.curve.reference

    def wrong(system, digits, **point):
        found = true(system, digits, **point)
        found.values["E_test"] *= 1 + mpmath.mpf("1e-9")
        return found

    monkeypatch.setattr(numeric.curve, "reference", wrong)
    result = invoke("curve", "erf", "--gamma", "1.5", "--alpha", "1", "--references", "1")
    assert result.exit_code == 1
    assert "verdict: disagree" in result.stdout


def test_interruption_writes_nothing_and_exits_with_130(monkeypatch, tmp_path):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(numeric.curve, "run_curve", interrupted)
    result = invoke("curve", "erf", *FAST, "--out", str(tmp_path / "out"))
    assert result.exit_code == 130
    assert "interrupted; nothing was written" in result.stderr
    assert not list(tmp_path.iterdir())


# --- bad input ------------------------------------------------------------------------------------

ACTIVATIONS = {
    "unknown function": ("frob(z)", "unknown name frob"),
    "unknown symbol": ("z*q", "unknown name q"),
    "two variables": ("x*y", "2 further variables"),
    "empty": ("", "empty"),
    "growth": ("exp(z**2)", "not square-integrable"),
    "pole": ("1/z", "not square-integrable"),
    "not real": ("log(z)", "not real"),
    "constant": ("3", "it is constant"),
    "hidden constant": ("z - z", "it is constant"),
    "attribute": ("z.__class__", "unexpected '.'"),
    "nan": ("nan*z", "unknown name nan"),
    "infinite": ("z*1e400/1e400 + oo", "unknown name oo"),
    "unclosed": ("tanh(z", "reading"),
    "second of two layers": ("tanh; frob", "unknown name frob"),
}


@pytest.mark.parametrize("case", sorted(ACTIVATIONS))
def test_activations_that_cannot_be_used_are_refused_in_one_line(case, tmp_path):
    text, message = ACTIVATIONS[case]
    result = invoke("curve", text, *FAST, "--out", str(tmp_path / "out"))
    assert message in refused(result)
    assert not list(tmp_path.iterdir())
    assert result.stdout == ""


CONTROLS = {
    "negative ridge": ("--lam", "-1", "lam = -1: out of range; give lam >= 0"),
    "ridge nan": ("--lam", "nan", "lam 'nan': not a finite number"),
    "ridge word": ("--lam", "small", "lam 'small': not a finite number"),
    "alpha zero": ("--alpha", "0", "alpha[0] = 0: out of range; give alpha > 0"),
    "alpha negative": ("--alpha", "2,-1", "alpha[1] = -1: out of range"),
    "alpha nan": ("--alpha", "1,nan", "'nan': not a finite number"),
    "alpha infinite": ("--alpha", "inf", "'inf': not a finite number"),
    "alpha linear through zero": ("--alpha", "-1:1:3:lin", "alpha[0] = -1: out of range"),
    "noise negative": ("--noise", "-0.1", "noise = -0.1: out of range; give noise >= 0"),
    "noise nan": ("--noise", "nan", "noise 'nan': not a finite number"),
    "gamma zero": ("--gamma", "0", "gamma_1 = 0: out of range; give gamma_1 > 0"),
    "gamma negative": ("--gamma", "-2", "gamma_1 = -2: out of range"),
    "gamma nan": ("--gamma", "nan", "gamma 'nan': not a finite number"),
    "gamma unfinished": ("--gamma", "1,", "gamma '': not a finite number"),
    "grid of two": ("--alpha", "1:2", "not low:high:count; write it like 0.1:10:200"),
    "grid of unknown spacing": ("--alpha", "1:2:3:cube", "not low:high:count"),
    "grid of a broken count": ("--alpha", "1:2:2.5", "2.5 points"),
    "grid without points": ("--alpha", "1:2:0", "0 points"),
    "grid too long": ("--alpha", "1:2:1e9", "give 1 to 10000000 points"),
    "grid backwards": ("--alpha", "2:1:5", "give 0 < low <= high"),
    "grid of words": ("--alpha", "a:b:c", "'a': not a finite number"),
    "grid empty": ("--alpha", "", "'': not a finite number"),
    "experiment of one number": ("--simulate", "200", "not d,trials; write it like 200,20"),
    "experiment of words": ("--simulate", "a,b", "not d,trials"),
    "experiment of negative size": ("--simulate", "-40,5", "not d,trials"),
    "experiment of two trials": ("--simulate", "200,2", "give 3 trials or more"),
    "experiment too small": ("--simulate", "10,5", "give d >= 20"),
    "target unknown": ("--target", "frob", "unknown name frob"),
    "target constant": ("--target", "3", "it is constant"),
}


@pytest.mark.parametrize("case", sorted(CONTROLS))
def test_controls_that_cannot_be_used_are_refused_in_one_line(case, tmp_path):
    option, value, message = CONTROLS[case]
    words = ["curve", "erf", *FAST, "--out", str(tmp_path / "out"), option, value]
    result = invoke(*words)
    assert message in refused(result)
    assert not list(tmp_path.iterdir())
    assert result.stdout == ""


@pytest.mark.parametrize("gamma", ["1", "1,2,3"])
def test_gamma_of_another_length_than_the_layers_is_refused(gamma):
    result = invoke("curve", "erf; erf", "--gamma", gamma, "--alpha", "1")
    assert "(gamma_1, gamma_2); give 2 values" in refused(result)


def test_code_in_an_activation_is_never_run(tmp_path):
    marker = tmp_path / "marker"
    result = invoke("curve", f"__import__('os').system('touch {marker}')", *FAST)
    assert "unknown names __import__" in refused(result)
    assert not marker.exists()


def test_relu_of_depth_two_needs_no_centring():
    words = ("curve", "relu", "--gamma", "1,2", "--alpha", "1", "--references", "0")
    result = invoke(*words)
    assert result.exit_code == 0
    assert "E_test" in result.output


def test_experiment_without_ridge_is_refused_before_any_work():
    message = refused(invoke("curve", "erf", *FAST, "--lam", "0", "--simulate", "40,3"))
    assert "it needs a ridge; give lam > 0" in message


def test_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("numeric.curve.run_curve", None)
    (tmp_path / "file").write_text("a file, not a folder")
    result = invoke("curve", "erf", *FAST, "--out", str(tmp_path / "file" / "out"))
    assert "cannot be written (Not a directory); give another folder" in refused(result)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "a file, not a folder"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frob"], "unknown name frob"),
        (["tanh", "--digits", "0"], "--digits 0: outside 1 to 1000"),
        (["tanh", "--variance", "-1"], "negative"),
        (["tanh", "--variance", "0"], "variance 0: E[z s]/r has no value; give variance > 0"),
        (["tanh", "--variance", "nan"], "not a decimal"),
        (["exp(z**2/8)", "--variance", "4"], "lower the coefficient or the variance"),
    ],
)
def test_constants_that_do_not_exist_are_refused_in_one_line(words, message):
    result = invoke("activation", *words)
    assert message in refused(result)
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["curve", "erf"],
        ["curve", "erf", *FAST, "--references", "-1"],
        ["curve", "erf", *FAST, "--seed", "-1"],
        ["activation", "tanh", "--digits", "many"],
        ["frobnicate"],
    ],
)
def test_words_that_the_command_line_does_not_know_exit_with_two(words):
    result = invoke(*words)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert result.stdout == ""
