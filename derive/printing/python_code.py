"""Programs as a Python file to read and to keep: ``math`` and nothing else.

Stage: a triangular Program in, the text of one module out, for the repository of a paper. Names are
those of the equations, constants are written out as doubles beside their exact expressions, and
``solve`` says in its docstring what goes in and what comes out. There are no error bounds and no
certificates here; the compiled evaluators have those.
"""

import builtins
import keyword
import math
import textwrap
from collections.abc import Iterable, Sequence

from sympy import Symbol

from derive.balls import enclose
from derive.block import Block
from derive.codegen import ScalarPrinter
from derive.errors import NotSupportedError
from derive.program import UNIT, Declaration, Program
from derive.program import program as freeze
from derive.symbols import Quantity
from derive.system import System

_WIDTH = 92
_RESERVED = {"math", "start", "tower", "newton", "outputs", "solve", "at", "UNIT"}

_MODULE = '''"""{title}

Written by stieltjes from the program {name}, key {key}; needs nothing but Python.
{assumes}"""

import math

{constants}


{functions}


{solve}
'''

_SOLVE = '''def solve({controls}):
    """Solve the equations at one point.

    Args:
{arguments}

    Returns:
        A dict of floats: {unknowns}, the unknowns of the equations,{outputs}

    Raises:
        ArithmeticError: if the iteration does not converge.
    """
    at = ({controls}{comma})
    low, high, first = 0.0, math.inf, start(*at) * (1 + 1e-9)
    for _ in range({most}):
        *later, value, slope, guard = tower(*at, first)
        right = guard > 0 and value >= 0  # of the root: there Newton's method descends to it
        low, high = (low, first) if right else (first, high)
        step = first - value / slope if right else low
        if not step > low:
            step = (low + high) / 2 if high < math.inf else 2 * first
        if right and abs(step - first) <= 1e-8 * first:
            break
        if high - low <= 4e-16 * high:
            break
        first = step
    values, settled = [abs(x) for x in (first, *later)], 0
    for turn in range({most}):  # all equations at once restore the digits of small differences
        moves = newton(*at, *values)
        values = [max(x + d, 1e-8 * x) for x, d in zip(values, moves)]
        small = 1e-8 if turn < 6 else 1e-4
        settled += all(abs(d) <= small * x for x, d in zip(values, moves))
        if settled == 2:
            return dict(zip({names}, [*values, *outputs(*at, *values)]))
    raise ArithmeticError(f"no convergence at {{at}}")'''


def python_source(model: System | Program | Declaration) -> str:
    """Return a Python file that solves the equations of a model at one point.

    Args:
        model: a triangular System, its Program, or a declaration that has one; its constants are
            written out, its controls are arguments of ``solve``.

    Raises:
        NotSupportedError: for coupled equations, means over tables, or functions that ``math`` does
            not have.

    Accuracy: that of plain double arithmetic, about 1e-13 relative away from interpolation peaks;
        no bound is computed.

    Example:
        >>> from derive.theory.deep_features import deep_features
        >>> text = python_source(deep_features(["erf"]))
        >>> space = {}
        >>> exec(text, space)
        >>> found = space["solve"](alpha=2.0, gamma_1=1.5, lam=0.1, noise=0.25)
        >>> round(found["E_test"], 6)
        0.642158
    """
    program = freeze(model)
    if program.means:
        raise NotSupportedError(
            f"a Python file of {program.name}", "it averages over tables", "compile it instead"
        )
    names = _names(program)
    printer = ScalarPrinter(names)
    controls = ", ".join(names[q] for q in program.inputs)
    unknowns = ", ".join(program.unknowns)
    reported = ", ".join(program.outputs)
    return _MODULE.format(
        title=f"{program.name}: equations for {reported or unknowns}.",
        name=program.name,
        key=program.key,
        assumes=_assumes(program),
        constants="\n\n".join(_constants(program, names)),
        functions="\n\n\n".join(_functions(program, printer)),
        solve=_SOLVE.format(
            controls=controls,
            comma="," if len(program.inputs) == 1 else "",
            arguments="\n".join(_described(program.inputs)),
            unknowns=unknowns,
            outputs=f"\n        and {reported}." if reported else " and nothing else.",
            names=(*program.unknowns, *program.outputs),
            most=200,
        ),
    )


def _names(program: Program) -> dict[Symbol, str]:
    """Return the names of the equations, with a line below where Python has taken them."""
    symbols: dict[Symbol, None] = dict.fromkeys(program.inputs)
    symbols |= dict.fromkeys(s for s, _ in program.constants)
    for block in program.blocks().values():
        symbols |= dict.fromkeys((*block.inputs, *(s for s, _ in block.lines)))
    names: dict[Symbol, str] = {UNIT: "UNIT"}
    taken = _RESERVED | set(dir(builtins)) | set(keyword.kwlist)
    for symbol in symbols:
        name = names.get(symbol, symbol.name)
        while name in taken and symbol not in names:
            name += "_"
        names[symbol] = name
        taken.add(name)
    return names


def _functions(program: Program, printer: ScalarPrinter) -> Iterable[str]:
    n, count = len(program.unknowns), len(program.outputs)
    report = program.report
    results = report.results[1 + n : 1 + n + count]
    outputs = Block(report.inputs, report.lines, results).pruned()
    by_name = {s.name: s for s in program.newton.inputs}
    x = [by_name[name] for name in program.unknowns]
    blocks = {
        "start": (program.start, ()),
        "tower": (program.tower, x[:1]),
        "newton": (program.newton, x),
        "outputs": (outputs, x),
    }
    meanings = {
        "start": f"Return an upper bound of {program.unknowns[0]}.",
        "tower": "Return the later unknowns, the defect of the last equation, its slope, a guard.",
        "newton": "Return a step of Newton's method on all equations.",
        "outputs": f"Return {', '.join(program.outputs) or 'nothing'}.",
    }
    for name, (block, unknowns) in blocks.items():
        arguments = ", ".join(printer.names[s] for s in (*program.inputs, *unknowns))
        lines = [f"def {name}({arguments}):", f'    """{meanings[name]}"""']
        lines += [f"    {printer.names[s]} = {printer.text(e)}" for s, e in block.lines]
        values = ", ".join(printer.text(e) for e in block.results)
        lines.append(f"    return {values}" if name == "start" else f"    return [{values}]")
        yield "\n".join(lines)


def _constants(program: Program, names: dict[Symbol, str]) -> Iterable[str]:
    for symbol, expr in program.constants:
        value = float(enclose(expr, 20))
        if not math.isfinite(value):
            raise NotSupportedError(f"constant {symbol}", f"it is {value}", "check the declaration")
        meaning = f"{symbol.meaning}: " if isinstance(symbol, Quantity) and symbol.meaning else ""
        yield "\n".join([*_wrapped(f"{meaning}{expr}", "# "), f"{names[symbol]} = {value!r}"])


def _assumes(program: Program) -> str:
    lines = (line for text in program.assumptions for line in _wrapped(text, "* ", "  "))
    listed = "\n".join(lines)
    return f"\nAssumed:\n\n{listed}\n" if listed else ""


def _described(controls: Sequence[Quantity]) -> Iterable[str]:
    for q in controls:
        low = "" if q.low == -math.inf else f", {'>' if q.open_low else '>='} {q.low:g}"
        high = "" if q.high == math.inf else f", <= {q.high:g}"
        text = f"{q.name}: {q.meaning or 'a control'}{low}{high}."
        yield from _wrapped(text, " " * 8, " " * 12)


def _wrapped(text: str, first: str, later: str = "") -> list[str]:
    safe = text.replace("\\", "/").replace('"""', "'''")
    return textwrap.wrap(safe, _WIDTH, initial_indent=first, subsequent_indent=later or first)
