r"""Linear pencils: every rational matrix expression as u Q^-1 v, Q affine in the letters.

Stage: between the matrix language and Dyson equations. The expression is run on a symbolic input:
each inverse and each sum that meets a letter becomes a new block variable with its own block row,
equal ones are shared, and the block rows collect into Q. This is the table of sums, products and
inverses of realisation theory with all trivial blocks left out at once.

Conventions: rows and columns of Q carry the same list of dimensions; u and v hold scalars per
block; a ``Port`` is one expression u Q^-1 v + direct * identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sympy import Expr, S

from derive.errors import NotSupportedError
from derive.random_matrices.matrix_blocks import Blocks, Part
from derive.random_matrices.matrix_letters import Flip, Letter
from derive.random_matrices.matrix_nodes import Eye, Formula, Inverse, Product, Sum, Zero

Key = tuple[int, Letter | None, bool]
Terms = tuple[tuple[Key, Expr], ...]
INPUT = -1


@dataclass(frozen=True)
class Entry:
    """One term of Q: a coefficient times a letter (flipped or not), or times the identity.

    Attributes:
        row: block row.
        col: block column.
        letter: the letter; None for the identity.
        flipped: whether the transpose (adjoint) of the letter stands here.
        coefficient: exact scalar.
    """

    row: int
    col: int
    letter: Letter | None
    flipped: bool
    coefficient: Expr

    def __str__(self) -> str:
        mark = "^T" if self.flipped else ""
        if self.letter is None:
            return str(self.coefficient)
        c = "" if self.coefficient == 1 else "-" if self.coefficient == -1 else None
        return (
            f"({self.coefficient})*{self.letter}{mark}" if c is None else f"{c}{self.letter}{mark}"
        )


@dataclass(frozen=True)
class Port:
    """One block of an expression: sum of u_j (Q^-1)_jk v_k, plus ``direct`` times the identity.

    Attributes:
        u: (block column, scalar) pairs.
        v: (block row, scalar) pairs.
        direct: coefficient of the identity.
        shape: rows and columns, two dimensions.
    """

    u: tuple[tuple[int, Expr], ...]
    v: tuple[tuple[int, Expr], ...]
    direct: Expr
    shape: tuple[Expr, Expr]


@dataclass(frozen=True)
class Pencil:
    """Q and its ports.

    Attributes:
        dims: dimension of each block row and column.
        entries: terms of Q, without zeros.
        ports: the expressions that it realises.
        expressions: what the ports realise; one made of blocks has a port per block.
        inverses: blocks that stand for an inverse; empty once minimised.
        built: number of blocks before minimisation.
    """

    dims: tuple[Expr, ...]
    entries: tuple[Entry, ...]
    ports: tuple[Port, ...]
    expressions: tuple[Formula, ...] = ()
    inverses: tuple[int, ...] = ()
    built: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        """Number of block rows."""
        return len(self.dims)

    def verify(self, seed: int = 0) -> int:
        """Compare u Q^-1 v with the expressions on random small rational matrices, exactly.

        Returns:
            The number of matrix entries that were compared.

        Raises:
            InternalError: if an entry differs; the expression is named.
        """
        from derive.random_matrices.pencil_check import verify  # noqa: PLC0415  (the check builds on pencils)

        return verify(self, seed)

    @property
    def letters(self) -> tuple[Letter, ...]:
        """Letters of Q, sorted by name."""
        found = {e.letter for e in self.entries if e.letter is not None}
        return tuple(sorted(found, key=lambda letter: letter.name))

    def cell(self, row: int, col: int) -> str:
        """Return entry (row, col) of Q as text."""
        terms = [str(e) for e in self.entries if (e.row, e.col) == (row, col)]
        return " + ".join(terms).replace("+ -", "- ") or "."

    def __str__(self) -> str:
        cells = [[self.cell(i, j) for j in range(self.size)] for i in range(self.size)]
        widths = [max(len(row[j]) for row in cells) for j in range(self.size)]
        lines = [
            f"{self.dims[i]!s:>6} | "
            + "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True))
            for i, row in enumerate(cells)
        ]
        for port in self.ports:
            u = ", ".join(f"{j}: {c}" for j, c in port.u)
            v = ", ".join(f"{k}: {c}" for k, c in port.v)
            direct = f", direct {port.direct}" if port.direct != 0 else ""
            lines.append(f"u = {{{u}}}, v = {{{v}}}{direct}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Pencil({self.size} blocks, {len(self.ports)} ports)"


@dataclass
class _Flow:
    """Grows Q while expressions are run on inputs; equal variables are shared."""

    dims: list[Expr] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    sources: list[Expr] = field(default_factory=list)
    inverses: list[int] = field(default_factory=list)
    inputs: dict[int, tuple[int, int]] = field(default_factory=dict)
    known: dict[object, tuple[tuple[int, ...], Expr]] = field(default_factory=dict)

    def variable(self, dim: Expr) -> int:
        self.dims.append(dim)
        return len(self.dims) - 1

    def settle(self, terms: Terms, dim: Expr) -> tuple[int, Expr]:
        """Return a block variable and a scale whose product equals the form."""
        if len(terms) == 1 and terms[0][0][1] is None and terms[0][0][0] >= 0:
            return terms[0][0][0], terms[0][1]
        scale = _scale(terms)
        unit = scaled(terms, 1 / scale)
        if unit not in self.known:
            new = self.variable(dim)
            self.entries.append(Entry(new, new, None, False, S.One))
            self.close(new, terms)
            self.known[unit] = (new,), scale
        (col,), stored = self.known[unit]
        return col, scale / stored

    def close(self, row: int, terms: Terms, sign: Expr = S.NegativeOne) -> None:
        """Write sign * form into a block row; input terms go to the right side."""
        for (col, letter, flipped), coefficient in terms:
            if col < 0:
                self.inputs[row] = (col, len(self.sources))
                self.sources.append(-sign * coefficient)
            else:
                self.entries.append(Entry(row, col, letter, flipped, sign * coefficient))

    def run(self, node: Formula, forms: tuple[Terms, ...]) -> tuple[Terms, ...]:
        """Apply an expression to a vector, given and returned as one form per block."""
        if isinstance(node, Eye):
            return forms
        if isinstance(node, Zero):
            return ((),) * len(node.parts[0] or forms)
        if isinstance(node, Sum):
            return added([self.run(term, forms) for term in node.args])
        if isinstance(node, Product):
            for factor in reversed(node.factors):
                forms = self.run(factor, forms)
            return tuple(scaled(form, node.args[0]) for form in forms)
        if isinstance(node, Inverse):
            return self.run_inverse(node, forms)
        if isinstance(node, Blocks):
            rows = [
                added([self.run(b, (f,)) for b, f in zip(row, forms, strict=True)])
                for row in node.args
            ]
            return tuple(row[0] for row in rows)
        if isinstance(node, Part):
            columns = node.args[0].parts[1]
            full = tuple(forms[0] if j == node.args[2] else () for j in range(len(columns)))
            return (self.run(node.args[0], full)[int(node.args[1])],)
        return (self.run_letter(node, forms[0]),)

    def run_letter(self, node: Formula, form: Terms) -> Terms:
        """Apply a letter: a form of several terms becomes a variable first."""
        letter, flipped = (node.letter, True) if isinstance(node, Flip) else (node, False)
        if not isinstance(letter, Letter):
            raise NotSupportedError(f"pencil of {node}", "unknown node", "use the matrix language")
        if not form:
            return ()
        col, scale = self.settle(form, node.shape[1])
        return (((col, letter, flipped), scale),)

    def run_inverse(self, node: Inverse, forms: tuple[Terms, ...]) -> tuple[Terms, ...]:
        """Apply an inverse: new variables, and the equation that they satisfy."""
        if not any(forms):
            return forms
        scale = _scale(next(form for form in forms if form))
        unit = tuple(scaled(form, 1 / scale) for form in forms)
        if (node, unit) not in self.known:
            split = node.parts[0] or node.parts[1] or (node.shape[0],)
            fresh = tuple(self.variable(dim) for dim in split)
            self.inverses.extend(fresh)
            self.known[node, unit] = fresh, scale
            given = tuple((((col, None, False), S.One),) for col in fresh)
            for row, image, right in zip(fresh, self.run(node.args[0], given), forms, strict=True):
                self.close(row, image, S.One)
                self.close(row, right)
        columns, stored = self.known[node, unit]
        return tuple((((col, None, False), scale / stored),) for col in columns)


def _scale(terms: Terms) -> Expr:
    """Return the first coefficient if it cannot vanish, else one."""
    return terms[0][1] if terms[0][1].is_nonzero else S.One


def scaled(terms: Terms, factor: Expr) -> Terms:
    """Return a form times a scalar."""
    return terms if factor == 1 else tuple((key, factor * c) for key, c in terms)


def added(images: Sequence[tuple[Terms, ...]]) -> tuple[Terms, ...]:
    """Return the sum of vectors of forms; terms are collected and sorted."""
    result = []
    for forms in zip(*images, strict=True):
        total: dict[Key, Expr] = {}
        for form in forms:
            for key, c in form:
                total[key] = total.get(key, S.Zero) + c
        kept = [(key, c) for key, c in total.items() if c != 0]
        result.append(tuple(sorted(kept, key=lambda t: (t[0][0], str(t[0][1]), t[0][2]))))
    return tuple(result)


def pencil(*expressions: Formula) -> Pencil:
    """Return one pencil that realises all expressions, a port for each.

    Args:
        expressions: formulas; one that is made of blocks gives one port per block, row by row.

    Example:
        >>> from derive.matrices import dims, eye, gaussian
        >>> from derive.symbols import control
        >>> n, d = dims("n d")
        >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
        >>> print(pencil((X*X.T + lam*eye(d)).inv()))
             d | lam    X
             n | -X^T   1
        u = {0: 1}, v = {0: 1}
    """
    flow = _Flow()
    slots: dict[tuple[Expr, int], int] = {}
    drafts: list[tuple[Terms, int, tuple[Expr, Expr]]] = []
    for node in expressions:
        rows, cols = node.parts
        rows, cols = rows or (node.shape[0],), cols or (node.shape[1],)
        images: list[list[Terms]] = []
        for j, dim in enumerate(cols):
            slot = slots.setdefault((dim, 0), INPUT - len(slots))
            source = (((slot, None, False), S.One),)
            given = tuple(source if i == j else () for i in range(len(cols)))
            images.append(list(flow.run(node, given)))
        for i, row_dim in enumerate(rows):
            for j, col_dim in enumerate(cols):
                slot = slots[col_dim, 0]
                drafts.append((images[j][i], slot, (row_dim, col_dim)))
    ports = [_port(flow, *draft) for draft in drafts]
    entries = _collected(flow.entries)
    return Pencil(
        tuple(flow.dims),
        entries,
        tuple(_with_inputs(flow, ports)),
        expressions,
        tuple(flow.inverses),
        len(flow.dims),
    )


def _port(
    flow: _Flow, form: Terms, slot: int, shape: tuple[Expr, Expr]
) -> tuple[list[tuple[int, Expr]], Expr, int, tuple[Expr, Expr]]:
    """Turn an output form into scalars per column; letters in it become variables first."""
    direct: Expr = S.Zero
    plain: list[tuple[Key, Expr]] = []
    rest: list[tuple[Key, Expr]] = []
    for key, c in form:
        if key[0] == slot and key[1] is None:
            direct += c
        else:
            (plain if key[1] is None else rest).append((key, c))
    u = [(key[0], c) for key, c in plain]
    if rest:
        u.append(flow.settle(tuple(rest), shape[0]))
    return u, direct, slot, shape


def _with_inputs(
    flow: _Flow, drafts: Sequence[tuple[list[tuple[int, Expr]], Expr, int, tuple[Expr, Expr]]]
) -> list[Port]:
    ports = []
    for u, direct, slot, shape in drafts:
        v = [
            (row, flow.sources[where])
            for row, (source, where) in flow.inputs.items()
            if source == slot
        ]
        ports.append(Port(tuple(u), tuple(v), direct, shape))
    return ports


def _collected(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    total: dict[tuple[int, int, Letter | None, bool], Expr] = {}
    for e in entries:
        key = (e.row, e.col, e.letter, e.flipped)
        total[key] = total.get(key, S.Zero) + e.coefficient
    return tuple(Entry(*key, c) for key, c in total.items() if c != 0)
