r"""Means over long tables, as one function of two arguments.

Stage: below ``derive.layers``. A mean over many kinds of neurons or many eigenvalues,

.. math:: M_{ijm}(x, \tau) = \sum_k p_k\, \frac{a_k^i\, b_k^j}{(x + b_k + \tau a_k)^m},

stays one node of an expression, with its derivatives in the same family; a target prints a loop
over the table. Few kinds are written out instead (``FewKinds``), so that every target takes them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sympy import Add, AtomicExpr, Expr, Function, Integer

from derive.balls import enclose

Rows = tuple[tuple[Expr, Expr, Expr], ...]


class Table(AtomicExpr):
    """Exact rows (p, a, b) under a name.

    Args:
        name: an identifier.
        rows: exact numbers; p and a, b not negative.
        error: relative error of means over the rows, where they stand for an integral.
        latex: how the mean prints.

    Two tables are equal if their names are and their rows agree to 25 digits.
    """

    __slots__ = ("_key", "error", "latex_name", "name", "rows")
    name: str
    rows: Rows
    error: Expr
    latex_name: str
    _key: str
    is_commutative = True
    is_number = False
    is_real = True

    def __new__(cls, name: str, rows: Rows, error: Any = 0, latex: str = "") -> "Table":
        """Make the table."""
        self: Table = AtomicExpr.__new__(cls)
        self.name, self.rows, self.latex_name = name, rows, latex or name
        self.error = Integer(0) + error
        self._key = ""
        return self

    @property
    def key(self) -> str:
        """Digits of all rows."""
        if not self._key:
            exprs = [e for row in self.rows for e in row]
            self._key = " ".join("0" if e == 0 else enclose(e, 26).str(25) for e in exprs)
        return self._key

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.name, self.key)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.name, self.rows, self.error, self.latex_name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Table, self.__getnewargs__()

    def _sympystr(self, printer: Any) -> str:
        return self.name

    _sympyrepr = _sympystr

    def mean(self, i: int, j: int, m: int, x: Expr, tau: Expr) -> Expr:
        """Return M_ijm(x, tau)."""
        found: Expr = TableMean(self, i, j, m, x if m else Integer(0), tau if m else Integer(0))
        return found

    def moment(self, i: int, j: int) -> Expr:
        """Return sum p a^i b^j."""
        return self.mean(i, j, 0, Integer(0), Integer(0))


class TableMean(Function):
    """M_ijm(x, tau) over a table: arguments table, i, j, m, x, tau."""

    nargs = 6
    is_real = True
    rounding = 12
    """Rounding errors of one evaluation: a few per term, and a compensated sum."""

    def fdiff(self, argindex: int = 5) -> Expr:
        """Return the derivative in x (5) or tau (6)."""
        arguments: Any = self.args
        table, i, j, m, x, tau = arguments
        if argindex not in (5, 6):
            return Integer(0)
        return -m * TableMean(table, i + (argindex == 6), j, m + 1, x, tau)

    @property
    def table(self) -> Table:
        """What is averaged over."""
        found: Any = self.args[0]
        assert isinstance(found, Table), "the first argument of a mean"
        return found

    @property
    def head(self) -> str:
        """Name of the function of two arguments that a target prints."""
        _, i, j, m, *_ = self.args
        return f"mean_{self.table.name}_{i}_{j}_{m}"

    def _latex(self, printer: Any, exp: Any = None) -> str:
        arguments: Any = self.args
        table, i, j, m, x, tau = arguments
        top = _power("a", i) + _power("b", j)
        parts = ["" if x == 0 else printer.doprint(x), "b"]
        parts.append("" if tau == 0 else rf"{printer.doprint(tau)}\, a")
        below = " + ".join(part for part in parts if part)
        power = "" if m == 1 else rf"^{{{m}}}"
        body = (top or "1") if m == 0 else rf"\frac{{{top or 1}}}{{({below}){power}}}"
        text = rf"\mathbb{{E}}_{{{table.latex_name}}}\left[{body}\right]"
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def _power(letter: str, exponent: Any) -> str:
    if exponent == 0:
        return ""
    return letter if exponent == 1 else f"{letter}^{{{exponent}}}"


def means_of(exprs: Iterable[Expr]) -> tuple[TableMean, ...]:
    """Return one mean of each head that expressions hold, sorted by head."""
    found = {f.head: f for e in exprs for f in e.atoms(TableMean)}
    return tuple(found[name] for name in sorted(found))


def rounding_of(expr: Expr) -> tuple[Expr, Expr]:
    """Return what means add to the operation count of an expression, and to its relative error."""
    means = expr.atoms(TableMean)
    if not means:
        return Integer(0), Integer(0)
    return Integer(TableMean.rounding * len(means)), Add(*(f.table.error for f in means))


@dataclass(frozen=True)
class Column:
    """One mean as numbers: sum_k weight_k/(x + b_k + tau a_k)^m.

    Attributes:
        weights: p a^i b^j, exact.
        a, b: the other columns, exact.
        m: the power.
    """

    weights: tuple[Expr, ...]
    a: tuple[Expr, ...]
    b: tuple[Expr, ...]
    m: int


def column(mean: TableMean) -> Column:
    """Return the numbers that a mean sums over; rows of no weight are left out."""
    arguments: Any = mean.args
    table, i, j, m, *_ = arguments
    rows = [(p * a**i * b**j, a, b) for p, a, b in table.rows]
    weights, a, b = zip(*(row for row in rows if _double(row[0]) != 0), strict=True)
    return Column(weights, a, b, int(m))


def table_code(mean: TableMean) -> tuple[str, str]:
    """Return a mean as data and a Python function over floats, with a compensated sum.

    Written in the subset that Numba compiles, for a module that has NumPy's ``array``; the numbers
    are the nearest doubles.
    """
    found, head = column(mean), mean.head
    names = ("W", "A", "B")
    data = [
        f"{head}_{n} = array([{', '.join(map(repr, map(_double, values)))}])"
        for n, values in zip(names, (found.weights, found.a, found.b), strict=True)
    ]
    power = "*".join(["r"] * found.m)
    term = f"{head}_W[k]" + (f" * {power}" if power else "")
    body = f"""def {head}(x, tau):
    total = 0.0
    rest = 0.0
    for k in range({len(found.weights)}):
        r = 1.0 / (x + {head}_B[k] + tau * {head}_A[k])
        term = {term} - rest
        new = total + term
        rest = (new - total) - term
        total = new
    return total"""
    return "\n".join(data), body


def table_function(mean: TableMean, number: Callable[[Expr], Any]) -> Callable[[Any, Any], Any]:
    """Return a mean as a function over the numbers of another kind, such as mpf or balls.

    Args:
        mean: which.
        number: from an exact expression to such a number.
    """
    found = column(mean)
    rows = [
        tuple(number(e) for e in row) for row in zip(found.weights, found.b, found.a, strict=True)
    ]
    zero = number(Integer(0))

    def evaluate(x: Any, tau: Any) -> Any:
        total = zero
        for weight, b, a in rows:
            total = total + weight / (x + b + tau * a) ** found.m if found.m else total + weight
        return total

    return evaluate


def _double(expr: Expr) -> float:
    return 0.0 if expr == 0 else float(enclose(expr, 17))


@dataclass(frozen=True)
class FewKinds:
    """Means over few kinds, written out.

    Attributes:
        rows: (p, a, b), symbols of constants or exact numbers.
    """

    rows: Rows

    def mean(self, i: int, j: int, m: int, x: Expr, tau: Expr) -> Expr:
        """Return sum p a^i b^j/(x + b + tau a)^m."""
        return Add(*(p * a**i * b**j / (x + b + tau * a) ** m for p, a, b in self.rows))

    def moment(self, i: int, j: int) -> Expr:
        """Return sum p a^i b^j."""
        return self.mean(i, j, 0, Integer(0), Integer(0))


Kinds = FewKinds | Table
"""What a mean over neurons or eigenvalues is taken over."""
FEW = 8
"""Most kinds that are written out."""
