"""Learning curves of readouts for whatever is known of the features: the front door.

Stage: covariances, weights, an architecture or data in; a ``Population`` out, whose spectral
functions every readout theory reads, and whose ``ridge`` is the learning curve. The ways in:

==================================  ================================================================
what is known                       what is made of it
==================================  ================================================================
``omega, phi, psi``                 modes, one eigendecomposition (``populations.matrices``)
``weights, activations, target``    joint covariances layer by layer (``populations.networks``)
``model, gamma``                    an explicit chain, no matrices (``populations.architecture``)
``features, labels``                samples, with the bias of their number inverted (``samples``)
==================================  ================================================================

Conventions: minimise sum_i (y_i - theta.phi_i/sqrt(p))^2 + lam |theta|^2. In the letters of
scikit-learn, ``Ridge(alpha=p*lam)`` on the features as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.channels import ConvexReadout
from derive.errors import NotSupportedError, RangeError, ShapeError
from derive.theory.deep_features import DeepFeatures
from numeric.compressed_spectrum import compress
from numeric.controls import real_array
from numeric.populations.architecture import chain_spectrum
from numeric.populations.matrices import Covariances
from numeric.populations.networks import Network, linearise, network
from numeric.populations.samples import SampledSpectrum, sampled_spectrum
from numeric.ridge_readout_theory import ridge_curve
from numeric.solution import Solution, Status
from numeric.spectral_functions import Modes, SpectralFunctions
from numeric.state_evolution import ReadoutCurve, state_evolution

Array = NDArray[np.float64]
_MANY = 2_000_000  # points times modes, from where on a table of the sums pays


@dataclass(frozen=True, eq=False)
class Population:
    """What a readout sees of its features, and where that was learned from.

    Attributes:
        functions: the spectral functions, for any readout theory.
        features: p; None for an architecture, whose sizes are ratios.
        source: "covariances", "weights", "architecture" or "data".
        width: p/d of an architecture.
        intercept: whether a fitted intercept is part of the readout (data only).
        neglected: relative norm of what the expansion of weights leaves out.
    """

    functions: SpectralFunctions
    features: int | None
    source: str
    width: float = 1.0
    intercept: bool = False
    neglected: float = 0.0

    def ridge(
        self,
        *,
        lam: ArrayLike,
        n: ArrayLike | None = None,
        alpha: ArrayLike | None = None,
        noise: ArrayLike = 0.0,
    ) -> Solution:
        """Return the learning curve of ridge regression on the broadcast grid of the controls.

        Args:
            lam: ridge >= 0.
            n: numbers of training samples; for an architecture give ``alpha`` instead.
            alpha: n/d, for an architecture.
            noise: variance of the label noise. Data contain theirs, and take none.

        Returns:
            Solution with ``m, E_test, E_gen, E_train, delta, spare`` and unknown ``x``; see
            ``numeric.ridge_readout_theory``. From data there is no ``E_gen``, as noise and misfit
            are not told apart, and ``error`` holds the standard error of the estimate.

        Raises:
            RangeError: the control that does not belong to this kind, or is out of range.
            ShapeError: controls whose shapes do not broadcast.

        Example:
            >>> import numpy as np
            >>> flat = population(omega=np.eye(4), phi=np.eye(4), psi=np.eye(4))
            >>> flat.ridge(n=[2, 8], lam=0.1, noise=0.1).E_test.round(6).tolist()
            [0.674166, 0.184429]
        """
        given, lam = self._control(n, alpha), real_array("lam", lam)
        if self.source == "data":
            return self._from_data(given, lam, noise)
        size = self.width if self.features is None else self.features
        name = "alpha" if self.features is None else "n"
        points = _points({name: given, "lam": lam, "noise": real_array("noise", noise)})
        curve = ridge_curve(self._quick(points), ratio=given / size, lam=lam, noise=noise)
        return _with_control(curve, name, given)

    def readout(
        self,
        model: ConvexReadout,
        *,
        lam: ArrayLike,
        n: ArrayLike | None = None,
        alpha: ArrayLike | None = None,
    ) -> ReadoutCurve:
        """Return the learning curve of a readout with any convex loss; see ``state_evolution``.

        Args:
            model: loss and teacher.
            lam: ridge > 0, in the convention (lam/2) |theta|^2.
            n: numbers of training samples; for an architecture give ``alpha`` instead.
            alpha: n/d, for an architecture.

        Raises:
            NotSupportedError: for data, whose teacher is not known.

        Example:
            >>> from derive.channels import ConvexReadout, Sign
            >>> from derive.losses import Loss
            >>> logistic = ConvexReadout(Loss("logistic"), Sign())
            >>> flat = population(omega=np.eye(4), phi=np.eye(4), psi=np.eye(4))
            >>> round(float(flat.readout(logistic, n=8, lam=0.05).E_test), 10)
            0.1762585747
        """
        if self.source == "data":
            raise NotSupportedError(
                f"{model} from data",
                "the teacher behind the labels is not known, only its linear part",
                "use ridge, or give weights or covariances with a target",
            )
        given = self._control(n, alpha)
        size = self.width if self.features is None else self.features
        name = "alpha" if self.features is None else "n"
        curve = state_evolution(model, self.functions, ratio=given / size, lam=lam)
        controls = {name: np.broadcast_to(given, curve.shape).copy(), "lam": curve.controls["lam"]}
        return replace(curve, controls=controls)

    def _quick(self, points: int) -> SpectralFunctions:
        """Return the functions, as a table where many points would each sum over many modes."""
        modes = self.functions
        if not isinstance(modes, Modes) or points * modes.values.size < _MANY:
            return modes
        smallest = float(np.min(modes.values[modes.values > 0]))
        low = max(smallest * 1e-3, modes.mean * 1e-16)
        return compress(modes, low, 1e6 * float(modes.values.max()))

    def _control(self, n: ArrayLike | None, alpha: ArrayLike | None) -> Array:
        wanted, other = (alpha, n) if self.features is None else (n, alpha)
        name = "alpha" if self.features is None else "n"
        if wanted is None or other is not None:
            raise RangeError(
                f"ridge of a population from {self.source}",
                f"it takes {name}=",
                "n for given features, alpha = n/d for an architecture",
            )
        given = real_array(name, wanted)
        if np.any(given <= 0):
            raise RangeError(f"{name} = {np.nanmin(given):g}", "out of range", f"give {name} > 0")
        return given

    def _from_data(self, n: Array, lam: ArrayLike, noise: ArrayLike) -> Solution:
        assert isinstance(self.functions, SampledSpectrum), "data give a sampled spectrum"
        if np.any(np.asarray(noise) != 0):
            raise RangeError(
                "a noise of its own", "the labels of the data contain theirs", "leave it at zero"
            )
        used = n - 1 if self.intercept else n
        if np.any(used < 1):
            raise RangeError(
                f"n = {np.min(n):g}", "too few samples to fit", "give two samples or more"
            )
        curve = ridge_curve(self.functions, ratio=used / self.functions.features, lam=lam)
        return _with_sampling_error(_with_control(curve, "n", n), self.functions, self.intercept)

    def __repr__(self) -> str:
        size = f"p/d = {self.width:g}" if self.features is None else f"p = {self.features}"
        extra = f", neglected {self.neglected:.1e}" if self.neglected else ""
        return f"Population({self.source}, {size}, rho = {self.functions.rho:.6g}{extra})"


def _points(controls: Mapping[str, Array]) -> int:
    try:
        return np.broadcast(*controls.values()).size
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in controls.items())
        remedy = "add axes, as in n[:, None]"
        raise ShapeError("controls", f"shapes do not broadcast: {shapes}", remedy) from error


def _with_control(curve: Solution, name: str, values: Array) -> Solution:
    controls = {name: np.broadcast_to(values, curve.shape).copy()}
    controls |= {k: v for k, v in curve.controls.items() if k != "ratio"}
    return replace(curve, controls=controls)


def _with_sampling_error(curve: Solution, seen: SampledSpectrum, intercept: bool) -> Solution:
    """Put the intercept's factors and the standard error of the estimate into a curve from data."""
    n, good = curve.controls["n"], curve.status == Status.CONVERGED
    relative = np.full(curve.shape, np.nan)
    if good.any():
        relative[good] = seen.relative_error(curve.x[good])
    outputs: dict[str, Array] = {k: v for k, v in curve.outputs.items() if k != "E_gen"}
    errors: dict[str, Array] = {k: v for k, v in curve.error.items() if k != "E_gen"}
    if intercept:  # the means of n samples: (1 + 1/n) of a fresh error, one degree of freedom less
        outputs["E_test"] = outputs["E_test"] * (1 + 1 / n)
        outputs["E_train"] = outputs["E_train"] * (1 - 1 / n)
    for name in ("E_test", "E_train"):
        errors[name] = errors[name] + relative * outputs[name]
    noiseless = {k: v for k, v in curve.controls.items() if k != "noise"}
    return replace(curve, controls=noiseless, outputs=outputs, error=errors)


def population(  # noqa: PLR0913  (the ways in, all by keyword)
    *,
    omega: ArrayLike | None = None,
    phi: ArrayLike | None = None,
    psi: ArrayLike | None = None,
    deficient: bool = False,
    weights: Network | Sequence[ArrayLike] | None = None,
    activations: Sequence[Any] | str = "tanh",
    biases: Sequence[ArrayLike] | None = None,
    target: Network | None = None,
    theta: ArrayLike | None = None,
    inputs: ArrayLike | int | None = None,
    order: int = 1,
    model: DeepFeatures | None = None,
    gamma: float | Sequence[float] = (),
    features: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    intercept: bool = True,
) -> Population:
    """Return the population of features that are known in one of four ways.

    Args:
        omega: E phi phi^T of centred features, (p, p).
        phi: E phi phi_*^T, (p, k).
        psi: E phi_* phi_*^T, (k, k).
        deficient: that omega has directions without variance is meant; otherwise it is refused.
        weights: a ``Network``, or its matrices (k_l, k_{l-1}) as applied, trained or random.
        activations: with matrices, one per layer or one for all.
        biases: with matrices, one vector per layer.
        target: network that makes the labels; by default the labels are linear in the input.
        theta: the teacher's readout, (k,); by default the average over unit variance entries.
        inputs: covariance of the Gaussian inputs, its diagonal, or their dimension.
        order: Hermite orders kept between different units (1 is the linearisation of the papers;
            2 or 3 are better for trained weights).
        model: a declared architecture.
        gamma: its widths over d.
        features: samples, (N, p), one per row.
        labels: their labels, (N,).
        intercept: with data, whether the readout fits an intercept.

    Raises:
        DeriveError: ShapeError or RangeError naming the array that does not fit, with its measure.
        NotSupportedError: none, or more than one, of the four ways.

    Accuracy: covariances and architectures to rounding; weights to ``Population.neglected`` and the
        Gaussian approximation of deep arguments; data to the ``error`` of the curve.

    Example:
        >>> import numpy as np
        >>> from derive.theory.deep_features import deep_features
        >>> chain = population(model=deep_features(["tanh"]), gamma=2)
        >>> round(float(chain.ridge(alpha=1.25, lam=0.01, noise=0.1).E_test), 12)
        0.501691648664
        >>> samples = np.random.default_rng(0).standard_normal((300, 40))
        >>> population(features=samples, labels=samples @ np.ones(40))
        Population(data, p = 40, rho = ...)
    """
    ways = {"omega": omega, "weights": weights, "model": model, "features": features}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise NotSupportedError(
            f"a population from {' and '.join(given) or 'nothing'}",
            "the ways in are omega (with phi, psi), weights, model and features (with labels)",
            "give exactly one of them",
        )
    if omega is not None:
        return _of_covariances({"omega": omega, "phi": phi, "psi": psi}, theta, deficient)
    if model is not None:
        functions = chain_spectrum(model, gamma)
        width = float(np.atleast_1d(np.asarray(gamma, dtype=float))[-1]) if model.depth else 1.0
        return Population(functions, None, "architecture", width)
    if features is not None:
        if labels is None:
            raise ShapeError("features without labels", "labels is None", "give one per row")
        found = sampled_spectrum(features, labels, intercept=intercept)
        return Population(found, found.features, "data", intercept=intercept)
    assert weights is not None, "one of the four ways was given"
    learner = weights if isinstance(weights, Network) else network(weights, activations, biases)
    return of_networks(learner, target, theta, inputs=inputs, order=order)


def _of_covariances(
    given: Mapping[str, ArrayLike | None], theta: ArrayLike | None, deficient: bool
) -> Population:
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise ShapeError(
            "population of covariances",
            f"without {' and '.join(missing)}",
            "give omega (p, p), phi (p, k) and psi (k, k)",
        )
    joint = Covariances(**{name: np.asarray(value) for name, value in given.items()})
    modes, p = joint.modes(theta), joint.omega.shape[0]
    rank = int(np.count_nonzero(modes.values))
    if rank < p and not deficient:
        raise RangeError(
            "omega",
            f"rank {rank} of {p}: the other eigenvalues are rounding of the largest, "
            f"{modes.values.max():.3g}",
            "remove features that repeat others, or say deficient=True if this is meant",
        )
    return Population(modes, p, "covariances")


def of_networks(
    learner: Network,
    target: Network | None = None,
    theta: ArrayLike | None = None,
    *,
    inputs: ArrayLike | int | None = None,
    order: int = 1,
) -> Population:
    """Return the population of a learner's last layer, labelled by a target network.

    See ``population`` for the arguments.
    """
    found = linearise(learner, target or network([], ()), inputs, order=order)
    modes = found.covariances.modes(theta)
    return Population(modes, modes.values.size, "weights", neglected=found.neglected)


def predict_learning_curve(
    X: ArrayLike, y: ArrayLike, lam: ArrayLike, sizes: ArrayLike, *, intercept: bool = True
) -> Solution:
    """Predict the test error of ridge regression at other training sizes, from one data set.

    Args:
        X: features, (N, p), one sample per row.
        y: labels, (N,).
        lam: ridges, a number or shape (L,); ``lam = alpha/p`` for scikit-learn's ``Ridge(alpha)``.
        sizes: training sizes n, a number or shape (S,).
        intercept: whether the regression fits an intercept.

    Returns:
        Solution of shape (S, L) (numbers drop their axis) with ``E_test`` and ``E_train``; its
        ``error`` holds one standard error, from the finite number of samples. Points that the
        samples do not resolve (roughly n > N when N <= p) have the status LEFT_RANGE.

    Raises:
        DeriveError: ShapeError or RangeError naming the array that does not fit, with its measure.

    Accuracy: bias O(1/N), and the standard error in ``Solution.error``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((400, 50))
        >>> y = X @ np.ones(50) / np.sqrt(50) + 0.5 * rng.standard_normal(400)
        >>> curve = predict_learning_curve(X, y, lam=0.1, sizes=[100, 400])
        >>> curve.shape, bool(np.all(curve.E_test > 0.2))
        ((2,), True)
    """
    ridges, n = real_array("lam", lam), real_array("sizes", sizes)
    grid = n.reshape(n.shape + (1,) * ridges.ndim)
    return population(features=X, labels=y, intercept=intercept).ridge(n=grid, lam=ridges)
