"""Which equation rests on which: order of solution and a smallest set to break every cycle.

Stage: inside the Dyson equations. Nodes are integers, so that searches are fast; symbols are
translated at the border.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from sympy import Basic, Expr, Symbol

SMALL_CORE = 3
Graph = dict[int, set[int]]


def links(right: Mapping[Symbol, Expr]) -> Graph:
    """Return for each equation, by position, the equations whose symbols it holds."""
    place: dict[Basic, int] = {s: i for i, s in enumerate(right)}
    return {
        i: {place[t] for t in e.free_symbols if t in place} for i, e in enumerate(right.values())
    }


def strong_components(graph: Mapping[int, Collection[int]]) -> list[list[int]]:
    """Return the strongly connected components, dependencies first.

    Example:
        >>> strong_components({0: {1}, 1: {0}, 2: {0}})
        [[0, 1], [2]]
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []

    def visit(node: int) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            start = stack.index(node)
            found.append(stack[start:])
            del stack[start:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def smallest_core(right: Mapping[Symbol, Expr], never: Collection[Symbol] = ()) -> list[Symbol]:
    """Return symbols without which no equation depends on itself, as few as is easy to find.

    Args:
        right: right side of the equation of each symbol.
        never: symbols that are not chosen; every cycle must hold another one.

    Example:
        >>> from sympy.abc import a, b
        >>> smallest_core({a: 1/(1 + b), b: 1/(1 + a)})
        [a]
    """
    symbols = list(right)
    graph = _bypassed(links(right), [i for i, s in enumerate(symbols) if s in never])
    core: list[int] = []
    for part in strong_components(graph):
        core += _feedback({i: graph[i] & set(part) for i in part})
    return [symbols[i] for i in core]


def _bypassed(graph: Graph, nodes: Iterable[int]) -> Graph:
    """Remove nodes; what rested on them rests on what they rest on."""
    left = {i: set(t) for i, t in graph.items()}
    for node in nodes:
        below = left.pop(node)
        for targets in left.values():
            if node in targets:
                targets.discard(node)
                targets.update(below)
    return left


def _feedback(graph: Graph) -> list[int]:
    fixed = [i for i in graph if i in graph[i]]
    rest = sorted(i for i in graph if i not in fixed)
    for count in range(SMALL_CORE + 1):
        for extra in combinations(rest, count):
            if _acyclic(graph, {*fixed, *extra}):
                return [*fixed, *extra]
    chosen = set(fixed)
    while not _acyclic(graph, chosen):
        chosen.add(max((i for i in rest if i not in chosen), key=lambda i: len(graph[i] - chosen)))
    return sorted(chosen)


def _acyclic(graph: Graph, removed: set[int]) -> bool:
    left = {i: graph[i] - removed for i in graph if i not in removed}
    while left:
        done = {i for i, t in left.items() if not t}
        if not done:
            return False
        left = {i: t - done for i, t in left.items() if i not in done}
    return True


def ordered(right: Mapping[Symbol, Expr], core: Sequence[Symbol]) -> list[Symbol]:
    """Return all symbols so that each follows those it needs, core symbols being given."""
    symbols = list(right)
    given = {i for i, s in enumerate(symbols) if s in core}
    graph = {i: (set() if i in given else t - given) for i, t in links(right).items()}
    return [symbols[i] for part in strong_components(graph) for i in part]
