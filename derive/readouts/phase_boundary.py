r"""The phase boundary of the ridge: the label noise at which its slope changes sign.

Stage: a declaration in, a System without the control ``noise`` out. The test error is affine in the
noise, E = E_0 + sigma^2 E_1 with E_1 = d kappa/d lam, kappa = 1/m, so at given ratios and ridge
dE/dlam vanishes at one noise,

.. math:: \sigma_c^2(\alpha, \gamma, \lambda) =
          -\frac{dE_0/d\lambda}{d^2 \kappa/d\lambda^2}.

kappa is concave in lam, so above it a little more ridge lowers the error, below it raises it. At
lam -> 0 it separates the phase where interpolation is best from the one where a ridge helps; a
negative value says that a ridge helps at any noise. For a target that the features represent it is
rho lam (``derive.readouts.best_ridge``).
"""

from dataclasses import replace

from sympy import Integer

from derive.chains.layer_chain import Chain, noise
from derive.layers import kernel_system
from derive.provenance import THIS
from derive.readouts.ridge_limits import Declared
from derive.rewrite import Step
from derive.system import System


def noise_boundary(model: Chain | Declared) -> System:
    """Return the boundary as a System with the output ``noise_c``.

    For reading and printing: its third derivatives make long programs. For numbers use
    ``numeric.noise_threshold``, which takes the slopes of the compiled curve.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> system = noise_boundary(deep_features([]))
        >>> [q.name for q in system.controls], list(system.outputs)
        (['alpha', 'lam'], ['noise_c'])
    """
    chain = model if isinstance(model, Chain) else model.chain()
    full = kernel_system(chain)
    none = {noise: Integer(0)}
    system = replace(
        full,
        name="noise_boundary",
        controls=tuple(q for q in full.controls if q != noise),
        definitions=tuple((s, e.xreplace(none)) for s, e in full.definitions),
        outputs={},
    )
    kappa = next(u for u in reversed(full.unknowns) if u.name.startswith("k_"))
    system, bare = system.differentiate("E_0", "lam", full.outputs["E_test"].xreplace(none), THIS)
    system, first = system.differentiate("kappa", "lam", kappa, THIS)
    system, second = system.differentiate("E_1", "lam", first, THIS)
    step = Step("solve for the noise", "E = E_0 + noise E_1, and its slope in lam vanishes", THIS)
    return system.with_outputs(noise_c=-bare / second).with_step(step)
