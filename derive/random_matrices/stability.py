r"""Which root of Dyson equations is the limit of the random matrices: a test that proves it.

Stage: inside the Dyson equations. Let Q be the pencil, M its average at a root and K = M^-1. The
root is certified by one number: the spectral radius of the positive map

.. math:: T(Y) = \mathbb{E}_s\!\left[ K\, \eta(Y)\, K^* \right], \qquad
          \eta(Y) = \mathbb{E}\!\left[ (Q - \mathbb{E}Q)\, Y\, (Q - \mathbb{E}Q)^* \right].

**If the radius is below one, the root is the limit**, and the singular values of Q stay away from
zero in the limit (the expression is regular there).

Derivation: H = [[0, Q], [Q^*, 0]] is Hermitian, and G = [[0, K^*], [K, 0]] solves its Dyson
equation at spectral argument w = 0. (a) Along w = i e the solution through G has
Im(-G) = e Y + O(e^2), where Y - C(Y) = G G^* and C acts as T does; a radius below one makes Y
positive definite. (b) Two solutions G_1, G_2 at one w with Im(-G_i) > 0 differ by
D = G_1 eta(D) G_2, and the map on the right has a radius of at most the root of the product of the
radii of the two positive maps, each below one since Im(-G_i) - C_i(Im(-G_i)) = Im(w) G_i G_i^* > 0;
so D = 0. Hence for small e the solution is the one of positive imaginary part, which is the limit
of the matrices [helton2007]; let e tend to zero.

The test needs independent Gaussian letters and at most one commuting group per dimension. The bound
of the radius is one of Collatz and Wielandt: Y > 0 and Y - T(Y) > 0, checked by LDL* in balls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from flint import acb, acb_mat, arb, fmpq
from sympy import Expr, Integer, Symbol

from derive.balls import enclose
from derive.block import Line, symbols_of
from derive.errors import NotSupportedError
from derive.pencil import Entry
from derive.random_matrices.averaged_pencil import TAU, AveragedPencil
from derive.random_matrices.covariance_map import Index
from derive.random_matrices.matrix_letters import Gaussian, Wigner
from derive.random_matrices.spectral_measure import Atoms, SpectralMeasure, summed_over

_LARGEST = 400
_TERMS = 4000
_SHIFT = 0.5
Vec = dict[Index, Any]
Spectrum = tuple[tuple[Symbol, ...], tuple[tuple[tuple[Expr, ...], Expr], ...]]


@dataclass(frozen=True)
class Flow:
    """One term of eta: coefficient * y[source] joins eta at ``target``."""

    target: Index
    source: Index
    coefficient: Expr


@dataclass(frozen=True)
class Branch:
    """What the test found at one root.

    Attributes:
        proved: whether the root is proved to be the limit.
        radius: spectral radius of the stability operator, estimated; NaN where it was not computed.
        reason: why nothing is proved; empty if it is.
    """

    proved: bool
    radius: float
    reason: str = ""


@dataclass(frozen=True)
class Stability:
    """M and eta as expressions in traces, controls and spectral variables.

    Attributes:
        classes: block indices by dimension.
        cells: entries of M.
        flows: terms of eta.
        spectra: for each class, its spectral variables and atoms with weights.
        lines: definitions that the cells rest on.
        obstacle: why the test does not apply; empty if it does.
        measures: place of a class and its spectral measure.
    """

    classes: tuple[tuple[int, ...], ...]
    cells: Mapping[Index, Expr]
    flows: tuple[Flow, ...]
    spectra: tuple[Spectrum, ...]
    lines: tuple[Line, ...] = ()
    obstacle: str = ""
    measures: tuple[tuple[int, SpectralMeasure], ...] = ()

    def replaced(self, new: Mapping[Symbol, Expr]) -> "Stability":
        """Return the test with symbols replaced by expressions."""
        known = dict(new)

        def swap(e: Expr) -> Expr:
            return e.xreplace(known)

        spectra = tuple(
            (s, tuple((tuple(map(swap, p)), swap(w)) for p, w in points))
            for s, points in self.spectra
        )
        return replace(
            self,
            cells={k: swap(e) for k, e in self.cells.items()},
            flows=tuple(replace(f, coefficient=swap(f.coefficient)) for f in self.flows),
            spectra=spectra,
            measures=tuple((i, cast(Any, m).xreplace(known)) for i, m in self.measures),
            lines=tuple((s, swap(e)) for s, e in self.lines),
        )

    def discretised(self, nodes: int) -> "Stability":
        """Return the test with sums over nodes in place of integrals over spectra."""
        spectra, obstacle = list(self.spectra), self.obstacle
        for place, measure in self.measures:
            spectra[place] = spectra[place][0], measure.rule(nodes)
            obstacle = "" if "continuous" in obstacle else obstacle
        own = [m for _, m in self.measures]
        lines = tuple((s, summed_over(e, nodes, own)) for s, e in self.lines)
        return replace(self, spectra=tuple(spectra), obstacle=obstacle, lines=lines)

    def test(self, values: Mapping[Symbol, Any], *, estimate: bool = True) -> Branch:
        """Test a root.

        Args:
            values: balls (arb or acb) of controls and unknowns, by symbol.
            estimate: whether the radius is wanted even where it is proved to be below one; it takes
                most of the time.
        """
        if self.obstacle:
            return Branch(False, float("nan"), self.obstacle)
        try:
            maps = _Maps(self, values)
        except ZeroDivisionError:
            return Branch(False, float("nan"), "the averaged pencil is not invertible in balls")
        except KeyError as missing:
            return Branch(False, float("nan"), f"no value for {missing.args[0]}")
        return maps.decide(estimate=estimate)

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Controls and unknowns that the test rests on, sorted by name."""
        exprs = [*self.cells.values(), *(f.coefficient for f in self.flows)]
        exprs += [e for _, e in self.lines]
        for _, points in self.spectra:
            exprs += [e for point, weight in points for e in (*point, weight)]
        own = {s for s, _ in self.lines} | {s for symbols, _ in self.spectra for s in symbols}
        free = {s for e in exprs for s in symbols_of(e)}
        return tuple(sorted(free - own, key=str))

    def test_named(self, values: Mapping[str, arb], *, estimate: bool = True) -> Branch:
        """Test a root given by names; a complex ``g`` is given as ``g_re`` and ``g_im``."""
        known: dict[Symbol, Any] = {}
        for s in self.symbols:
            if s.name in values:
                known[s] = values[s.name]
            elif f"{s.name}_re" in values:
                known[s] = acb(values[f"{s.name}_re"], values[f"{s.name}_im"])
        return self.test(known, estimate=estimate)


def stability(
    model: AveragedPencil, values: Mapping[Index, Expr], lines: Sequence[Line]
) -> Stability:
    """Return the test of a model whose block traces are given in terms of its core."""
    dims = model.pencil.dims
    places = {dim: tuple(i for i, other in enumerate(dims) if other == dim) for dim in dims}
    obstacle = ""
    if model.free:
        obstacle = "two deterministic groups in generic position are outside the theorem used"
    spectra: list[Spectrum] = []
    measures: list[tuple[int, SpectralMeasure]] = []
    for dim in places:
        bases = model.bases.get(dim, [])
        if not bases:
            spectra.append(((), (((), Integer(1)),)))
            continue
        measure = bases[0][2]
        if not isinstance(measure, Atoms):
            obstacle = obstacle or "a continuous spectral measure is averaged by no finite sum"
        points = measure.rule(1) if isinstance(measure, Atoms) else ()
        measures.append((len(spectra), measure))
        spectra.append((tuple(model.variables(bases[0])), points))
    cells: dict[Index, Expr] = {}
    end = {TAU: Integer(1)}
    for place, term in model.fixed_terms():
        cells[place] = cells.get(place, Integer(0)) + term.xreplace(end)
    for p in model.pairs:
        trace = values.get(p.block, Integer(0))
        cells[p.row, p.col] = cells.get((p.row, p.col), Integer(0)) - p.coefficient * trace
    flows = tuple(_flows(model.pencil.entries))
    ended = tuple((s, e.xreplace(end)) for s, e in lines)
    classes = tuple(places.values())
    return Stability(classes, cells, flows, tuple(spectra), ended, obstacle, tuple(measures))


def _flows(entries: Sequence[Entry]) -> list[Flow]:
    """Return E[L Y L^*] in terms of y: pairs of entries of one letter, both flipped or neither."""
    found = []
    for a in entries:
        for b in entries:
            same = a.letter is not None and a.letter == b.letter and a.flipped == b.flipped
            if same and isinstance(a.letter, (Gaussian, Wigner)):
                inner = a.letter.shape[0] if a.flipped else a.letter.shape[1]
                scale = a.letter.variance * inner
                c = a.coefficient * b.coefficient * scale
                found.append(Flow((a.row, b.row), (a.col, b.col), c))
    return found


class _Maps:
    """T at one root, in balls."""

    def __init__(self, data: Stability, values: Mapping[Symbol, Any]) -> None:
        known = dict(values)
        for symbol, expr in data.lines:
            known[symbol] = ball_of(expr, known)
        self.classes = data.classes
        self.flows = [(f.target, f.source, ball_of(f.coefficient, known)) for f in data.flows]
        self.samples: list[list[tuple[Any, acb_mat]]] = []
        for places, (symbols, points) in zip(data.classes, data.spectra, strict=True):
            averages = []
            for point, weight in points:
                here = {
                    **known,
                    **{s: ball_of(e, known) for s, e in zip(symbols, point, strict=True)},
                }
                rows = [
                    [ball_of(data.cells.get((i, l), Integer(0)), here) for l in places]
                    for i in places
                ]
                averages.append((ball_of(weight, known), acb_mat(rows).inv()))
            self.samples.append(averages)
        self.kernels = [self._kernel(k) for k in range(len(self.classes))]

    def _kernel(self, k: int) -> dict[tuple[int, int, int, int], Any]:
        """E[K_ai conj(K_bj)] for local indices of one class."""
        size, total = len(self.classes[k]), {}
        for a in range(size):
            for i in range(size):
                for b in range(size):
                    for j in range(size):
                        total[a, i, b, j] = sum(
                            (w * m[a, i] * _conjugate(m[b, j]) for w, m in self.samples[k]), acb(0)
                        )
        return total

    def image(self, y: Vec) -> Vec:
        """Return T(Y) on all pairs of block columns of one dimension."""
        eta: Vec = {}
        for target, source, c in self.flows:
            if source in y:
                eta[target] = eta.get(target, acb(0)) + c * y[source]
        out: Vec = {}
        for k, places in enumerate(self.classes):
            local = {p: a for a, p in enumerate(places)}
            inner = [
                (local[i], local[j], v) for (i, j), v in eta.items() if i in local and j in local
            ]
            for a, left in enumerate(places):
                for b, right in enumerate(places):
                    terms = (self.kernels[k][a, i, b, j] * v for i, j, v in inner)
                    out[left, right] = sum(terms, acb(0))
        return out

    def unit(self) -> Vec:
        return {(p, q): acb(int(p == q)) for places in self.classes for p in places for q in places}

    def decide(self, *, estimate: bool) -> Branch:
        if len(self.unit()) > _LARGEST:
            return Branch(False, float("nan"), "the pencil is too large for the test")
        y = None if estimate else self._solution()
        if y is not None and self._contracts(y):
            return Branch(True, float("nan"))
        radius = self._radius()
        if not radius < 1:
            reason = f"the radius of the stability operator is about {radius:.6g}, not below 1"
            return Branch(False, radius, reason)
        y = self._solution() if y is None else y
        if y is None:
            return Branch(False, radius, f"the radius {radius:.6g} is too close to 1 to decide")
        if self._contracts(y):
            return Branch(True, radius)
        return Branch(False, radius, "positivity is not proved at the accuracy of the root")

    def _contracts(self, y: Vec) -> bool:
        """Whether Y > 0 and Y - T(Y) > 0, which bounds the radius of T by one."""
        image = self.image(y)
        return self._positive(y) and self._positive({k: v - image[k] for k, v in y.items()})

    def _radius(self) -> float:
        """Estimate the radius by the growth of (T + shift)^k(1); the shift breaks cycles."""
        y, last = self.unit(), 0.0
        if not self.flows:
            return 0.0
        for k in range(_TERMS):
            image = self.image(y)
            moved = {p: _middle(image[p] + _SHIFT * v) for p, v in y.items()}
            size = max(float(abs(v).mid()) for v in moved.values())
            y = {p: _middle(v / size) for p, v in moved.items()}
            if k > 5 and abs(size - last) < 1e-9 * size:
                break
            last = size
        return size - _SHIFT

    def _solution(self) -> Vec | None:
        """Return Y close to sum_k T^k(1), Hermitian, as exact midpoints."""
        keys = list(self.unit())
        place = {key: k for k, key in enumerate(keys)}
        matrix = acb_mat(len(keys), len(keys))
        for k, key in enumerate(keys):
            for target, value in self.image({key: acb(1)}).items():
                matrix[place[target], k] = -_middle(value)
            matrix[k, k] += 1
        unit = acb_mat(len(keys), 1, list(self.unit().values()))
        try:
            found = matrix.solve(unit)
        except ZeroDivisionError:
            return None
        y = {key: acb(found[k, 0]) for k, key in enumerate(keys)}
        half = acb(1) / 2
        return {(p, q): _middle((v + _conjugate(y[q, p])) * half) for (p, q), v in y.items()}

    def _positive(self, y: Vec) -> bool:
        """Whether a Hermitian matrix in balls is proved positive definite, by LDL*."""
        for places in self.classes:
            rows = [[y[p, q] for q in places] for p in places]
            for k in range(len(rows)):
                pivot = acb(rows[k][k]).real
                if not pivot > 0:
                    return False
                for i in range(k + 1, len(rows)):
                    factor = rows[i][k] / pivot
                    rows[i] = [v - factor * w for v, w in zip(rows[i], rows[k], strict=True)]
        return True


def _middle(value: Any) -> acb:
    whole = acb(value)
    return acb(whole.real.mid(), whole.imag.mid())


def _conjugate(value: Any) -> acb:
    whole = acb(value)
    return acb(whole.real, -whole.imag)


def ball_of(expr: Any, known: Mapping[Any, Any]) -> acb:
    """Return an algebraic expression in balls.

    Raises:
        NotSupportedError: for a function that is not algebraic.
    """
    if expr.is_Symbol:
        return acb(known[expr])
    if expr.is_Add or expr.is_Mul:
        total = ball_of(expr.args[0], known)
        for arg in expr.args[1:]:
            value = ball_of(arg, known)
            total = total + value if expr.is_Add else total * value
        return total
    if expr.is_Pow and expr.exp.is_Integer:
        return ball_of(expr.base, known) ** int(expr.exp)
    if expr.is_Pow and expr.exp.is_Rational:
        return ball_of(expr.base, known).pow(acb(arb(int(expr.exp.p)) / int(expr.exp.q)))
    if expr.is_Rational:
        return acb(arb(fmpq(int(expr.p), int(expr.q))))
    if expr.is_number and not expr.free_symbols:
        return acb(enclose(expr, 40).arb())
    raise NotSupportedError("test of a branch", f"{expr} is not algebraic", "use rational scalars")
