"""Shared fixtures: seeded randomness, clean precision, and a report header with versions."""

import difflib
import importlib.util
import os
import pathlib
import zlib

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: small matrices, busy machines

import mpmath
import numba
import numpy
import pytest
import sympy
from hypothesis import settings

settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("deep", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser):
    """Add the switch that rewrites the golden files."""
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden instead of comparing"
    )


@pytest.fixture
def golden(request):
    """Compare text with a file of tests/golden, or rewrite the file with --update-golden."""
    folder = pathlib.Path(__file__).with_name("golden")

    def compare(name, text):
        path = folder / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [kept.splitlines(keepends=True), text.splitlines(keepends=True)]
        changes = "".join(difflib.unified_diff(*lines, f"{name} (kept)", f"{name} (now)"))
        assert not changes, f"{changes}\nIf this is meant: pytest --update-golden"

    return compare


@pytest.fixture
def rng(request):
    """A generator seeded from the name of the test."""
    return numpy.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def follow():
    """Reference solver of Dyson equations: outputs at a point, by continuation and Newton."""
    path = pathlib.Path(__file__).with_name("dyson_path.py")
    spec = importlib.util.spec_from_file_location("dyson_path", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.follow


@pytest.fixture(autouse=True)
def _fresh_precision():
    """Reset the precision of mpmath around each test."""
    mpmath.mp.prec = 53
    yield
    mpmath.mp.prec = 53


def pytest_report_header():
    """Name what the numbers depend on."""
    return (
        f"numpy {numpy.__version__}, sympy {sympy.__version__}, numba {numba.__version__}, "
        f"mpmath {mpmath.__version__}, {os.cpu_count()} cores"
    )
