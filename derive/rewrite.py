"""Steps and their log: every transformation leaves a line.

Stage: between expressions and systems. A ``Step`` says which rule was applied, what it made, where
the rule comes from, and the size before and after (operation counts). A ``Log`` is an immutable
sequence of steps that prints as a table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sympy import Basic, count_ops

from derive.provenance import THIS, Source


def size(expression: object) -> int:
    """Return the number of operations of a SymPy object, or the sum over a collection."""
    if isinstance(expression, Basic):
        return int(count_ops(expression))
    if isinstance(expression, Iterable) and not isinstance(expression, str):
        return sum(size(item) for item in expression)
    return 0


@dataclass(frozen=True)
class Step:
    """One transformation.

    Attributes:
        rule: name of the rule, a short verb phrase.
        result: what it gave, as text (an equation or a formula).
        source: where the rule comes from.
        before: operations before the step.
        after: operations after the step.
    """

    rule: str
    result: str = ""
    source: Source = THIS
    before: int = 0
    after: int = 0

    def __str__(self) -> str:
        counts = f" ({self.before} -> {self.after} operations)" if self.before or self.after else ""
        result = f": {self.result}" if self.result else ""
        return f"{self.rule}{result}{counts} {self.source}"


@dataclass(frozen=True)
class Log:
    """An immutable sequence of steps; ``str`` prints one line a step."""

    steps: tuple[Step, ...] = ()

    def then(self, step: Step) -> "Log":
        """Return the log with one more step."""
        return Log((*self.steps, step))

    def extend(self, other: "Log") -> "Log":
        """Return the log followed by the steps of another one."""
        return Log(self.steps + other.steps)

    def sources(self) -> tuple[Source, ...]:
        """Return the sources of all steps, each once, in order of appearance."""
        return tuple(dict.fromkeys(step.source for step in self.steps))

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(f"{i:3d}. {step}" for i, step in enumerate(self.steps, 1))

    def __repr__(self) -> str:
        return f"Log({len(self.steps)} steps)"
