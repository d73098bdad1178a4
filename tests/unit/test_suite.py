"""Rules about the code itself: what tests and modules may look like."""

import ast
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SOURCES = sorted(p for package in ("derive", "numeric") for p in (ROOT / package).rglob("*.py"))
DERIVE = [p for p in SOURCES if "derive" in p.relative_to(ROOT).parts[:1]]

SKIPS = {
    "test_report.py": "no LaTeX on the machine",
    "test_proof_points.py": "FLINT's library is not beside python-flint",
    "test_bench_kernels.py": "the peer is not installed",
    "cuda_cases.py": "numba-cuda or a CUDA device is not there",
    "test_digits.py": "scikit-learn, which ships the images, is not installed",
    "test_lanes.py": "instructions of another processor, or no C compiler",
}
WRITERS = {
    "numeric/report.py": "results",
    "numeric/cache.py": "generated code",
    "numeric/c_oracle.py": "input of the C compiler, in a temporary folder",
}
TEXT_ATTRIBUTES = {"output", "stdout", "stderr"}
TEXT_CALLS = {"table", "join", "repr", "str"}
WRITING = {
    "write_text",
    "mkstemp",
    "fdopen",
    "NamedTemporaryFile",
    "savetxt",
    "savez",
}
FORBIDDEN_NAMES = {"utils", "util", "misc", "base", "core", "common", "helpers"}
SKIP_WORDS = {"skip", "skipif", "xfail", "importorskip"}
UNSEEDED = {"default_rng()", "np.random.default_rng()", "random.random()", "random.Random()"}
GLOBAL_STATE = ("np.random.normal", "np.random.rand", "np.random.seed")
MACHINE = {"numpy", "scipy", "numba", "llvmlite", "matplotlib", "numeric"}
FLOATS = {"float", "Array", "NDArray[np.float64]"}
MODULES = {p.stem for p in SOURCES}
LONGEST_FILE = 500
LONGEST_BODY = 60


@cache
def parsed(path):
    return ast.parse(path.read_text())


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def functions(tree):
    """Every function with whether it is public: no underscore in its name or in its classes."""
    found = []

    def visit(node, public):
        for child in ast.iter_child_nodes(node):
            shown = public and not getattr(child, "name", "").startswith("_")
            found.extend([(child, shown)] * isinstance(child, ast.FunctionDef))
            visit(child, shown and isinstance(child, ast.ClassDef))

    visit(tree, True)
    return found


@cache
def nodes(path, kind):
    return [node for node in ast.walk(parsed(path)) if isinstance(node, kind)]


def is_text(node):
    """Whether an assertion message is certainly text."""
    return (
        isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        or (isinstance(node, ast.Name) and node.id == "name")
        or (isinstance(node, ast.Attribute) and node.attr in TEXT_ATTRIBUTES)
        or (isinstance(node, ast.BinOp) and is_text(node.left) and is_text(node.right))
        or (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in TEXT_CALLS)
    )


def writes(path):
    """Calls that open a file for writing."""
    found = []
    for call in nodes(path, ast.Call):
        called = ast.unparse(call.func).split(".")[-1]
        mode = [
            a.value
            for a in [*call.args, *(k.value for k in call.keywords)]
            if isinstance(a, ast.Constant) and isinstance(a.value, str)
        ]
        opened = called == "open" and any(set(m) & set("wax+") and len(m) <= 3 for m in mode)
        found.extend([ast.unparse(call)] * (called in WRITING or opened))
    return found


def imported(path):
    """Top-level names of what a module imports."""
    plain = [alias.name for node in nodes(path, ast.Import) for alias in node.names]
    plain += [node.module or "" for node in nodes(path, ast.ImportFrom)]
    return {name.partition(".")[0] for name in plain}


def offenders(paths, rule):
    """What a rule finds, by file."""
    found = {name_of(path): rule(path) for path in paths}
    return {name: items for name, items in found.items() if items}


def test_assertion_messages_are_strings():
    def rule(path):
        asserts = [a for a in nodes(path, ast.Assert) if a.msg is not None]
        return [ast.unparse(a) for a in asserts if not is_text(a.msg)]

    assert not offenders(TESTS, rule)


def test_an_assertion_whose_message_is_a_condition_would_be_found():
    assert not is_text(ast.parse("assert omega, Rational(2 == 7)").body[0].msg)
    assert not is_text(ast.parse("assert x, y == 2").body[0].msg)


def test_tests_hold_no_if():
    def rule(path):
        tests = [f for f in nodes(path, ast.FunctionDef) if f.name.startswith("test_")]
        return [f.name for f in tests for node in ast.walk(f) if isinstance(node, ast.If)]

    assert not offenders(TESTS, rule)


def test_every_skip_has_a_listed_reason():
    def rule(path):
        return [n.lineno for n in nodes(path, ast.Attribute) if n.attr in SKIP_WORDS]

    assert {Path(name).name for name in offenders(TESTS, rule)} <= set(SKIPS)


def test_tests_draw_with_seeds_only():
    def rule(path):
        calls = [ast.unparse(call) for call in nodes(path, ast.Call)]
        return [c for c in calls if c in UNSEEDED or c.startswith(GLOBAL_STATE)]

    assert not offenders(TESTS, rule)


def test_public_functions_that_return_floats_state_their_accuracy():
    def rule(path):
        return [
            f.name
            for f, public in functions(parsed(path))
            if public and f.returns is not None and ast.unparse(f.returns) in FLOATS
            if "Accuracy:" not in (ast.get_docstring(f) or "")
        ]

    assert not offenders(SOURCES, rule)


def test_derive_never_imports_machine_numbers():
    assert not offenders(DERIVE, lambda path: imported(path) & MACHINE)


def test_no_text_is_ever_evaluated_by_sympy():
    def rule(path):
        calls = nodes(path, ast.Call)
        called = [ast.unparse(call.func).split(".")[-1] for call in calls]
        evaluated = [name for name in called if name in {"eval", "parse_expr", "parse_latex"}]
        return evaluated + [
            ast.unparse(call)
            for call in calls
            if ast.unparse(call.func) in {"sympify", "sympy.sympify", "S", "sympy.S"}
            and not any(ast.unparse(k) == "strict=True" for k in call.keywords)
        ]

    assert not offenders(SOURCES, rule)


def test_gaussian_means_never_use_symbolic_integration():
    def rule(path):
        called = {ast.unparse(call.func) for call in nodes(path, ast.Call)}
        return called & {"integrate", "sympy.integrate"}

    assert not offenders(SOURCES, rule)


def test_only_listed_modules_open_files_for_writing():
    assert set(offenders(SOURCES, writes)) <= set(WRITERS)


def test_writing_would_be_found(tmp_path):
    sample = tmp_path / "sample.py"
    sample.write_text(
        "open('a', 'w')\nPath('b').write_text('c')\nopen('d').read()\nopen(e, 'rb')\n"
    )
    assert len(writes(sample)) == 2
    assert writes(ROOT / "numeric" / "report.py")


def test_modules_are_named_for_what_they_are_and_say_what_they_are_for():
    assert not {path.stem for path in SOURCES} & FORBIDDEN_NAMES
    assert not [name_of(path) for path in SOURCES if not ast.get_docstring(parsed(path))]


def test_files_and_functions_stay_short():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in (*SOURCES, *TESTS)}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}

    def rule(path):
        return [f.name for f, _ in functions(parsed(path)) if body_length(f) > LONGEST_BODY]

    assert not offenders(SOURCES, rule)


def body_length(function):
    """Lines of a function without its docstring."""
    first = function.body[ast.get_docstring(function) is not None :] or function.body
    return function.end_lineno - first[0].lineno + 1


def test_every_error_of_the_tree_is_drawn_at_its_top():
    path = ROOT / "derive" / "errors.py"
    drawn = ast.get_docstring(parsed(path))
    missing = [c.name for c in nodes(path, ast.ClassDef) if c.name not in drawn]
    assert not missing


def test_front_doors_only_pass_names_on():
    for package in ("derive", "derive/theory", "numeric"):
        _, *body, last = parsed(ROOT / package / "__init__.py").body
        (seen,) = (n for n in body if isinstance(n, ast.If))
        assert {type(n) for n in body} == {ast.ImportFrom, ast.If, ast.Assign}
        assert ast.unparse(seen.test) == "TYPE_CHECKING"
        assert not seen.orelse
        assert {type(n) for n in seen.body} == {ast.ImportFrom}
        assert ast.unparse(last) == "on_first_use(__name__, _HOMES)"
        homes, listed = (ast.literal_eval(n.value) for n in body if isinstance(n, ast.Assign))
        passed = {a.asname: n.module for n in seen.body for a in n.names}
        assert homes == passed
        assert listed == sorted(passed)


def test_no_module_imports_from_a_front_door():
    for path in SOURCES:
        doors = [n for n in nodes(path, ast.ImportFrom) if n.module in {"derive", "numeric"}]
        names = {alias.name for node in doors for alias in node.names}
        assert names <= MODULES, f"{name_of(path)} imports {names - MODULES} from a front door"


def test_dependencies_have_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(">=" in requirement for requirement in project["dependencies"])
