"""Losses to scalar code: the proximal map with its derivative, and the cuts of its argument.

Stage: a ``derive.losses.Loss`` in, Python text out, which Numba compiles as part of a larger
module. For each label that is needed there are functions of plain numbers:

* ``cuts_L(V, out)``: where the map or the loss bends, in omega, and how many such places there are;
* ``prox_L(omega, V, guess)``: z - omega, 1 - dz/domega and z, with full relative accuracy in the
  first two at small V and at large V;
* ``loss_L(z)``: the loss.

A smooth section with a closed solution is evaluated by it; any other is solved by Newton's method
inside a bracket: the residual F(z) = z - omega + V h'(z) rises at least as fast as z, so the root
lies within |F| of any point, and a step that leaves the bracket is replaced by its middle.
"""

from typing import Any

from sympy import (
    Expr,
    LambertW,
    Symbol,
    cancel,
    cosh,
    cse,
    diff,
    factor,
    numbered_symbols,
    oo,
    sinh,
    tanh,
    together,
)

from derive.codegen import ScalarPrinter
from derive.losses import Loss
from derive.printing.exponentials import SMALL, TwoSided, two_sided
from derive.readouts.convexity import smooth_pieces
from derive.readouts.proximal import Proximal, Section, V, omega
from derive.rewrite import size
from derive.symbols import z

_SAFEGUARDED = '''
@njit(**SCALAR)
def root_{label}_{number}(omega, V, guess, low, high):
    """Root of z - omega + V h'(z) on [low, high], by Newton's method in a bracket."""
    z = min(max(guess, low), high)
    left, right = low, high
    step = 1.0
    for _ in range(400):
        d1, d2 = slopes_{label}_{number}(z)
        rest = z - omega + V * d1
        if not math.isfinite(rest):
            if d1 > 0.0 or rest > 0.0:
                right = z
                z = max(left, z - step)
            else:
                left = z
                z = min(right, z + step)
            step *= 2.0
            continue
        if abs(rest) <= 1e-16 * (abs(z) + abs(omega) + V * abs(d1)):
            return z
        if rest > 0.0:
            right = z
            left = max(left, z - rest)
        else:
            left = z
            right = min(right, z - rest)
        new = z - rest / (1.0 + V * d2)
        if not (left < new < right):
            new = 0.5 * (left + right)
        if abs(new - z) <= 2e-16 * abs(z) or not (left < new < right):
            return new
        z = new
    return z
'''
_DIRECT = '''
@njit(**SCALAR)
def root_{label}_{number}(omega, V, guess, low, high):
    """Closed root of z - omega + V h'(z), kept in its section."""
{lines}    return min(max({value}, low), high)
'''
_POLISHED = '''
@njit(**SCALAR)
def root_{label}_{number}(omega, V, guess, low, high):
    """Closed root of z - omega + V h'(z), with the digits that it cancels put back."""
{lines}    z = min(max({value}, low), high)
    for _ in range(2):
        d1, d2 = slopes_{label}_{number}(z)
        z = min(max(z - (z - omega + V * d1) / (1.0 + V * d2), low), high)
    return z
'''
_MOVED = """        z = root_{label}_{number}(omega, V, guess, {low}, {high})
        d1, d2 = slopes_{label}_{number}(z)
        bend = 1.0 if math.isinf(d2) else V * d2 / (1.0 + V * d2)
        return (z - omega if bend > 0.5 else -V * d1), bend, z"""
_HELD = """        return {kink} - omega, 1.0, {kink}"""


def loss_source(loss: Loss, labels: tuple[int, ...]) -> str:
    """Print the functions of a loss at some labels, and the dispatchers over them.

    The dispatchers ``cuts(label, V, out)``, ``prox(label, omega, V, guess)`` and
    ``height(label, z)`` take the label as a number.
    """
    texts = [_label_source(loss.proximal(label), _word(label)) for label in labels]
    for name, args in (("cuts", "V, out"), ("prox", "omega, V, guess"), ("height", "z")):
        lines = [f"@njit(**SCALAR)\ndef {name}(label, {args}):"]
        lines += [f"    if label == {label}.0:" for label in labels[:-1]]
        for place, label in enumerate(labels[:-1]):
            lines.insert(2 * place + 2, f"        return {name}_{_word(label)}({args})")
        lines.append(f"    return {name}_{_word(labels[-1])}({args})")
        texts.append("\n".join(lines))
    return "\n\n".join(texts) + "\n"


def _word(label: int) -> str:
    return {1: "plus", -1: "minus", 0: "zero"}[label]


def _label_source(proximal: Proximal, word: str) -> str:
    parts = []
    for number, section in enumerate(proximal.sections):
        if section.kink is None:
            parts += [_slopes_source(section, word, number), _root_source(section, word, number)]
    parts += [_cuts_source(proximal, word), _prox_source(proximal, word)]
    parts.append(_height_source(proximal, word))
    return "\n".join(parts)


def _printer() -> ScalarPrinter:
    return ScalarPrinter({z: "z", V: "V", omega: "omega", SMALL: "s"})


def _slopes_source(section: Section, word: str, number: int) -> str:
    first, second = _with_tanh(diff(section.height, z)), diff(section.height, z, 2)
    tidy = factor(together(second))
    second = tidy if size(tidy) < size(second) else second
    head = f"\n@njit(**SCALAR)\ndef slopes_{word}_{number}(z):"
    return "\n".join([head, *_sided_lines(two_sided((first, second), z))])


def _with_tanh(slope: Expr) -> Expr:
    """Write sinh/cosh as tanh, which keeps its digits near zero; other functions stay."""
    table = {term: tanh(*term.args) * cosh(*term.args) for term in slope.atoms(sinh)}
    if not table:
        return slope
    written = cancel(together(slope.xreplace(table)))
    return slope if written.has(cosh, sinh) else written


def _height_source(proximal: Proximal, word: str) -> str:
    """Print h, section after section, each with the place where it ends."""
    lines = [f"\n@njit(**SCALAR)\ndef height_{word}(z):"]
    pieces = [s for s in proximal.sections if s.kink is None]
    for section, end in zip(pieces, _ends(proximal), strict=True):
        if end != oo:
            lines.append(f"    if z < {_printer().text(end)}:")
        body = _sided_lines(two_sided((section.height,), z))
        lines += ["    " + line if end != oo else line for line in body]
    return "\n".join(lines)


def _sided_lines(sides: TwoSided) -> list[str]:
    if sides.rate == 0:
        return _lines(sides.right, "    ")
    rate = _printer().text(sides.rate)
    lines = ["    if z > 0.0:", f"        s = math.exp(-{rate} * z)"]
    lines += [*_lines(sides.right, "        "), f"    s = math.exp({rate} * z)"]
    return lines + _lines(sides.left, "    ")


def _lines(exprs: tuple[Expr, ...], indent: str) -> list[str]:
    letters = numbered_symbols("t", real=True)
    shared, results = cse(exprs, symbols=letters, optimizations="basic")
    printer = ScalarPrinter(
        {z: "z", V: "V", omega: "omega", SMALL: "s"} | {s: s.name for s, _ in shared}
    )
    lines = [f"{indent}{s.name} = {printer.text(e)}" for s, e in shared]
    return [*lines, f"{indent}return {', '.join(printer.text(e) for e in results)}"]


def _root_source(section: Section, word: str, number: int) -> str:
    names = {"label": word, "number": number}
    solution = section.solution
    if solution is None or solution.has(LambertW):
        return _SAFEGUARDED.format(**names)
    *lines, last = _lines((solution,), "    ")
    text = "".join(f"{line}\n" for line in lines)
    form = _DIRECT if solution.is_rational_function(omega, V) else _POLISHED
    return form.format(**names, lines=text, value=last.strip().removeprefix("return "))


def _ends(proximal: Proximal) -> list[Any]:
    """Return where each smooth piece of h ends, in z; the last one at infinity."""
    return [*_kinks(proximal), oo]


def _kinks(proximal: Proximal) -> list[Expr]:
    return [part.high for part, _ in smooth_pieces(proximal.function, z)[:-1]]


def _cuts_source(proximal: Proximal, word: str) -> str:
    """Print the places in omega where prox, the loss at omega, or the sign of prox changes."""
    places: list[Expr] = [s.high for s in proximal.sections[:-1]]
    places += [*_kinks(proximal), *_zero_of_prox(proximal)]
    printer = _printer()
    lines = [f"\n@njit(**SCALAR)\ndef cuts_{word}(V, out):"]
    unique = list(dict.fromkeys(places))
    lines += [f"    out[{i}] = {printer.text(p)}" for i, p in enumerate(unique)]
    return "\n".join([*lines, f"    return {len(unique)}"])


def _zero_of_prox(proximal: Proximal) -> list[Expr]:
    kinks = _kinks(proximal)
    pieces = [s.height for s in proximal.sections if s.kink is None]
    place = sum(1 for k in kinks if k < 0)
    if place < len(kinks) and kinks[place] == 0:
        return []  # already among the ends of the sections
    return [V * diff(pieces[place], z).subs(z, 0)]


def _prox_source(proximal: Proximal, word: str) -> str:
    lines = [f"\n@njit(**SCALAR)\ndef prox_{word}(omega, V, guess):"]
    ends = [-oo, *_ends(proximal)]
    smooth = 0
    for number, section in enumerate(proximal.sections):
        last = number == len(proximal.sections) - 1
        if section.kink is not None:
            body = _HELD.format(kink=_text(section.kink))
        else:
            low, high = _text(ends[smooth]), _text(ends[smooth + 1])
            body = _MOVED.format(label=word, number=number, low=low, high=high)
            smooth += 1
        lines += [_dedent(body, 4)] if last else [f"    if omega < {_text(section.high)}:", body]
    return "\n".join(lines)


def _dedent(text: str, spaces: int) -> str:
    """Return text with fewer leading spaces on each line."""
    return "\n".join(line[spaces:] for line in text.split("\n"))


def _text(place: Symbol | Expr) -> str:
    if place in (oo, -oo):
        return "math.inf" if place == oo else "-math.inf"
    return str(_printer().text(place))


def most_cuts(loss: Loss, labels: tuple[int, ...]) -> int:
    """Return an upper bound of the number of cuts that ``cuts`` writes."""
    return max(2 * len(loss.proximal(label).sections) + 1 for label in labels)
