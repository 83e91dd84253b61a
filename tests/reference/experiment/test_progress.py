"""reference.experiment.progress: when a line is shown, and what stands in it."""

from __future__ import annotations

import io

import pytest

from reference.experiment import progress
from reference.experiment.progress import ProgressLine


class Terminal(io.StringIO):
    """A stream that says whether it is a terminal and counts its flushes."""

    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal, self.flushes = terminal, 0

    def isatty(self) -> bool:
        return self.terminal

    def flush(self) -> None:
        self.flushes += 1


@pytest.fixture
def clock(monkeypatch):
    """Time that the test sets, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def feed(clock, terminal: bool, steps: int, seconds: float, **options) -> Terminal:
    """A stage whose steps take `seconds` each."""
    stream = Terminal(terminal)
    line = ProgressLine(stream)
    for step in range(1, steps + 1):
        line("mdm", step, steps, 0.25 / step, **options)
        clock[0] += seconds
    return stream


def test_terminal_line_is_rewritten_at_most_once_a_second(clock):
    stream = feed(clock, True, 100, 0.25)
    shown = stream.getvalue().split("\r")[1:]
    assert [int(s.split()[1].split("/")[0]) for s in shown] == [*range(5, 100, 4), 100]
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().endswith("\n")
    assert stream.flushes == len(shown)  # seen at once


def test_slow_steps_are_shown_one_by_one(clock):
    shown = feed(clock, True, 5, 3.0).getvalue().split("\r")[1:]
    assert [s.split()[1] for s in shown] == ["2/5", "3/5", "4/5", "5/5"]


def test_plain_lines_come_every_ten_seconds(clock):
    lines = feed(clock, False, 100, 0.5).getvalue().splitlines()
    assert [int(s.split()[1].split("/")[0]) for s in lines] == [21, 41, 61, 81, 100]
    assert "\r" not in "".join(lines)


def test_line_shows_stage_step_loss_rate_and_time_left(clock):
    first = feed(clock, True, 1000, 0.5).getvalue().split("\r")[1]
    # shown at the third step, one second after the first: two steps a second, 997 to go
    assert first == "mdm          3/1000  loss 0.0833  2.0/s  8:18 left"
    stream = Terminal(True)
    line = ProgressLine(stream)
    line("clean", 1, 3)
    clock[0] += 2
    line("clean", 2, 3)
    assert stream.getvalue() == "\rclean        2/3  0.5/s  0:02 left"


def test_a_shorter_line_covers_the_longer_one_before(clock):
    stream = Terminal(True)
    line = ProgressLine(stream)
    line("a", 1, 4, 1e6)
    clock[0] += 1
    line("a", 2, 4, 1e6)
    clock[0] += 1
    line("a", 3, 4, 1.0)
    first, second = stream.getvalue().split("\r")[1:]
    assert len(second) == len(first) and second.endswith(" ")


def test_stages_do_not_run_into_each_other(clock):
    stream = Terminal(True)
    line = ProgressLine(stream)
    line("a", 1, 4)
    clock[0] += 1
    line("a", 2, 4)  # left unfinished
    line("b", 10, 20)  # the rate of b starts here
    clock[0] += 2
    line("b", 12, 20)
    line.close()
    line.close()
    first, second, rest = stream.getvalue().split("\n")
    assert "2/4" in first and "12/20  1.0/s  0:08 left" in second and rest == ""
    plain = Terminal(False)
    ProgressLine(plain).close()
    assert plain.getvalue() == ""


def test_the_only_step_is_shown_without_a_rate(clock):
    assert feed(clock, True, 1, 1.0).getvalue().endswith("1/1  loss 0.2500  0.0/s  0:00 left\n")


def test_a_finished_line_is_not_ended_twice(clock):
    stream = Terminal(True)
    line = ProgressLine(stream)
    line("a", 4, 4)
    line.close()
    assert stream.getvalue().count("\n") == 1


def test_default_stream_is_stderr(capsys):
    ProgressLine()("mdm", 1, 1)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("mdm")
