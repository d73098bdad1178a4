"""What is made from a program once and kept while the process lives, a bounded number of them.

Stage: below ``proof``, ``certify`` and ``enclosures``. Keys hold ``id(program)``: comparing
programs would hash their whole text. So a value must hold its program, which keeps the identity
from being given to another one.
"""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST = 64
"""Values per store; the oldest leaves first."""


def kept(store: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """Return what a store has under a key, or make and store it."""
    if key not in store:
        made = make()
        if len(store) >= MOST:
            store.pop(next(iter(store)))
        store[key] = made
    return store[key]
