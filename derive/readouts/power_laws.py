r"""Learning curves under power laws: exponents and amplitudes, derived.

Stage: exponents of a spectrum and of a target in, symbolic asymptotics in the number of samples
out. Modes k = 1, 2, ... have variance k^-a, a > 1, and carry k^(-1 - 2 a r) of the target's power
(capacity and source conditions; r > 0). With n samples and effective ridge x,

.. math:: \mathrm{df}_1 = \sum_k \frac{1}{1 + x k^a} \simeq x^{-1/a} \frac{\pi/a}{\sin(\pi/a)},
          \qquad \mathrm{df}_2 \simeq (1 - 1/a)\, \mathrm{df}_1,

.. math:: U = \sum_k k^{-1-2ar} \Big( \frac{x k^a}{1 + x k^a} \Big)^2 \simeq
          \begin{cases} x^{2r}\, \Gamma(2 - 2r) \Gamma(2r)/a & r < 1 \\
                        x^2\, \zeta(1 + 2ar - 2a) & r > 1 \end{cases}

(sums become integrals of v^(s-1)/(1 + v)^2 with v = x k^a where they converge at both ends; for
r > 1 the small k dominate), and E = (U + sigma^2)/(1 - df_2/n). At r = 1 a logarithm appears.
The exponents are those of Cui et al. 2021; the amplitudes are derived here.
"""

from dataclasses import dataclass

from sympy import Expr, Integer, Min, Symbol, gamma, latex, pi, sin, zeta

from derive.errors import NotSupportedError, RangeError
from derive.exact import Number, exact_number
from derive.provenance import CUI_2021, THIS
from derive.rewrite import Log, Step


@dataclass(frozen=True)
class PowerLaw:
    """``amplitude * n**exponent`` as n grows, with its derivation.

    Attributes:
        amplitude: exact, in the noise where it enters.
        exponent: exact.
        log: steps.
    """

    amplitude: Expr
    exponent: Expr
    log: Log

    def __call__(self, n: float) -> float:
        """Return the leading term at n samples.

        Accuracy: the law is asymptotic; corrections are of relative order n**-1 and of the next
        powers of x.
        """
        return float(self.amplitude) * float(n) ** float(self.exponent)

    def latex(self, variable: str = "n") -> str:
        """Return the law as LaTeX."""
        return rf"{latex(self.amplitude)}\, {variable}^{{{latex(self.exponent)}}}"


@dataclass(frozen=True)
class Capacity:
    """Capacity a > 1 and source r > 0 of a learning problem with power laws.

    Example:
        >>> law = Capacity.of("3/2", "3/10").noiseless()
        >>> law.exponent, Capacity(2, 0.5).noise_floor()
        (-9/10, 1)
        >>> Capacity.of("3/2", "3/10").best_ridge(1).exponent
        -9/19
    """

    a: Expr
    r: Expr

    def __post_init__(self) -> None:
        """Read both exponents as exact numbers and check them."""
        for name in ("a", "r"):
            object.__setattr__(self, name, exact_number(getattr(self, name)))
        if not (self.a - 1).is_positive:
            raise RangeError(f"capacity a = {self.a}", "the spectrum has no trace", "give a > 1")
        if not self.r.is_positive:
            raise RangeError(f"source r = {self.r}", "the target has no power", "give r > 0")
        if self.r == 1:
            raise NotSupportedError(
                "power laws at source r = 1", "a logarithm multiplies the power", "move off r = 1"
            )

    @classmethod
    def of(cls, a: Number, r: Number) -> "Capacity":
        """Declare both exponents as exact numbers."""
        return cls(exact_number(a), exact_number(r))

    @property
    def saturated(self) -> Expr:
        """R = min(r, 1)."""
        return Min(self.r, Integer(1))

    def degrees(self) -> Expr:
        """Return the coefficient of x^(-1/a) in df_1."""
        return pi / self.a / sin(pi / self.a)

    def remainder(self) -> Expr:
        """Return the coefficient of x^(2R) in U."""
        if (1 - self.r).is_positive:
            return gamma(2 - 2 * self.r) * gamma(2 * self.r) / self.a
        return zeta(1 + 2 * self.a * self.r - 2 * self.a)

    def _log(self, *steps: Step) -> Log:
        log = Log(
            (Step("turn sums over modes into integrals", "df_1, df_2 and U at small x", THIS),)
        )
        for step in steps:
            log = log.then(step)
        return log

    def noiseless(self) -> PowerLaw:
        """Return the error without noise and ridge: E ~ n^(-2 a R)."""
        amplitude = self.a * self.remainder() * self.degrees() ** (2 * self.a * self.saturated)
        log = self._log(
            Step("close without ridge", "df_1(x) = n, so x = (c/n)^a", THIS),
            Step("divide by 1 - delta", "delta = df_2/n = 1 - 1/a", CUI_2021),
        )
        return PowerLaw(amplitude, -2 * self.a * self.saturated, log)

    def noise_floor(self) -> Expr:
        """Return lim (E_test - sigma^2)/sigma^2 without ridge: delta/(1 - delta) = a - 1."""
        return self.a - 1

    def best_ridge(self, noise: Number | Symbol) -> PowerLaw:
        """Return E_test - sigma^2 at the best ridge: E ~ n^(-2 a R/(1 + 2 a R)).

        Args:
            noise: variance of the label noise, positive.
        """
        sigma = noise if isinstance(noise, Symbol) else exact_number(noise)
        if sigma.is_nonpositive:
            raise RangeError(f"noise = {sigma}", "not positive", "use noiseless()")
        R2 = 2 * self.saturated
        spread = (1 - 1 / self.a) * self.degrees() * sigma
        slope = self.remainder() * R2
        x = (spread / (self.a * slope)) ** (1 / (R2 + 1 / self.a))
        power = -self.a * R2 / (1 + self.a * R2)
        amplitude = self.remainder() * x**R2 + spread * x ** (-1 / self.a)
        log = self._log(
            Step("expand at delta -> 0", "E - sigma^2 ~ U(x) + sigma^2 df_2(x)/n", THIS),
            Step("minimise in x", "2 R U = sigma^2 df_2/(a n)", CUI_2021),
        )
        return PowerLaw(amplitude, power, log)
