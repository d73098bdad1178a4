"""Coupled systems as CUDA source: one thread, one point, along its own path.

Stage: a ``CoupledProgram`` in, the text of one module out; nothing is compiled here. The phases are
those that the processor runs on lanes (``path_ir``): one correction per turn of the loop, and no
decision but selections, so that the threads of a warp stay together whatever their points are
doing. All numbers are local scalars. The kernels and their grids are those of ``cuda_code``.
"""

import re
from collections.abc import Sequence
from typing import Any

from sympy import Symbol

from derive.block import Block
from derive.codegen import BlockPrinter, LanePrinter
from derive.coupled import CoupledProgram
from derive.errors import NotSupportedError
from derive.printing.lane_phases import Asked, Phase, row_names
from derive.printing.path_machine import DOUBLE, SINGLE
from derive.printing.path_phases import PathProgram, path_program, reported
from numeric.cuda_code import DEVICE, HEADER, Solver, kernels_source, objectives
from numeric.newton import control_names, tuple_text
from numeric.path_ir import LARGEST
from numeric.precision import FLOAT64, Precision

_SELECT = f"""

{DEVICE}
def select(test, yes, no):
    return yes if test else no
"""

_SOLVE = """

{device}
def solve({arguments}):
    {begin}
    while {on} > {half}:
        {tick}
    return int64({code}), {count}, {unknowns}
"""


class _SelectingPrinter(LanePrinter):
    """Prints selections as calls: hundreds of branches would take minutes to compile."""

    def __init__(self, names: dict[Symbol, str], precision: Precision) -> None:
        super().__init__(names)
        self.precision = precision

    def number(self, numerator: int, denominator: int) -> str:
        """Print an exact rational in the precision."""
        return self.precision.typed(super().number(numerator, denominator))

    def _print_NumberSymbol(self, expr: Any) -> str:
        return self.precision.typed(super()._print_NumberSymbol(expr))

    _print_Pi = _print_Exp1 = _print_NumberSymbol

    def _print_Piecewise(self, expr: Any) -> str:
        *pieces, (last, _) = expr.args
        text = self._print(last)
        for value, test in reversed(pieces):
            text = f"select({self._print(test)}, {self._print(value)}, {text})"
        return str(text)


def coupled_cuda_source(
    program: CoupledProgram, asked: Asked, precision: Precision = FLOAT64
) -> str:
    """Return the generated module of a coupled program.

    Raises:
        NotSupportedError: for no unknowns or more than ``LARGEST``.

    Example:
        >>> from derive.dyson import equations
        >>> from derive.matrices import dims, eye, gaussian, ntrace
        >>> from derive.symbols import control
        >>> n, d = dims("n d")
        >>> lam, X = control("lam", positive=True), gaussian("X", d, n, 1/n)
        >>> found = equations({"m": ntrace((X*X.T + lam*eye(d)).inv())}).program()
        >>> text = coupled_cuda_source(found, Asked(found.outputs))
        >>> [line[4:line.index("(")] for line in text.splitlines() if line.startswith("def ")][:5]
        ['select', 'solve', 'report', 'values', 'tangent']
    """
    if not 0 < len(program.unknowns) <= LARGEST:
        raise NotSupportedError(
            f"{program.name} on CUDA",
            f"it has {len(program.unknowns)} unknowns, which is not 1 to {LARGEST}",
            'use target="cpu"',
        )
    numbers = DOUBLE if precision.name == "float64" else SINGLE
    text = _Text(path_program(program, asked, numbers), precision)
    counts = ", ".join(f"{name} {p.operations}" for name, p in text.paths.phases.items())
    unit = precision.number(precision.unit)
    header = HEADER.format(name=program.name, counts=counts, precision=precision.name, unit=unit)
    solver = Solver(
        loads=(),
        body=text.body(),
        arguments=", ".join(text.controls),
        unknowns=tuple(text.unknowns),
        condition="True",
        limit=text.zero,
    )
    functions = [_SELECT, text.solve(), *text.functions()]
    return header + "".join(functions) + kernels_source(program, asked, precision, solver)


class _Text:
    """Writes the functions of one program."""

    def __init__(self, paths: PathProgram, precision: Precision) -> None:
        self.paths, self.precision = paths, precision
        self.controls = control_names(paths.program)
        self.names: dict[Symbol, str] = _named(paths)
        self.names |= zip(paths.program.inputs, self.controls, strict=True)
        self.unknowns = [self.names[x] for x in paths.unknowns]
        self.printer: BlockPrinter = _SelectingPrinter(self.names, precision)
        self.zero = precision.number(0.0)

    def solve(self) -> str:
        """Return the function that follows a point to its end."""
        paths = self.paths
        return _SOLVE.format(
            device=DEVICE,
            arguments=", ".join(self.controls),
            begin="\n    ".join(self._stores(paths.begin)),
            tick="\n        ".join(self._stores(paths.tick)),
            on=self.names[paths.on],
            half=self.precision.number(0.5),
            code=self.names[paths.code],
            count=self.names[paths.count],
            unknowns=", ".join(self.unknowns),
        )

    def functions(self) -> list[str]:
        """Return ``report``, ``values`` and ``tangent``; they are functions of a solved point."""
        report, slope = self.paths.report, self.paths.slope
        names = reported(self.paths.program, self.paths.asked)
        results = dict(zip(names, report.block.results[len(self.paths.errors) :], strict=False))
        results |= dict(zip(self.paths.program.unknowns, self.paths.unknowns, strict=True))
        goals = [results[g] for g in objectives(self.paths.program, self.paths.asked)]
        verdict = report.block.results[-1]
        block = Block(report.block.inputs, report.block.lines, (verdict, *goals)).pruned()
        found = [self._function("report", report.block), self._function("values", block)]
        return found + ([self._function("tangent", slope.block)] if slope else [])

    def body(self) -> str:
        """Return the lines that solve one point and store its rows at column ``o``."""
        program, asked = self.paths.program, self.paths.asked
        given, x = ", ".join(self.controls), self.unknowns
        n, names = len(x), reported(program, asked)
        results = [f"r_{k}" for k in range(n + len(names) + 1)]
        lines = [
            f"code, count, {', '.join(x)} = solve({given})",
            f"{tuple_text(results)} = report({given}, {', '.join(x)})",
            "if code == 0:",
            f"    code = int64({results[-1]})",
        ]
        held = dict(zip(program.unknowns, x, strict=True)) | {"status": "code", "steps": "count"}
        held |= dict(zip(names, results[n:-1], strict=True))
        if self.paths.slope:
            lines += self._slopes(results[:n], held)
        rows = enumerate(row_names(program, asked))
        lines += [f"out[{i} * size + o] = {held[name]}" for i, name in rows]
        return "\n    ".join(lines)

    def _slopes(self, errors: Sequence[str], held: dict[str, str]) -> list[str]:
        """Return the lines of the slopes, and of what they change by; adds to ``held``."""
        program, asked = self.paths.program, self.paths.asked
        given, x, count = ", ".join(self.controls), self.unknowns, len(asked.outputs)
        slopes = [f"s_{k}" for k in range(count)]
        lines = [f"{tuple_text(slopes)} = tangent({given}, {', '.join(x)})"]
        names = [f"d{o}_d{program.slope_control}" for o in asked.outputs]
        held |= dict(zip(names, slopes, strict=True))
        if not asked.errors:
            return lines
        small = self.precision.number(8 * self.precision.unit)
        spreads, moved = ([f"{v}_{k}" for k in range(count)] for v in "wt")
        lines += [f"{w} = {small} * abs({s})" for w, s in zip(spreads, slopes, strict=True)]
        for j, (value, error) in enumerate(zip(x, errors, strict=True)):
            there = [*x[:j], f"{value} + max({error}, {small} * abs({value}))", *x[j + 1 :]]
            lines.append(f"{tuple_text(moved)} = tangent({given}, {', '.join(there)})")
            triples = zip(spreads, moved, slopes, strict=True)
            lines += [f"{w} += abs({t} - {s})" for w, t, s in triples]
        held |= {f"error {name}": w for name, w in zip(names, spreads, strict=True)}
        return lines

    def _stores(self, phase: Phase) -> list[str]:
        """Return the lines of a phase; all its results are known before the first is stored."""
        results = phase.block.results
        lines = self._lines(phase.block)
        lines += [f"n_{k} = {self.printer.text(e)}" for k, e in enumerate(results)]
        return lines + [f"{self.names[s]} = n_{k}" for k, s in enumerate(phase.stores)]

    def _function(self, name: str, block: Block) -> str:
        given = [*self.controls, *self.unknowns]
        lines = [f"\n\n{DEVICE}", f"def {name}({', '.join(given)}):"]
        if self.paths.code in block.inputs:
            lines.append(f"    {self.names[self.paths.code]} = {self.zero}")
        lines += [f"    {line}" for line in self._lines(block)]
        results = tuple_text([self.printer.text(e) for e in block.results])
        return "\n".join([*lines, f"    return ({results})", ""])

    def _lines(self, block: Block) -> list[str]:
        return [f"{self.names[s]} = {self.printer.text(e)}" for s, e in block.lines]


def _named(paths: PathProgram) -> dict[Symbol, str]:
    """Return a name for every lane and line."""
    symbols: dict[Symbol, None] = dict.fromkeys((*paths.unknowns, paths.code))
    for phase in paths.phases.values():
        symbols |= dict.fromkeys((*phase.stores, *(s for s, _ in phase.block.lines)))
    names = [re.sub(r"\W", "_", s.name.removeprefix("lane_")) for s in symbols]
    return {s: f"u{k}_{name}" for k, (s, name) in enumerate(zip(symbols, names, strict=True))}
