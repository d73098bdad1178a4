"""Generated source on disk: one file per content, first writer wins.

Stage: below ``compiled``. A source text is stored in ``<cache>/<key>/kernel.py`` where the key
hashes the text and everything that changes machine code, and is imported from there, so that
Numba's own disk cache works and a second process starts warm.
"""

import hashlib
import importlib.util
import os
import platform
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import llvmlite
import numba

GENERATOR_VERSION = "1"


def cache_folder() -> Path:
    """Return the cache folder: ``STIELTJES_CACHE``, else the user's cache, else a temporary one.

    The first candidate that can be written to is used.
    """
    candidates = [os.environ.get("STIELTJES_CACHE", "")]
    if sys.platform == "win32":
        candidates.append(os.path.join(os.environ.get("LOCALAPPDATA", ""), "stieltjes"))
    else:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        candidates.append(os.path.join(home, "stieltjes"))
    candidates.append(os.path.join(tempfile.gettempdir(), f"stieltjes-{os.getuid()}"))
    for candidate in filter(None, candidates):
        folder = Path(candidate)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="stieltjes-"))


def content_key(source: str) -> str:
    """Return the key of a source text: a hash of it and of what compiles it."""
    parts = [source, numba.__version__, llvmlite.__version__, platform.machine(), GENERATOR_VERSION]
    parts.append(llvmlite.binding.get_host_cpu_name())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def load(source: str) -> ModuleType:
    """Store a generated source under its key and import it.

    Safe across processes: the file is written beside its place and linked there; an existing file
    is never replaced.
    """
    key = content_key(source)
    name = f"stieltjes_kernel_{key}"
    if name in sys.modules:
        return sys.modules[name]
    path = _store(source, key)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a path to a .py file always has a spec"
    assert spec.loader is not None, "a path to a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _store(source: str, key: str) -> Path:
    folder = cache_folder() / key
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kernel.py"
    if path.exists() and path.read_text(encoding="utf-8") == source:
        return path
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(source)
    os.utime(temporary, (0, 0))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:
        os.replace(temporary, path)
        return path
    os.unlink(temporary)
    return path
