"""The lanes as C text: an oracle for speed and values in benchmarks and tests, nothing else.

Stage: a ``LaneProgram`` in, C99 text out; ``build`` calls the system's compiler. The evaluators
never use it.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sympy import Symbol

from derive.codegen import CPrinter
from derive.errors import NotSupportedError
from derive.printing.lane_phases import LOOSER, LaneProgram, Phase
from numeric.lanes import PhaseText, lane_names, solver_numbers

COMPILER_FLAGS = (
    *("-O3", "-march=native", "-std=c99", "-fPIC", "-shared", "-fopenmp", "-fno-math-errno"),
    *("-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
    "-ffp-contract=fast",
)
"""What gcc may do; the same liberties as the other targets, and NaN stays NaN."""

_TEMPLATE = """/* Generated from the program {name}; do not edit. */
#include <math.h>
#include <omp.h>
#define UNIT {unit!r}
#define W {width}
typedef long long index_t;

static double tolerance_of(int turn, int step) {{
    if (turn > 0) return {again};
    {tolerances}
    return {last};
}}

static void careful(const double *restrict inputs, const double *restrict constants,
                    double *restrict out, index_t size, const index_t *restrict pending) {{
    double s[{scratch}] __attribute__((aligned(64)));
{call}
    for (int j = 0; j < {controls}; ++j)
        for (int i = 0; i < W; ++i) s[j * W + i] = inputs[j * size + pending[i]];
{setup}
    for (int step = 0; step < {max_steps}; ++step) {{
        double left = 0.0;
{tower}
        if (left == 0.0) break;
    }}
{between}
    for (int turn = 0; turn < {rounds}; ++turn) {{
        double left = 0.0;
        for (int step = 0; step < (turn ? {again_steps} : {polish_steps}); ++step) {{
            const double tolerance = tolerance_of(turn, step);
            left = 0.0;
{polish}
            if (left == 0.0) break;
        }}
        left = 0.0;
{finish}
        if (left == 0.0) break;
    }}
    for (int i = 0; i < W; ++i) {{
{careful_out}
    }}
}}

static void blocks(const double *restrict inputs, const double *restrict constants,
                   double *restrict out, index_t size, index_t first, index_t last) {{
    double s[{scratch}] __attribute__((aligned(64)));
    index_t pending[{both}];
    int held = 0;
{call}
    for (index_t block = first; block < last; ++block) {{
        const index_t base = block * W;
        double left = 0.0;
        for (int j = 0; j < {controls}; ++j)
            for (int i = 0; i < W; ++i) s[j * W + i] = inputs[j * size + base + i];
{begin}
        for (int step = 0; step < {quick_steps}; ++step) {{
            left = 0.0;
{descend}
            if (left == 0.0) break;
        }}
        left = 0.0;
{land}
        for (int i = 0; i < W; ++i) {{
{quick_out}
        }}
        if (left == 0.0) continue;
        for (int i = 0; i < W; ++i)
            if (s[{failed} + i] != 0.0) pending[held++] = base + i;
        if (held >= W) {{
            careful(inputs, constants, out, size, pending);
            held -= W;
            for (int i = 0; i < held; ++i) pending[i] = pending[W + i];
        }}
    }}
    if (held > 0) {{
        for (int i = held; i < W; ++i) pending[i] = pending[0];
        careful(inputs, constants, out, size, pending);
    }}
{report}}}

void run(const double *inputs, const double *constants, double *out,
         index_t size, index_t first, index_t last) {{
    #pragma omp parallel
    {{
        const index_t count = omp_get_num_threads(), me = omp_get_thread_num();
        const index_t all = last - first;
        blocks(inputs, constants, out, size, first + all * me / count,
               first + all * (me + 1) / count);
    }}
}}
"""


_REPORT = """    for (index_t block = first; block < last; ++block) {{
        double s[{scratch}] __attribute__((aligned(64)));
        const index_t base = block * W;
        for (int i = 0; i < W; ++i) {{
{load}
        }}
{phase}
        for (int i = 0; i < W; ++i) {{
{out}
        }}
    }}
"""


def c_source(lanes: LaneProgram, width: int = 32) -> str:
    """Return C text of ``run`` with the arguments of ``numeric.lanes``."""
    names = lane_names(lanes)
    printer = CPrinter(names)
    constants = [s for s, _ in lanes.program.constants]
    call = [f"    const double {names[s]} = constants[{i}];" for i, s in enumerate(constants)]
    call += [f"    const double {names[s]} = {printer.text(e)};" for s, e in lanes.call]
    loops = {}
    for which in (lanes.quick, lanes.careful):
        text = PhaseText(printer, names, lanes.slots(which), width)
        for name, phase in which.phases.items():
            loops[name] = _loop(text, phase, which.flags.get(name))
        loops |= {n: v.replace("\n", ";\n") + ";" for n, v in text.solved(lanes, which).items()}
    loops["report"] = _report(lanes, printer, names, width) if lanes.report else ""
    return _TEMPLATE.format(
        name=lanes.program.name,
        unit=2.0**-53,
        tolerances="\n    ".join(f"if (step < {n}) return {float(t)!r};" for n, t in LOOSER[:-1]),
        last=float(LOOSER[-1][1]),
        call="\n".join(call),
        **loops,
        **solver_numbers(lanes, width),
    )


def _report(lanes: LaneProgram, printer: CPrinter, names: dict[Symbol, str], width: int) -> str:
    assert lanes.report is not None, "asked for"
    text = PhaseText(printer, names, lanes.report_slots(), width)
    copies = [text.loads(lanes), text.outs(lanes.reported, lanes.report.stores)]
    load, out = ("\n".join(f"            {line};" for line in lines) for lines in copies)
    size = width * len(lanes.report_slots())
    return _REPORT.format(scratch=size, load=load, phase=_loop(text, lanes.report, None), out=out)


def _loop(text: PhaseText, phase: Phase, on: Symbol | None) -> str:
    """Write one phase; lanes that are on are counted in a loop of their own, which gcc needs."""
    body = [
        f"            {line};" if line.startswith("s[") else f"            double {line};"
        for line in text.lines(phase, None)
    ]
    head = "        for (int i = 0; i < W; ++i) {"
    count = f"        for (int i = 0; i < W; ++i) left += {text.at(on)};" if on else ""
    return "\n".join([head, *body, "        }", count])


def build(source: str, folder: Path, compiler: str = "gcc") -> Callable[..., None]:
    """Compile C text into ``folder`` and return its ``run`` on contiguous float64 arrays.

    Raises:
        NotSupportedError: if there is no such compiler, or it refuses the text.
    """
    found = shutil.which(compiler)
    if found is None:
        raise NotSupportedError(f"C through {compiler}", "no such program", "install a C compiler")
    text, library = folder / "lanes.c", folder / "lanes.so"
    text.write_text(source, encoding="utf-8")
    command = [found, *COMPILER_FLAGS, str(text), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotSupportedError("compile C", done.stderr.strip()[:200], "report the program")
    function = ctypes.CDLL(str(library)).run
    function.restype = None
    function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_longlong] * 3

    def run(inputs: Any, constants: Any, out: Any, size: int, first: int, last: int) -> None:
        function(inputs.ctypes.data, constants.ctypes.data, out.ctypes.data, size, first, last)

    return run
