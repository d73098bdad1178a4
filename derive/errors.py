"""Every error a user can meet, as one tree.

::

    DeriveError                 something was asked that cannot be done; says asked, found, remedy
    ├── ParseError              a string is not an expression of our grammar
    ├── UnknownNameError        a name is not one of those that exist here
    ├── RangeError              a value lies outside the range of its quantity
    ├── ShapeError              lengths or shapes do not fit together
    ├── NotIntegrableError      a Gaussian mean does not exist
    ├── NotConvexError          a loss is not convex; names a point where it is not
    ├── NoRuleError             no rule matches a term: no closed form is known here
    ├── UnbalancedError         a system has too many or too few equations
    ├── NotClosedError          an equation holds a symbol that nothing defines
    ├── NotConvergedError       a number could not be computed to the accuracy asked for
    ├── NotSupportedError       a meaningful request that this release does not cover
    └── UnavailableError        a package or device that the request needs is not there
    InternalError               a bug of this toolkit, never the caller's fault

A ``DeriveError`` reads as one line: what was asked, what was found, what to do.
The three parts are also fields of the exception.
"""


class DeriveError(Exception):
    """Base of all errors caused by a request.

    Attributes:
        asked: what the caller asked for.
        found: what was found, with the values.
        remedy: what to do about it.
    """

    def __init__(self, asked: str, found: str, remedy: str) -> None:
        self.asked = asked
        self.found = found
        self.remedy = remedy
        super().__init__(asked, found, remedy)

    def __str__(self) -> str:
        line = f"{self.asked}: {self.found}; {self.remedy}"
        return " ".join(line.split())


class ParseError(DeriveError):
    """A string is not an expression of our grammar; nothing of it was evaluated."""


class UnknownNameError(DeriveError):
    """A name is not one of those that exist; the message lists those that do."""


class RangeError(DeriveError):
    """A value lies outside the range of its quantity."""


class ShapeError(DeriveError):
    """Lengths or shapes do not fit together."""


class NotIntegrableError(DeriveError):
    """A Gaussian mean does not exist: the integrand grows too fast or has a pole."""


class NotConvexError(DeriveError):
    """A loss is not convex.

    Attributes:
        point: where its second derivative is negative, or its slope falls.
    """

    def __init__(self, asked: str, found: str, remedy: str, *, point: float) -> None:
        super().__init__(asked, found, remedy)
        self.point = point


class NoRuleError(DeriveError):
    """No rule of the engine matches a term, so no closed form is known here."""


class UnbalancedError(DeriveError):
    """A system has more equations than unknowns, or fewer."""


class NotClosedError(DeriveError):
    """An equation holds a symbol that is neither an input, an unknown nor defined."""


class NotConvergedError(DeriveError):
    """A number could not be computed to the accuracy asked for."""


class NotSupportedError(DeriveError):
    """A meaningful request that this release does not cover."""


class UnavailableError(DeriveError):
    """A package or device that the request needs is not there; the message says how to get it."""


class InternalError(Exception):
    """A bug of this toolkit; please report it with the message."""
