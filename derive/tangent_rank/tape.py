r"""A family f(x; theta) as straight-line code, differentiated backwards over any ring.

Stage: the first room of ``derive.model_rank``: a SymPy expression in, a ``Tape`` out. Every shared
subexpression is one node, so a deep network costs as many nodes as it has products and sums. The
tape is read by rings: residues modulo a prime, formal polynomials, balls, exact integers, symbols.
``columns`` runs one forward and one backward pass and returns the tangent functions df/dtheta_j.

Words that are not primitive are rewritten on entry: a logistic 1/(1 + exp(y)) becomes
(1 - tanh(y/2))/2 and log(1 + exp(y)) a softplus, so that y and -y are seen to belong together.
The derivative of each function is itself a node, so no ring needs to know calculus.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sympy import Basic, Expr, Integer, Rational, Symbol, exp, pi, sqrt

from derive.errors import NotSupportedError

ENTIRE = frozenset({"exp", "tanh", "sin", "cos", "softplus", "erf"})
"""Functions whose values are free symbols over a prime field."""
ANALYTIC = ENTIRE | {"log", "sqrt", "atan", "asinh"}
"""Functions with ball arithmetic and a derivative on the tape."""


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        op: constant, parameter, input, sum, product, power, function or select.
        args: indices of earlier nodes.
        data: a SymPy number, an index, an exponent, or the name of a function.
        slope: for a function, the node of its derivative; for others -1.
    """

    op: str
    args: tuple[int, ...] = ()
    data: Any = None
    slope: int = -1


class Ring(Protocol):
    """What evaluates a tape; values are whatever the ring likes."""

    def constant(self, number: Expr) -> Any:
        """Return an exact number."""

    def parameter(self, index: int) -> Any:
        """Return the value of a parameter."""

    def input(self, index: int) -> Any:
        """Return the value of an input."""

    def add(self, values: Sequence[Any]) -> Any:
        """Return a sum of at least one value."""

    def multiply(self, a: Any, b: Any) -> Any:
        """Return a product."""

    def power(self, a: Any, n: int) -> Any:
        """Return an integer power."""

    def function(self, index: int, name: str, argument: Any) -> Any:
        """Return the value of the function node ``index``."""

    def select(self, test: Any, yes: Any, no: Any) -> Any:
        """Return ``yes`` where ``test`` is positive and ``no`` elsewhere."""


@dataclass(frozen=True, eq=False)
class Tape:
    """Straight-line code of one family.

    Attributes:
        nodes: operations; arguments come before their use, slopes may come after.
        output: index of the value f.
        parameters: symbols that are differentiated.
        inputs: symbols that are sampled.
        active: whether a node depends on a parameter.
    """

    nodes: tuple[Node, ...]
    output: int
    parameters: tuple[Symbol, ...]
    inputs: tuple[Symbol, ...]
    active: tuple[bool, ...]

    def functions(self) -> frozenset[str]:
        """Return the names of all functions used."""
        return frozenset(n.data for n in self.nodes if n.op == "function")

    def kinks(self) -> int:
        """Return the number of places where a branch is chosen."""
        return sum(n.op == "select" for n in self.nodes)


def tape_of(expr: Expr, parameters: Sequence[Symbol], inputs: Sequence[Symbol]) -> Tape:
    """Return the tape of an expression.

    Raises:
        NotSupportedError: for a function without a rule here.

    Example:
        >>> from sympy import tanh
        >>> from sympy.abc import a, w, x
        >>> len(tape_of(a * tanh(w * x), [a, w], [x]).nodes)
        11
    """
    builder = _Builder(parameters, inputs)
    output = builder.visit(expr)
    return Tape(
        tuple(builder.nodes), output, tuple(parameters), tuple(inputs), tuple(builder.active)
    )


class _Builder:
    """Turns expressions into nodes, each once."""

    def __init__(self, parameters: Sequence[Symbol], inputs: Sequence[Symbol]) -> None:
        self.nodes: list[Node] = []
        self.active: list[bool] = []
        self._seen: dict[Basic, int] = {}
        self._nodes: dict[Node, int] = {}
        for j, symbol in enumerate(inputs):
            self._seen[symbol] = self.put(Node("input", data=j))
        for j, symbol in enumerate(parameters):
            self._seen[symbol] = self.put(Node("parameter", data=j))

    def put(self, node: Node) -> int:
        known = self._nodes.get(node)
        if known is not None:
            return known
        self.nodes.append(node)
        self.active.append(node.op == "parameter" or any(self.active[a] for a in node.args))
        self._nodes[node] = len(self.nodes) - 1
        return len(self.nodes) - 1

    def visit(self, expr: Basic) -> int:
        found = self._seen.get(expr)
        if found is None:
            found = self._build(expr)
            self._seen[expr] = found
        return found

    def _build(self, expr: Basic) -> int:
        if isinstance(expr, Expr) and expr.is_number and not expr.free_symbols:
            return self.put(Node("constant", data=expr))
        name = type(expr).__name__
        if name == "Add":
            return self.put(Node("sum", tuple(self.visit(a) for a in expr.args)))
        if name == "Mul":
            return self._product([self.visit(a) for a in expr.args])
        if name == "Pow":
            return self._power(expr)
        rule = _RULES.get(name)
        if rule is None:
            raise NotSupportedError(
                f"the rank of a family with {name}",
                "no rule differentiates it here",
                f"use + - * / ** and {', '.join(sorted(_RULES))}",
            )
        return rule(self, expr)

    def number(self, value: Expr | int) -> int:
        return self.put(Node("constant", data=Integer(value) if isinstance(value, int) else value))

    def _product(self, factors: Sequence[int]) -> int:
        total = factors[0]
        for factor in factors[1:]:
            total = self.put(Node("product", (total, factor)))
        return total

    def scaled(self, factor: Expr | int, node: int) -> int:
        return self.put(Node("product", (self.number(factor), node)))

    def total(self, *nodes: int) -> int:
        return self.put(Node("sum", nodes))

    def _power(self, expr: Any) -> int:
        base, exponent = expr.args
        if not exponent.is_Integer:
            if exponent.is_Rational and exponent.q == 2:
                root = self.function("sqrt", self.visit(base))
                return self.put(Node("power", (root,), int(exponent.p)))
            raise NotSupportedError(
                f"the rank of a family with {expr}",
                "a power that is neither an integer nor a square root",
                "write it as exp(exponent*log(base))",
            )
        logistic = _logistic_argument(base) if int(exponent) < 0 else None
        if logistic is not None:
            scale, y = logistic
            half = self.scaled(Rational(1, 2), self.visit(y))
            inner = self.total(self.number(1), self.scaled(-1, self.function("tanh", half)))
            value = self.scaled(1 / (2 * scale), inner)
            return self.put(Node("power", (value,), -int(exponent))) if exponent != -1 else value
        return self.put(Node("power", (self.visit(base),), int(exponent)))

    def function(self, name: str, argument: int) -> int:
        """Append a function with its derivative; the derivative may read the function."""
        known = self._nodes.get(Node("function", (argument,), name))
        if known is not None:
            return known
        index = self.put(Node("function", (argument,), name))
        slope = _SLOPES[name](self, index, argument)
        self.nodes[index] = Node("function", (argument,), name, slope)
        return index


def _logistic_argument(base: Any) -> tuple[Expr, Expr] | None:
    """Return (A, y) if the base is A*(1 + exp(y))."""
    if not base.is_Add or len(base.args) != 2:
        return None
    number, other = base.as_coeff_Add()
    factor, power = other.as_coeff_Mul()
    if number == 0 or number != factor or not isinstance(power, exp):
        return None
    return number, power.args[0]


def _slope_tanh(b: _Builder, index: int, _: int) -> int:
    return b.total(b.number(1), b.scaled(-1, b.put(Node("power", (index,), 2))))


def _slope_softplus(b: _Builder, _: int, argument: int) -> int:
    half = b.function("tanh", b.scaled(Rational(1, 2), argument))
    return b.scaled(Rational(1, 2), b.total(b.number(1), half))


def _slope_erf(b: _Builder, _: int, argument: int) -> int:
    square = b.scaled(-1, b.put(Node("power", (argument,), 2)))
    return b.scaled(2 / sqrt(pi), b.function("exp", square))


def _slope_sin(b: _Builder, _: int, argument: int) -> int:
    return b.function("cos", argument)


def _slope_cos(b: _Builder, _: int, argument: int) -> int:
    return b.scaled(-1, b.function("sin", argument))


def _slope_sqrt(b: _Builder, index: int, _: int) -> int:
    return b.scaled(Rational(1, 2), b.put(Node("power", (index,), -1)))


def _slope_atan(b: _Builder, _: int, argument: int) -> int:
    square = b.put(Node("power", (argument,), 2))
    return b.put(Node("power", (b.total(b.number(1), square),), -1))


def _slope_asinh(b: _Builder, _: int, argument: int) -> int:
    square = b.put(Node("power", (argument,), 2))
    return b.put(Node("power", (b.function("sqrt", b.total(b.number(1), square)),), -1))


_SLOPES: dict[str, Callable[[_Builder, int, int], int]] = {
    "exp": lambda b, index, argument: index,
    "tanh": _slope_tanh,
    "sin": _slope_sin,
    "cos": _slope_cos,
    "softplus": _slope_softplus,
    "erf": _slope_erf,
    "log": lambda b, index, argument: b.put(Node("power", (argument,), -1)),
    "sqrt": _slope_sqrt,
    "atan": _slope_atan,
    "asinh": _slope_asinh,
}


def _plain(name: str) -> Callable[[_Builder, Any], int]:
    return lambda b, expr: b.function(name, b.visit(expr.args[0]))


def _log(b: _Builder, expr: Any) -> int:
    found = _logistic_argument(expr.args[0])
    if found is not None and found[0] == 1:
        return b.function("softplus", b.visit(found[1]))
    return b.function("log", b.visit(expr.args[0]))


def _hyperbolic(sign: int, inverse: bool) -> Callable[[_Builder, Any], int]:
    """Return cosh (sign +1), sinh (sign -1), or their reciprocals."""

    def rule(b: _Builder, expr: Any) -> int:
        grown = b.function("exp", b.visit(expr.args[0]))
        shrunk = b.scaled(sign, b.put(Node("power", (grown,), -1)))
        value = b.scaled(Rational(1, 2), b.total(grown, shrunk))
        return b.put(Node("power", (value,), -1)) if inverse else value

    return rule


def _quotient(top: str, bottom: str) -> Callable[[_Builder, Any], int]:
    def rule(b: _Builder, expr: Any) -> int:
        argument = b.visit(expr.args[0])
        low = b.put(Node("power", (b.function(bottom, argument),), -1))
        return b.put(Node("product", (b.function(top, argument), low)))

    return rule


def _reciprocal(name: str) -> Callable[[_Builder, Any], int]:
    return lambda b, expr: b.put(Node("power", (b.function(name, b.visit(expr.args[0])),), -1))


def _erfc(b: _Builder, expr: Any) -> int:
    return b.total(b.number(1), b.scaled(-1, b.function("erf", b.visit(expr.args[0]))))


def _extreme(sign: int) -> Callable[[_Builder, Any], int]:
    """Return the rule of Max (+1) or Min (-1), argument by argument."""

    def rule(b: _Builder, expr: Any) -> int:
        args = sorted(expr.args, key=lambda a: bool(a.is_number))
        best = b.visit(args[0])
        for arg in args[1:]:
            other = b.visit(arg)
            gap = b.scaled(sign, b.total(best, b.scaled(-1, other)))
            best = b.put(Node("select", (gap, best, other)))
        return best

    return rule


def _absolute(b: _Builder, expr: Any) -> int:
    value = b.visit(expr.args[0])
    return b.put(Node("select", (value, value, b.scaled(-1, value))))


def _step(b: _Builder, expr: Any) -> int:
    return b.put(Node("select", (b.visit(expr.args[0]), b.number(1), b.number(0))))


def _piecewise(b: _Builder, expr: Any) -> int:
    *pieces, (last, condition) = expr.args
    if condition != True:  # noqa: E712  (SymPy's true is not Python's)
        raise NotSupportedError("the rank of a Piecewise family", "no default", "end it with True")
    value = b.visit(last)
    for yes, test in reversed(pieces):
        if getattr(test, "rel_op", "") not in {">", ">=", "<", "<="}:
            raise NotSupportedError(
                "the rank of a Piecewise family", f"condition {test}", "compare with > or <"
            )
        gap = b.visit(test.lhs - test.rhs if test.rel_op[0] == ">" else test.rhs - test.lhs)
        value = b.put(Node("select", (gap, b.visit(yes), value)))
    return value


_RULES: dict[str, Callable[[_Builder, Any], int]] = {
    **{name: _plain(name) for name in ("exp", "tanh", "sin", "cos", "erf", "atan", "asinh")},
    "log": _log,
    "cosh": _hyperbolic(1, inverse=False),
    "sinh": _hyperbolic(-1, inverse=False),
    "sech": _hyperbolic(1, inverse=True),
    "csch": _hyperbolic(-1, inverse=True),
    "coth": _reciprocal("tanh"),
    "tan": _quotient("sin", "cos"),
    "erfc": _erfc,
    "Max": _extreme(1),
    "Min": _extreme(-1),
    "Abs": _absolute,
    "Heaviside": _step,
    "Piecewise": _piecewise,
}


def forward(tape: Tape, ring: Ring) -> list[Any]:
    """Return the value of every node."""
    values: list[Any] = []
    for index, node in enumerate(tape.nodes):
        values.append(_value(node, index, values, ring))
    return values


def _value(node: Node, index: int, values: list[Any], ring: Ring) -> Any:
    args = node.args
    if node.op == "product":
        return ring.multiply(values[args[0]], values[args[1]])
    if node.op == "sum":
        return ring.add([values[a] for a in args])
    if node.op == "power":
        return ring.power(values[args[0]], node.data)
    if node.op == "function":
        return ring.function(index, node.data, values[args[0]])
    if node.op == "select":
        return ring.select(*(values[a] for a in args))
    if node.op == "constant":
        return ring.constant(node.data)
    return ring.parameter(node.data) if node.op == "parameter" else ring.input(node.data)


def columns(tape: Tape, ring: Ring, values: Sequence[Any]) -> list[Any]:
    """Return df/dtheta_j for every parameter, None where the tape shows it to vanish.

    Args:
        tape: the family.
        ring: where its values live.
        values: what ``forward`` returned.
    """
    found: dict[int, list[Any]] = {tape.output: [ring.constant(Integer(1))]}
    gradient: list[Any] = [None] * len(tape.parameters)
    for index in range(len(tape.nodes) - 1, -1, -1):
        if index not in found or not tape.active[index]:
            continue
        node, parts = tape.nodes[index], found.pop(index)
        rate = parts[0] if len(parts) == 1 else ring.add(parts)
        if node.op == "parameter":
            gradient[node.data] = rate
        for arg, part in _pulled(node, rate, values, ring):
            if tape.active[arg]:
                found.setdefault(arg, []).append(part())
    return gradient


def _pulled(
    node: Node, rate: Any, values: Sequence[Any], ring: Ring
) -> list[tuple[int, Callable[[], Any]]]:
    """Return what a node passes to each of its arguments, to be computed when needed."""
    args = node.args
    if node.op == "sum":
        return [(a, lambda: rate) for a in args]
    if node.op == "product":
        a, b = args
        return [
            (a, lambda: ring.multiply(rate, values[b])),
            (b, lambda: ring.multiply(rate, values[a])),
        ]
    if node.op == "power":
        return [(args[0], lambda: _power_rate(node, rate, values, ring))]
    if node.op == "function":
        return [(args[0], lambda: ring.multiply(rate, values[node.slope]))]
    if node.op == "select":
        test, yes, no = args
        zero = ring.constant(Integer(0))
        return [
            (yes, lambda: ring.select(values[test], rate, zero)),
            (no, lambda: ring.select(values[test], zero, rate)),
        ]
    return []


def _power_rate(node: Node, rate: Any, values: Sequence[Any], ring: Ring) -> Any:
    below = ring.power(values[node.args[0]], node.data - 1)
    return ring.multiply(rate, ring.multiply(ring.constant(Integer(node.data)), below))
