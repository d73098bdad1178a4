"""The README: its session runs with the output shown, its commands exist, its names are right."""

import doctest
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from numeric.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def blocks(language):
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    """Every command line of the README that calls ``derive``, in blocks or between backticks."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    lines += [" ".join(text.split()) for text in re.findall(r"`(derive [^`]+)`", prose)]
    return [re.sub(r".*(uv run |^)(?=derive )", "", line) for line in lines if "derive " in line]


def test_python_session_runs_and_prints_what_is_shown():
    text = "\n".join(block for block in blocks("python") if ">>>" in block)
    assert text.count(">>>") > 5
    session = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(session, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_the_two_set_up_commands_stand_alone_in_blocks():
    shown = [block.strip() for block in blocks("sh")]
    assert shown[:2] == [
        "python3 -m pip install -q uv && uv run derive demo",
        "python3 -m pip install -q uv && uv run pytest",
    ]


def test_the_command_is_installed_by_the_project():
    assert PROJECT["scripts"]["derive"] == "numeric.cli:main"
    assert PROJECT["name"] == README.splitlines()[0].removeprefix("# ")
    assert f"Licence: {PROJECT['license']}." in README


def test_python_version_of_the_readme_is_the_required_one():
    required = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {required} or newer" in README


@pytest.mark.parametrize("line", commands())
def test_command_lines_of_the_readme_parse(line):
    program, name, *words = shlex.split(line)
    assert program == "derive"
    command = main.commands[name]
    context = command.make_context(name, words)
    assert isinstance(context, click.Context)


def test_command_lines_are_found():
    assert {shlex.split(line)[1] for line in commands()} >= {"demo", "curve", "activation"}


def test_the_tests_of_continuous_integration_are_those_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    assert "uv run pytest" in script
