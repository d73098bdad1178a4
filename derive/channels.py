r"""Convex readouts: a loss and a teacher give the equations of state evolution.

Stage: declared by the user, solved by ``numeric.state_evolution``. Spectra enter through the sums
df1, df2, T, T2 of an effective ridge x alone (``numeric.spectral_functions``), losses and teachers
through three Gaussian averages alone; any spectrum goes with any loss.

Conventions: theta minimises sum_i l(y_i, theta . phi_i/sqrt(p)) + (lam/2) |theta|^2 over n samples,
r = n/p. The teacher field nu has variance rho, the prediction omega on a fresh input has variance q
and covariance m with nu, V is the strength of the proximal map. Noise of variance Delta adds to nu
before the label is read, so that rho stands below for rho + Delta wherever labels are concerned.

Derivation: the saddle point of the replica free energy, or equally of the convex Gaussian min-max
problem, gives V_hat, q_hat, m_hat as averages over the channel; with x = lam/V_hat the averages
over the spectrum become its sums at x. Sources: [loureiro2021], [schroder2024]; the form in x is
derived here.
"""

from dataclasses import dataclass, field
from functools import cached_property

from sympy import Symbol, latex

from derive.errors import NoRuleError, NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.gaussian import expect
from derive.latex import aligned
from derive.losses import REAL, Loss
from derive.provenance import ANDREWS_1974, CLARTE_2023, LOUREIRO_2021, SCHRODER_2024, THIS
from derive.readouts.proximal import Proximal, omega
from derive.rewrite import Log, Step
from derive.symbols import z
from derive.value import Value

residual_variance = Symbol("tau2", positive=True)
"""Variance of the residual omega - y of a linear teacher: rho + Delta - 2 m + q."""


@dataclass(frozen=True)
class Linear:
    """Labels nu + noise.

    Attributes:
        noise: variance Delta of the label noise, >= 0.
    """

    noise: Number = 0

    def __post_init__(self) -> None:
        _not_negative("noise", self.noise)

    @property
    def signs(self) -> bool:
        """Whether the labels are -1 and 1."""
        return False

    def __str__(self) -> str:
        return f"linear teacher with noise {self.noise}"


@dataclass(frozen=True)
class Sign:
    """Labels sign(nu + noise), each flipped with a probability.

    Attributes:
        noise: variance Delta of the noise before the sign (a probit teacher), >= 0.
        flips: probability eta that a label is flipped, 0 <= eta <= 1/2.
    """

    noise: Number = 0
    flips: Number = 0

    def __post_init__(self) -> None:
        _not_negative("noise", self.noise)
        if not 0 <= float(exact_number(self.flips)) <= 0.5:
            raise RangeError(f"flips = {self.flips}", "out of range", "give 0 <= flips <= 1/2")

    @property
    def signs(self) -> bool:
        """Whether the labels are -1 and 1."""
        return True

    def __str__(self) -> str:
        return f"sign teacher with noise {self.noise} and flips {self.flips}"


@dataclass(frozen=True)
class Logistic:
    """Labels 1 with probability sigma(nu/scale), else -1; each flipped with a probability.

    Attributes:
        scale: scale of the logistic noise, > 0; small scales approach the sign.
        flips: probability eta that a label is flipped, 0 <= eta <= 1/2.
    """

    scale: Number = 1
    flips: Number = 0
    noise: Number = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 0 < float(exact_number(self.scale)) < float("inf"):
            raise RangeError(f"scale = {self.scale}", "out of range", "give a finite scale > 0")
        Sign(flips=self.flips)

    @property
    def signs(self) -> bool:
        """Whether the labels are -1 and 1."""
        return True

    def __str__(self) -> str:
        return f"logistic teacher of scale {self.scale} and flips {self.flips}"


Teacher = Linear | Sign | Logistic


def _not_negative(name: str, value: Number) -> None:
    number = float(exact_number(value))
    if not 0 <= number < float("inf"):
        raise RangeError(f"{name} = {value}", "out of range", f"give a finite {name} >= 0")


@dataclass(frozen=True)
class ConvexReadout:
    r"""A linear readout trained with a convex loss on the labels of a teacher.

    Attributes:
        loss: the loss.
        teacher: who labels.

    Raises:
        RangeError: a teacher whose labels lie outside the loss's range.
        NotSupportedError: real labels with a loss that is not a function of y - z, or something
            that is no Loss or no teacher.

    Example:
        >>> model = ConvexReadout(Loss("huber"), Linear(noise=1))
        >>> model.averages()["I1"]
        V*erf(sqrt(2)*(V + 1)/(2*sqrt(tau2)))/(V + 1)
        >>> ConvexReadout(Loss("logistic"), Linear())
        Traceback (most recent call last):
        ...
        derive.errors.RangeError: logistic loss with the linear teacher with noise 0: ...
    """

    loss: Loss
    teacher: Teacher

    def __post_init__(self) -> None:
        for what, given, kinds in (
            ("loss", self.loss, Loss),
            ("teacher", self.teacher, (Linear, Sign, Logistic)),
        ):
            if not isinstance(given, kinds):
                remedy = 'write ConvexReadout(Loss("logistic"), Sign())'
                raise NotSupportedError(f"{what} {given!r}", f"no {what.capitalize()}", remedy)
        if self.teacher.signs:
            return
        asked = f"{self.loss.name} loss with the {self.teacher}"
        if self.loss.labels != REAL:
            raise RangeError(
                asked,
                "labels such as 0.5 lie outside {-1, 1}",
                "use Sign, or a loss of real labels",
            )
        if self.loss.form != "residual":
            raise NotSupportedError(
                asked, "the loss is not a function of y - z alone", "use Sign, or such a loss"
            )

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels at which the proximal map is needed; 0 alone for residual losses."""
        return (1, -1) if self.teacher.signs else (0,)

    @property
    def proximals(self) -> tuple[Proximal, ...]:
        """The proximal map at each of ``labels``."""
        return tuple(self.loss.proximal(label) for label in self.labels)

    def averages(self) -> dict[str, Value]:
        """Return the averages I1, I2 and loss_train of a linear teacher in closed form.

        They are functions of V and of the residual's variance ``tau2``; I3 = I1.

        Raises:
            NoRuleError: if the proximal map has no closed form, or for sign labels, whose averages
                hold the distribution of two correlated normals.
        """
        if self.teacher.signs:
            raise NoRuleError(
                f"closed averages of {self!r}",
                "the likelihood of a sign label multiplies the Gaussian density",
                "use numeric.state_evolution",
            )
        (proximal,) = self.proximals
        moved, bend = proximal.expr().subs(omega, z), 1 - proximal.derivative().subs(omega, z)
        parts = {
            "I1": bend,
            "I2": (moved - z) ** 2,
            "loss_train": proximal.height().subs(omega, z),
        }
        return {name: expect(f, 0, residual_variance) for name, f in parts.items()}

    def equations(self) -> tuple[tuple[str, str], ...]:
        """Return the equations as pairs of LaTeX, left and right sides."""
        channel = _SIGN_CHANNEL if self.teacher.signs else _LINEAR_CHANNEL
        mixed = _MIXTURE if isinstance(self.teacher, Logistic) else ()
        return (*_SPECTRUM, *mixed, *channel, *self._outputs())

    def _outputs(self) -> tuple[tuple[str, str], ...]:
        delta = latex(exact_number(self.teacher.noise))
        delta = r"\Delta" if isinstance(self.teacher, Logistic) else delta
        if isinstance(self.teacher, Linear):
            return (
                (r"E_{\mathrm{gen}}", r"\rho - 2 m + q"),
                (r"E_{\mathrm{test}}", rf"E_{{\mathrm{{gen}}}} + {delta}"),
                (r"E_{\mathrm{train}}", r"\mathbb{E}\, \mathrm{prox}_V(u)^2"),
            )
        eta = latex(exact_number(self.teacher.flips))
        angle = rf"\frac{{1}}{{\pi}} \arccos \frac{{m}}{{\sqrt{{(\rho + {delta}) q}}}}"
        return (
            (r"E_{\mathrm{gen}}", r"\frac{1}{\pi} \arccos \frac{m}{\sqrt{\rho q}}"),
            (r"E_{\mathrm{test}}", rf"{eta} + (1 - 2 \cdot {eta}) {angle}"),
            (
                r"E_{\mathrm{train}}",
                r"\mathbb{E}_\omega \sum_y Z(y) \, \mathbf{1}[y\, \mathrm{prox}_V(y, \omega) < 0]",
            ),
            (r"P(y = 1 \mid \omega)", rf"{eta} + (1 - 2 \cdot {eta}) {_PROBIT}"),
        )

    def latex(self) -> str:
        """Return loss, proximal maps and equations as LaTeX."""
        rows = tuple((r"\ell(y, z)", text) for text in [latex(self.loss.expr)])
        maps = [
            tuple(proximal.latex().split(" = ", 1)) for proximal in dict.fromkeys(self.proximals)
        ]
        return aligned([*rows, *((a, b) for a, b in maps), *self.equations()])

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    @cached_property
    def log(self) -> Log:
        """The steps from the loss to the equations."""
        log = self.loss.log
        for proximal in dict.fromkeys(self.proximals):
            log = log.extend(proximal.log)
        steps = (
            Step(
                "saddle point: hats are averages over the channel",
                "V_hat, q_hat, m_hat",
                LOUREIRO_2021,
            ),
            Step("general Omega, Phi, Psi", "spectral averages", SCHRODER_2024.at("App. on GCM")),
            Step(
                "x = lam/V_hat",
                "V = df1/V_hat, m = m_hat T/V_hat, q = (m_hat^2 T2 + q_hat df2)/V_hat^2",
                THIS,
            ),
        )
        if isinstance(self.teacher, Logistic):
            rule = "logistic noise is normal noise of random strength 2 s K, K of Kolmogorov's law"
            log = log.then(Step(rule, "averages over noise variances", ANDREWS_1974))
        for step in (*steps, self._channel_step(), self._calibration_step()):
            log = log.then(step)
        return log

    def _channel_step(self) -> Step:
        if self.teacher.signs:
            rule = "the label's slope in the teacher field is a delta at nu = 0 under the noise"
            return Step(rule, "I3 is a mean over N(0, q - m^2/(rho + Delta))", THIS)
        rule = "a loss of y - z depends on one Gaussian, the residual"
        return Step(rule, "I3 = I1, so m_hat = V_hat", THIS)

    def _calibration_step(self) -> Step:
        if not self.teacher.signs:
            return Step("square of the residual", "E_test = rho + Delta - 2 m + q", THIS)
        rule = "nu given omega is N(m omega/q, rho - m^2/q)"
        return Step(rule, "P(y = 1 | omega) = eta + (1 - 2 eta) Phi(...)", CLARTE_2023)

    def __repr__(self) -> str:
        return f"ConvexReadout({self.loss.name} loss, {self.teacher})"


_SPECTRUM = (
    (r"x", r"\lambda / \hat V"),
    (r"V", r"\frac{df_1(x)}{\hat V}"),
    (r"m", r"\frac{\hat m\, T(x)}{\hat V}"),
    (r"q", r"\frac{\hat m^2\, T_2(x) + \hat q\, df_2(x)}{\hat V^2}"),
)
_PROBIT = r"\Phi\left(\frac{m \omega / q}{\sqrt{\rho + \Delta - m^2/q}}\right)"
_MIXTURE = (
    (
        r"\Delta",
        r"(2 s K)^2, \quad \text{mean over } P(K \leq k) = \sum_j (-1)^j e^{-2 j^2 k^2}",
    ),
)
_OVER_SIGNS = r"\mathbb{E}_{\omega \sim N(0, q)} \sum_y Z(y)"
_EDGE = (
    r"\frac{1 - 2 \eta}{\sqrt{2 \pi (\rho + \Delta)}} \sum_y y\,"
    r" \mathbb{E}_{\omega \sim N(0, q - m^2/(\rho + \Delta))}"
)
_SIGN_CHANNEL = (
    (r"Z(y)", rf"\eta + (1 - 2 \eta)\, {_PROBIT.replace('m ', 'y m ')}"),
    (
        r"\hat V",
        rf"\frac{{r}}{{V}}\, {_OVER_SIGNS} (1 - \mathrm{{prox}}_V'(y, \omega))",
    ),
    (
        r"\hat q",
        rf"\frac{{r}}{{V^2}}\, {_OVER_SIGNS} (\mathrm{{prox}}_V(y, \omega) - \omega)^2",
    ),
    (
        r"\hat m",
        rf"\frac{{r}}{{V}} {_EDGE} (\mathrm{{prox}}_V(y, \omega) - \omega)",
    ),
)
_LINEAR_CHANNEL = (
    (r"u", r"N(0, \rho + \Delta - 2 m + q)"),
    (r"\hat V", r"\frac{r}{V}\, \mathbb{E}(1 - \mathrm{prox}_V'(u))"),
    (r"\hat q", r"\frac{r}{V^2}\, \mathbb{E}(\mathrm{prox}_V(u) - u)^2"),
    (r"\hat m", r"\hat V"),
)
