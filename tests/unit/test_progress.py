"""The progress bar: silent unless somebody watches, gone when interrupted."""

import io

import pytest

from numeric.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(stream, **options):
    with progress(3, "toy draws", stream=stream, **options) as advance:
        for _ in range(3):
            advance(1)
    return stream.getvalue()


def test_nothing_is_written_where_nobody_watches():
    assert work(io.StringIO()) == ""


def test_short_work_is_silent_on_a_terminal():
    assert work(Terminal()) == ""


def test_bar_can_be_forced_and_silenced():
    assert "toy draws" in work(io.StringIO(), show=True)
    assert work(Terminal(), show=False) == ""


def test_interrupted_bar_is_closed_and_the_interruption_goes_on():
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), progress(3, "toy", show=True, stream=stream):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\r")
