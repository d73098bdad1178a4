"""Derivatives of rational matrix expressions in a scalar, as expressions of the same language.

Stage: between the language and pencils. The only rule that is not linear is
d K^-1 = -K^-1 dK K^-1.
"""

from sympy import Symbol, Tuple, diff

from derive.errors import NotSupportedError
from derive.random_matrices.matrix_blocks import Blocks, Part
from derive.random_matrices.matrix_nodes import Formula, Inverse, Product, Sum, Zero, add, multiply


def derivative(node: Formula, symbol: Symbol) -> Formula:
    """Return the derivative of a formula in a scalar symbol.

    Raises:
        NotSupportedError: if the symbol sits in the declaration of a letter (its variance or
            spectrum) or in a dimension; such a derivative is one of the equations, not of the word.

    Example:
        >>> from derive.matrices import dims, eye, gaussian
        >>> from derive.symbols import control
        >>> n, = dims("n")
        >>> lam = control("lam", positive=True)
        >>> X = gaussian("X", n, n, 1/n)
        >>> derivative((X*X.T + lam*eye(n)).inv(), lam)
        -(X*X.T + lam*eye(n))**-1*(X*X.T + lam*eye(n))**-1
    """
    for letter in node.letters:
        if symbol in letter.free_symbols:
            raise NotSupportedError(
                f"derivative of {node} in {symbol}",
                f"the declaration {letter.declaration()} of {letter} holds {symbol}",
                "scale the letter in the expression, or differentiate the equations",
            )
    return _derivative(node, symbol)


def _derivative(node: Formula, symbol: Symbol) -> Formula:
    if symbol not in node.free_symbols:
        return Zero(*node.shape)
    if isinstance(node, Sum):
        return add(*(_derivative(t, symbol) for t in node.args))
    if isinstance(node, Product):
        return _product(node, symbol)
    if isinstance(node, Inverse):
        return multiply(-1, node, _derivative(node.args[0], symbol), node)
    if isinstance(node, Blocks):
        rows = (Tuple(*(_derivative(b, symbol) for b in row)) for row in node.args)
        return Blocks(*rows)
    if isinstance(node, Part):
        inner = _derivative(node.args[0], symbol)
        return Zero(*node.shape) if isinstance(inner, Zero) else Part(inner, *node.args[1:])
    return Zero(*node.shape)


def _product(node: Product, symbol: Symbol) -> Formula:
    terms = [multiply(diff(node.args[0], symbol), *node.factors)]
    for i, factor in enumerate(node.factors):
        inner = _derivative(factor, symbol)
        rest = (*node.factors[:i], inner, *node.factors[i + 1 :])
        terms.append(multiply(node.args[0], *rest))
    return add(*terms)
