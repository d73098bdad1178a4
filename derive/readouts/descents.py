r"""Where learning curves can peak: one threshold per level of a network.

Stage: a declaration in, the sample ratios at which a level of the network interpolates out, with
what regularises each. Level l (0: the input, of width 1) has as many features as samples at
alpha = gamma_l. All layers above it act on it as a ridge: peeling them one by one (their noise is a
ridge of the layers below, ``derive.readouts.ridge_limits``),

.. math:: \lambda_l = \frac{\lambda + \sum_{s > l} b_s \prod_{t > s} a_t}{\prod_{s > l} a_s},

exactly if the layers above are wide, and as a scale if not. The curve has a peak of height
misfit/(2 sqrt(lambda_l S_l)) at the threshold while that is large: the "linear" peak at n = d is
cut off by the nonlinear parts b of the layers, the "nonlinear" one at n = k_L by the ridge alone,
so a network with small b and small ridge descends three times. A level that passes no noise of its
own (b_l = 0 at the last level) has no nonlinear peak: its features are those of the level below.
"""

from dataclasses import dataclass

from sympy import Expr

from derive.chains.layer_chain import lam
from derive.readouts.ridge_limits import Declared


@dataclass(frozen=True)
class Threshold:
    """One place where a learning curve can peak.

    Attributes:
        level: l; 0 is the input.
        alpha: sample ratio, gamma_l (1 for the input).
        ridge: lambda_l, the effective ridge there.
        kind: "linear" at the input, "nonlinear" at the last layer, "layer" between.
    """

    level: int
    alpha: Expr
    ridge: Expr
    kind: str


def thresholds(model: Declared) -> tuple[Threshold, ...]:
    """Return the thresholds of a network, from the input to the last layer.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> for found in thresholds(deep_features(["erf"])):
        ...     print(found.kind, found.alpha, found.ridge)
        linear 1 (b_1 + lam)/a_1
        nonlinear gamma_1 lam
    """
    chain = model.chain()
    ridge: Expr = lam
    widths, last = chain.widths, len(chain.layers)
    out = [Threshold(chain.first + last, widths[last], ridge, _kind(last, last))]
    for i in range(last - 1, -1, -1):
        layer = chain.layers[i]
        ridge = (ridge + layer.mean(0, 1)) / layer.mean(1, 0)
        out.append(Threshold(chain.first + i, widths[i], ridge, _kind(i, last)))
    return tuple(reversed(out))


def _kind(level: int, last: int) -> str:
    if level == 0:
        return "linear"
    return "nonlinear" if level == last else "layer"
