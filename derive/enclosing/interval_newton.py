"""Interval Newton: a float start becomes a ball that holds exactly one root.

Stage: below expansions and proved digits; works on real and complex balls of python-flint.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from flint import acb, arb
from flint import ctx as flint_context

from derive.enclosing.ball_program import working_precision
from derive.errors import NotConvergedError

_GUARD_BITS = 40
_STEPS = 60


def precision_for(digits: int) -> AbstractContextManager[None]:
    """Work at twice the bits of so many digits and their guards, in a ``with`` block."""
    return working_precision(2 * (int(digits * 3.33) + _GUARD_BITS))


def solved(equation: Callable[[Any], tuple[Any, Any]], start: Any) -> Any:
    """Return a ball that holds exactly one root, from a start next to it.

    Args:
        equation: a ball to the balls of value and derivative.
        start: an ``arb`` or ``acb``.

    Raises:
        NotConvergedError: if Newton's method did not settle, or no ball maps into itself.

    Accuracy: rigorous.
    """
    point = start
    for _ in range(_STEPS):
        value, slope = equation(point)
        step = _mid(value / slope)
        point = _mid(point - step)
        if _size(step) <= _size(point) * arb(2) ** (-flint_context.prec // 2 - 10):
            break
    radius = _size(step) * 4 + _size(point) * arb(2) ** (-flint_context.prec // 2)
    for _ in range(8):
        ball = _around(point, radius)
        image = point - equation(point)[0] / equation(ball)[1]
        if _inside(ball, image):
            return image
        radius = radius * 16
    raise NotConvergedError("interval Newton", "no ball maps into itself", "start nearer to a root")


def _mid(value: Any) -> Any:
    if isinstance(value, acb):
        return acb(value.real.mid(), value.imag.mid())
    return value.mid()


def _size(value: Any) -> arb:
    return arb(abs(value).upper())


def _around(point: Any, radius: arb) -> Any:
    ball = arb(0, radius.upper())
    return acb(point.real + ball, point.imag + ball) if isinstance(point, acb) else point + ball


def _inside(ball: Any, image: Any) -> bool:
    if isinstance(ball, acb):
        return bool(ball.real.contains(image.real) and ball.imag.contains(image.imag))
    return bool(ball.contains(image))
