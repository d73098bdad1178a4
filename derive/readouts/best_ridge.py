r"""The best ridge where it is known: targets that the features can represent.

Stage: a declaration in, the ridge that minimises the test error out, with its derivation. For a
target linear in the last layer's features with independent coefficients of variance rho, and noise
of variance Delta, with kappa = 1/m the effective ridge of the data kernel,

.. math:: E = \rho\, \kappa + (\Delta - \rho \lambda) \frac{d\kappa}{d\lambda}, \qquad
          \frac{dE}{d\lambda} = (\Delta - \rho \lambda) \frac{d^2\kappa}{d\lambda^2}.

kappa is concave in lam (1/m = lam + <Omega/(1 + r m Omega)>, and 1/(1 - delta) falls with lam), so
the only minimum is lam = Delta/rho, whatever spectrum, depth and sample size, and there
E = rho/m: the ridge is Bayes-optimal. Elsewhere ``numeric.best_ridge`` finds it with a certificate.
Source: the identity is derived here; arXiv:2302.00401, Cor. 4.1 prints another form, which tests
refute.
"""

from dataclasses import dataclass

from sympy import Expr, Symbol

from derive.chains.layer_chain import noise
from derive.errors import NoRuleError
from derive.provenance import THIS
from derive.readouts.ridge_limits import Declared
from derive.rewrite import Log, Step


@dataclass(frozen=True)
class KnownRidge:
    """The best ridge in closed form.

    Attributes:
        lam: in the control ``noise``, exact.
        E_test: the error there, in the output ``m`` at that ridge.
        log: steps.
    """

    lam: Expr
    E_test: Expr
    log: Log


def known_best_ridge(model: Declared) -> KnownRidge:
    """Return the best ridge of a target that the features can represent.

    Raises:
        NoRuleError: for any other target: no closed form is known.

    Example:
        >>> from derive.theory.deep_features import SharedLayer, deep_features
        >>> known_best_ridge(deep_features(["tanh", "tanh"], SharedLayer(2), signal=4)).lam
        noise/4
    """
    chain = model.chain()
    teacher = chain.teacher
    represented = teacher.level == len(chain.layers) and teacher.hidden == 0
    if not represented or teacher.signal == 0 or (not chain.layers and chain.base.powers):
        raise NoRuleError(
            "the best ridge in closed form",
            "the target is not linear in the last layer's features with independent coefficients",
            "use numeric.best_ridge",
        )
    rho = dict(chain.constants).get(_symbol(teacher.signal), teacher.signal)
    log = chain.log
    for step in (
        Step("write the error in 1/m", "E = rho/m + (Delta - rho lam) d(1/m)/d lam", THIS),
        Step("differentiate", "dE/dlam = (Delta - rho lam) d^2(1/m)/dlam^2", THIS),
        Step("use concavity", "1/m is concave in lam, so lam = Delta/rho is the minimum", THIS),
    ):
        log = log.then(step)
    return KnownRidge(noise / rho, rho / Symbol("m", positive=True), log)


def _symbol(signal: Expr) -> Symbol:
    assert isinstance(signal, Symbol), "the teacher's constants are named"
    return signal
