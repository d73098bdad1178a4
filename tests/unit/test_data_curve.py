"""The command ``derive predict``: arrays of a file to a table, a verdict, and refusals."""

import numpy as np
import pytest
from click.testing import CliRunner

from derive.errors import RangeError, UnknownNameError
from numeric.cli import main
from numeric.data_curve import data_curve, read_arrays


@pytest.fixture
def archive(tmp_path, rng):
    x = rng.standard_normal((240, 30))
    y = x @ rng.standard_normal(30) / np.sqrt(30) + 0.5 * rng.standard_normal(240)
    path = tmp_path / "data.npz"
    np.savez(path, X=x, y=y)
    return str(path)


def invoke(*words):
    return CliRunner().invoke(main, ["predict", *words])


def test_the_command_prints_one_line_per_size_and_ridge(archive):
    result = invoke(archive, "--lam", "0.1,1", "--sizes", "20,60,180", "--measure", "8")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + 6 + 1
    assert lines[0].split()[:3] == ["n", "lam", "E_test"]
    assert lines[-1] == "prediction and measurement agree"
    found = data_curve(archive, [0.1, 1.0], [20, 60, 180])
    first = lines[1].split()
    assert float(first[2]) == pytest.approx(float(found.curve.E_test[0, 0]), rel=1e-5)


def test_sizes_by_default_stay_below_the_number_of_samples(archive):
    found = data_curve(archive, [0.1])
    sizes = found.curve.controls["n"][:, 0]
    assert sizes[0] >= 2
    assert sizes[-1] == 192
    assert found.comparison is None


def test_a_mixture_is_predicted_and_a_moved_prediction_rejected(archive, tmp_path):
    arrays = dict(np.load(archive))
    arrays["y"][:120] *= 8.0  # a mixture of two laws, measured where the first half is rare
    arrays["X"][:120] *= 0.1
    path = str(tmp_path / "mixed.npz")
    np.savez(path, **arrays)
    found = data_curve(archive, [0.1], [60, 120], measure=20)
    assert found.comparison.agree
    assert not found.comparison.moved(1.4).agree


def test_points_that_are_not_resolved_are_said(tmp_path, rng):
    path = str(tmp_path / "few.npz")
    np.savez(path, features=rng.standard_normal((20, 50)), labels=rng.standard_normal(20))
    result = invoke(path, "--lam", "1e-6", "--sizes", "10,400")
    assert result.exit_code == 0, result.output
    assert "not resolved" in result.stdout.splitlines()[-1]


def refused(words, call, error=RangeError):
    with pytest.raises(error, match=words):
        call()


def test_files_that_are_not_such_archives_are_refused(tmp_path, archive):
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    other = str(tmp_path / "other.npz")
    np.savez(other, A=np.eye(2))
    objects = str(tmp_path / "objects.npz")
    np.savez(objects, X=np.array([{}], dtype=object), y=np.ones(1))
    refused("not a NumPy archive", lambda: read_arrays(str(text)))
    refused("not a NumPy archive", lambda: read_arrays(str(tmp_path / "none.npz")))
    refused("not a NumPy archive", lambda: read_arrays(objects))
    refused("there is no such file", lambda: read_arrays(str(tmp_path / "none.npz")))
    refused("it holds A", lambda: read_arrays(other), UnknownNameError)
    single = str(tmp_path / "single.npy")
    np.save(single, np.eye(2))
    refused("another kind of file", lambda: read_arrays(single))
    np.savez(other, X=np.eye(2) * 1j, y=np.ones(2))
    refused("features in .*: entries of type complex128", lambda: read_arrays(other))
    np.savez(other, X=np.eye(2), y=np.array(["a", "b"]))
    refused("labels in .*: entries of type <U1", lambda: read_arrays(other))
    result = invoke(archive, "--measure", "1")
    assert result.exit_code == 2
    assert result.stderr.startswith("derive: --measure 1")
