"""What compiling a Program comes to, stored: a second process starts without deriving anything.

Stage: between Programs and machine code. A ``Prepared`` holds the generated source, how it was
chosen, and the constants as doubles. It is stored under the hash of everything it follows from: the
canonical text of the Program (``derive.canonical``), what was asked for, our own code and SymPy. A
Program without such a text is prepared anew; so is each where our source files are not to be read.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import sympy

from derive.canonical import canonical_text
from derive.printing.lane_phases import Asked
from derive.program import Program
from numeric.cache import content_key, read_bytes, write_bytes

_NAME = "prepared.json"


@dataclass(frozen=True)
class Prepared:
    """All that machine code is made from.

    Attributes:
        method: of ``numeric.compiled.METHODS``.
        reason: why this method.
        source: the generated text.
        constants: the constants of the program, in hexadecimal digits, exactly.
    """

    method: str
    reason: str
    source: str
    constants: tuple[str, ...]


def prepared(program: Program, asked: Asked, method: str, make: Callable[[], Prepared]) -> Prepared:
    """Return what is stored for a program, or make and store it."""
    text, code = program.face, own_code()
    if not (text and code):
        return make()
    wanted = canonical_text(asked, method, sympy.__version__, code)
    key = content_key(f"{text}\0{wanted}")
    stored = read_bytes(key, _NAME)
    if stored is not None:
        found = json.loads(stored)
        return Prepared(**{**found, "constants": tuple(found["constants"])})
    made = make()
    write_bytes(key, _NAME, json.dumps(asdict(made)).encode())
    return made


@cache
def own_code() -> str:
    """Return the hash of the source files of both packages, empty where there are none.

    Whatever changes in them changes it, so that no version finds what another one stored.
    """
    total, files = hashlib.sha256(), 0
    for package in ("derive", "numeric"):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(folder).rglob("*.py")):
                total.update(f"{path.relative_to(folder)}\0".encode())
                total.update(path.read_bytes())
                files += 1
    return total.hexdigest() if files else ""
