"""Blocks as code over real balls: what a certificate executes.

Stage: Programs in, source text over python-flint's ``arb`` out, at whatever precision is current
when it runs. Integers and rationals stay exact, so every result holds the true value.
"""

from collections.abc import Mapping
from typing import Any

from sympy import Symbol

from derive.block import Block
from derive.codegen import _SAME_NAME, BlockPrinter, function, rename
from derive.coupled import AnyProgram, CoupledProgram
from derive.errors import NotSupportedError
from derive.program import Program


class BallPrinter(BlockPrinter):
    """Prints expressions of a block as operations on balls.

    The namespace of the printed code supplies ``ball(x)``; ``ratio(p, q)``, the ball of a rational;
    and ``choose(yes, no, a, b)``, which is ``a`` where the test certainly holds, ``b`` where it
    certainly fails, and otherwise a ball that holds both.
    """

    def number(self, numerator: int, denominator: int) -> str:
        """Print an integer as it is, and a rational as a ball."""
        if denominator == 1:
            return str(numerator) if numerator >= 0 else f"({numerator})"
        return f"ratio({numerator}, {denominator})"

    def doprint(self, expr: Any, assign_to: Any = None) -> str:
        """Print a line or a result; a bare number becomes a ball, so that 1/2 is never a float."""
        text = str(super().doprint(expr, assign_to))
        return f"ball({text})" if expr.is_Number else text

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, exponent = expr.as_base_exp()
        if exponent.is_Rational and exponent.q == 2 and abs(exponent.p) == 1:
            return f"{self._operand(base)}.{'sqrt' if exponent.p == 1 else 'rsqrt'}()"
        if not exponent.is_Integer:
            return f"({self._operand(base)}**{self._operand(exponent)})"
        return super()._print_Pow(expr, rational)

    def _operand(self, expr: Any) -> str:
        """Print an operand whose methods are called: never a plain integer."""
        text = self._print(expr)
        return text if expr.is_Symbol else f"ball({text})"

    def _fold(self, name: str, expr: Any) -> str:
        first, *others = sorted(self._operand(a) for a in expr.args)
        return first + "".join(f".{name}({other})" for other in others)

    def _print_Function(self, expr: Any) -> str:
        name = type(expr).__name__
        if name not in _SAME_NAME:
            raise NotSupportedError(
                f"ball code for {name}", "no printer", "rewrite it, or add a printer"
            )
        return f"{self._operand(expr.args[0])}.{_SAME_NAME[name]}()"

    def _print_softplus(self, expr: Any) -> str:
        return f"{self._operand(expr.args[0])}.exp().log1p()"

    def _print_Pi(self, expr: Any) -> str:
        return "ball.pi()"

    def _print_Exp1(self, expr: Any) -> str:
        return "ball.const_e()"

    def _print_Piecewise(self, expr: Any) -> str:
        *pieces, (last, condition) = expr.args
        if condition != True:  # noqa: E712  (SymPy's true is not Python's)
            raise NotSupportedError("ball code for Piecewise", "no default branch", "end with True")
        text = self._print(last)
        for value, test in reversed(pieces):
            yes, no = self._print(test), self._print(~test)
            text = f"choose({yes}, {no}, {self._operand(value)}, {text})"
        return text


def proof_blocks(program: Program) -> dict[str, Block]:
    """Return the blocks that a certificate evaluates.

    ``inclusion`` refines a point (as a box without width) and proves it, with ``conditions``;
    ``outputs`` and ``slopes`` carry the result on: report and slopes without error terms.
    """
    n, count = len(program.unknowns), len(program.outputs)
    report, slopes = program.report, program.slopes
    return {
        "inclusion": program.proof.inclusion,
        "conditions": program.proof.conditions,
        "outputs": _part(report, slice(1 + n, 1 + n + count)),
        "slopes": _part(slopes, slice(0, count)),
    }


def _part(block: Block, which: slice) -> Block:
    return Block(block.inputs, block.lines, block.results[which]).pruned()


def coupled_proof_blocks(program: CoupledProgram) -> dict[str, Block]:
    """Return the blocks that a certificate of coupled equations evaluates.

    ``defects`` and ``jacobian`` (row by row) of the equations, ``outputs``, and ``slopes``: the
    slopes block as it is.
    """
    n, count = len(program.unknowns), len(program.outputs)
    report, first = program.report, 2 * len(program.unknowns)
    return {
        "defects": _part(report, slice(0, n)),
        "jacobian": _part(report, slice(first, first + n * n)),
        "outputs": _part(report, slice(first + n * n, first + n * n + count)),
        "slopes": program.slopes,
    }


def proof_names(program: AnyProgram, blocks: Mapping[str, Block]) -> dict[Symbol, str]:
    """Return the target names of a program, with those that its proof adds."""
    names = rename(program)
    for block in blocks.values():
        for symbol in (*block.inputs, *(s for s, _ in block.lines)):
            if symbol not in names:
                names[symbol] = f"w_{len(names)}_{symbol.name}"
    return names


def ball_source(program: AnyProgram) -> str:
    """Print the proof blocks of a program as functions of controls, constants and unknowns.

    Example:
        >>> from derive.program import program
        >>> from derive.theory.deep_features import deep_features
        >>> source = ball_source(program(deep_features([]).system()))
        >>> print(source.partition("def conditions")[2].partition("def outputs")[0].strip())
        (c_alpha, c_lam, c_noise, K_signal, u_x_0):
            return (u_x_0, c_lam*u_x_0,)
    """
    if isinstance(program, CoupledProgram):
        blocks = coupled_proof_blocks(program)
    else:
        blocks = proof_blocks(program)
    printer = BallPrinter(proof_names(program, blocks))
    return "\n\n\n".join(function(name, block, printer) for name, block in blocks.items())
