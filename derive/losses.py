r"""Convex losses of a label and a prediction.

Stage: declared by the user, read by ``derive.channels``. A ``Loss`` is a function of the label
``y`` and the prediction ``z = theta . phi / sqrt(p)``, convex in z for every label it accepts; it
is written in SymPy, as text of our grammar, or called by name. Convexity is proved where rules
allow, refuted with a point where it fails, and otherwise said to be sampled.

Conventions: the estimator minimises sum_i l(y_i, z_i) + (lam/2) |theta|^2. The square loss
(y - z)^2/2 then has the ridge ``lam`` of sum_i (y_i - z_i)^2 + lam |theta|^2.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

from sympy import (
    Abs,
    Expr,
    Integer,
    Max,
    Piecewise,
    Rational,
    Symbol,
    exp,
    expand,
    latex,
    log,
    sympify,
)
from sympy.core.relational import Relational

from derive.errors import NotSupportedError, ParseError, RangeError, UnknownNameError
from derive.exact import Number, exact_number
from derive.reader import read_expression
from derive.readouts.convexity import Convexity, convexity
from derive.readouts.proximal import Proximal, omega, proximal
from derive.rewrite import Log, Step, size
from derive.symbols import z

y = Symbol("y", real=True)
"""The label of a loss."""
BINARY, REAL = "binary", "real"
_TRIED = tuple(Rational(k, 2) for k in (-4, -2, -1, 0, 1, 2, 4))


def _huber(width: Expr) -> Expr:
    u = Abs(y - z)
    return Piecewise((u**2 / 2, u <= width), (width * u - width**2 / 2, True))


_NAMED = {
    "ridge": ((y - z) ** 2 / 2, REAL),
    "least absolute deviation": (Abs(y - z), REAL),
    "logistic": (log(1 + exp(-y * z)), BINARY),
    "hinge": (Max(0, 1 - y * z), BINARY),
    "squared hinge": (Max(0, 1 - y * z) ** 2 / 2, BINARY),
    "exponential": (exp(-y * z), BINARY),
}
_OTHER_WORDS = {
    "square": "ridge",
    "lad": "least absolute deviation",
    "least_absolute_deviation": "least absolute deviation",
    "squared_hinge": "squared hinge",
}


@dataclass(frozen=True, init=False)
class Loss:
    r"""A loss l(y, z), convex in the prediction z.

    Args:
        loss: a name (ridge, logistic, hinge, squared hinge, lad, huber, exponential), an expression
            in ``derive.losses.y`` and ``derive.symbols.z``, or such an expression as text.
        labels: "binary" for y in {-1, 1}, "real" for any number; of a written loss "real" unless
            said otherwise, of a named one its own.
        width: half-width of the quadratic part of the Huber loss.
        name: how to call it.

    Attributes:
        expr: the expression.
        labels: which labels it accepts.
        convexity: whether convexity is proved, and how.
        log: the steps.

    Raises:
        NotConvexError: with a point where the second derivative is negative or the slope falls.
        RangeError: a loss that is not finite, or jumps.
        ParseError: unreadable text, or variables other than y and z.
        NotSupportedError: a loss without z.

    Example:
        >>> Loss("hinge")
        Loss(hinge: Max(0, -y*z + 1), labels binary, convex: proved)
        >>> Loss("Max(0, y - z)**2 + abs(y - z)").form
        'residual'
        >>> Loss("cos(z) + y*z")
        Traceback (most recent call last):
        ...
        derive.errors.NotConvexError: cos(z) + y*z at y = -2: not convex: the second ...
    """

    expr: Expr
    name: str
    labels: str
    convexity: Convexity
    log: Log

    def __init__(
        self, loss: Expr | str, *, labels: str = "", width: Number = 1, name: str = ""
    ) -> None:
        expr, own, title = _declared(loss, width)
        chosen = labels or own
        if chosen not in (BINARY, REAL):
            raise UnknownNameError(f"labels {labels!r}", "unknown", "choose binary or real")
        if z not in expr.free_symbols:
            raise NotSupportedError(f"loss {title}", "it does not depend on z", "use y and z")
        set_field = object.__setattr__
        set_field(self, "expr", expr)
        set_field(self, "name", name or title)
        set_field(self, "labels", chosen)
        set_field(self, "convexity", self._convexity())
        steps = Step(f"convex in z ({self.convexity.reason})", str(expr), after=size(expr))
        set_field(self, "log", Log((steps,)))

    def _convexity(self) -> Convexity:
        if self.form == "residual":
            return convexity(self.at(Integer(0)), z, self.name)
        tried = (Integer(-1), Integer(1)) if self.labels == BINARY else _TRIED
        found = [convexity(self.at(label), z, f"{self.name} at y = {label}") for label in tried]
        reason = "; ".join(dict.fromkeys(c.reason for c in found))
        if self.labels == BINARY:
            return Convexity(all(c.proved for c in found), reason)
        return Convexity(False, f"at y = {', '.join(map(str, tried))}: {reason}")

    @property
    def form(self) -> str:
        """The shape: "residual" if it is h(y - z), "margin" if l(-1, -z) = l(1, z), else "free"."""
        return _form(self.expr)

    def at(self, label: Expr | int) -> Expr:
        """Return the loss at one label, a function of z alone."""
        return self.expr.subs(y, sympify(label, strict=True))

    def accepts(self, label: float) -> bool:
        """Return whether a label lies in the range of the loss."""
        return isfinite(label) and (self.labels == REAL or label in (-1, 1))

    def check_labels(self, labels: Any) -> None:
        """Refuse labels outside the range of the loss.

        Args:
            labels: numbers, in any iterable.

        Raises:
            RangeError: with the first label that does not fit and its place.

        Example:
            >>> Loss("logistic").check_labels([1, -1, 0])
            Traceback (most recent call last):
            ...
            derive.errors.RangeError: labels of the logistic loss: label 0 at place 2 is not ...
        """
        for place, label in enumerate(labels):
            if not self.accepts(float(label)):
                wanted = "-1 or 1" if self.labels == BINARY else "a finite number"
                raise RangeError(
                    f"labels of the {self.name} loss",
                    f"label {float(label):g} at place {place} is not {wanted}",
                    f"give {'labels -1 and 1' if self.labels == BINARY else 'finite labels'}",
                )

    def proximal(self, label: Expr | int = 1) -> Proximal:
        """Return the proximal map at one label, a function of (omega, V).

        Of a residual loss the map at label 0 gives all: prox(y, omega) = y + prox(0, omega - y).

        Example:
            >>> Loss("lad").proximal(0).expr()
            Piecewise((V + omega, V < -omega), (0, V > omega), (-V + omega, True))
        """
        return _proximal(self.at(label))

    def latex(self) -> str:
        r"""Return ``\ell(y, z) = ...``."""
        return rf"\ell(y, z) = {latex(self.expr)}"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def __repr__(self) -> str:
        known = "proved" if self.convexity.proved else "not refuted"
        return f"Loss({self.name}: {self.expr}, labels {self.labels}, convex: {known})"


def _declared(loss: Expr | str, width: Number) -> tuple[Expr, str, str]:
    """Return the expression, its labels and its name."""
    if isinstance(loss, str):
        word = " ".join(loss.lower().split())
        word = _OTHER_WORDS.get(word, word)
        if word == "huber":
            scale = exact_number(width)
            if not scale.is_positive:
                raise RangeError(f"width = {width} of the Huber loss", "not positive", "give > 0")
            return _huber(scale), REAL, f"huber {scale}" if scale != 1 else "huber"
        if word in _NAMED:
            return (*_NAMED[word], word)
        if word.replace("_", "").replace(" ", "").isalpha() and word not in ("z", "y"):
            known = ", ".join([*_NAMED, "huber"])
            raise UnknownNameError(
                f"loss {loss!r}", "unknown name", f"choose among {known}, or write it in y and z"
            )
        return read_expression(loss, variables=(y, z)), REAL, loss
    expr = sympify(loss, strict=True)
    known_symbols = {"y": y, "z": z}
    unknown = sorted(str(s) for s in expr.free_symbols if str(s) not in known_symbols)
    if unknown:
        raise ParseError(
            f"loss {expr}", f"it holds {', '.join(unknown)}", "use numbers and the symbols y and z"
        )
    return expr.subs({s: known_symbols[str(s)] for s in expr.free_symbols}), REAL, str(expr)


@lru_cache(maxsize=256)
def _form(expr: Expr) -> str:
    shifted = expr.subs(z, y - omega)
    shifted = shifted.replace(lambda e: isinstance(e, Relational), _one_sided)
    if y not in shifted.free_symbols or y not in expand(shifted).free_symbols:
        return "residual"
    mirrored = expr.subs(y, -1).subs(z, -z)
    return "margin" if expand(mirrored - expr.subs(y, 1)) == 0 else "free"


def _one_sided(relation: Any) -> Any:
    return relation.func(expand(relation.lhs - relation.rhs), 0)


@lru_cache(maxsize=256)
def _proximal(h: Expr) -> Proximal:
    return proximal(h, z)
