"""What the evaluators run on: versions, processor, threads, cache; and how to empty the cache.

Stage: beside the evaluators; reads the machine, returns text.
"""

import importlib.util
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llvmlite.binding as llvm

from numeric.ball_library import library
from numeric.cache import cache_folder, candidates
from numeric.threads import thread_count
from numeric.vector_code import lanes_that_fit

_PACKAGES = (
    *("stieltjes", "sympy", "mpmath", "python-flint", "numpy", "scipy", "numba", "llvmlite"),
    *("matplotlib", "lark", "click", "tqdm", "numba-cuda", "dask"),
)
_KINDS = {"kernel.py": "numba", "prepared.json": "source"}
_KEY = re.compile(r"[0-9a-f]{20}")


@dataclass(frozen=True)
class Entry:
    """One stored program.

    Attributes:
        folder: where it lies.
        kind: "llvm" or "numba" for machine code, "source" for what it is made from.
        size: bytes.
    """

    folder: Path
    kind: str
    size: int


def entries() -> list[Entry]:
    """Return what the cache holds, in the order of the keys."""
    folder = cache_folder()
    if folder is None:
        return []
    found = []
    for one in sorted(folder.iterdir()):
        if one.is_dir() and _KEY.fullmatch(one.name):
            files = [f for f in one.rglob("*") if f.is_file()]
            kind = next((k for f, k in _KINDS.items() if (one / f).is_file()), "llvm")
            found.append(Entry(one, kind, sum(f.stat().st_size for f in files)))
    return found


def clear() -> int:
    """Delete all stored programs; return how many there were. Other files are left alone."""
    found = entries()
    for entry in found:
        shutil.rmtree(entry.folder, ignore_errors=True)
    return len(found)


def report() -> str:
    """Return a description of versions, processor, threads and cache, for a bug report.

    Example:
        >>> print(report().splitlines()[0].split()[0])
        python
    """
    rows = [("python", f"{platform.python_version()} on {sys.platform} {platform.machine()}")]
    rows += [(name, _version(name)) for name in _PACKAGES]
    wide = f"blocks of {lanes_that_fit()} points"
    rows += [
        ("processor", f"{llvm.get_host_cpu_name()}, {wide}"),
        ("threads", f"{thread_count()} (STIELTJES_THREADS sets it; no threading layer is needed)"),
        ("numba layers", f"{', '.join(_layers()) or 'none'} (not used by the evaluators)"),
    ]
    compiled = (
        "machine code over FLINT" if library() is not None else "no FLINT library; one by one"
    )
    rows += [("proofs", compiled), *_cache_rows()]
    return "\n".join(f"{name:13s} {text}" for name, text in rows)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _layers() -> list[str]:
    """Return Numba's threading layers that were built; TBB and OpenMP may still fail to load."""
    modules = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}
    return [n for n, m in modules.items() if importlib.util.find_spec(f"numba.np.ufunc.{m}")]


def _cache_rows() -> list[tuple[str, str]]:
    folder = cache_folder()
    if folder is None:
        tried = ", ".join(map(str, candidates()))
        return [("cache", f"none: cannot write to {tried}; set STIELTJES_CACHE to a folder")]
    found = entries()
    total = sum(e.size for e in found) / 2**20
    names = ("llvm", "numba", "source")
    kinds = ", ".join(f"{sum(e.kind == k for e in found)} {k}" for k in names)
    return [("cache", f"{folder}: {len(found)} entries ({kinds}), {total:.1f} MiB")]
