"""Random rational expressions against sampled matrices, and their pencils against exact algebra.

An expression is grown by at most six operations from the letters. Traces of N x N matrices
fluctuate like 1/N around their limit and approach it like 1/N, with constants that grow with the
number of operations: 8/N of the natural scale is allowed, so that an error of 16/N (4 % at N = 400)
of that scale is rejected.
"""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sympy import Rational

from derive.dyson import equations
from derive.matrices import covariance, dims, eye, gaussian, ntrace, wigner
from derive.pencil import pencil
from derive.random_matrices.pencil_minimal import minimise
from derive.random_matrices.spectral_measure import atoms
from numeric.experiments.matrices import sample

n, p, d = dims("n p d")
SIZE = 400
SIZES = {"d": SIZE, "n": 600, "p": 300}
RATIOS = {"d": 4, "n": 6, "p": 3}
ALLOWED = 8 / SIZE
LETTERS = {
    "W": gaussian("W", p, d, 1 / d),
    "X": gaussian("X", d, n, 1 / n),
    "A": gaussian("A", d, d, 1 / d),
    "S": wigner("S", d, 1 / d),
    "C": covariance("C", d, atoms([1, Rational(1, 2)])),
}
SCALARS = [Rational(1, 2), Rational(-2, 3), 1, 2]


def square(node):
    """Return node node^T if it fits a d x d sum, else node^T node."""
    return node * node.T if node.shape[0] == d else node.T * node


def grown(draw):
    """Draw a d x d expression; every inverse is of a positive matrix plus a ridge."""
    node = draw(st.sampled_from(["S", "C", "A", "X", "W"]))
    node = LETTERS[node]
    node = node if node.shape == (d, d) else square(node)
    for _ in range(draw(st.integers(1, 4))):
        other = LETTERS[draw(st.sampled_from(["S", "C", "A", "X", "W"]))]
        other = other if other.shape == (d, d) else square(other)
        operation = draw(st.sampled_from(["add", "multiply", "resolvent", "transpose", "sandwich"]))
        node = {
            "add": lambda a, b: a + draw(st.sampled_from(SCALARS)) * b,
            "multiply": lambda a, b: a * b,
            "resolvent": lambda a, b: (a * a.T + eye(d)).inv() * b,
            "transpose": lambda a, b: a.T + eye(d) / 2,
            "sandwich": lambda a, b: b * a * b.T,
        }[operation](node, other)
    return node


expressions = st.composite(grown)()


@given(expressions)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_pencils_of_random_expressions_are_exact(expression):
    built = pencil(expression)
    small, _ = minimise(built)
    assert built.verify(seed=1) > 0
    assert small.verify(seed=2) > 0


@given(expressions)
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_equations_of_random_expressions_agree_with_sampled_matrices(follow, expression):
    declared = {"value": ntrace(expression), "scale": ntrace(expression * expression.T)}
    found = equations({"value": declared["value"]})
    assume(len(found.unknowns) <= 4)
    theory = float(follow(found, RATIOS, digits=15)["value"])
    sampled = sample(declared, SIZES, seed=1)
    scale = sampled.mean("scale") ** 0.5
    distance = sampled.mean("value") - theory
    assert abs(distance) < ALLOWED * scale
    assert abs(distance + 2 * ALLOWED * scale) > ALLOWED * scale
