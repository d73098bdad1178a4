r"""The mean of one pair of terms under two correlated normals.

Stage: between ``dual_terms`` and the tidy kernel. The exponentials tilt the law N(m, C0):

    eta = linear + 2 D m,  C = (C0^-1 - 2 D)^-1,  mean = m + C eta,
    factor = exp(constant + linear m + m D m + eta C eta/2)/sqrt(Delta),
    Delta = (1 - 2 b1 v1)(1 - 2 b2 v2) - 4 b1 b2 v1 v2 rho^2,

with D = diag(b1, b2) the quadratic coefficients and v1, v2 the variances; C stays finite at
rho = ±1. Moments cut by events then come from ``orthant_moments``.
Sources: [stein1981], [owen1956].
"""

from dataclasses import dataclass
from typing import Any

from sympy import (
    QQ,
    Add,
    Dummy,
    Expr,
    I,
    Poly,
    S,
    cancel,
    denom,
    erf,
    erfc,
    expand,
    fraction,
    pi,
    ring,
    sqrt,
)
from sympy.polys.polyerrors import PolynomialError

from derive.bivariate import HALF, bivariate_normal, conditional_normal, scaled_density
from derive.errors import NoRuleError, NotIntegrableError
from derive.normal.factoring import factored
from derive.normal.gaussian_moments import Combination, canonical, split
from derive.normal.intervals import decided_sign
from derive.pairs.dual_terms import Cut, Term
from derive.pairs.orthant_moments import (
    Event,
    Law,
    Pair,
    free_moments,
    one_event_moments,
    two_event_moments,
)

ROOT_TAU = sqrt(2 * pi)
Q = Dummy("q", positive=True)
"""Stands for sqrt((1 - rho)*(1 + rho)) until the kernel is tidy, so that nothing expands it."""


@dataclass(frozen=True)
class Normals:
    """Two normals: means, positive scales (standard deviations), and correlation."""

    means: tuple[Expr, Expr]
    scales: tuple[Expr, Expr]
    rho: Expr


@dataclass(frozen=True)
class Tilted:
    """A law of two normals with the exponential factor in front; ``flat`` when C is C0."""

    means: tuple[Expr, Expr]
    cov: tuple[tuple[Expr, Expr], tuple[Expr, Expr]]
    exponent: Expr
    weight: Expr
    flat: bool


@dataclass(frozen=True)
class Level:
    """An event W > c: covariances with (x, y), variance, c - E W, deviation."""

    cut: Cut
    cov: tuple[Expr, Expr]
    variance: Expr
    gap: Expr
    deviation: Expr

    @property
    def height(self) -> Expr:
        """The standardised level."""
        return canonical(self.gap) / self.deviation


def tilt(law: Normals, s: Term, t: Term) -> Tilted:
    """Return the law tilted by the modes of two terms.

    Raises:
        NoRuleError: if a mode grows too fast on an interval with two ends.
        NotIntegrableError: if the product of the modes has no mean at some |rho| <= 1.
    """
    (m1, m2), (v1, v2) = law.means, tuple(scale**2 for scale in law.scales)
    b1, b2 = s.mode.quadratic, t.mode.quadratic
    cross = law.rho * law.scales[0] * law.scales[1]
    uncorrelated = (1 - law.rho) * (1 + law.rho)
    delta = _rational((1 - 2 * b1 * v1) * (1 - 2 * b2 * v2) - 4 * b1 * b2 * v1 * v2 * law.rho**2)
    _check_integrable(b1 * v1, b2 * v2, s, t)
    xx = _rational(v1 * (1 - 2 * b2 * v2 * uncorrelated) / delta)
    yy = _rational(v2 * (1 - 2 * b1 * v1 * uncorrelated) / delta)
    xy = _rational(cross / delta)
    e1, e2 = s.mode.linear + 2 * b1 * m1, t.mode.linear + 2 * b2 * m2
    shift = s.mode.linear * m1 + t.mode.linear * m2 + b1 * m1**2 + b2 * m2**2
    square = (e1**2 * xx + 2 * e1 * e2 * xy + e2**2 * yy) / 2
    exponent = expand(s.mode.constant + t.mode.constant + shift + expand(square))
    means = (_rational(m1 + xx * e1 + xy * e2), _rational(m2 + xy * e1 + yy * e2))
    weight = S.One if delta == 1 else 1 / _square_root(delta)
    return Tilted(means, ((xx, xy), (xy, yy)), exponent, weight, b1 == 0 and b2 == 0)


def _check_integrable(first: Expr, second: Expr, s: Term, t: Term) -> None:
    """Refuse modes whose product grows too fast on the closed interval of correlations."""
    bound = 1 - 2 * first - 2 * second
    both = (first, second) if decided_sign(first) == 1 and decided_sign(second) == 1 else ()
    limits = [1 - 2 * first, 1 - 2 * second, *([bound] if both else [])]
    if not any(decided_sign(limit) in (-1, 0) for limit in limits):
        return
    growing = [f for f, b in ((s, first), (t, second)) if decided_sign(b) == 1]
    product = f"exp({s.mode.quadratic}*z**2) times exp({t.mode.quadratic}*z**2)"
    if any(f.bounded for f in growing):
        raise NoRuleError(
            "a closed form of a kernel",
            f"no rule for {product} on a bounded interval",
            "supported are exponents below half the inverse variance",
        )
    raise NotIntegrableError(
        "a kernel over two normals",
        f"{product} has no mean",
        "keep 2*(coefficient*variance), summed over both, below 1",
    )


def pair_mean(law: Normals, s: Term, t: Term) -> Combination:
    """Return E[s(u) t(v)] of two terms as (exponent, phase, special function) -> coefficient.

    Raises:
        NoRuleError: beyond two events, or for a wave beside an event.
        NotIntegrableError: if the mean does not exist.
    """
    cuts = s.cuts + t.cuts
    if len(cuts) > len("uv"):
        raise NoRuleError(
            "a closed form of a kernel",
            f"{len(cuts)} linear events, a {len(cuts)}-variate orthant probability",
            "no closed form is known in general; at most one kink or erf for each normal",
        )
    tilted = tilt(law, s, t)
    if cuts and expand(tilted.exponent + sum(tilted.means)).has(I):
        raise NoRuleError(
            "a closed form of a kernel",
            "sin or cos beside a kink or an error function",
            "supported are sin and cos on the whole line",
        )
    levels = tuple(_level(tilted, cut) for cut in cuts)
    basis = _basis(tilted, levels, law, (s, t))
    weights = _weights(tilted, levels, s, t)
    result: Combination = {}
    for weight, (exponent, parts) in zip(weights, basis, strict=True):
        if weight == 0:
            continue
        real, phase = split(exponent)
        for special, scale in parts:
            key = (canonical(real), canonical(phase), special)
            result[key] = result.get(key, S.Zero) + weight * scale * tilted.weight
    return result


def _level(tilted: Tilted, cut: Cut) -> Level:
    i = cut.side
    variance = _rational(cut.slope**2 * tilted.cov[i][i] + cut.noise)
    cov = tuple(_rational(cut.slope * tilted.cov[i][j]) for j in (0, 1))
    gap = _rational(cut.level - cut.slope * tilted.means[i])
    return Level(cut, (cov[0], cov[1]), variance, gap, _square_root(variance))


# --- coefficients -------------------------------------------------------------------------------


def _weights(tilted: Tilted, levels: tuple[Level, ...], s: Term, t: Term) -> list[Expr]:
    """Return the coefficients of the basis functions."""
    (xx, xy), (_, yy) = tilted.cov
    entries: list[Expr] = [*tilted.means, xx, xy, yy]
    for level in levels:
        entries += [*level.cov, *(_rational(c / level.variance) for c in level.cov)]
        entries += [level.gap, level.deviation]
    if len(levels) > 1:
        entries += _partial_slopes(tilted, levels)
    elements, one, restore = _in_ring(entries)
    top = (len(s.poly) - 1, len(t.poly) - 1)
    table = _table(elements, one, len(levels), top)
    size = len(table[0][0])
    sums: list[list[Expr]] = [[] for _ in range(size)]
    for n, a in enumerate(s.poly):
        for m, b in enumerate(t.poly):
            if a != 0 and b != 0:
                for row, element in zip(sums, table[n][m], strict=True):
                    row.append(a * b * element.as_expr())
    return [expand(Add(*row)).xreplace(restore) for row in sums]


def _partial_slopes(tilted: Tilted, levels: tuple[Level, ...]) -> list[Expr]:
    """Return regressions of x and y on each event, the other held."""
    first, second = levels
    cross = _cross(tilted, levels)
    square = _rational(first.variance * second.variance - cross**2)
    rows = []
    for one, other in ((first, second), (second, first)):
        for side in (0, 1):
            top = one.cov[side] * other.variance - other.cov[side] * cross
            rows.append(_rational(top / square))
    return rows


def _cross(tilted: Tilted, levels: tuple[Level, ...]) -> Expr:
    """Return the covariance of the normals of two events; auxiliary normals are independent."""
    one, two = (level.cut for level in levels)
    return _rational(one.slope * two.slope * tilted.cov[one.side][two.side])


def _table(elements: list[Any], one: Any, events: int, top: tuple[int, int]) -> Any:
    """Hand the entries to the recursion, in the order in which ``_weights`` lists them."""
    law = Law((elements[0], elements[1]), *elements[2:5])
    rows = [elements[5 + 6 * i : 11 + 6 * i] for i in range(events)]
    made = [Event((r[0], r[1]), (r[2], r[3]), r[4], r[5]) for r in rows]
    if not made:
        return free_moments(law, top, one)
    if len(made) == 1:
        return one_event_moments(law, made[0], top, one)
    a, b, c, d = elements[17:21]
    return two_event_moments(law, Pair((made[0], made[1]), ((a, b), (c, d))), top, one)


def _in_ring(entries: list[Expr]) -> tuple[list[Any], Any, dict[Expr, Expr]]:
    """Return the entries in a polynomial ring over the rationals; others get stand-ins."""
    stand_ins: dict[Expr, Expr] = {}
    plain = [
        e if _is_polynomial(e) else stand_ins.setdefault(e, Dummy(f"w{len(stand_ins)}"))
        for e in entries
    ]
    letters = sorted({x for e in plain for x in e.free_symbols}, key=str) or [Dummy("o")]
    domain: Any = ring(letters, QQ)[0]
    elements = [domain.from_expr(e) for e in plain]
    return elements, domain.one, {dummy: full for full, dummy in stand_ins.items()}


def _is_polynomial(expr: Expr) -> bool:
    if not expr.free_symbols:
        return bool(expr.is_Rational)
    try:
        return bool(Poly(expr, *expr.free_symbols).get_domain() in (QQ, QQ.get_ring()))
    except PolynomialError:
        return False


def _rational(expr: Expr) -> Expr:
    """Return one spelling of a rational expression."""
    if not denom(expr).free_symbols:
        return expand(expr)
    top, bottom = fraction(cancel(expr))
    return expand(top) / bottom if not bottom.free_symbols else factored(top) / factored(bottom)


# --- basis functions ----------------------------------------------------------------------------

Basis = list[tuple[Expr, list[tuple[Expr, Expr]]]]
"""For each basis function: the exponent, and (special function, number) pairs that add up to it."""


def _basis(
    tilted: Tilted, levels: tuple[Level, ...], law: Normals, terms: tuple[Term, Term]
) -> Basis:
    if not levels:
        return [(tilted.exponent, [(S.One, S.One)])]
    if len(levels) == 1:
        return [
            (tilted.exponent, _tail(levels[0])),
            (_fall(tilted, levels[0]), [(S.One, 1 / ROOT_TAU)]),
        ]
    first, second = levels
    cross = _cross(tilted, levels)
    deviations = first.deviation * second.deviation
    orthant = bivariate_normal(-first.height, -second.height, cross / deviations)
    return [
        (tilted.exponent, _parts(orthant)),
        (_fall(tilted, first), _given(tilted, first, second, cross, law)),
        (_fall(tilted, second), _given(tilted, second, first, cross, law)),
        _edge(tilted, levels, cross, law, terms),
    ]


def _parts(expr: Expr) -> list[tuple[Expr, Expr]]:
    """Split a sum into (function, number) pairs."""
    pairs = []
    for term in Add.make_args(expand(expr)):
        numbers, function = term.as_independent(erf, erfc, *term.free_symbols, as_Add=False)
        pairs.append((function, numbers))
    return pairs


def _tail(level: Level) -> list[tuple[Expr, Expr]]:
    """Return P(W > c): erfc for a half-line, erf where an error function came from."""
    h = level.height / sqrt(2)
    if level.cut.noise:
        return [(S.One, HALF), *_parts(-erf(h) / 2)]
    return _parts(erfc(h) / 2)


def _fall(tilted: Tilted, level: Level) -> Expr:
    """Return the exponent of the tilted density at a level, 1/sqrt(2 pi) left out."""
    return expand(_rational(tilted.exponent - level.gap**2 / (2 * level.variance)))


def _given(
    tilted: Tilted, here: Level, other: Level, cross: Expr, law: Normals
) -> list[tuple[Expr, Expr]]:
    """Return phi(0) times P(W' > c' given W = c)."""
    top = _rational(cross * here.gap - here.variance * other.gap)
    square = _rational(here.variance * other.variance - cross**2)
    if top == 0:
        return [(S.One, HALF / ROOT_TAU)]
    quotient = _rational(top / square)
    if _is_exact_at_ends(quotient, law.rho):
        inner = quotient * _root(square, law.rho) / here.deviation / sqrt(2)
        if inner.could_extract_minus_sign():
            return [(erfc(-inner), HALF / ROOT_TAU)]
        return [(S.One, HALF / ROOT_TAU), (erf(inner), HALF / ROOT_TAU)]
    r = cross / (here.deviation * other.deviation)
    chance = conditional_normal(-other.height, -here.height, r)
    if here.cut.noise or other.cut.noise or not tilted.flat:
        chance = chance.rewrite(erf)
    return [(f, n / ROOT_TAU) for f, n in _parts(chance)]


def _edge(
    tilted: Tilted,
    levels: tuple[Level, ...],
    cross: Expr,
    law: Normals,
    terms: tuple[Term, Term],
) -> tuple[Expr, list[tuple[Expr, Expr]]]:
    """Return the exponent and the function of (1 - r^2) phi2(h, k; r)."""
    first, second = levels
    deviations = first.deviation * second.deviation
    one, two = first.cut, second.cut
    if tilted.flat and not one.noise and not two.noise and one.side != two.side:
        exponent, heights = S.Zero, []
        for cut in (one, two):
            mode, place = terms[cut.side].mode, cut.slope * cut.level
            exponent += mode.constant + mode.linear * place
            gap = cut.level - cut.slope * law.means[cut.side]
            heights.append(canonical(gap) / law.scales[cut.side])
        if heights == [0, 0]:
            return expand(exponent), [(Q, 1 / (2 * pi))]
        return expand(exponent), _parts(scaled_density(*heights, cross / deviations))
    square = _rational(first.variance * second.variance - cross**2)
    form = first.gap**2 * second.variance + second.gap**2 * first.variance
    form = _rational((form - 2 * cross * first.gap * second.gap) / square)
    exponent = expand(_rational(tilted.exponent - form / 2))
    root = _root(square, law.rho)
    if root.has(Q):
        return exponent, [(root, 1 / (2 * pi * deviations))]
    return exponent, [(1 / root, square / (2 * pi * deviations))]


def _root(square: Expr, rho: Expr) -> Expr:
    """Return sqrt(square) with the factor 1 - rho^2, if there is one, in its stable spelling."""
    quotient = _rational(square / ((1 - rho) * (1 + rho)))
    if rho.is_Symbol and _is_exact_at_ends(quotient, rho):
        return _square_root(quotient) * Q
    return _square_root(square)


def _square_root(square: Expr) -> Expr:
    """Return the root of a positive fraction as a fraction of roots."""
    top, bottom = fraction(square)
    if expand(bottom).could_extract_minus_sign():
        top, bottom = expand(-top), expand(-bottom)
    return sqrt(top) / sqrt(bottom)


def _is_exact_at_ends(quotient: Expr, rho: Expr) -> bool:
    """Return whether a rational function has no pole at rho = ±1."""
    below = denom(quotient)
    return all(expand(below.subs(rho, end)) != 0 for end in (1, -1)) if rho.is_Symbol else True
