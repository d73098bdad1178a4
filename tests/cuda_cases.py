"""What tests of CUDA code share: which can run here, how sources and simulated runs are read."""

import ast
import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from derive.errors import UnavailableError
from numeric.cuda import require_device


def no_device():
    try:
        require_device()
    except UnavailableError:
        return True
    return False


needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
needs_device = pytest.mark.skipif(no_device(), reason="no CUDA device")


def untyped(text):
    """Floats and constants of ``math`` that are not the argument of ``f4``, by line."""
    tree = ast.parse(text)
    calls = [n for n in ast.walk(tree) if getattr(getattr(n, "func", None), "id", "") == "f4"]
    typed = {id(inner) for call in calls for inner in ast.walk(call)}
    floats = [n for n in ast.walk(tree) if isinstance(getattr(n, "value", None), float)]
    floats += [n for n in ast.walk(tree) if getattr(n, "attr", "") in ("inf", "pi", "e")]
    return [n.lineno for n in floats if id(n) not in typed]


def in_simulator(script, folder, *arguments):
    """Run a script in Numba's simulator; return the arrays it saves to its first argument."""
    path = folder / "found.npz"
    command = [sys.executable, "-W", "error", "-c", script, str(path), *arguments]
    paths = [str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "NUMBA_ENABLE_CUDASIM": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(path))
