"""Rooms of the benchmark at tiny sizes: answers, errors and failures of every method, not times.

Judges are themselves tested: an answer moved by a known amount is charged with that amount.
"""

import numpy as np
import pytest

from numeric import bench_certificates, bench_density, bench_kernels, bench_ridge
from numeric.bench import QUICK, WORKLOADS, main
from numeric.bench_table import Judged, Row, table


@pytest.fixture(scope="module")
def sections():
    return {name: WORKLOADS[name](QUICK) for name in "BCD"}


def first_of_each_case(section):
    found = {}
    for row in section.rows:
        found.setdefault(row.case, row)
    return list(found.values())


@pytest.mark.parametrize(
    ("name", "place", "bound"), [("B", 0, 1e-14), ("B", 1, 2e-11), ("C", 0, 1e-13), ("D", 0, 1e-30)]
)
def test_ours_has_no_wrong_answers_and_small_errors(sections, name, place, bound):
    ours = first_of_each_case(sections[name][place])
    assert [row.judged.wrong for row in ours] == [0.0] * len(ours)
    assert max(row.judged.worst for row in ours) <= bound


def test_every_method_over_eigenvalues_solves_all_points(sections):
    rows = sections["B"][0].rows
    assert len(rows) == 8
    assert all(row.judged.wrong == 0 for row in rows)
    assert all(row.judged.worst < 1e-6 for row in rows)
    assert all(row.cpu > 0 for row in rows)


def test_capped_iterations_fail_at_edges_and_the_table_says_so(sections):
    rows = [r for r in sections["B"][1].rows if "plain" in r.method and "1e-08" in r.case]
    assert len(rows) == 2
    assert all(row.judged.wrong > 0 for row in rows)


def test_certificates_prove_every_point_and_rivals_reach_the_same_digits(sections):
    bare, whole, *rivals = sections["D"][0].rows
    for ours in (bare, whole):
        assert "4 physical roots" in ours.judged.counts
    assert len(rivals) == 3
    assert all(row.judged.worst < 1e-28 for row in rivals)


def test_the_judge_of_effective_ridges_measures_a_planted_error():
    work = bench_ridge.spectra(8, 20)
    exact = bench_ridge.ours(work, "", lambda: _modes(work), each=False).run()[0]
    assert work.error(exact).max() < 5e-15
    assert work.error(exact * (1 + 1e-9)) == pytest.approx(np.full(8, 1e-9), rel=1e-4)
    assert np.isinf(work.error(-exact)).all()


def _modes(work):
    share = np.full(work.s.size, 1 / work.s.size)
    return bench_ridge.Modes(work.s, share, share)


def test_the_judge_of_densities_measures_a_planted_error():
    work = bench_density.densities(12, 20)[0]
    m = -work.found.cauchy(work.x + 1e-2j).G
    assert work.error(work.x, 1e-2, m).max() < 1e-13
    assert work.error(work.x, 1e-2, m * (1 + 1e-9)) == pytest.approx(1e-9, rel=1e-3)
    assert np.isinf(work.error(work.x, 1e-2, m.conj())).all()


def test_the_judge_of_kernels_measures_a_planted_error():
    work = bench_kernels.case("erf", 40, 10)
    values = work.compiled(work.rho)
    moved = values.copy()
    moved[3] += 1e-6 * np.abs(work.truth).max()
    assert work.judge(values, "").worst < 1e-15
    assert work.judge(moved, "").worst == pytest.approx(1e-6, rel=1e-6)


def test_the_triangle_wave_is_one_and_the_closed_formulas_are_the_kernels():
    wave = bench_kernels.ACTIVATIONS["triangle wave"]
    places = np.array([-6.0, -5, -4, -3, -1, 0, 0.5, 1, 3, 4.5, 5, 7])
    drawn = [float(wave.subs(bench_kernels.z, x)) for x in places]
    assert drawn == [-1, -1, 0, 1, -1, 0, 0.5, 1, -1, 0.5, 1, 1]
    for name, formula in bench_kernels.CLOSED.items():
        work = bench_kernels.case(name, 200, 20)
        assert work.judge(formula(work.rho), "").worst < 1e-14, name


def test_a_rival_that_finds_nothing_is_counted():
    work = bench_certificates.workload(1, 2)
    solution = bench_certificates.solved(work)
    method = bench_certificates.findroot(work, solution, 20, 2, exact=True)
    assert method.judge([None, None]).wrong == 1.0


def test_every_line_of_a_table_has_the_same_cells():
    row = Row("case", "method", 1, 1.0, 1.0, 0.0, Judged(0.0, 0.0, "in sqrt(1 - |rho|)"))
    lines = table([row, row]).splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_the_command_writes_one_file(tmp_path):
    target = tmp_path / "table.md"
    main(["--quick", "--workloads", "D", "--depths", "1", "--output", str(target)])
    text = target.read_text()
    assert text.startswith("# Methods side by side")
    assert "mpmath runs on" in text
    assert "python-flint" in text
