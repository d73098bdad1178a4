"""Monotone Newton on a triangular system, then Newton on the full one: the compiled driver.

Stage: the text of the algorithm, put behind the generated blocks of a Program in one file.

1. Start at a proved upper bound of the first unknown.
2. Newton on the tower. The closing equation is convex and increasing on the physical interval, so
   the steps descend to the root; a bracket [low, high] guards against rounding: a step outside it,
   or a point where a branch condition fails, is replaced by a bisection. The iterate can therefore
   not leave the physical interval.
3. Newton on the full system until the step is at rounding level. The tower loses the digits of the
   later unknowns (they are differences); the full system restores them.
4. Residual, errors, outputs and slopes at the result.
"""

from derive.coupled import AnyProgram
from derive.printing.lane_phases import Asked, row_names
from derive.program import Program
from numeric.precision import FLOAT64, Precision

MAX_STEPS = 200
POLISH_STEPS = 40

_SOLVE = """
{decorator}
def solve({controls}):
    x0 = start({controls})[0] * {above}
    low = {zero}
    high = {infinity}
    status = 1
    steps = 0
    {zeros}
    for steps in range(1, {max_steps} + 1):
        {tail}value, slope, guard = tower({controls}, x0)
        if not (guard > {zero}) or value < {zero}:
            if not (value >= {zero} or value < {zero}) and not (guard <= {zero}):
                status = 4
                break
            low = x0
            if high == {infinity}:
                x0 = {two} * x0
                continue
            step = {half} * (low + high)
        else:
            high = x0
            step = x0 - value / slope
            if not (step > low):
                step = {half} * (low + high)
        change = abs(step - x0)
        x0 = step
        if change <= {tight} * x0 or high - low <= {tight} * high:
            status = 0
            break
    if status == 1 and high - low <= {bracketed} * high:
        status = 0
    if status != 0:
        return status, steps, {unknowns}
    {tail}value, slope, guard = tower({controls}, x0)
    if not (guard > {zero}):
        {tail}value, slope, guard = tower({controls}, high)
    {floors}
    last = {infinity}
    for polish in range({polish_steps}):
        {moves} = newton({controls}, {unknowns})
        change = {zero}
        {updates}
        if not (change < {infinity}):
            return 4, steps, {unknowns}
        steps += 1
        if change <= {still} or (polish > 1 and change >= last and change < {flat}):
            break
        last = change
    return 0, steps, {unknowns}
"""

_EVALUATE = """code, count, {unknowns} = solve({controls})
    {results} = report({controls}, {unknowns})
    {slopes}
    if code == 0 and not ({positive}):
        code = 3
    if code == 0 and not (r_0 <= {residual}):
        code = 2
    {stores}"""

_RUN = """

@njit(**SCALAR)
def evaluate(inputs, constants, out, size, i):
    {loads}
    {body}


@njit("void(f8[::1],f8[::1],f8[::1],i8,i8,i8)", cache=True, nogil=True, **SCALAR)
def run(inputs, constants, out, size, first, last):
    for i in range(first, last):
        evaluate(inputs, constants, out, size, i)
"""


def driver_source(program: Program, asked: Asked) -> str:
    """Return the driver of a program: functions ``solve``, ``evaluate`` and ``run``.

    ``run(inputs, constants, out, size, first, last)`` takes flat arrays of shape (controls, size),
    (constants,) and (rows, size) and solves the points first, ..., last - 1; the rows are those of
    ``derive.printing.lane_phases.row_names``. It releases the interpreter lock.
    """
    controls = [f"{v} = inputs[{i} * size + i]" for i, v in enumerate(control_names(program))]
    loads = "\n    ".join([*controls, *constant_loads(program)])
    solve = solve_source(program, FLOAT64, "@njit(**SCALAR)")
    return solve + _RUN.format(loads=loads, body=evaluate_source(program, asked, FLOAT64, "i"))


def control_names(program: AnyProgram) -> list[str]:
    """Return what the driver calls the controls."""
    return [f"c{i}" for i in range(len(program.inputs))]


def constant_loads(program: Program) -> list[str]:
    """Return the lines that read the constants."""
    return [f"{v} = constants[{i}]" for i, v in enumerate(_constant_names(program))]


def unknown_names(program: Program) -> list[str]:
    """Return what the driver calls the unknowns."""
    return [f"x{i}" for i in range(len(program.unknowns))]


def arguments(program: Program) -> str:
    """Return the names of controls and constants, which every block takes first."""
    return ", ".join([*control_names(program), *_constant_names(program)])


def solve_source(program: Program, precision: Precision, decorator: str) -> str:
    """Return ``solve(controls, constants)``, which returns status, steps and unknowns."""
    x = unknown_names(program)
    moves = [f"d{i}" for i in range(len(x))]
    tail = "".join(f"{v}, " for v in x[1:])
    number = precision.number
    zero = number(0.0)
    pairs = zip(x, moves, strict=True)
    return _SOLVE.format(
        decorator=decorator,
        controls=arguments(program),
        unknowns=", ".join(x),
        tail=tail,
        zeros=f"{tail}= {f'{zero}, ' * (len(x) - 1)}" if len(x) > 1 else "pass",
        floors="\n    ".join(f"{v} = max(abs({v}), {number(precision.tiny)})" for v in x),
        moves=tuple_text(moves),
        updates="\n        ".join(_update(v, d, precision) for v, d in pairs),
        max_steps=MAX_STEPS,
        polish_steps=POLISH_STEPS,
        zero=zero,
        half=number(0.5),
        two=number(2.0),
        infinity=precision.infinity,
        **{
            name: number(getattr(precision, name))
            for name in ("above", "tight", "bracketed", "still", "flat")
        },
    )


def evaluate_source(program: Program, asked: Asked, precision: Precision, place: str) -> str:
    """Return the lines that solve one point and store its rows at column ``place``."""
    x, count = unknown_names(program), len(program.outputs)
    places = _places(program)
    rows = [places[name] for name in row_names(program, asked)]
    slopes = [f"s_{i}" for i in range(2 * count)]
    call = f"{tuple_text(slopes)} = slopes({arguments(program)}, {', '.join(x)})"
    return _EVALUATE.format(
        controls=arguments(program),
        unknowns=", ".join(x),
        results=tuple_text([f"r_{i}" for i in range(1 + len(x) + 2 * count)]),
        slopes=call if asked.slopes and asked.outputs else "pass",
        positive=positive_text(program, precision),
        residual=precision.number(precision.residual),
        stores="\n    ".join(f"out[{i} * size + {place}] = {v}" for i, v in enumerate(rows)),
    )


def positive_text(program: Program, precision: Precision) -> str:
    """Return the condition that all unknowns are positive."""
    zero = precision.number(0.0)
    return " and ".join(f"{v} > {zero}" for v in unknown_names(program))


def _constant_names(program: Program) -> list[str]:
    return [f"k{i}" for i in range(len(program.constants))]


def _places(program: Program) -> dict[str, str]:
    """Return where the driver holds each row."""
    n, outputs, count = len(program.unknowns), program.outputs, len(program.outputs)
    held = {u: f"x{i}" for i, u in enumerate(program.unknowns)} | {"residual": "r_0"}
    held |= {f"error {u}": f"r_{1 + i}" for i, u in enumerate(program.unknowns)}
    held |= {"status": "code", "steps": "count"}
    for i, name in enumerate(outputs):
        slope = f"d{name}_d{program.slope_control}"
        held[name], held[f"error {name}"] = f"r_{1 + n + i}", f"r_{1 + n + count + i}"
        held[slope], held[f"error {slope}"] = f"s_{i}", f"s_{count + i}"
    return held


def tuple_text(names: list[str]) -> str:
    """Return names as the left side of an assignment from a tuple."""
    return ", ".join(names) + ("," if len(names) == 1 else "")


def _update(unknown: str, move: str, precision: Precision) -> str:
    """Move one unknown, keep it positive, and record the relative change."""
    ratio = f"abs({move}) / {unknown}"
    floor = f"{precision.number(1e-8)} * {unknown}"
    return (
        f"change = max(change, {ratio}) if {move} == {move} else {precision.infinity}\n"
        f"        {unknown} = max({unknown} + {move}, {floor})"
    )
