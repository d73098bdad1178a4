"""What was compiled before is taken from the store; what differs in anything is not."""

import json
import pickle

import numpy as np
import pytest

import numeric.compiled
from derive.program import program
from derive.theory.deep_features import deep_features
from numeric import cache, prepared
from numeric.compiled import compile

CONTROLS = {"alpha": np.linspace(0.5, 2, 40), "gamma": (1.5,), "lam": 0.1, "noise": 0.2}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A cache of its own, and the list of programs that were derived for machines."""
    monkeypatch.setenv("STIELTJES_CACHE", str(tmp_path))
    seen = []
    plain = numeric.compiled.lane_program

    def lane_program(ready, asked):
        seen.append(ready.name)
        return plain(ready, asked)

    monkeypatch.setattr(numeric.compiled, "lane_program", lane_program)
    return seen


def test_a_second_evaluator_is_not_derived_and_gives_the_same_bits(made):
    first = compile(deep_features(["erf"]))
    ready = program(deep_features(["erf"]))
    second = compile(ready)
    assert len(made) == 1
    assert "_built" not in vars(ready)
    assert (second.source, second.method) == (first.source, first.method)
    assert second.kernel.reason == first.kernel.reason
    a, b = first(**CONTROLS), second(**CONTROLS)
    assert "_built" not in vars(ready)
    assert np.array_equal(a.E_test, b.E_test)
    assert np.array_equal(a.error["E_test"], b.error["E_test"])
    assert a.key == b.key


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (["tanh"], {}),
        (["erf"], {"outputs": ("E_test",)}),
        (["erf"], {"errors": False}),
        (["erf"], {"slopes": False}),
        (["erf"], {"method": "llvm"}),
    ],
)
def test_whatever_differs_is_derived_anew(made, model, options):
    compile(deep_features(["erf"]))
    compile(deep_features(model), **options)
    assert len(made) == 2


def test_other_code_does_not_find_what_this_code_stored(made, monkeypatch):
    compile(deep_features(["erf"]))
    monkeypatch.setattr(prepared, "own_code", lambda: "another version")
    compile(deep_features(["erf"]))
    assert len(made) == 2


def test_nothing_is_stored_where_our_sources_cannot_be_read(made, monkeypatch, tmp_path):
    monkeypatch.setattr(prepared, "own_code", lambda: "")
    compile(deep_features(["erf"]))
    compile(deep_features(["erf"]))
    assert len(made) == 2
    assert not list(tmp_path.rglob("prepared.json"))


def test_a_damaged_file_is_made_anew(made, tmp_path):
    compile(deep_features(["erf"]))
    (stored,) = tmp_path.rglob("prepared.json")
    stored.write_bytes(stored.read_bytes().replace(b"define", b"demise"))
    compile(deep_features(["erf"]))
    assert len(made) == 2


def test_constants_are_stored_exactly(made, tmp_path):
    evaluator = compile(deep_features(["erf"]))
    (stored,) = tmp_path.rglob("prepared.json")
    text = json.loads(stored.read_bytes()[cache._DIGEST :])["constants"]
    assert [float.fromhex(c) for c in text] == evaluator.constants.tolist()


def test_a_program_from_a_pickle_has_no_face_and_is_prepared_anew(made):
    ready = pickle.loads(pickle.dumps(program(deep_features(["erf"]))))
    assert ready.face == ""
    compile(ready)
    compile(ready)
    assert len(made) == 2
