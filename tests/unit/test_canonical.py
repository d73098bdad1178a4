"""Canonical texts tell apart what differs, and refuse what they do not know."""

import subprocess
import sys
from dataclasses import replace

import pytest
from sympy import Function, Integer, Symbol, exp, pi

from derive.canonical import canonical_text
from derive.constant import Constant
from derive.program import program
from derive.symbols import Quantity
from derive.tables import Table
from derive.theory.deep_features import deep_features

X = Symbol("x")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (X, Symbol("x", positive=True)),
        (X + 1, X + 2),
        ((X, X), (X, Symbol("x", real=True))),
        (Quantity("c", low=0), Quantity("c", low=0, high=1)),
        (Constant("r", exp(-1)), Constant("r", exp(-2))),
        (Constant("r", exp(-1)), Symbol("r")),
        (exp(X), X**2),
        (1, "1"),
        (True, 1),
        ({"a": X}, {"b": X}),
        (pi, Integer(3)),
    ],
)
def test_what_differs_has_different_texts(one, other):
    assert canonical_text(one) != canonical_text(other)
    assert canonical_text(one)


def test_text_grows_with_the_number_of_constants_not_with_their_nesting():
    constant = Constant("r_0", exp(-1))
    for k in range(1, 40):
        constant = Constant(f"r_{k}", exp(-constant) + exp(-2 * constant))
    assert len(canonical_text(constant)) < 20_000


@pytest.mark.parametrize(
    "thing", [object(), Function("f")(X), Table("t", ((Integer(1), Integer(1), Integer(0)),)), {X}]
)
def test_what_is_not_known_has_no_text(thing):
    assert canonical_text(X, thing) == ""


def test_programs_have_the_same_face_in_every_process():
    code = (
        "from derive.program import program; from derive.theory.deep_features import deep_features;"
        "print(program(deep_features(['tanh', 'relu'])).face)"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {program(deep_features(["tanh", "relu"])).face + "\n"}


def test_faces_tell_programs_apart():
    ready = program(deep_features(["erf"]))
    system = deep_features(["erf"]).system()
    twice = system.with_outputs(twice=2 * system.outputs["E_test"])
    others = [
        program(deep_features(["tanh"])),
        program(deep_features(["erf"]), slope_control="noise"),
        program(deep_features(["erf", "erf"])),
        program(twice),
        replace(ready, constants=tuple((s, e + 1) for s, e in ready.constants)),
    ]
    assert len({p.face for p in (ready, *others)}) == 6
