"""A kernel written the way a person would.

Stage: after the moments of all pairs of terms. Complex exponentials return to cosines and sines of
their phase, equal functions meet, pairs of exponentials become cosh and sinh, and each coefficient
takes the shortest of a few exact spellings.
"""

from typing import Any

from sympy import (
    Add,
    Dummy,
    Expr,
    I,
    Mul,
    Poly,
    Pow,
    S,
    Symbol,
    cos,
    cosh,
    count_ops,
    denom,
    exp,
    expand,
    factor_terms,
    sin,
    sinh,
    sqrt,
)
from sympy.polys.fields import sfield

from derive.normal.factoring import factored, is_larger
from derive.normal.gaussian_moments import Combination, canonical, split

Weights = dict[Expr, Expr]
HUGE = 4000
"""Nodes above which a sum is left as it stands: nobody reads it, and tidying takes seconds."""
LARGE = 250
"""Operations (or half the nodes) above which a coefficient keeps its many fractions."""


def assemble_kernel(combination: Combination) -> Expr:
    """Return the value of a real combination as one expression."""
    groups: dict[Expr, Weights] = {}
    for (exponent, phase, special), weight in combination.items():
        for function, part in _real_parts(weight, phase, special):
            row = groups.setdefault(function, {})
            row[exponent] = row.get(exponent, S.Zero) + part
    by_exponent: dict[Expr, list[Expr]] = {}
    for function, row in groups.items():
        for factor_, exponent, weight in _paired(_clean(row)):
            by_exponent.setdefault(exponent, []).append(weight * factor_ * function)
    terms = [exp(e) * _shorter(Add(*inner)) for e, inner in by_exponent.items()]
    return _shorter(Add(*terms))


def _real_parts(weight: Expr, phase: Expr, special: Expr) -> list[tuple[Expr, Expr]]:
    """Return (function, coefficient) pairs adding up to Re(weight e^(i phase)) special."""
    if phase == 0 and not weight.has(I):
        return [(special, weight)]
    real, imaginary = split(expand(weight))
    parts = []
    for wave, part in ((cos(phase), real), (sin(phase), -imaginary)):
        sense, function = wave.as_coeff_Mul()
        if part != 0 and wave != 0:
            parts.append((special * function, part * sense))
    return parts


def _clean(row: Weights) -> Weights:
    tidy = {exponent: shortest(weight) for exponent, weight in row.items()}
    return {exponent: weight for exponent, weight in tidy.items() if weight != 0}


def shortest(weight: Expr) -> Expr:
    """Return the shortest of a few exact spellings of a coefficient."""
    if denom(weight).free_symbols or any(denom(term).free_symbols for term in weight.args):
        return weight if is_larger(weight, 2 * LARGE) else _one_fraction(weight)
    if is_larger(weight, HUGE):
        return weight
    weight = expand(weight)
    candidates = [weight, factor_terms(weight)]
    if weight.free_symbols:
        candidates.append(factored(weight))
    return min(candidates, key=count_ops)


def _one_fraction(weight: Expr) -> Expr:
    """Return a coefficient with denominators as one factored fraction; roots count as letters."""
    roots = {p for p in weight.atoms(Pow) if p.exp.is_Rational and not p.exp.is_Integer}
    letters = {base: Dummy("r", positive=True) for base in {p.base for p in roots}}
    plain = weight.xreplace({p: letters[p.base] ** (2 * p.exp) for p in roots})
    fraction_ = sfield(plain)[1]
    top, bottom = fraction_.numer.as_expr(), fraction_.denom.as_expr()
    for base, letter in letters.items():
        top, bottom = (_even_powers(e, letter, base) for e in (top, bottom))
    back = {letter: sqrt(base) for base, letter in letters.items()}
    result: Expr = (factored(top) / factored(bottom)).xreplace(back)
    return result


def _even_powers(expr: Expr, letter: Symbol, base: Expr) -> Expr:
    """Write even powers of a root as powers of what is under it."""
    terms = Poly(expr, letter).terms()
    return expand(Add(*(c * base ** (n // 2) * letter ** (n % 2) for (n,), c in terms)))


def _paired(row: Weights) -> list[tuple[Expr, Expr, Expr]]:
    """Join c exp(A) ± c exp(B) into 2 c exp((A + B)/2) cosh or sinh((A - B)/2)."""
    left, result = dict(row), []
    for a in row:
        mirrored = [b for b in left if b != a and a in left and _mirrored(row, a, b)]
        if not mirrored:
            continue
        partner = min(mirrored, key=lambda b: count_ops(_middle_and_half(a, b)))
        middle, half = _middle_and_half(a, partner)
        even = expand(row[a] - row[partner]) == 0
        wave = cosh(half) if even else sinh(half)
        result.append((wave, middle, 2 * row[a]))
        del left[a], left[partner]
    return result + [(S.One, exponent, weight) for exponent, weight in left.items()]


def _middle_and_half(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    return canonical((a + b) / 2), canonical((a - b) / 2)


def _mirrored(row: Weights, a: Expr, b: Expr) -> bool:
    """Return whether two exponentials have equal or opposite coefficients and a common part."""
    if S.Zero in (a, b) or 0 not in (expand(row[a] - row[b]), expand(row[a] + row[b])):
        return False
    middle, half = _middle_and_half(a, b)
    return bool(count_ops(half) < count_ops(canonical(a)) and not _shares(middle, half))


def _shares(middle: Expr, half: Expr) -> bool:
    """Return whether a term of one exponent is also in the other, up to a number."""
    first, second = (
        {term.as_coeff_Mul()[1] for term in Add.make_args(expand(e))} for e in (middle, half)
    )
    return bool(first & second)


def _shorter(expr: Expr) -> Expr:
    if is_larger(expr, HUGE):
        return expr
    return min((expr, factor_terms(expr)), key=count_ops)


def stable_sums(expr: Expr, rho: Symbol, root: Symbol) -> Expr:
    """Write differences like ``a*b - a*b*rho^2`` as ``a*b*root^2`` inside every sum.

    So ``a + b + 1 + a*b*(1 - rho^2)`` loses no digits near rho = ±1. A difference in which one
    side is below half of the other loses at most one bit, and stays.
    """
    paired: Any = expr.replace(
        lambda e: _is_small_polynomial(e, rho),
        lambda e: _paired_powers(e, rho, root),
    )
    paired = paired.replace(
        lambda e: e.is_Pow and e.exp.is_Integer and e.base.is_Add and _is_negative(e.base),
        lambda e: (-1) ** e.exp * expand(-e.base) ** e.exp,
    )
    turned: Expr = paired.replace(
        lambda e: e.is_Mul and any(f.is_Add and _is_negative(f) for f in e.args),
        lambda e: Mul(*(_turned(f) for f in e.args)),
    )
    return turned


def _turned(part: Expr) -> Expr:
    """Write a sum of negative terms as minus the sum of positive ones."""
    if part.is_Add and _is_negative(part):
        return Mul(S.NegativeOne, expand(-part), evaluate=False)
    return part


def _is_small_polynomial(e: Expr, rho: Symbol) -> bool:
    if not e.is_Add or is_larger(e, 2 * LARGE) or rho not in e.free_symbols:
        return False
    return bool(e.is_polynomial(rho))


def _paired_powers(total: Expr, rho: Symbol, root: Symbol) -> Expr:
    """Return c x rho^n - d x rho^(n+2) as (c - d) x rho^n + d x rho^n root^2 if 2 d >= c."""
    rows: dict[Expr, dict[int, Expr]] = {}
    for term in Add.make_args(expand(total)):
        rest, power = term.as_independent(rho, as_Add=False)
        number, letter = rest.as_coeff_Mul()
        n = int(power.as_base_exp()[1]) if power != 1 else 0
        row = rows.setdefault(letter, {})
        row[n] = row.get(n, S.Zero) + number
    found = False
    fresh: Expr = S.Zero
    for letter, row in rows.items():
        for n in sorted(row):
            low, high = row[n], -row.get(n + 2, S.Zero)
            if low * high > 0 and high / low >= S.Half and (n == 0 or high / low <= 1):
                taken = high if abs(high) < abs(low) else low
                found, row[n], row[n + 2] = True, low - taken, taken - high
                fresh += taken * letter * rho**n * root**2
        fresh += sum(number * letter * rho**n for n, number in row.items())
    return fresh if found else total


def _is_negative(total: Expr) -> bool:
    return all(term.could_extract_minus_sign() for term in Add.make_args(total))
