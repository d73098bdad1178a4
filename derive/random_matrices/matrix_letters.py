"""Letters of the matrix language: Gaussian, Wigner, deterministic covariances, vectors.

Stage: beside ``derive.matrices``. Letters are frozen and hashable; their declaration is part of
their identity. All random letters are independent; deterministic ones of one ``commuting`` group
share eigenvectors, others are in generic position (asymptotically free).
"""

from typing import Any

from sympy import Basic, Expr

from derive.errors import NotSupportedError
from derive.random_matrices.matrix_nodes import Formula
from derive.random_matrices.spectral_measure import SpectralMeasure


class Letter(Formula):
    """A named matrix."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.args[0])

    @property
    def letters(self) -> frozenset[Any]:
        """The letter itself."""
        return frozenset([self])

    def declaration(self) -> str:
        """Return the declaration as text."""
        raise NotImplementedError

    def _flip(self, adjoint: bool) -> Formula:
        return self

    def _text(self, show: Any, style: str = "") -> str:
        return self.name


class Gaussian(Letter):
    """Independent normal entries; args: name, rows, cols, variance, 1 if complex."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[1], self.args[2]

    @property
    def variance(self) -> Expr:
        """Mean of the squared modulus of an entry."""
        return self.args[3]

    @property
    def is_complex_letter(self) -> bool:
        """Whether the entries are complex."""
        return bool(self.args[4] == 1)

    def declaration(self) -> str:
        """Return the declaration as text."""
        extra = ", complex=True" if self.is_complex_letter else ""
        return f"gaussian({self.shape[0]}, {self.shape[1]}, variance={self.variance}{extra})"

    def _flip(self, adjoint: bool) -> Formula:
        if self.is_complex_letter and not adjoint:
            raise NotSupportedError(f"{self}.T", "transpose of a complex letter", f"use {self}.H")
        return Flip(self)


class Flip(Formula):
    """Transpose of a real Gaussian letter, adjoint of a complex one."""

    @property
    def letter(self) -> Gaussian:
        """The letter."""
        return self.args[0]

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.letter.shape[1], self.letter.shape[0]

    def _flip(self, adjoint: bool) -> Formula:
        if self.letter.is_complex_letter and not adjoint:
            found = "conjugate of a complex letter"
            raise NotSupportedError(f"{self}.T", found, f"use {self}.H")
        return self.letter

    def _text(self, show: Any, style: str = "") -> str:
        mark = "H" if self.letter.is_complex_letter else "T"
        return (
            rf"{self.letter.name}^{{\{'dagger' if mark == 'H' else 'top'}}}"
            if style
            else (f"{self.letter.name}.{mark}")
        )


class Wigner(Letter):
    """Symmetric (Hermitian if complex) normal matrix; args: name, dim, variance, 1 if complex."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[1], self.args[1]

    @property
    def variance(self) -> Expr:
        """Mean squared modulus of an off-diagonal entry."""
        return self.args[2]

    @property
    def is_complex_letter(self) -> bool:
        """Whether the entries are complex."""
        return bool(self.args[3] == 1)

    def declaration(self) -> str:
        """Return the declaration as text."""
        return f"wigner({self.shape[0]}, variance={self.variance})"

    def _flip(self, adjoint: bool) -> Formula:
        if self.is_complex_letter and not adjoint:
            raise NotSupportedError(f"{self}.T", "transpose of a complex letter", f"use {self}.H")
        return self


class Covariance(Letter):
    """Deterministic symmetric matrix; args: name, dim, joint measure, coordinate, group."""

    @property
    def shape(self) -> tuple[Expr, Expr]:
        """Rows and columns."""
        return self.args[1], self.args[1]

    @property
    def measure(self) -> SpectralMeasure:
        """Joint spectral measure of its commuting group."""
        return self.args[2]

    @property
    def coordinate(self) -> int:
        """Position in the joint measure."""
        return int(self.args[3])

    @property
    def basis(self) -> tuple[Basic, ...]:
        """Identity of the eigenvectors: group name, dimension and measure."""
        return self.args[4], self.args[1], self.args[2]

    def declaration(self) -> str:
        """Return the declaration as text."""
        where = f", coordinate {self.coordinate}" if self.measure.coordinates > 1 else ""
        return f"covariance({self.shape[0]}, {self.measure}{where}, group {self.args[4]})"
