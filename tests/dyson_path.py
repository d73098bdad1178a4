"""A plain reference solver for Dyson equations: Newton along the path, in mpmath."""

import mpmath as mp
from sympy import lambdify

PATH_STEPS = 6
MAX_NEWTON = 60


class _Code:
    """Right sides and outputs as mpmath functions of (controls, unknowns, tau)."""

    def __init__(self, equations, exprs):
        known = [*equations.controls, *equations.unknowns, equations.path]
        self.lines = []
        for symbol, expr in _needed(equations.definitions, exprs):
            self.lines.append(lambdify(list(known), expr, "mpmath"))
            known.append(symbol)
        self.results = [lambdify(list(known), expr, "mpmath") for expr in exprs]

    def __call__(self, controls, unknowns, tau):
        values = [*controls, *unknowns, tau]
        for line in self.lines:
            values.append(line(*values))
        return [f(*values) for f in self.results]


def _needed(definitions, exprs):
    """Leave out the definitions on which no expression rests."""
    needed = set().union(*(e.free_symbols for e in exprs))
    kept = []
    for symbol, expr in reversed(definitions):
        if symbol in needed:
            kept.append((symbol, expr))
            needed |= expr.free_symbols
    return kept[::-1]


def _newton(code, controls, x, tau, digits):
    small = mp.mpf(10) ** (-digits // 3)
    for _ in range(MAX_NEWTON):
        residual = [a - b for a, b in zip(code(controls, x, tau), x, strict=True)]
        jacobian = mp.matrix(len(x), len(x))
        for j in range(len(x)):
            step = small * (1 + abs(x[j]))
            moved = [*x[:j], x[j] + step, *x[j + 1 :]]
            shifted = [a - b for a, b in zip(code(controls, moved, tau), moved, strict=True)]
            for i in range(len(x)):
                jacobian[i, j] = (shifted[i] - residual[i]) / step
        change = mp.lu_solve(jacobian, mp.matrix(residual))
        x = [a - b for a, b in zip(x, change, strict=True)]
        if max(abs(d) / (1 + abs(a)) for d, a in zip(change, x, strict=True)) < mp.mpf(10) ** (
            5 - digits
        ):
            return x
    raise AssertionError("Newton did not converge on the path")


def follow(equations, point, digits=30):
    """Return the outputs at a point, given by control name (numbers or decimal strings)."""
    with mp.workdps(digits):
        controls = [mp.mpmathify(point[c.name]) for c in equations.controls]
        starts = [lambdify(equations.controls, s, "mpmath") for s in equations.start]
        x = [mp.mpmathify(s(*controls)) for s in starts]
        code = _Code(equations, [e.rhs for e in equations.equations])
        for i in range(1, PATH_STEPS + 1 if x else 1):
            x = _newton(code, controls, x, mp.mpf(i) / PATH_STEPS, digits)
        outputs = _Code(equations, list(equations.outputs.values()))(controls, x, mp.mpf(1))
        return dict(zip(equations.outputs, outputs, strict=True))
