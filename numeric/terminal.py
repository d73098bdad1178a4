"""Tables for the terminal: a curve with its witnesses, and the constants of an activation.

Stage: results in, text out; used by the command ``derive``.
"""

import numpy as np
from sympy import latex

from derive.activation import Activation
from derive.balls import enclose
from derive.theory.deep_features import deep_features
from derive.value import Kind, Value
from numeric.curve import CurveRun, spread
from numeric.solution import Status

_ROWS = 9


def curve_text(run: CurveRun) -> str:
    """Return the table of a curve, its checks and the verdict."""
    parts = [_declaration(run), _values(run)]
    if run.checks:
        parts.append(_checks(run))
    if run.comparison is not None and run.moved is not None:
        parts.append(repr(run.comparison))
        parts.append(f"the same experiment with the theory times 1.05: {run.moved.verdict}")
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in run.seconds.items())
    parts.append(f"verdict: {run.verdict}   ({seconds})")
    return "\n\n".join(parts)


def _declaration(run: CurveRun) -> str:
    model = run.model
    layers = ", ".join(str(a) for a in model.activations) or "none (ridge regression)"
    mean = "; the mean of each layer is removed" if model.centre else ""
    rows = [f"depth {model.depth}: {layers}{mean}", repr(run.evaluator.program)]
    values = zip(run.system.constants, run.evaluator.constants, strict=True)
    rows.append("constants: " + ", ".join(f"{s} = {value:.12g}" for (s, _), value in values))
    return "\n".join(rows)


def _values(run: CurveRun) -> str:
    solution = run.solution
    alpha = np.atleast_1d(solution.controls["alpha"])
    rows = [f"{'alpha':>10}  {'E_test':>14}  {'+/-':>7}  {'E_train':>14}  {'m':>14}  status"]
    for i in spread(alpha, _ROWS):
        e_test, e_train, m = (np.atleast_1d(solution[o])[i] for o in ("E_test", "E_train", "m"))
        error = np.atleast_1d(solution.error["E_test"])[i]
        status = Status(int(np.atleast_1d(solution.status)[i])).name.lower()
        rows.append(
            f"{alpha[i]:10.4g}  {e_test:14.10g}  {error:7.1g}  {e_train:14.10g}  {m:14.10g}  "
            f"{status}"
        )
    converged = int(np.sum(solution.status == Status.CONVERGED))
    rows.append(f"{converged} of {alpha.size} points converged, residual <= {_largest(run):.1g}")
    return "\n".join(rows)


def _largest(run: CurveRun) -> float:
    residual = run.solution.residual
    finite = residual[np.isfinite(residual)]
    return float(finite.max()) if finite.size else float("nan")


def _checks(run: CurveRun) -> str:
    rows = ["references (mpmath, 30 digits at two precisions) and the second route:"]
    for check in run.checks:
        rows.append(
            f"{check.alpha:10.4g}  E_test = {str(check.reference['E_test'])[:24]:24}  "
            f"evaluator off by {check.error:.1g}, routes by {check.routes:.1g}"
        )
    return "\n".join(rows)


def activation_text(
    activation: Activation, variance: str = "1", digits: int = 20, as_latex: bool = False
) -> str:
    """Return the constants of an activation with their kinds."""
    values = {
        "kappa_0": activation.mean(variance),
        "kappa_1": activation.kappa_1(variance),
        "kappa_*^2": activation.kappa_star_squared(variance),
        "E s^2": activation.second_moment(variance),
    }
    parity = activation.parity or "neither even nor odd (or not proved to be)"
    rows = [f"activation s(z) = {activation.expr}", f"parity: {parity}", f"variance: {variance}"]
    for name, value in values.items():
        rows.append(f"{name:10s} = {value.ball(digits).str(digits)}   [{_kind(value)}]")
        if value.kind is Kind.CLOSED_FORM:
            rows.append(f"{'':10s} = {value.expr}")
        if as_latex:
            rows.append(f"{'':10s}   {latex(value.expr)}")
    reasons = {v.reason for v in values.values() if v.kind is not Kind.CLOSED_FORM and v.reason}
    rows += [f"note: {reason}" for reason in sorted(reasons)]
    return "\n".join(rows)


_RHOS = ("-1", "-1/2", "0", "1/2", "9/10", "1")


def kernel_text(
    activation: Activation, variance: str = "1", digits: int = 20, as_latex: bool = False
) -> str:
    """Return the kernel E[s(u) s(v)] at correlation rho: closed form or certified series."""
    kernel = activation.kernel(variances=(variance, variance))
    value = kernel.value
    rows = [f"kernel at variance {variance}   [{kernel.kind.value}]"]
    if isinstance(value, Value):
        rows.append(f"K(rho) = {value.expr}")
        if as_latex:
            rows.append(f"         {latex(value.expr)}")
    else:
        rows.append(f"series of {value.order + 1} terms, error <= {value.error:.1g} on [-1, 1]")
        rows.append(f"note: {kernel.reason}")
        if as_latex:
            rows.append(f"         {value.latex()}")
    shown = min(digits, 12) if not isinstance(value, Value) else digits
    rows += [f"K({r:>4}) = {kernel.at(r, shown).str(shown)}" for r in _RHOS]
    return "\n".join(rows)


def depth_text(activation: Activation, variance: str, depth: int, digits: int = 20) -> str:
    """Return the constants of each layer of a network, weights of unit variance, mean removed."""
    model = deep_features([activation] * depth, centre=True, spectrum=[(variance, 1)])
    rows = [f"layers of unit weight variance, mean removed: {'r_l':>12} kappa_1 kappa_*^2"]
    for level, r in enumerate(model.variances[:-1], 1):
        numbers = (
            enclose(r, digits),
            activation.kappa_1(r).ball(digits),
            activation.kappa_star_squared(r).ball(digits),
        )
        rows.append(f"layer {level}: " + "  ".join(n.str(digits) for n in numbers))
    return "\n".join(rows)


def _kind(value: Value) -> str:
    return value.kind.value
