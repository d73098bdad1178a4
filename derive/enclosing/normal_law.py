"""The normal law of a Gaussian mean, as balls.

Stage: shared by the two quadratures, ``gaussian_integral`` and ``two_precisions``.
"""

from dataclasses import dataclass

from flint import acb, arb


@dataclass(frozen=True)
class NormalLaw:
    """N(mean, variance) with variance > 0, at one working precision.

    Attributes:
        mean: ball.
        variance: ball of positive numbers.
        prec: working precision in bits.
    """

    mean: arb
    variance: arb
    prec: int

    def density(self, z: acb) -> acb:
        """Return the density times ``self.norm``."""
        return (-((z - self.mean) ** 2) / (2 * self.variance)).exp()

    @property
    def norm(self) -> arb:
        """sqrt(2 pi variance)."""
        return (2 * arb.pi() * self.variance).sqrt()

    @property
    def sd(self) -> arb:
        """A number near the standard deviation, exact as it stands."""
        return self.variance.mid().sqrt().mid()
