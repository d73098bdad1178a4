r"""Eigenvalues that vectors push out of the bulk: location, threshold, overlap.

Stage: a symmetric matrix expression A that holds spikes (``derive.matrices.outer``) in, equations
out. In the pencil L of (z - A)^-1 the spikes are a perturbation of finite rank, L = B + U V^T, so

.. math:: L^{-1} = B^{-1} - B^{-1} U (1 + K)^{-1} V^T B^{-1}, \qquad K = V^T B^{-1} U,

and every entry of K is a quadratic form of the bulk, which has a deterministic limit. Eigenvalues
of A off the bulk are the zeros of det(1 + K(z)); it factors over groups of spikes that share no
vector. The squared overlap of the eigenvector of a simple zero with a vector u is the residue of
u^T (z - A)^-1 u there.

Sources: [bbp2005] for the threshold, [benaych2011] for the determinant and the overlap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sympy import Expr, Integer, Matrix, S

from derive.block import Line
from derive.dyson import DysonEquations, assembled, named_output, port_value, reduced
from derive.errors import NotSupportedError, RangeError
from derive.matrices import eye, ntrace
from derive.pencil import Entry, Pencil, Port, pencil
from derive.provenance import BENAYCH_2011
from derive.random_matrices.finite_rank import Spike, Vector, spikes_of
from derive.random_matrices.matrix_nodes import Eye, Formula, formula, split
from derive.random_matrices.matrix_order import unbalanced
from derive.random_matrices.pencil_check import refuse_singular
from derive.rewrite import Step
from derive.symbols import Quantity

Ports = dict[tuple[str, int, int], Port]


@dataclass(frozen=True)
class Outliers:
    """Equations of a matrix with spikes.

    Attributes:
        matrix: the symmetric expression A.
        z: spectral argument; outliers are its values at which a condition vanishes.
        equations: outputs ``m`` (normalised trace of the resolvent), ``condition_1``, ... (one per
            group of spikes that share vectors), ``weight_<vector>_<group>`` (minus numerator of the
            form of a vector, times the condition) and ``bulk_<vector>``.
        groups: the names of the vectors of each group.
    """

    matrix: Formula
    z: Quantity
    equations: DysonEquations
    groups: tuple[tuple[str, ...], ...]
    vectors: tuple[Vector, ...] = field(default=(), repr=False)

    def conditions(self) -> tuple[str, ...]:
        """Return the names of the outputs whose zeros are the outliers."""
        return tuple(f"condition_{i}" for i in range(1, len(self.groups) + 1))

    def overlaps(self) -> DysonEquations:
        """Return the equations with outputs ``overlap_<vector>_<group>``.

        At a simple zero of the condition the value is (v^T psi)^2, psi the unit eigenvector of the
        outlier; elsewhere it has no meaning.
        """
        found = self.equations
        for i, name in enumerate(self.conditions(), 1):
            found = found.differentiate(name, self.z)
            for v in self.groups[i - 1]:
                if f"weight_{v}_{i}" in found.outputs:
                    found = _with_ratio(found, f"overlap_{v}_{i}", f"weight_{v}_{i}", f"{name}_z")
        return found

    def form(self, vector: str) -> Expr:
        """Return v^T (z - A)^-1 v of a vector of the spikes, in the outputs of the equations.

        Raises:
            RangeError: if the vector is none of the spikes' that A acts on.
        """
        if f"bulk_{vector}" not in self.equations.outputs:
            known = sorted(n[5:] for n in self.equations.outputs if n.startswith("bulk_"))
            remedy = f"the vectors are {', '.join(known)}"
            raise RangeError(f"form of {vector}", "no spike of this matrix has it", remedy)
        outputs = self.equations.outputs
        total = outputs[f"bulk_{vector}"]
        for i, name in enumerate(self.conditions(), 1):
            if f"weight_{vector}_{i}" in outputs:
                total += outputs[f"weight_{vector}_{i}"] / outputs[name]
        return total


def _with_ratio(eqs: DysonEquations, name: str, top: str, bottom: str) -> DysonEquations:
    value = eqs.outputs[top] / eqs.outputs[bottom]
    return replace(eqs, outputs={**eqs.outputs, name: value})


def outliers(matrix: object, z: Quantity) -> Outliers:
    """Return the equations of the eigenvalues that spikes push out of the bulk.

    Args:
        matrix: symmetric expression that holds spikes.
        z: spectral argument, a control.

    Raises:
        NotSupportedError: if the matrix is not symmetric, holds no spike, or holds z.
        DeriveError: if two different vectors carry one name.

    Example:
        >>> from derive.matrices import dims, outer, vector, wigner
        >>> from derive.symbols import control
        >>> n, = dims("n")
        >>> theta, z = control("theta", positive=True), control("z")
        >>> found = outliers(wigner("S", n, 1/n) + theta*outer(vector("u", n)), z)
        >>> found.equations.outputs["condition_1"], found.equations.definitions[-3:]
        (condition_1, ...)
    """
    body = formula(matrix, f"outliers of {matrix}")
    if body.shape[0] != body.shape[1] or body != body.T:
        remedy = "give a symmetric matrix, such as M*M.T for singular values"
        raise NotSupportedError(f"outliers of {body}", "it is not symmetric", remedy)
    if not isinstance(z, Quantity) or z in body.free_symbols:
        said = "it is part of the matrix" if z in body.free_symbols else "it is no control"
        raise NotSupportedError(f"spectral argument {z}", said, 'use control("z")')
    spikes = spikes_of(body)
    if not spikes:
        raise NotSupportedError(f"outliers of {body}", "it holds no spike", "add theta*outer(u)")
    resolvent = (z * eye(body.shape[0]) - body).inv()
    refuse_singular([resolvent])
    built = pencil(resolvent)
    builder = _Forms(built, body.shape[0])
    found = reduced(builder.pencil())
    lines: list[Line] = list(found.core.lines)
    known = {
        key: port_value(port, found.core)
        for key, port in zip(builder.keys, found.pencil.ports[1:], strict=True)
    }
    raw = {"m": port_value(found.pencil.ports[0], found.core), **_conditions(builder, known)}
    outputs = {name: named_output(e, name, {}, lines) for name, e in raw.items()}
    assumed = (*found.assumptions, *unbalanced([resolvent]), _SAID)
    equations = assembled(
        found, lines, outputs, declared={"m": ntrace(resolvent)}, assumptions=assumed
    )
    groups = tuple(builder.names(group) for group in builder.groups(known))
    step = Step("form the determinant of the spikes", f"{len(groups)} groups", BENAYCH_2011)
    equations = _logged(equations, step)
    return Outliers(body, z, equations, groups, builder.vectors)


_SAID = "vectors are deterministic and independent of the random letters; different ones are free"


def _logged(equations: DysonEquations, step: Step) -> DysonEquations:
    return replace(equations, log=equations.log.then(step))


class _Forms:
    """The quadratic forms of a spiked resolvent, as ports of its bulk pencil."""

    def __init__(self, built: Pencil, dim: Expr) -> None:
        self.built = built
        self.entries = [e for e in built.entries if isinstance(e.letter, Spike)]
        self.dims, self.extra = list(built.dims), list(built.entries)
        self.lefts = [_spike(e).left for e in self.entries]
        self.rights = [_spike(e).right for e in self.entries]
        distinct = dict.fromkeys((*self.lefts, *self.rights))
        self.vectors = tuple(v for v in distinct if v.dim == dim)
        self.ports: Ports = {}
        self.read: dict[tuple[Vector, tuple[tuple[int, Expr], ...]], list[tuple[int, Expr]]] = {}
        self._add_all()
        self.keys = tuple(self.ports)

    def _add_all(self) -> None:
        whole = self.built.ports[0]
        for i, e in enumerate(self.entries):
            row = ((e.row, e.coefficient),)
            for j, f in enumerate(self.entries):
                if self.rights[j] == self.lefts[i]:
                    self._add("K", j, i, self.rights[j], ((f.col, S.One),), row)
            for k, w in enumerate(self.vectors):
                if w == self.lefts[i]:
                    self._add("P", k, i, w, whole.u, row)
                if w == self.rights[i]:
                    self._add("S", i, k, w, ((e.col, S.One),), whole.v)
        for k, w in enumerate(self.vectors):
            self._add("bulk", k, k, w, whole.u, whole.v)

    def _add(
        self,
        kind: str,
        i: int,
        j: int,
        vector: Vector,
        u: tuple[tuple[int, Expr], ...],
        v: tuple[tuple[int, Expr], ...],
    ) -> None:
        """Add the port of (moment of the vector) * u L^-1 v."""
        shape = (vector.dim, vector.dim)
        self.ports[kind, i, j] = Port(tuple(self._reading(vector, u)), v, S.Zero, shape)

    def _reading(self, vector: Vector, u: tuple[tuple[int, Expr], ...]) -> list[tuple[int, Expr]]:
        """Return what reads moment * sum of u_j x_j; new blocks realise the moment."""
        c, body = split(vector.moment)
        if isinstance(body, Eye):
            return [(j, c * x) for j, x in u]
        key = vector, u
        if key not in self.read:
            self.read[key] = self._realised(vector.moment, u)
        return self.read[key]

    def _realised(self, moment: Formula, u: tuple[tuple[int, Expr], ...]) -> list[tuple[int, Expr]]:
        own, offset = pencil(moment), len(self.dims)
        port = own.ports[0]
        self.dims += own.dims
        for e in own.entries:
            self.extra.append(
                Entry(e.row + offset, e.col + offset, e.letter, e.flipped, e.coefficient)
            )
        for k, y in port.v:
            self.extra += [Entry(k + offset, j, None, False, -y * x) for j, x in u]
        found = [(j + offset, x) for j, x in port.u]
        return found + ([(j, port.direct * x) for j, x in u] if port.direct != 0 else [])

    def pencil(self) -> Pencil:
        """Return the pencil with a port for each form; the first one is the resolvent's."""
        ports = (self.built.ports[0], *self.ports.values())
        return Pencil(
            tuple(self.dims),
            tuple(self.extra),
            ports,
            self.built.expressions,
            self.built.inverses,
            len(self.dims),
        )

    def groups(self, known: Mapping[tuple[str, int, int], Expr]) -> list[list[int]]:
        """Return the entries of the spikes in groups that no form connects."""
        left = set(range(len(self.entries)))
        found = []
        while left:
            pending, group = [min(left)], {min(left)}
            while pending:
                i = pending.pop()
                linked = {
                    j
                    for j in left
                    if known.get(("K", i, j), 0) != 0 or known.get(("K", j, i), 0) != 0
                }
                pending += linked - group
                group |= linked
            found.append(sorted(group))
            left -= group
        return found

    def names(self, group: Sequence[int]) -> tuple[str, ...]:
        """Return the names of the vectors of a group."""
        vectors = [v for i in group for v in (self.lefts[i], self.rights[i])]
        return tuple(sorted({v.name for v in vectors}))


def _spike(entry: Entry) -> Spike:
    assert isinstance(entry.letter, Spike), "entries were chosen by their letter"
    return entry.letter


def _conditions(builder: _Forms, known: Mapping[tuple[str, int, int], Expr]) -> dict[str, Expr]:
    """Return condition, weights and bulk forms by name."""
    out: dict[str, Expr] = {}
    for number, group in enumerate(builder.groups(known), 1):
        size = len(group)
        matrix = Matrix(
            size,
            size,
            lambda a, b, g=group: Integer(int(a == b)) + known.get(("K", g[a], g[b]), S.Zero),
        )
        out[f"condition_{number}"] = matrix.det(method="berkowitz").factor()
        adjugate = matrix.adjugate(method="berkowitz")
        for k, w in enumerate(builder.vectors):
            left = [known.get(("P", k, i), S.Zero) for i in group]
            right = [known.get(("S", i, k), S.Zero) for i in group]
            total = S.Zero
            for a in range(size):
                for b in range(size):
                    total -= left[a] * adjugate[a, b] * right[b]
            if total != 0:
                out[f"weight_{w.name}_{number}"] = total.factor()
    for k, w in enumerate(builder.vectors):
        out[f"bulk_{w.name}"] = known["bulk", k, k]
    return out
