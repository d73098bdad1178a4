r"""The averaged pencil M = L0 - eta(g) and its inverse, block by block, in exact arithmetic.

Stage: inside the Dyson equations. M is known up to the block traces g that occur in eta; at each
value s of the spectral variables of the deterministic letters it is a small matrix of scalars.
Letters of a second commuting group in one dimension are free from the first: they enter as a
self-energy with an equation of its own (the R-transform condition E[(1 + (C s - Sigma) G)^-1] = 1).

``tau`` scales every random variance from 0 to 1: at 0 the solution is explicit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sympy import Dummy, Expr, Integer, Symbol

from derive.block import Line
from derive.errors import NotSupportedError
from derive.pencil import Entry, Pencil
from derive.random_matrices.block_inverse import Part, inverse_entries, solve_part, wanted_parts
from derive.random_matrices.covariance_map import Index, Pair, covariance_pairs, nonzero_blocks
from derive.random_matrices.exact_field import ExactField, exact_field
from derive.random_matrices.matrix_letters import Covariance
from derive.random_matrices.spectral_measure import Atoms
from derive.random_matrices.traced import Tracer
from derive.symbols import Quantity

TAU = Dummy("tau", positive=True)
Basis = tuple[Any, ...]
FEW_PIVOTS = 3


@dataclass(frozen=True)
class FreeGroup:
    """A commuting group that is free from the first one of its dimension.

    Attributes:
        basis: identity of its eigenvectors.
        rows: block rows where its letters stand.
        cols: block columns where its letters stand.
    """

    basis: Basis
    rows: tuple[int, ...]
    cols: tuple[int, ...]


@dataclass(frozen=True)
class AveragedPencil:
    """M over an exact field, with one symbol per unknown block trace.

    Attributes:
        pencil: the pencil.
        outputs: blocks of the inverse whose traces are wanted.
    """

    pencil: Pencil
    outputs: tuple[Index, ...]
    spectral: dict[tuple[Basis, int], Symbol] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Terms of the covariance map whose block can be nonzero."""
        return tuple(p for p in covariance_pairs(self.pencil) if p.block in self.nonzero)

    @cached_property
    def nonzero(self) -> frozenset[Index]:
        """Blocks of the inverse that can have a nonzero trace."""
        fixed = {(e.row, e.col) for e in self.pencil.entries if self.is_fixed(e)}
        for group in self.free:
            fixed |= {(i, l) for i in group.rows for l in group.cols}
        return nonzero_blocks(self.pencil.dims, fixed, covariance_pairs(self.pencil))

    def is_fixed(self, entry: Entry) -> bool:
        """Whether an entry is not random."""
        return entry.letter is None or isinstance(entry.letter, Covariance)

    @cached_property
    def bases(self) -> dict[Expr, list[Basis]]:
        """Commuting groups by dimension, in order of first appearance."""
        found: dict[Expr, list[Basis]] = {}
        for e in self.pencil.entries:
            if isinstance(e.letter, Covariance):
                groups = found.setdefault(e.letter.shape[0], [])
                if e.letter.basis not in groups:
                    groups.append(e.letter.basis)
        return found

    @cached_property
    def free(self) -> tuple[FreeGroup, ...]:
        """Groups that are treated as free from the first of their dimension."""
        groups = []
        for bases in self.bases.values():
            for basis in bases[1:]:
                entries = self.entries_of(basis)
                rows = tuple(sorted({e.row for e, _ in entries}))
                groups.append(FreeGroup(basis, rows, tuple(sorted({e.col for e, _ in entries}))))
        return tuple(groups)

    def assumptions(self) -> tuple[str, ...]:
        """Return the statements under which the averaged equations hold."""
        said = ["all dimensions grow together; random letters are independent"]
        for group in self.free:
            others = self.bases[group.basis[1]][0][0]
            said.append(f"{group.basis[0]} and {others} are in generic position: free")
        return tuple(said)

    def entries_of(self, basis: Basis) -> list[tuple[Entry, int]]:
        """Return the entries of the letters of one commuting group, with their coordinates."""
        letters = ((e, e.letter) for e in self.pencil.entries)
        return [
            (e, x.coordinate) for e, x in letters if isinstance(x, Covariance) and x.basis == basis
        ]

    def variable(self, letter: Covariance) -> Symbol:
        """Return the spectral variable of a deterministic letter."""
        key = letter.basis, letter.coordinate
        if key not in self.spectral:
            self.spectral[key] = Dummy(f"s_{letter.name}", real=True)
        return self.spectral[key]

    def variables(self, basis: Basis) -> list[Symbol]:
        """Return all spectral variables of a group, in the order of its measure."""
        measure = basis[2]
        return [
            self.spectral.setdefault((basis, i), Dummy(f"s_{i}", real=True))
            for i in range(measure.coordinates)
        ]

    @cached_property
    def unknowns(self) -> dict[Index, Quantity]:
        """A symbol for each nonzero block trace that occurs in eta or in a self-energy."""
        blocks = {p.block for p in self.pairs}
        for group in self.free:
            blocks |= {(l, i) for l in group.cols for i in group.rows if (l, i) in self.nonzero}
        return {b: _trace_symbol(b, self.pencil.dims[b[0]]) for b in sorted(blocks)}

    @cached_property
    def energies(self) -> dict[Index, Quantity]:
        """A symbol for each entry of a self-energy."""
        places = sorted({(i, l) for group in self.free for i in group.rows for l in group.cols})
        return {
            (i, l): Quantity(
                f"h_{i}_{l}", f"self-energy of free letters at ({i}, {l})", latex=f"h_{{{i},{l}}}"
            )
            for i, l in places
        }

    @cached_property
    def field(self) -> ExactField:
        """The field of scalars, spectral variables, unknowns and tau."""
        scalars = [e.coefficient for e in self.pencil.entries]
        scalars += [p.coefficient for p in self.pairs]
        symbols: list[Symbol] = [TAU, *self.unknowns.values(), *self.energies.values()]
        for bases in self.bases.values():
            for basis in bases:
                symbols += self.variables(basis)
        return exact_field(scalars, symbols)

    def fixed_terms(self) -> Iterable[tuple[Index, Expr]]:
        """Yield the terms of M that no unknown trace multiplies."""
        free = {group.basis for group in self.free}
        for e in self.pencil.entries:
            if e.letter is None:
                yield (e.row, e.col), e.coefficient
            elif isinstance(e.letter, Covariance) and e.letter.basis not in free:
                yield (e.row, e.col), e.coefficient * self.variable(e.letter)
        yield from self.energies.items()

    def matrix(self, merged: Mapping[Index, Expr]) -> dict[Index, Any]:
        """Return M, with unknown traces replaced as ``merged`` says."""
        total: dict[Index, Any] = {}
        convert = self.field.convert
        for place, term in self.fixed_terms():
            total[place] = total.get(place, convert(Integer(0))) + convert(term)
        for p in self.pairs:
            value = merged.get(p.block, self.unknowns[p.block])
            element = convert(p.coefficient) * convert(TAU) * convert(value)
            total[p.row, p.col] = total.get((p.row, p.col), convert(Integer(0))) - element
        return {place: x for place, x in total.items() if x}

    @property
    def wanted(self) -> set[Index]:
        """Blocks of the inverse whose traces are needed."""
        return set(self.unknowns) | set(self.outputs)

    def traces(self, merged: Mapping[Index, Expr]) -> tuple[dict[Index, Expr], tuple[Line, ...]]:
        """Return the needed traces of M^-1, averaged over the spectra, and lines they rest on.

        Small parts are inverted in the field; parts with many pivots that are not +-1 become
        straight-line code, one copy for each atom of the spectrum.
        """
        matrix = self.matrix(merged)
        tracer = Tracer("c_")
        found: dict[Index, Expr] = {}
        for part in wanted_parts(matrix, self.wanted):
            cells = {k: x for k, x in matrix.items() if k[0] in part.rows}
            if self._is_hard(cells, part):
                found.update(self._straight(cells, part, tracer))
            else:
                solution, _ = solve_part(cells, part, self.field.domain.one)
                found.update({k: self.mean(k, x) for k, x in solution.items() if k in self.wanted})
        backward = self.field.backward
        lines = tuple((s, e.xreplace(backward)) for s, e in tracer.lines)
        return {k: e.xreplace(backward) for k, e in found.items()}, lines

    def _is_hard(self, cells: Mapping[Index, Any], part: Part) -> bool:
        basis = self._basis(part)
        if len(part.rows) <= FEW_PIVOTS or (basis and not isinstance(basis[2], Atoms)):
            return False
        if not self.field.domain.is_FractionField:
            return False
        try:
            _, hard = self._traced(cells, part, {}, Tracer("probe_"))
        except NotSupportedError:
            return False
        return hard > FEW_PIVOTS

    def _basis(self, part: Part) -> Basis | None:
        bases = self.bases.get(self.pencil.dims[part.rows[0]], [])
        return bases[0] if bases else None

    def _traced(
        self, cells: Mapping[Index, Any], part: Part, atom: dict[Symbol, Expr], tracer: Tracer
    ) -> tuple[dict[Index, Any], int]:
        lifted = {
            k: tracer.lift(self.field.domain.to_sympy(x).xreplace(atom)) for k, x in cells.items()
        }
        return solve_part({k: x for k, x in lifted.items() if x}, part, tracer.lift(Integer(1)))

    def _straight(
        self, cells: Mapping[Index, Any], part: Part, tracer: Tracer
    ) -> dict[Index, Expr]:
        basis = self._basis(part)
        points: list[dict[Symbol, Expr]] = [{}]
        if basis is None:
            weights = (Integer(1),)
        else:
            variables = self.variables(basis)
            points = [dict(zip(variables, p, strict=True)) for p in basis[2].points]
            weights = basis[2].weights
        total: dict[Index, Expr] = {}
        for atom, weight in zip(points, weights, strict=True):
            solution, _ = self._traced(cells, part, atom, tracer)
            for k, x in solution.items():
                if k in self.wanted:
                    total[k] = total.get(k, Integer(0)) + weight * x.expr
        return total

    def explicit(self) -> dict[Index, Expr]:
        """Return the needed traces at tau = 0; they rest on self-energies only."""
        zero = dict.fromkeys(self.unknowns, Integer(0))
        at_zero = {TAU: Integer(0)}
        cells = {
            k: self.field.convert(self.field.expr(x).xreplace(at_zero))
            for k, x in self.matrix(zero).items()
        }
        kept = {k: x for k, x in cells.items() if x}
        solution = inverse_entries(kept, self.wanted, self.field.domain.one)
        return {k: self.mean(k, x) for k, x in solution.items()}

    def mean(self, block: Index, element: Any) -> Expr:
        """Average an entry of M^-1 over the spectral measure of its dimension."""
        expr = self.field.expr(element)
        bases = self.bases.get(self.pencil.dims[block[0]], [])
        return averaged(expr, bases[0], self.variables(bases[0])) if bases else expr


def averaged(expr: Expr, basis: Basis, variables: list[Symbol]) -> Expr:
    """Return the mean of an expression over the measure of a group; constants stay as they are."""
    if not expr.free_symbols & set(variables):
        return expr
    result: Expr = basis[2].mean(expr, variables)
    return result


def _trace_symbol(block: Index, dim: Expr) -> Quantity:
    j, k = block
    meaning = f"normalised trace over {dim} of block ({j}, {k}) of the inverse pencil"
    return Quantity(f"g_{j}_{k}", meaning, latex=f"g_{{{j},{k}}}")
