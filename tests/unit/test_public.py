"""Public names of the packages are found when they are asked for, and are the objects meant."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

PACKAGES = ("derive", "derive.theory", "numeric")


def declared(package):
    """Return name -> module of what a type checker sees."""
    tree = ast.parse(inspect.getsource(package))
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    return {line.names[0].asname: line.module for line in block.body}


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_and_sessions_see_the_same_names(name):
    package = importlib.import_module(name)
    assert declared(package) == package._HOMES
    assert sorted(package._HOMES) == package.__all__


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_an_object_of_its_module(name):
    package = importlib.import_module(name)
    for public, home in package._HOMES.items():
        assert getattr(package, public) is getattr(importlib.import_module(home), public)
        assert not inspect.ismodule(getattr(package, public))
        assert public in dir(package)


def test_a_name_stays_the_object_after_its_module_was_imported():
    script = (
        "import numeric.certify, derive.theory.deep_features, numeric, derive.theory\n"
        "assert callable(numeric.certify) and callable(derive.theory.deep_features)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_name_that_does_not_exist_is_refused():
    package = importlib.import_module("numeric")
    with pytest.raises(AttributeError, match="'numeric' has no attribute 'solve_all'"):
        package.solve_all


def test_compiling_imports_neither_scipy_nor_rooms_of_other_systems():
    script = (
        "import sys, numeric.compiled, derive.theory.deep_features\n"
        "heavy = {'scipy', 'numba', 'matplotlib', 'derive.recovery.family'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
