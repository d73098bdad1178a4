"""Worked derivations: each runs with --quick, and its notes hold the computed numbers."""

import importlib.util
import random
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sympy import Rational

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "derivations").glob("*/derivation.py"))
FIGURE = tomllib.loads((ROOT / "tests" / "reference" / "deep_features.toml").read_text())["figure3"]
CHECKED_DEPTHS = (1, 2, 4)


def loaded(script):
    spec = importlib.util.spec_from_file_location(f"derivation_{script.parent.name}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(folder):
    """Files of a derivation outside its ``out`` folder, with the time of their last change."""
    kept = [
        p for p in folder.rglob("*") if p.is_file() and {"out", "__pycache__"}.isdisjoint(p.parts)
    ]
    return {path: path.stat().st_mtime_ns for path in kept}


@pytest.fixture(scope="module")
def deep_features():
    return loaded(ROOT / "derivations" / "deep_features" / "derivation.py")


@pytest.fixture(scope="module")
def noted():
    """The table of the notes: (activation, depth) -> five pairs (computed, independent)."""
    text = (ROOT / "derivations" / "deep_features" / "NOTES.md").read_text()
    rows = re.findall(r"^\| (tanh|clip) \| (\d) \| (.+) \|$", text, flags=re.MULTILINE)
    return {
        (name, int(depth)): [tuple(cell.split(" / ")) for cell in cells.split(" | ")]
        for name, depth, cells in rows
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.parent.name)
def test_derivation_runs_quickly_and_writes_into_its_own_folder_only(script):
    before = files(script.parent)
    done = subprocess.run(
        [sys.executable, str(script), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert files(script.parent) == before
    assert list((script.parent / "out").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.parent.name)
def test_every_derivation_has_notes_with_the_listed_sections(script):
    notes = (script.parent / "NOTES.md").read_text()
    for heading in ("Claim", "Assumptions", "Sources", "Errata", "Worked algebra", "The figure"):
        assert re.search(rf"^## {heading}", notes, flags=re.MULTILINE), f"no section {heading}"


def test_notes_hold_every_row_of_the_figure(noted):
    assert set(noted) == {(name, depth) for name in ("tanh", "clip") for depth in range(1, 7)}


def test_second_numbers_of_the_notes_are_those_of_the_reference_table(noted):
    for (name, depth), cells in noted.items():
        expected = [float(text) for text in FIGURE[name][depth - 1]]
        assert [float(second) for _, second in cells] == expected


def test_both_numbers_of_every_cell_agree_to_every_digit_of_the_second(noted):
    for (name, depth), cells in noted.items():
        for (first, _), text in zip(cells, FIGURE[name][depth - 1], strict=True):
            unit = 10.0 ** -len(text.split(".")[1])
            assert abs(float(first) - float(text)) <= 0.5001 * unit + 0.5e-9


@pytest.mark.parametrize("depth", CHECKED_DEPTHS)
@pytest.mark.parametrize("name", ["tanh", "clip"])
def test_first_numbers_of_the_notes_are_the_computed_ones(deep_features, noted, name, depth):
    computed = deep_features.theory(name, depth, [float(a) for a in FIGURE["alpha"]])
    for value, (first, _) in zip(computed, noted[name, depth], strict=True):
        assert abs(value - float(first)) <= 0.51e-9


def test_routes_agree_exactly_at_rational_points_and_nowhere_else(deep_features):
    point, x_0 = deep_features.rational_point(2, random.Random(3))
    one = deep_features.values_at(
        deep_features.covariance_system(deep_features.chain(2)), point, x_0
    )
    kernel = deep_features.kernel_system(deep_features.chain(2))
    two = deep_features.values_at(kernel, point, point["alpha"] * x_0)
    off = deep_features.values_at(kernel, point, point["alpha"] * x_0 * (1 + Rational(1, 10**30)))
    assert one == two
    assert all(one[name] != off[name] for name in one)


def test_an_identity_that_fails_stops_the_derivation(deep_features):
    with pytest.raises(SystemExit, match="identity wrong fails: x"):
        deep_features.prove({"wrong": deep_features.symbols("x")})
