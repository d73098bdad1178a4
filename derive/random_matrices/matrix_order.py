"""Order of matrix expressions in the size, to tell a limit in ratios from a number at one size.

Stage: beside the matrix language. Random matrices have norm of order sqrt(variance * size); a sum
whose terms are of different order has no limit in which all of them matter.
"""

from collections.abc import Iterable

from sympy import Add, Expr, Integer, Mul, Pow, Rational, S

from derive.random_matrices.matrix_blocks import Blocks, Part
from derive.random_matrices.matrix_letters import Flip, Gaussian, Wigner
from derive.random_matrices.matrix_nodes import Formula, Inverse, Product, Sum


def degree(expr: Expr, sizes: frozenset[Expr]) -> Expr:
    """Return the exponent of N in a scalar when all dimensions grow like N.

    Example:
        >>> from derive.matrices import dims
        >>> n, d = dims("n d")
        >>> degree(n/d**2 + 1/d, frozenset({n, d}))
        -1
    """
    if expr in sizes:
        return Integer(1)
    if isinstance(expr, Mul):
        return sum((degree(a, sizes) for a in expr.args), S.Zero)
    if isinstance(expr, Add):
        return max(degree(a, sizes) for a in expr.args)
    if isinstance(expr, Pow):
        return expr.exp * degree(expr.base, sizes)
    return Integer(0)


def unbalanced(nodes: Iterable[Formula]) -> list[str]:
    """Return a sentence for each sum whose terms are of different order in the size.

    Example:
        >>> from derive.matrices import dims, eye, gaussian
        >>> n, d = dims("n d")
        >>> X = gaussian("X", d, n, 1)
        >>> unbalanced([(X*X.T/n + eye(d)).inv()])
        []
        >>> unbalanced([(X*X.T + eye(d)).inv()])
        ['X*X.T is of order N**1 beside eye(d) of order N**0: ...']
    """
    nodes = tuple(nodes)
    letters = frozenset().union(*(node.letters for node in nodes))
    sizes = frozenset(s for x in letters for k in x.shape for s in k.free_symbols)
    said: list[str] = []
    for node in nodes:
        _order(node, sizes, said)
    return list(dict.fromkeys(said))


def _order(node: Formula, sizes: frozenset[Expr], said: list[str]) -> Expr:
    if isinstance(node, (Gaussian, Wigner)):
        return (degree(node.variance, sizes) + degree(node.shape[0], sizes)) / Integer(2)
    if isinstance(node, Flip):
        return _order(node.letter, sizes, said)
    if isinstance(node, Inverse):
        return -_order(node.args[0], sizes, said)
    if isinstance(node, Product):
        return degree(node.args[0], sizes) + sum(_order(f, sizes, said) for f in node.factors)
    if isinstance(node, Part):
        return _order(node.args[0], sizes, said)
    if isinstance(node, Blocks):
        return max((_order(b, sizes, said) for row in node.args for b in row), default=Rational(0))
    if not isinstance(node, Sum):
        return Rational(0)
    orders = [(_order(t, sizes, said), t) for t in node.args]
    high, low = max(orders, key=lambda o: o[0]), min(orders, key=lambda o: o[0])
    if high[0] != low[0]:
        said.append(
            f"{high[1]} is of order N**{high[0]} beside {low[1]} of order N**{low[0]}: "
            "the equations hold at the sizes given and have no limit in ratios alone"
        )
    return high[0]
