"""Proximal maps of losses, compiled.

Stage: beside ``numeric.state_evolution``; the same generated code, on arrays.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from derive.errors import RangeError
from derive.losses import Loss
from numeric.channel_code import compile_channel

Array = NDArray[np.float64]


def proximal_map(loss: Loss, omega: ArrayLike, V: ArrayLike, label: float = 1.0) -> Array:
    """Return argmin_z (z - omega)^2/(2 V) + l(label, z) for many arguments.

    Args:
        loss: the loss.
        omega: arguments, any shape.
        V: strengths > 0, broadcast with ``omega``.
        label: a label the loss accepts; a loss of real labels that is not a function of y - z is
            compiled for labels -1 and 1 only.

    Returns:
        Array of the broadcast shape.

    Raises:
        RangeError: V not positive, or a label outside the range.

    Accuracy: relative 1e-15 of the larger of |omega| and the result, for V from 1e-6 to 1e6 and
    beyond; the difference to omega keeps its own relative digits inside state evolution.

    Example:
        >>> proximal_map(Loss("hinge"), [-1.0, 0.5, 2.0], 1.0).tolist()
        [0.0, 1.0, 2.0]
        >>> round(float(proximal_map(Loss("logistic"), 0.0, 1e6)), 6)
        11.383348
    """
    w, v = np.broadcast_arrays(np.asarray(omega, dtype=float), np.asarray(V, dtype=float))
    if not np.all((v > 0) & np.isfinite(v)):
        raise RangeError(f"V = {V!r}", "out of range", "give finite V > 0")
    residual = loss.form == "residual"
    loss.check_labels([label])
    if not residual and label not in (-1, 1):
        raise RangeError(f"label = {label}", "not compiled", "give -1 or 1")
    sign = -1.0 if loss.form == "margin" and label < 0 else 1.0
    shift = label if residual else 0.0
    module = compile_channel(loss, not residual).module
    out = np.empty((3, w.size))
    code = 0.0 if residual else sign * label
    given = sign * w.reshape(-1) - shift
    module.prox_many(code, np.ascontiguousarray(given), np.ascontiguousarray(v.reshape(-1)), out)
    return np.asarray((sign * out[2] + shift).reshape(w.shape))
