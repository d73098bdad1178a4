r"""Deep features whose second weights depend on the first: rows of covariance f(W_1 W_1^T).

Stage: activations, a function f and the first width in; the chain of ``derive.layers`` out. With
H = W_1 W_1^T of Marchenko-Pastur law and Omega_1 = a H + b, the matrices C_2 = f(H) and Omega_1
commute, so the second layer sees the deterministic covariance

.. math:: M = f(H)\, (a H + b), \qquad r_2 = \langle M \rangle,

and a linear target has, along an eigenvalue h, the explained variance
rho gamma_1 a h/(a h + b); the rest, rho (1 - gamma_1 <a H/(a H + b)>), acts as label noise.
The layers above follow by the layer calculus. Means over H are Gauss sums
(``derive.chains.gram_law``); for rational f they are residues of <(H + y)^-1>, which tests use as
the other route.

Weights tied to earlier ones in another way (W_2 = W_1^T, a C_3 of W_1) have no closed form here:
the features' covariance must then be taken from sampled weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from flint import acb, arb
from sympy import Expr, Integer, Rational, Symbol

from derive.activation import Activation
from derive.chains.gram_law import GramRule
from derive.chains.layer_chain import Chain, Layer, TableBase, Teacher, width
from derive.chains.propagation import gain_symbol, noise_symbol
from derive.constant import Constant
from derive.enclosing.ball_program import Evaluation, compile_ball
from derive.enclosing.certified import CertifiedNumber
from derive.errors import NotConvergedError, NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.layers import covariance_system, kernel_system
from derive.provenance import SCHRODER_2024, THIS
from derive.rewrite import Log, Step
from derive.symbols import Quantity
from derive.system import System
from derive.tables import Table

h = Symbol("h", real=True)
"""The argument of f: an eigenvalue of W_1 W_1^T."""
_DIGITS = 13
_SIZES = (24, 48, 96, 192)


@dataclass(frozen=True)
class GramFeatures:
    """Deep features with C_2 = f(W_1 W_1^T), declared; make one with ``gram_features``.

    Attributes:
        activations: two or more, without mean at their variance.
        f: expression in ``h``, positive on [0, h_max].
        gamma_1: width of the first layer, exact: the constants above depend on it.
        signal: variance of the entries of theta, exact.
    """

    activations: tuple[Activation, ...]
    f: Expr
    gamma_1: Rational
    signal: Expr = Integer(1)

    def __post_init__(self) -> None:
        if len(self.activations) < 2:
            raise NotSupportedError(
                "a second layer of covariance f(W_1 W_1^T)", "one layer", "give two or more"
            )
        if self.f.free_symbols - {h}:
            raise RangeError(f"f = {self.f}", "it holds other symbols than h", "use h alone")
        for value, _ in GramRule(self.gamma_1, 8).pairs:
            if not self._f_at(value, Evaluation(80)) > 0:
                raise RangeError(f"f = {self.f}", "not positive on the spectrum", "give f > 0")
        for i, (activation, r) in enumerate(zip(self.activations, self.variances, strict=False), 1):
            if not activation.is_centred(r):
                raise NotSupportedError(
                    f"layer {i} with activation {activation}",
                    "its mean makes neurons uneven, which correlates with f(W_1 W_1^T)",
                    "remove the mean (Activation.centred), or use sampled weights",
                )

    def _f_at(self, value: Expr, evaluate: Evaluation) -> arb:
        if h not in self.f.free_symbols:
            return evaluate(self.f)
        return compile_ball(self.f, h, evaluate)(acb(evaluate(value)), False).real

    @cached_property
    def first(self) -> tuple[Expr, Expr]:
        """A = kappa_1^2 and b = kappa_*^2 of the first layer, exact."""
        return self._gain(0, Integer(1))

    def _gain(self, i: int, r: Expr) -> tuple[Expr, Expr]:
        activation = self.activations[i]
        return activation.kappa_1(r).expr ** 2, activation.kappa_star_squared(r).expr

    @cached_property
    def variances(self) -> tuple[Expr, ...]:
        """Second moments r_1, ..., r_{L+1} of the arguments of each layer, exact up to the rule."""
        rows = self.rule(_DIGITS)[0]
        out: list[Expr] = [Integer(1), Constant("r_2", sum(w * M for M, w, _ in rows), "r_{2}")]
        for i, activation in enumerate(self.activations[1:], 3):
            value = activation.second_moment(out[-1]).expr
            out.append(Constant(f"r_{i}", value, f"r_{{{i}}}"))
        return tuple(out)

    def rule(self, digits: int) -> tuple[list[tuple[Expr, Expr, Expr]], float]:
        """Return rows (M, weight, explained variance) and the estimated error of their means."""
        for few, many in pairwise(_SIZES):
            coarse, fine = (self._rows(count) for count in (few, many))
            error = max(_gap(coarse, fine), 1e-15) ** 2
            if error <= 10.0**-digits:
                return fine, error
        raise NotConvergedError(
            f"means over the spectrum of W_1 W_1^T to {digits} digits",
            f"{_SIZES[-1]} nodes leave an estimated error of {error:.1e}",
            "give an f without a pole close to the spectrum",
        )

    def _rows(self, count: int) -> list[tuple[Expr, Expr, Expr]]:
        a, b = self.first
        key = (str(self.f), str(self.gamma_1), count, *(x.name for x in self.activations))
        out: list[tuple[Expr, Expr, Expr]] = []
        for j, (node, weight) in enumerate(GramRule(self.gamma_1, count).pairs):

            def seen(e: Evaluation, prec: int, node: Expr = node) -> arb:
                return self._f_at(node, e) * (e(a) * e(node) + e(b))

            def power(e: Evaluation, prec: int, node: Expr = node) -> arb:
                return e(self.gamma_1) * e(a) * e(node) / (e(a) * e(node) + e(b))

            M = CertifiedNumber("M", seen, positive=True, key=("M", *key, j))
            out.append((M, weight, CertifiedNumber("P", power, key=("P", *key, j))))
        return out

    def chain(self, digits: int = _DIGITS) -> Chain:
        """Return base, layers and teacher; the base is M at the width of the first layer.

        Args:
            digits: accuracy of means over W_1 W_1^T.
        """
        rows, error = self.rule(digits)
        exact = Rational(error)
        plain = tuple((w, Integer(0), M) for M, w, _ in rows)
        powered = tuple((w * P, Integer(0), M) for M, w, P in rows)
        base = TableBase(
            self.gamma_1,
            Table("gram", plain, exact, "M"),
            Table("gram_power", powered, exact, "M,P"),
        )
        layers, constants = [], []
        for level in range(2, len(self.activations) + 1):
            gain, noise = self._gain(level - 1, self.variances[level - 1])
            a, b = gain_symbol(level), noise_symbol(level)
            layers.append(Layer(level, a, Integer(0) if noise == 0 else b, width(level)))
            constants += [(a, gain)] + ([] if noise == 0 else [(b, noise)])
        teacher, extra = self._teacher(rows)
        names = tuple(f"gamma_{layer.level}" for layer in layers)
        step = Step(
            "multiply what commutes",
            f"C_2 = {self.f} at h = W_1 W_1^T: the second layer sees f(H) (a H + b)",
            THIS,
        )
        recursion = Step(
            "linearise each layer",
            "Omega_l = kappa_1^2 W Omega_{l-1} W^T + kappa_*^2",
            SCHRODER_2024.at("eqs. (26)-(27), normalised traces"),
        )
        notes = (
            "n, d and all widths grow together",
            f"Gaussian weights, C_2 = {self.f}, gamma_1 = {self.gamma_1}",
            f"means over W_1 W_1^T by {len(rows)} nodes, estimated relative error {error:.1e}",
        )
        groups = (("gamma", names),)
        return Chain(
            base,
            tuple(layers),
            teacher,
            (*constants, *extra),
            groups,
            Log((recursion, step)),
            notes,
        )

    def _teacher(
        self, rows: Sequence[tuple[Expr, Expr, Expr]]
    ) -> tuple[Teacher, tuple[tuple[Symbol, Expr], ...]]:
        rho = Quantity("signal", "variance of theta", latex=r"\rho", low=0)
        rest = Quantity("hidden", "target that acts as noise", latex=r"\sigma_*^2", low=0)
        unseen = self.signal * (1 - sum((w * P for _, w, P in rows), Integer(0)))
        if self.first[1] == 0 and self.gamma_1 >= 1:
            return Teacher(0, rho, Integer(0)), ((rho, self.signal),)
        return Teacher(0, rho, rest), ((rho, self.signal), (rest, unseen))

    def system(self, route: str = "covariance", digits: int = _DIGITS) -> System:
        """Return the equations, controls alpha, gamma = (gamma_2, ...), lam and noise.

        Args:
            route: "covariance" or "kernel".
            digits: accuracy of means over W_1 W_1^T.
        """
        build = {"covariance": covariance_system, "kernel": kernel_system}[route]
        return build(self.chain(digits))

    def refined(self, digits: int) -> System:
        """Return the equations with means to so many digits, for references."""
        return self.system(digits=min(max(digits, _DIGITS), 28))


def _gap(
    coarse: Sequence[tuple[Expr, Expr, Expr]], fine: Sequence[tuple[Expr, Expr, Expr]]
) -> float:
    """Return the largest relative difference of two rules over resolvents of M."""
    worst = 0.0
    floats = [[tuple(map(float, row)) for row in rows] for rows in (coarse, fine)]
    for x in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        for pick in (0, 2):
            one, two = (
                sum(row[1] * (row[0] if pick == 0 else row[2]) / (row[0] + x) for row in rows)
                for rows in floats
            )
            worst = max(worst, abs(one / two - 1))
    return worst


def gram_features(
    layers: Sequence[Activation | Expr | str], f: Expr, gamma_1: Number, *, signal: Number = 1
) -> GramFeatures:
    """Declare deep features on white inputs whose second rows have covariance f(W_1 W_1^T).

    Args:
        layers: activation of each layer, two or more.
        f: SymPy expression in ``derive.theory.gram_weights.h``, positive for h >= 0.
        gamma_1: width of the first layer over d, rational.
        signal: variance of the entries of theta; the target is linear.

    Raises:
        NotSupportedError: one layer only, or an activation with a mean.
        RangeError: an f that is not positive on the spectrum, or another width.

    Example:
        >>> model = gram_features(["tanh", "tanh"], 1 / (h + Rational(1, 2)), "1.2")
        >>> [q.name for q in model.system().controls]
        ['alpha', 'gamma_2', 'lam', 'noise']
    """
    read = tuple(a if isinstance(a, Activation) else Activation(a) for a in layers)
    ratio = exact_number(gamma_1)
    return GramFeatures(read, f, ratio, exact_number(signal))  # type: ignore[arg-type]
