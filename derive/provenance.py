"""Where formulas come from: sources, and the bibliography entries to cite.

Stage: the lowest room beside ``errors``; steps, values and systems carry ``Source`` objects.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One published source, and the place in it.

    Attributes:
        key: BibTeX key.
        authors: as printed in a bibliography.
        title: title of the work.
        year: year of the version read.
        locator: arXiv number, DOI or publisher.
        where: equation, theorem or section; empty for the whole work.
    """

    key: str
    authors: str
    title: str
    year: int
    locator: str
    where: str = ""

    def at(self, where: str) -> "Source":
        """Return the same source pointing at an equation or a section."""
        return Source(self.key, self.authors, self.title, self.year, self.locator, where)

    def __str__(self) -> str:
        return f"[{self.key}{', ' + self.where if self.where else ''}]"

    def bibtex(self) -> str:
        """Return the BibTeX entry of the work."""
        return (
            f"@misc{{{self.key},\n  author = {{{self.authors}}},\n  title = {{{self.title}}},\n"
            f"  year = {{{self.year}}},\n  note = {{{self.locator}}},\n}}"
        )


THIS = Source("stieltjes", "the stieltjes developers", "derived in this toolkit", 2026, "")
SCHRODER_2024 = Source(
    "schroder2024",
    'Schr{\\"o}der, Dominik and Dmitriev, Daniil and Cui, Hugo and Loureiro, Bruno',
    "Asymptotics of Learning with Deep Structured (Random) Features",
    2024,
    "arXiv:2402.13999v1",
)
SCHRODER_2023 = Source(
    "schroder2023",
    'Schr{\\"o}der, Dominik and Cui, Hugo and Dmitriev, Daniil and Loureiro, Bruno',
    "Deterministic equivalent and error universality of deep random features learning",
    2023,
    "arXiv:2302.00401v1",
)
PRICE_1958 = Source(
    "price1958",
    "Price, Robert",
    "A useful theorem for nonlinear devices having Gaussian inputs",
    1958,
    "IRE Transactions on Information Theory 4(2)",
)
OWEN_1956 = Source(
    "owen1956",
    "Owen, Donald B.",
    "Tables for computing bivariate normal probabilities",
    1956,
    "Annals of Mathematical Statistics 27(4)",
)
CHO_2009 = Source(
    "cho2009",
    "Cho, Youngmin and Saul, Lawrence K.",
    "Kernel methods for deep learning",
    2009,
    "NeurIPS 22",
)
STEIN_1981 = Source(
    "stein1981",
    "Stein, Charles M.",
    "Estimation of the mean of a multivariate normal distribution",
    1981,
    "Annals of Statistics 9(6)",
)
MEHLER_1866 = Source(
    "mehler1866",
    "Mehler, F. Gustav",
    "Ueber die Entwicklung einer Function von beliebig vielen Variablen nach Laplaceschen "
    'Functionen h{\\"o}herer Ordnung',
    1866,
    'Journal f{\\"u}r die reine und angewandte Mathematik 66',
)
HELTON_2007 = Source(
    "helton2007",
    "Helton, J. William and Rashidi Far, Reza and Speicher, Roland",
    "Operator-valued semicircular elements: solving a quadratic matrix equation with positivity "
    "constraints",
    2007,
    "International Mathematics Research Notices 2007, rnm086",
)

POOLE_2016 = Source(
    "poole2016",
    "Poole, Ben and Lahiri, Subhaneil and Raghu, Maithra and Sohl-Dickstein, Jascha and "
    "Ganguli, Surya",
    "Exponential expressivity in deep neural networks through transient chaos",
    2016,
    "arXiv:1606.05340",
)
SCHOENHOLZ_2017 = Source(
    "schoenholz2017",
    "Schoenholz, Samuel S. and Gilmer, Justin and Ganguli, Surya and Sohl-Dickstein, Jascha",
    "Deep information propagation",
    2017,
    "arXiv:1611.01232",
)
JACOT_2018 = Source(
    "jacot2018",
    "Jacot, Arthur and Gabriel, Franck and Hongler, Cl{\\'e}ment",
    "Neural tangent kernel: convergence and generalization in neural networks",
    2018,
    "arXiv:1806.07572",
)
BBP_2005 = Source(
    "bbp2005",
    "Baik, Jinho and Ben Arous, G{\\'e}rard and P{\\'e}ch{\\'e}, Sandrine",
    "Phase transition of the largest eigenvalue for nonnull complex sample covariance matrices",
    2005,
    "Annals of Probability 33",
)
BENAYCH_2011 = Source(
    "benaych2011",
    "Benaych-Georges, Florent and Nadakuditi, Raj Rao",
    "The eigenvalues and eigenvectors of finite, low rank perturbations of large random matrices",
    2011,
    "Advances in Mathematics 227",
)
BELINSCHI_2007 = Source(
    "belinschi2007",
    "Belinschi, Serban T. and Bercovici, Hari",
    "A new approach to subordination results in free probability",
    2007,
    "Journal d'Analyse Math{\\'e}matique 101",
)
SILVERSTEIN_1995 = Source(
    "silverstein1995",
    "Silverstein, Jack W. and Choi, Sang-Il",
    "Analysis of the limiting spectral distribution of large dimensional random matrices",
    1995,
    "Journal of Multivariate Analysis 54(2)",
)
MOREAU_1965 = Source(
    "moreau1965",
    "Moreau, Jean-Jacques",
    "Proximit{\\'e} et dualit{\\'e} dans un espace hilbertien",
    1965,
    "Bulletin de la Soci{\\'e}t{\\'e} math{\\'e}matique de France 93",
)
ANDREWS_1974 = Source(
    "andrews1974",
    "Andrews, David F. and Mallows, Colin L.",
    "Scale mixtures of normal distributions",
    1974,
    "Journal of the Royal Statistical Society B 36(1)",
)
LOUREIRO_2021 = Source(
    "loureiro2021",
    "Loureiro, Bruno and Gerbelot, C{\\'e}dric and Cui, Hugo and Goldt, Sebastian and "
    "Krzakala, Florent and M{\\'e}zard, Marc and Zdeborov{\\'a}, Lenka",
    "Learning curves of generic features maps for realistic datasets with a teacher-student model",
    2021,
    "arXiv:2102.08127",
)
CLARTE_2023 = Source(
    "clarte2023",
    "Clart{\\'e}, Lucas and Loureiro, Bruno and Krzakala, Florent and Zdeborov{\\'a}, Lenka",
    "Theoretical characterization of uncertainty in high-dimensional linear classification",
    2023,
    "arXiv:2202.03295",
)

LLR_2024 = Source(
    "zhang2024",
    "Zhang, Yaoyu and Zhang, Leyang and Zhang, Zhongwang and Bai, Zhiwei",
    "Local Linear Recovery Guarantee of Deep Neural Networks at Overparameterization",
    2024,
    "arXiv:2406.18035; Journal of Machine Learning Research 26(69), 2025",
)
RANK_2022 = Source(
    "zhang2022",
    "Zhang, Yaoyu and Zhang, Zhongwang and Zhang, Leyang and Bai, Zhiwei and Luo, Tao and "
    "Xu, Zhi-Qin John",
    "Linear Stability Hypothesis and Rank Stratification for Nonlinear Models",
    2022,
    "arXiv:2211.11623",
)
EMBEDDING_2021 = Source(
    "zhang2021",
    "Zhang, Yaoyu and Zhang, Zhongwang and Luo, Tao and Xu, Zhi-Qin John",
    "Embedding Principle of Loss Landscape of Deep Neural Networks",
    2021,
    "arXiv:2105.14573",
)
AX_1971 = Source(
    "ax1971",
    "Ax, James",
    "On Schanuel's conjectures",
    1971,
    "Annals of Mathematics 93(2)",
    "theorem 3",
)
ALEXANDER_1995 = Source(
    "alexander1995",
    "Alexander, James and Hirschowitz, Andr{\\'e}",
    "Polynomial interpolation in several variables",
    1995,
    "Journal of Algebraic Geometry 4(2)",
)
CUI_2021 = Source(
    "cui2021",
    "Cui, Hugo and Loureiro, Bruno and Krzakala, Florent and Zdeborov{\\'a}, Lenka",
    "Generalization error rates in kernel regression: the crossover from the noiseless to noisy "
    "regime",
    2021,
    "arXiv:2105.15004",
)


def cite(sources: Iterable[Source]) -> str:
    """Return the BibTeX entries of the works in ``sources``, each once, sorted by key.

    Example:
        >>> print(cite([PRICE_1958.at("eq. 2"), PRICE_1958]).splitlines()[0])
        @misc{price1958,
    """
    works = {source.key: source for source in sources if source.key != THIS.key}
    return "\n\n".join(works[key].bibtex() for key in sorted(works))
