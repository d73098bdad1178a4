"""Generated code on disk: one folder per content, first writer wins.

Stage: below ``compiled``. A text is stored in ``<cache>/<key>/`` where the key hashes the text and
everything that changes machine code. Files are written beside their place and linked there, so a
reader sees a whole file or none, and many processes may race. A folder that cannot be written to is
passed over with one line in the log ``stieltjes``; then the next candidate is used, and at last
nothing is stored at all.
"""

import hashlib
import importlib.util
import logging
import os
import platform
import sys
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import llvmlite.binding as llvm

GENERATOR_VERSION = "2"
_LOG = logging.getLogger("stieltjes")
_DIGEST = 32


def candidates() -> list[Path]:
    """Return the folders that are tried, in order.

    ``STIELTJES_CACHE``, the user's cache, a private folder among the temporary files.
    """
    named = [Path(os.environ["STIELTJES_CACHE"])] if os.environ.get("STIELTJES_CACHE") else []
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    user = getattr(os, "getuid", lambda: 0)()
    temporary = Path(tempfile.gettempdir()) / f"stieltjes-{user}"
    return [*named, home / "stieltjes", temporary]


def cache_folder() -> Path | None:
    """Return the first candidate that can be written to and is ours, or None."""
    refused: list[str] = []
    for folder in candidates():
        problem = _problem(folder)
        if problem is None:
            if refused:
                _say(f"cache folder {'; '.join(refused)}; using {folder}")
            return folder
        refused.append(f"{folder}: {problem}")
    _say(f"no cache folder can be used ({'; '.join(refused)}); compiling anew in each process")
    return None


def _problem(folder: Path) -> str | None:
    """Return why a folder cannot be used, or None."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"stieltjes")
    except OSError as error:
        return error.strerror or type(error).__name__
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        return "belongs to another user"
    return None


@cache
def _say(message: str) -> None:
    """Log a message once per process."""
    _LOG.warning("%s", message)


@cache
def _machine() -> str:
    """Return what compiles and what the code is for."""
    parts = [GENERATOR_VERSION, platform.machine(), platform.python_version()]
    parts += [_version(p) for p in ("numba", "llvmlite", "numba-cuda")]
    parts.append(llvm.get_host_cpu_name())
    return "\0".join([*parts, llvm.get_host_cpu_features().flatten()])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def content_key(source: str) -> str:
    """Return the key of a source text: twenty hexadecimal digits, of it and what compiles it."""
    return hashlib.sha256(f"{source}\0{_machine()}".encode()).hexdigest()[:20]


def read_bytes(key: str, name: str) -> bytes | None:
    """Return the content of a file stored under a key, or None if it is missing or damaged."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        data = (folder / key / name).read_bytes()
    except OSError:
        return None
    digest, content = data[:_DIGEST], data[_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


def write_bytes(key: str, name: str, content: bytes) -> None:
    """Store a file under a key, with a digest; a full disk costs the speed of the next start."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        put(folder / key / name, hashlib.sha256(content).digest() + content)
    except OSError as error:
        _say(f"nothing stored in {folder}: {error.strerror}")


def put(path: Path, content: bytes) -> None:
    """Create a file with this content; a file that has it stays, a damaged one is replaced.

    Raises:
        OSError: if the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_bytes() == content:
        return
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.utime(temporary, (0, 0))  # Numba compares times of source files
        _link(temporary, path, content)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _link(temporary: str, path: Path, content: bytes) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        if path.read_bytes() != content:
            os.replace(temporary, path)
    except OSError:  # no hard links on this file system
        os.replace(temporary, path)


def load(source: str) -> ModuleType:
    """Store a generated Python source under its key and import it.

    Numba's own cache lies beside it, so a second process starts warm. Where nothing can be stored,
    the source is compiled in memory.
    """
    key = content_key(source)
    name = f"stieltjes_kernel_{key}"
    if name in sys.modules:
        return sys.modules[name]
    folder = cache_folder()
    if folder is not None:
        try:
            put(folder / key / "kernel.py", source.encode())
            return _import(name, folder / key / "kernel.py")
        except OSError as error:
            _say(f"nothing stored in {folder}: {error.strerror}")
    return _in_memory(name, source)


def _import(name: str, path: Path) -> ModuleType:
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


def _in_memory(name: str, source: str) -> ModuleType:
    module = ModuleType(name)
    text = source.replace("cache=True", "cache=False")
    exec(compile(text, f"<{name}>", "exec"), module.__dict__)  # our own printed code
    sys.modules[name] = module
    return module
