"""Finite-size twin of a declared matrix expression: draw all letters, evaluate the same traces.

Stage: experiment. It reads the declaration that the theory reads, and shares no code with it.
Seeds are derived from (seed, trial), so any trial can be redone on its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sympy import Basic, Expr, Symbol

from derive.dyson import DysonEquations
from derive.errors import NotSupportedError, RangeError, UnknownNameError
from derive.matrices import NormalisedTrace
from derive.random_matrices.finite_rank import Spike, Vector
from derive.random_matrices.matrix_blocks import Blocks, Part
from derive.random_matrices.matrix_letters import Covariance, Flip, Gaussian, Letter, Wigner
from derive.random_matrices.matrix_nodes import Eye, Formula, Inverse, Product, Sum, Zero
from derive.random_matrices.spectral_measure import (
    Atoms,
    MarchenkoPastur,
    PowerLaw,
    SpectralMeasure,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class Samples:
    """Sampled outputs.

    Attributes:
        values: one array of shape (trials,) per output.
        sizes: the sizes and controls that were used.
    """

    values: Mapping[str, Array]
    sizes: Mapping[str, float]

    def mean(self, name: str) -> Any:
        """Return the mean over trials."""
        return self.values[name].mean()

    def stderr(self, name: str) -> float:
        """Return the standard error of the mean; needs at least two trials.

        Accuracy: of an estimate from n trials, a relative spread of about 1/sqrt(2 n).
        """
        values = self.values[name]
        if len(values) < 2:
            found = f"{len(values)} trial"
            raise RangeError(f"standard error of {name}", found, "sample at least two trials")
        return float(values.std(ddof=1) / np.sqrt(len(values)))


@dataclass
class Drawing:
    """One draw of all letters; values of expressions are kept."""

    rng: np.random.Generator
    point: Mapping[str, float]
    values: dict[Formula, Array] = field(default_factory=dict)
    bases: dict[Any, Array | None] = field(default_factory=dict)
    vectors: dict[Vector, Array] = field(default_factory=dict)

    def scalar(self, expr: Basic) -> Any:
        """Return the value of a scalar."""
        values: dict[Any, float] = {}
        for s in expr.free_symbols:
            if str(s) not in self.point:
                known = ", ".join(sorted(self.point))
                raise UnknownNameError(f"value of {s}", f"given: {known}", f"give {s}=...")
            values[s] = self.point[str(s)]
        number = complex(cast(Expr, expr).subs(list(values.items())))
        return number if number.imag else number.real

    def size(self, dim: Expr) -> int:
        """Return a dimension as an integer."""
        value = self.scalar(dim)
        if isinstance(value, complex) or value != int(value) or value < 1:
            raise RangeError(f"dimension {dim} = {value}", "not a size", "give integers >= 1")
        return int(value)

    def matrix(self, node: Formula) -> Array:
        """Return the value of an expression.

        Accuracy: rounding of the products and of the inverses' conditioning.
        """
        if node not in self.values:
            self.values[node] = self._matrix(node)
        return self.values[node]

    def _matrix(self, node: Formula) -> Array:
        if isinstance(node, Letter):
            return self._letter(node)
        if isinstance(node, Flip):
            return self.matrix(node.letter).conj().T
        if isinstance(node, Eye):
            return np.eye(self.size(node.shape[0]))
        if isinstance(node, Zero):
            return np.zeros((self.size(node.shape[0]), self.size(node.shape[1])))
        if isinstance(node, Sum):
            return np.asarray(sum(self.matrix(t) for t in node.args))
        if isinstance(node, Product):
            return self._product(node)
        if isinstance(node, Inverse):
            return np.linalg.inv(self.matrix(node.args[0]))
        if isinstance(node, Blocks):
            return np.block([[self.matrix(b) for b in row] for row in node.args])
        if isinstance(node, Part):
            return self._part(node)
        raise NotSupportedError(f"sample of {node}", "unknown node", "use the matrix language")

    def _product(self, node: Product) -> Array:
        return self.scalar(node.args[0]) * self.chain(node.factors)

    def chain(self, factors: tuple[Formula, ...]) -> Array:
        """Multiply matrices, the narrow side first.

        Accuracy: rounding of the products.
        """
        matrices = [self.matrix(f) for f in factors]
        while len(matrices) > 1:
            cost = [a.shape[0] * a.shape[1] * b.shape[1] for a, b in pairwise(matrices)]
            i = int(np.argmin(cost))
            matrices[i : i + 2] = [matrices[i] @ matrices[i + 1]]
        return matrices[0]

    def _part(self, node: Part) -> Array:
        rows, cols = ([self.size(k) for k in split] for split in node.args[0].parts)
        i, j = int(node.args[1]), int(node.args[2])
        top, left = sum(rows[:i]), sum(cols[:j])
        return self.matrix(node.args[0])[top : top + rows[i], left : left + cols[j]]

    def _letter(self, letter: Letter) -> Array:
        shape = self.size(letter.shape[0]), self.size(letter.shape[1])
        if isinstance(letter, Covariance):
            return self._covariance(letter, shape[0])
        if isinstance(letter, Spike):
            return np.outer(self.direction(letter.left), self.direction(letter.right))
        if not isinstance(letter, (Gaussian, Wigner)):
            raise NotSupportedError(f"sample of {letter}", "unknown letter", "use gaussian(...)")
        entries = self.rng.standard_normal(shape)
        if letter.is_complex_letter:
            entries = (entries + 1j * self.rng.standard_normal(shape)) / np.sqrt(2)
        if isinstance(letter, Wigner):
            entries = (entries + entries.conj().T) / np.sqrt(2)
        return entries * np.sqrt(self.scalar(letter.variance))

    def direction(self, vector: Vector) -> Array:
        """Return a vector u, shape (N,): M^(1/2) e/sqrt(N) for its moment M, e of random signs.

        Accuracy: u^T f u is its limit up to fluctuations of order 1/sqrt(N).
        """
        if vector not in self.vectors:
            size = self.size(vector.dim)
            signs = self.rng.choice([-1.0, 1.0], size) / np.sqrt(size)
            self.vectors[vector] = _square_root(self.matrix(vector.moment)) @ signs
        return self.vectors[vector]

    def _covariance(self, letter: Covariance, size: int) -> Array:
        """Eigenvalues of the measure; the first group of a dimension is diagonal, others Haar."""
        key = letter.basis
        if ("spectrum", key) not in self.bases:
            self.bases["spectrum", key] = eigenvalues(letter.measure, size, self)
        if ("vectors", key) not in self.bases:
            first = ("first", size) not in self.bases
            self.bases["first", size] = None
            self.bases["vectors", key] = None if first else self._haar(size)
        spectrum, vectors = self.bases["spectrum", key], self.bases["vectors", key]
        values = np.asarray(spectrum)[:, letter.coordinate]
        return np.diag(values) if vectors is None else (vectors * values) @ vectors.T

    def _haar(self, size: int) -> Array:
        q, r = np.linalg.qr(self.rng.standard_normal((size, size)))
        return np.asarray(q * np.sign(np.diag(r)))


def _square_root(moment: Array) -> Array:
    """Return the root of a positive matrix; diagonal ones stay diagonal."""
    diagonal = np.diag(moment)
    if np.array_equal(moment, np.diag(diagonal)):
        return np.diag(np.sqrt(diagonal))
    values, vectors = np.linalg.eigh(moment)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def eigenvalues(measure: SpectralMeasure, size: int, drawing: Drawing) -> Array:
    """Return joint eigenvalues of shape (size, coordinates) that follow a measure.

    Accuracy: multiplicities are rounded to integers, an error of order 1/size in every mean.
    """
    if isinstance(measure, Atoms):
        weights = np.array([drawing.scalar(w) for w in measure.weights], dtype=float)
        points = np.array([[drawing.scalar(x) for x in p] for p in measure.points], dtype=float)
        edges = np.round(np.cumsum(weights) * size).astype(int)
        counts = np.diff(np.concatenate([[0], edges]))
        return np.repeat(points, counts, axis=0)
    if isinstance(measure, PowerLaw):
        levels = (np.arange(size) + 0.5) / size
        return np.asarray(levels ** (-drawing.scalar(measure.args[0])))[:, None]
    if isinstance(measure, MarchenkoPastur):
        ratio, scale = (drawing.scalar(a) for a in measure.args)
        columns = max(1, round(size / ratio))
        z = drawing.rng.standard_normal((size, columns)) / np.sqrt(columns)
        return np.asarray(scale * np.linalg.eigvalsh(z @ z.T))[:, None]
    found = type(measure).__name__
    raise NotSupportedError("sample of a covariance", f"measure {found}", "give atoms(...)")


def sample(
    outputs: Expr | Mapping[str, Expr] | DysonEquations,
    sizes: Mapping[str, float],
    seed: int = 0,
    *,
    trials: int = 1,
) -> Samples:
    """Evaluate normalised traces on matrices of finite size.

    Args:
        outputs: a scalar expression in ``ntrace(...)``, several by name, or the equations that
            were derived from them.
        sizes: a value for every dimension (integers >= 1) and every control, by name.
        seed: of all draws.
        trials: number of independent draws.

    Returns:
        Arrays of shape (trials,) per output; a single expression is called ``value``.

    Raises:
        UnknownNameError: if a symbol has no value; RangeError: if a size is not a positive integer.

    Accuracy: exact traces in double precision of the drawn matrices; the distance to the limit is
    of order 1/size.

    Example:
        >>> from derive.matrices import dims, eye, gaussian, ntrace
        >>> n, d = dims("n d")
        >>> X = gaussian("X", d, n, 1/n)
        >>> found = sample(ntrace((X*X.T + eye(d)).inv()), {"n": 200, "d": 100})
        >>> bool(abs(found.mean("value") - 0.5616) < 0.01)
        True
    """
    if isinstance(outputs, DysonEquations):
        outputs = outputs.declared
    if trials < 1:
        raise RangeError("sample", f"{trials} trials", "ask for at least one")
    for name, size in sizes.items():
        if isinstance(size, str) or not np.isscalar(size) or not np.isfinite(size):
            raise RangeError(f"sample with {name} = {size!r}", "not a number", "give numbers")
    named = dict(outputs) if isinstance(outputs, Mapping) else {"value": outputs}
    collected: dict[str, list[Any]] = {name: [] for name in named}
    for trial in range(trials):
        rng = np.random.default_rng(np.random.SeedSequence((seed, trial)))
        drawing = Drawing(rng, sizes)
        for name, expr in named.items():
            collected[name].append(_evaluate(expr, drawing))
    return Samples({name: np.array(v) for name, v in collected.items()}, dict(sizes))


def _evaluate(expr: Expr, drawing: Drawing) -> Any:
    traces = {t: _trace(t.formula, drawing) for t in sorted(expr.atoms(NormalisedTrace), key=str)}
    symbols = {t: Symbol(f"trace_{i}") for i, t in enumerate(traces)}
    point = {**drawing.point, **{str(symbols[t]): value for t, value in traces.items()}}
    return Drawing(drawing.rng, point).scalar(expr.xreplace(symbols))


def _trace(node: Formula, drawing: Drawing) -> Any:
    if isinstance(node, Product) and len(node.factors) > 1:
        left = drawing.chain(node.factors[: len(node.factors) // 2])
        right = drawing.chain(node.factors[len(node.factors) // 2 :])
        total = drawing.scalar(node.args[0]) * np.sum(left * right.T)
    else:
        total = np.trace(drawing.matrix(node))
    return total / drawing.size(node.shape[0])
