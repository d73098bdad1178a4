"""The numbers of a driver in each precision: how a constant is printed, and when Newton stops.

Stage: below the drivers. float64 is what every target offers; float32 is for graphics processors,
where every constant must be typed, because one plain ``1.0`` makes the compiler compute in float64.
"""

from dataclasses import dataclass

from derive.codegen import ScalarPrinter
from derive.errors import UnknownNameError
from derive.printing.lane_phases import RESIDUAL


class Float32Printer(ScalarPrinter):
    """``ScalarPrinter`` with typed constants: ``f4`` is the float32 of the target."""

    def number(self, numerator: int, denominator: int) -> str:
        """Print the float32 nearest to the nearest double of an exact rational."""
        return f"f4({super().number(numerator, denominator)})"

    def _print_NumberSymbol(self, expr: object) -> str:
        return f"f4({super()._print_NumberSymbol(expr)})"

    _print_Pi = _print_Exp1 = _print_NumberSymbol


@dataclass(frozen=True)
class Precision:
    """Format, printer and thresholds of one precision; relative numbers unless said otherwise.

    Attributes:
        name: "float64" or "float32".
        short: the same as Numba writes it.
        unit: rounding unit.
        printer: prints expressions.
        above: factor that lifts the start above its rounding.
        tight: bracket and step of the tower at rounding level.
        bracketed: bracket of the tower that is good enough for the polish.
        tiny: least absolute value of an unknown.
        still: step of the polish at rounding level.
        flat: step of the polish that may stop shrinking.
        residual: largest residual of a converged point.
    """

    name: str
    short: str
    unit: float
    printer: type[ScalarPrinter]
    above: float
    tight: float
    bracketed: float
    tiny: float
    still: float
    flat: float
    residual: float

    def number(self, value: float) -> str:
        """Print a float as a constant of this precision."""
        return self.typed(repr(value))

    @property
    def infinity(self) -> str:
        """Infinity as a constant of this precision."""
        return self.typed("math.inf")

    def typed(self, text: str) -> str:
        """Return the text of a double as a constant of this precision."""
        return text if self.short == "f8" else f"f4({text})"


FLOAT64 = Precision(
    name="float64",
    short="f8",
    unit=2.0**-53,
    printer=ScalarPrinter,
    above=1.000000001,
    tight=4e-16,
    bracketed=1e-10,
    tiny=1e-300,
    still=2e-16,
    flat=1e-9,
    residual=float(RESIDUAL),
)
FLOAT32 = Precision(
    name="float32",
    short="f4",
    unit=2.0**-24,
    printer=Float32Printer,
    above=1.000001,
    tight=2e-7,
    bracketed=1e-4,
    tiny=1e-30,
    still=1e-7,
    flat=1e-3,
    residual=float(RESIDUAL) * 2.0**29,
)
PRECISIONS = {p.name: p for p in (FLOAT64, FLOAT32)}


def precision_named(name: str) -> Precision:
    """Return a precision by its name.

    Raises:
        UnknownNameError: if there is none of this name.
    """
    if name not in PRECISIONS:
        raise UnknownNameError(
            f"precision {name!r}", f"there are {', '.join(PRECISIONS)}", "use one of them"
        )
    return PRECISIONS[name]
