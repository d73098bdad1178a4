"""A combination of special functions written the way a person would.

Stage: after the moments. Complex exponentials are put back in real form, equal terms meet, the
difference ``1 - erf(u)`` is written ``erfc(u)`` where it stands alone so that tails keep their
digits, and each coefficient takes the shortest of a few exact spellings.
"""

from collections.abc import Iterable
from typing import Any

from sympy import (
    Add,
    Expr,
    I,
    Rational,
    S,
    cos,
    count_ops,
    erf,
    erfc,
    erfi,
    exp,
    expand,
    factor_terms,
    sin,
    sympify,
)

from derive.normal.factoring import factored
from derive.normal.gaussian_moments import Combination, Ledger, canonical, split

Groups = dict[Expr, dict[Expr, Expr]]


def assemble(combination: Combination, ledger: Ledger) -> Expr:
    """Return the value of a real combination as one expression."""
    groups: Groups = {}
    for (exponent, phase, special), weight in combination.items():
        for part, function in _real_part(ledger.spell(weight), phase, ledger.spell(special)):
            group = groups.setdefault(canonical(ledger.spell(exponent)), {})
            group[function] = group.get(function, S.Zero) + part
    terms = [_group(exponent, group) for exponent, group in groups.items()]
    total = Add(*terms)
    return min((total, factor_terms(total)), key=_cost)


def _real_part(weight: Expr, phase: Expr, special: Expr) -> Iterable[tuple[Expr, Expr]]:
    """Yield (coefficient, real function) pairs that add up to Re(weight e^(i phase) special)."""
    if phase == 0 and not weight.has(I) and not special.has(I):
        yield weight, special
        return
    real, imaginary = split(weight)
    wave, other = cos(phase), sin(phase)
    for is_real, scale, function in _parts(special):
        if is_real:
            pairs = ((real, wave), (-imaginary, other))
        else:
            pairs = ((-real, other), (-imaginary, wave))
        for part, turn in pairs:
            number, rest = turn.as_coeff_Mul()
            if part != 0 and number != 0:
                yield part * number * scale, rest * function


def _parts(special: Expr) -> Iterable[tuple[bool, Expr, Expr]]:
    """Yield (True, scale, f) for the real part and (False, scale, f) for the imaginary part."""
    if not special.has(I):
        yield True, S.One, special
        return
    inside: Any = special.args[0]
    x, y = split(inside)
    flip_x, flip_y = (-1 if part.could_extract_minus_sign() else 1 for part in (x, y))
    x, y = flip_x * x, flip_y * y
    if x == 0:
        yield False, sympify(flip_y, strict=True), erfi(y)
        return
    above, below = erf(x + I * y), erf(x - I * y)
    yield True, Rational(flip_x, 2), above + below
    yield False, Rational(flip_y, 2), I * (below - above)


def _group(exponent: Expr, group: dict[Expr, Expr]) -> Expr:
    """Return exp(exponent) times the sum of its terms, with erfc where 1 - erf stands alone."""
    weights = {special: expand(weight) for special, weight in group.items()}
    weights = {special: weight for special, weight in weights.items() if weight != 0}
    bells = [special for special in weights if isinstance(special, erf)]
    if _tails_only(exponent, weights, bells):
        rest = {special: w for special, w in weights.items() if special not in (S.One, *bells)}
        weights = {**rest, **{erfc(bell.args[0]): -weights[bell] for bell in bells}}
    elif len(bells) == 1 and S.One in weights:
        weights = min((weights, _with_tail(weights, bells[0])), key=_spelling_cost)
    inner = _sum(weights)
    return exp(exponent) * min((inner, factor_terms(inner)), key=_cost)


def _tails_only(exponent: Expr, weights: dict[Expr, Expr], bells: list[Expr]) -> bool:
    """Return whether all error functions can be written as tails, leaving no constant.

    Beside a large exponent such a difference of error functions would lose all its digits.
    """
    if not bells or (exponent == 0 and S.One not in weights):
        return False
    total = weights.get(S.One, S.Zero) + Add(*(weights[bell] for bell in bells))
    return bool(expand(total) == 0)


def _with_tail(weights: dict[Expr, Expr], bell: Expr) -> dict[Expr, Expr]:
    """Return ``a + b erf(u)`` as ``a erfc(u) + (a + b) erf(u)``."""
    one, whole = weights[S.One], expand(weights[S.One] + weights[bell])
    rest = {special: w for special, w in weights.items() if special not in (S.One, bell)}
    return {**rest, erfc(bell.args[0]): one, **({bell: whole} if whole != 0 else {})}


def _spelling_cost(weights: dict[Expr, Expr]) -> int:
    return sum(_cost(_shortest(weight)) + (special != 1) for special, weight in weights.items())


def _sum(weights: dict[Expr, Expr]) -> Expr:
    return Add(*(_shortest(weight) * special for special, weight in weights.items()))


def _shortest(weight: Expr) -> Expr:
    candidates = [weight, factor_terms(weight)]
    if weight.free_symbols:
        candidates.append(factored(weight))
    return min(candidates, key=_cost)


def _cost(expr: Expr) -> int:
    return int(count_ops(expr))
