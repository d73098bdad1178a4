"""The doctor: versions, cache, threads; and clearing the cache."""

import pytest

from numeric import doctor
from numeric.cache import write_bytes
from numeric.threads import run_blocks, thread_count

KEY = "0123456789abcdef0123"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIELTJES_CACHE", str(tmp_path))
    return tmp_path


def test_the_report_names_versions_threads_and_cache(folder, monkeypatch):
    monkeypatch.setenv("STIELTJES_THREADS", "3")
    write_bytes(KEY, "kernel.o", b"x")
    text = doctor.report()
    for word in ("python", "sympy", "llvmlite", "numba layers", "3 (STIELTJES_THREADS"):
        assert word in text
    assert f"{folder}: 1 entries (1 llvm, 0 numba, 0 source)" in text


def test_clearing_deletes_programs_and_nothing_else(folder):
    write_bytes(KEY, "kernel.o", b"x")
    (folder / KEY[::-1]).mkdir()
    (folder / KEY[::-1] / "kernel.py").write_text("")
    write_bytes(KEY[5:] + KEY[:5], "prepared.json", b"{}")
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("keep")
    assert sorted(e.kind for e in doctor.entries()) == ["llvm", "numba", "source"]
    assert doctor.clear() == 3
    assert doctor.entries() == []
    assert (folder / "notes" / "mine.txt").read_text() == "keep"


def test_a_missing_cache_is_reported_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "cache_folder", lambda: None)
    assert doctor.entries() == []
    assert doctor.clear() == 0
    assert "set STIELTJES_CACHE to a folder" in doctor.report()


@pytest.mark.parametrize("threads", [1, 2, 3, 7, None])
def test_every_block_is_solved_once_whatever_the_threads(threads):
    seen = []
    run_blocks(lambda first, last: seen.extend(range(first, last)), 5, 4096, threads)
    assert sorted(seen) == list(range(5))


def test_an_error_in_a_thread_is_raised():
    def fail(first, last):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocks(fail, 4, 1, 2)


def test_the_number_of_threads_is_at_least_one(monkeypatch):
    monkeypatch.setenv("STIELTJES_THREADS", "none")
    assert thread_count() >= 1
