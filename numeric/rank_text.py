"""The command ``derive rank`` in words: reads the point, prints what the certificate says.

Stage: beside ``terminal``; computes nothing itself.
"""

from collections.abc import Sequence

from sympy import Expr

from derive.errors import ParseError
from derive.model_rank import ModelRank
from derive.piecewise_rank import PiecewiseRank
from derive.reader import read_expression

_MOST_LINES = 30


def read_point(text: str, names: Sequence[str]) -> dict[str, Expr]:
    """Return values by parameter from text such as "w1=1/2, b=sqrt(2), w2=2*w1".

    Raises:
        ParseError: for anything that is not a list of name=value.
        UnknownNameError: for a name in a value that is no parameter.

    Example:
        >>> read_point("w1=0.5, w2=2*w1", ["w1", "w2"])
        {'w1': 1/2, 'w2': 2*w1}
    """
    point: dict[str, Expr] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ParseError(f"--at {part}", "not name=value", "write it like w1=1/2,b1=0")
        if name.strip() in point:
            raise ParseError(f"--at {part}", f"{name.strip()} given twice", "give it once")
        point[name.strip()] = read_expression(value, names)
    return point


def rank_text(found: ModelRank) -> str:
    """Return what is known about a rank, one fact a line."""
    where = "at generic values of " + ", ".join(map(str, found.generic)) if found.generic else ""
    lines = [
        f"rank        {found.rank} of {len(found.parameters)} parameters {where}".rstrip(),
        f"status      {found.status}",
        f"meaning     {_meaning(found)}",
        f"at least    {found.rank}: {_witness(found)}",
        f"at most     {found.upper}: {found.reason or 'the number of parameters'}",
    ]
    shown = found.dependencies[:_MOST_LINES]
    lines += [f"relation    {d}" for d in shown]
    if len(found.dependencies) > len(shown):
        lines.append(f"relations   {len(found.dependencies) - len(shown)} more")
    lines.append("sources     " + ", ".join(str(s) for s in found.sources))
    return "\n".join(lines)


def _meaning(found: ModelRank) -> str:
    if found.rank == 0:
        return "no parameter moves the function to first order"
    return (
        f"{found.rank} generic samples fix the function among those of the linearised family; "
        f"{found.rank - 1} do not"
        if found.rank == found.upper
        else "the number of samples lies between both bounds"
    )


def _witness(found: ModelRank) -> str:
    chosen = ", ".join(map(str, found.columns[:12])) + (", ..." if len(found.columns) > 12 else "")
    if found.method == "balls":
        return f"pivots whose balls at {found.bits} bits exclude zero, in {chosen or 'no columns'}"
    best = found.certificates[0]
    return (
        f"a minor that is {best.determinant} modulo {best.prime} (seed {best.seed}), "
        f"in {chosen or 'no columns'}"
    )


def regions_text(found: PiecewiseRank) -> str:
    """Return what a sampled rank says, one fact a line."""
    draws = ", ".join(f"{rank}: {count}" for rank, count in found.histogram.items())
    alone = ", ".join(f"{rank}: {count}" for rank, count in found.regions.items())
    return "\n".join(
        [
            f"rank        at least {found.rank} of {found.parameters} parameters",
            f"draws       {draws}  (rank: number of draws, {found.points} inputs each)",
            f"regions     {alone}  (rank of a region alone: number of regions)",
            f"status      {found.note}",
        ]
    )
