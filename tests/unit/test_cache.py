"""The cache: whole files or none, damage noticed, fallbacks said aloud, races without failures."""

import errno
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from derive.program import program
from derive.theory.deep_features import deep_features
from numeric import cache, vector_code
from numeric.cache import cache_folder, content_key, load, put, read_bytes, write_bytes
from numeric.compiled import compile

PROGRAM = program(deep_features([]).system())
LEAN = {"outputs": (), "errors": False, "slopes": False}
POINT = {"alpha": 2.0, "lam": 0.1, "noise": 0.0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIELTJES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vector_code, "_ENGINES", {})
    cache._say.cache_clear()
    return tmp_path / "cache"


def test_the_key_is_that_of_the_content():
    assert content_key("a") == content_key("a")
    assert content_key("a") != content_key("b")
    assert len(content_key("a")) == 20


def test_what_is_stored_comes_back(folder):
    write_bytes("k", "f", b"content")
    assert read_bytes("k", "f") == b"content"
    assert read_bytes("k", "missing") is None
    assert [p.name for p in (folder / "k").iterdir()] == ["f"]


def test_a_damaged_file_is_not_used_and_is_replaced(folder):
    write_bytes("k", "f", b"content")
    path = folder / "k" / "f"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_bytes("k", "f") is None
    write_bytes("k", "f", b"content")
    assert read_bytes("k", "f") == b"content"


def test_a_file_with_the_right_content_is_never_replaced(folder):
    put(folder / "k" / "f", b"content")
    before = (folder / "k" / "f").stat().st_ino
    put(folder / "k" / "f", b"content")
    assert (folder / "k" / "f").stat().st_ino == before


def test_machine_code_comes_from_the_cache_the_second_time(folder, monkeypatch):
    first = compile(PROGRAM, **LEAN)(**POINT)
    monkeypatch.setattr(vector_code, "_ENGINES", {})

    def refuse(*_):
        raise AssertionError("compiled although it was stored")

    monkeypatch.setattr(vector_code, "_optimized", refuse)
    assert compile(PROGRAM, **LEAN)(**POINT).x_0 == first.x_0


def test_a_folder_that_cannot_be_written_to_is_passed_over_aloud(
    folder, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("STIELTJES_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home"))
    with caplog.at_level(logging.WARNING, logger="stieltjes"):
        assert cache_folder() == tmp_path / "home" / "stieltjes"
        cache_folder()
    assert len(caplog.records) == 1
    assert "using" in caplog.text


def test_without_any_folder_code_is_compiled_in_memory(folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cache, "candidates", lambda: [tmp_path / "file" / "cache"])
    (tmp_path / "file").write_text("not a folder")
    with caplog.at_level(logging.WARNING, logger="stieltjes"):
        assert compile(PROGRAM, **LEAN)(**POINT).converged
        assert load("ANSWER = 42  # cache=True\n").ANSWER == 42
    assert "compiling anew in each process" in caplog.text


def test_a_full_disk_costs_nothing_but_the_next_start(folder, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "put", full)
    with caplog.at_level(logging.WARNING, logger="stieltjes"):
        assert compile(PROGRAM, **LEAN)(**POINT).converged
        assert load("ANSWER = 43\n").ANSWER == 43
    assert "No space left on device" in caplog.text


def test_an_error_inside_generated_code_leaves_no_module_behind(folder):
    name = f"stieltjes_kernel_{content_key('1/0')}"
    with pytest.raises(ZeroDivisionError):
        load("1/0")
    assert name not in sys.modules


RACER = """
import os, sys
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric.compiled import compile
from numeric import vector_code
ready = program(deep_features([]).system())
print("ready", flush=True)
for line in sys.stdin:
    os.environ["STIELTJES_CACHE"] = line.strip()
    vector_code._ENGINES.clear()
    evaluate = compile(ready, outputs=(), errors=False, slopes=False)
    print(float(evaluate(alpha=2.0, lam=0.1, noise=0.0).x_0), flush=True)
"""


def test_four_processes_race_on_a_cold_kernel(tmp_path):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    values = []
    for turn in range(2):
        for racer in racers:
            racer.stdin.write(f"{tmp_path / str(turn)}\n")
            racer.stdin.flush()
        values += [float(racer.stdout.readline()) for racer in racers]
    ends = [racer.communicate() for racer in racers]
    assert all(error == "" for _, error in ends)
    assert all(racer.returncode == 0 for racer in racers)
    assert np.ptp(values) == 0
    for turn in range(2):
        files = [p for p in (tmp_path / str(turn)).rglob("*") if p.is_file()]
        assert sorted(p.name for p in files) == ["kernel.o", "prepared.json"]
