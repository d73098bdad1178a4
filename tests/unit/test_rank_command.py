"""The command ``derive rank``: what it prints, and exit code 2 on input that cannot be used."""

import pytest
from click.testing import CliRunner

from numeric.cli import main

TWO = "a1*tanh(w1*x+b1)+a2*tanh(w2*x+b2)"
NAMES = "a1,w1,b1,a2,w2,b2"


def run(*words):
    return CliRunner().invoke(main, ["rank", *words])


def test_generic_two_neurons_are_certified():
    done = run(TWO, "--params", NAMES, "--inputs", "x")
    assert done.exit_code == 0, done.output
    assert "rank        6 of 6 parameters at generic values" in done.output
    assert "status      exact" in done.output
    assert "modulo 2147483629" in done.output


def test_relations_are_printed_at_a_point():
    done = run(TWO, "--params", NAMES, "--inputs", "x", "--at", "w2=-w1, b2=-b1")
    assert done.exit_code == 0, done.output
    assert "rank        3 of 6" in done.output
    assert "relation    df/da1 = -df/da2" in done.output
    assert "relation    df/dw1 = (a1/a2) df/dw2" in done.output


def test_balls_say_their_precision():
    done = run("a*gelu(w*x)", "--params", "a,w", "--inputs", "x", "--method", "balls")
    assert "balls at 128 bits" in done.output


def test_regions_of_a_relu():
    done = run("a*relu(w*x+b)", "--params", "a w b", "--inputs", "x", "--regions")
    assert done.exit_code == 0, done.output
    assert "rank        at least 2 of 3" in done.output
    assert "not covered by the genericity theorem" in done.output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((TWO, "--params", NAMES + ",q", "--inputs", "x"), "parameter q: does not appear"),
        ((TWO, "--params", NAMES, "--inputs", "x,y"), "input y: does not appear"),
        ((TWO, "--params", "a1", "--inputs", "x"), "unknown names"),
        ((TWO, "--params", NAMES, "--inputs", "x", "--at", "w1"), "not name=value"),
        ((TWO, "--params", NAMES, "--inputs", "x", "--at", "w1=1,w1=2"), "given twice"),
        ((TWO, "--params", NAMES, "--inputs", "x", "--at", "w1=1/0"), "division by zero"),
        ((TWO, "--params", NAMES, "--inputs", "x", "--at", "w1=log(-1)"), "not real"),
        (("a*relu(w*x)", "--params", "a,w", "--inputs", "x"), "kinks"),
        (("a*__import__('os')*x", "--params", "a", "--inputs", "x"), "unknown names __import__"),
        (("a*tanh(x", "--params", "a", "--inputs", "x"), "it ends too early"),
        (("a*x", "--params", "", "--inputs", "x"), "unknown name"),
        (("a*x", "--params", "a,a", "--inputs", "x"), "parameter a: listed twice"),
        (("a*x", "--params", "a,x", "--inputs", "x"), "both parameter and input"),
    ],
)
def test_bad_input_is_one_line_and_code_two(words, text):
    done = run(*words)
    assert done.exit_code == 2
    assert text in done.output
    assert done.output.count("\n") == 1
