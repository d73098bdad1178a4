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

from derive.lane_phases import RESIDUAL, Asked, row_names
from derive.program import Program

MAX_STEPS = 200
POLISH_STEPS = 40

_TEMPLATE = """
@njit(**SCALAR)
def solve({controls}):
    x0 = start({controls})[0] * 1.000000001
    low = 0.0
    high = math.inf
    status = 1
    steps = 0
    {zeros}
    for steps in range(1, {max_steps} + 1):
        {tail}value, slope, guard = tower({controls}, x0)
        if not (guard > 0.0) or value < 0.0:
            if not (value >= 0.0 or value < 0.0) and not (guard <= 0.0):
                status = 4
                break
            low = x0
            if high == math.inf:
                x0 = 2.0 * x0
                continue
            step = 0.5 * (low + high)
        else:
            high = x0
            step = x0 - value / slope
            if not (step > low):
                step = 0.5 * (low + high)
        change = abs(step - x0)
        x0 = step
        if change <= 4e-16 * x0 or high - low <= 4e-16 * high:
            status = 0
            break
    if status == 1 and high - low <= 1e-10 * high:
        status = 0
    if status != 0:
        return status, steps, {unknowns}
    {tail}value, slope, guard = tower({controls}, x0)
    {floors}
    last = math.inf
    for polish in range({polish_steps}):
        {moves} = newton({controls}, {unknowns})
        change = 0.0
        {updates}
        if not (change < math.inf):
            return 4, steps, {unknowns}
        steps += 1
        if change <= 2e-16 or (polish > 1 and change >= last and change < 1e-9):
            break
        last = change
    return 0, steps, {unknowns}


@njit(**SCALAR)
def evaluate(inputs, constants, out, size, i):
    {loads}
    code, count, {unknowns} = solve({controls})
    {results} = report({controls}, {unknowns})
    {slopes}
    if code == 0 and not ({positive}):
        code = 3
    if code == 0 and not (r_0 <= {residual!r}):
        code = 2
    {stores}


@njit("void(f8[::1],f8[::1],f8[::1],i8,i8,i8)", cache=True, nogil=True, **SCALAR)
def run(inputs, constants, out, size, first, last):
    for i in range(first, last):
        evaluate(inputs, constants, out, size, i)
"""


def driver_source(program: Program, asked: Asked) -> str:
    """Return the driver of a program: functions ``solve``, ``evaluate`` and ``run``.

    ``run(inputs, constants, out, size, first, last)`` takes flat arrays of shape (controls, size),
    (constants,) and (rows, size) and solves the points first, ..., last - 1; the rows are those of
    ``derive.lane_phases.row_names``. It releases the interpreter lock.
    """
    n = len(program.unknowns)
    x = [f"x{i}" for i in range(n)]
    c = [f"c{i}" for i in range(len(program.inputs))]
    k = [f"k{i}" for i in range(len(program.constants))]
    moves = [f"d{i}" for i in range(n)]
    tail = "".join(f"{v}, " for v in x[1:])
    controls = ", ".join([*c, *k])
    places = _places(program)
    rows = [places[name] for name in row_names(program, asked)]
    slopes = [f"s_{i}" for i in range(2 * len(program.outputs))]
    call = f"{_tuple(slopes)} = slopes({controls}, {', '.join(x)})"
    return _TEMPLATE.format(
        controls=controls,
        unknowns=", ".join(x),
        tail=tail,
        zeros=f"{tail}= {'0.0, ' * (n - 1)}" if n > 1 else "pass",
        floors="\n    ".join(f"{v} = max(abs({v}), 1e-300)" for v in x),
        moves=_tuple(moves),
        updates="\n        ".join(_update(v, d) for v, d in zip(x, moves, strict=True)),
        loads="\n    ".join(
            [f"{v} = inputs[{i} * size + i]" for i, v in enumerate(c)]
            + [f"{v} = constants[{i}]" for i, v in enumerate(k)]
        ),
        results=_tuple([f"r_{i}" for i in range(1 + n + 2 * len(program.outputs))]),
        slopes=call if asked.slopes and asked.outputs else "pass",
        positive=" and ".join(f"{v} > 0.0" for v in x),
        stores="\n    ".join(f"out[{i} * size + i] = {v}" for i, v in enumerate(rows)),
        max_steps=MAX_STEPS,
        polish_steps=POLISH_STEPS,
        residual=float(RESIDUAL),
    )


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


def _tuple(names: list[str]) -> str:
    return ", ".join(names) + ("," if len(names) == 1 else "")


def _update(unknown: str, move: str) -> str:
    """Move one unknown, keep it positive, and record the relative change."""
    return (
        f"change = max(change, abs({move}) / {unknown}) if {move} == {move} else math.inf\n"
        f"        {unknown} = max({unknown} + {move}, 1e-8 * {unknown})"
    )
