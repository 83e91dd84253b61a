"""The report of a main job and the line of progress."""

from __future__ import annotations

import io
import json
import math
import os

import numpy as np
import pytest

from reference.experiment import progress
from reference.experiment.progress import ProgressLine
from reference.experiment.report import markdown, world_line, write_report

REPORT = {
    "preset": "quick", "seed": 4, "subjects": 6000, "world": "World: a test.",
    "machine": {"processor": "a processor", "threads": 2, "torch": "2.4.0"},
    "warnings": ["the run ended on the plateau"],
    "seconds": {"cohort": 12.34, "mdm": 100.0}, "mdm": {"val_ncc": 0.9123},
    "phenotypes": {"mdm": {"LV": 0.1234, "RV": np.float64(0.5)},
                   "mdm+mmcl": {"LV": math.nan, "RV": -0.02}},
    "risk": {"mdm": {"CAD": 0.71, "AF": math.nan}, "mdm+mmcl": {"CAD": 0.75, "AF": 0.6}},
    "retrieval": {"top1": 0.05, "top5": 0.2, "median_rank": 31.5, "candidates": 256},
    "retrieval_cmr_to_ecg": {"top1": 0.06, "top5": 0.25, "median_rank": 30, "candidates": 256},
    "gain": {"mdm+mmcl minus mdm": {"value": 0.021, "low": -0.004, "high": 0.05}},
    "curves": {"mdm": {"scores": [(1, np.float32(0.5)), (2, math.inf)]}},
}


# --- report.json and report.md


def test_write_report(tmp_path):
    write_report(tmp_path, REPORT)
    assert sorted(os.listdir(tmp_path)) == ["report.json", "report.md"]
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text and "Infinity" not in text and text.endswith("}\n")
    got = json.loads(text)
    assert set(got) == set(REPORT)
    assert got["phenotypes"] == {"mdm": {"LV": 0.1234, "RV": 0.5},
                                 "mdm+mmcl": {"LV": None, "RV": -0.02}}
    assert got["risk"]["mdm"] == {"CAD": 0.71, "AF": None}
    assert got["curves"]["mdm"]["scores"] == [[1, 0.5], [2, None]]
    assert got["seconds"] == {"cohort": 12.34, "mdm": 100.0} and got["seed"] == 4
    assert got["retrieval"] == REPORT["retrieval"] and got["warnings"] == REPORT["warnings"]
    assert (tmp_path / "report.md").read_text() == markdown(REPORT).rstrip() + "\n"


def test_markdown():
    lines = markdown(REPORT).splitlines()
    assert lines[0] == "World: a test."
    for wanted in (
            "**Warning** the run ended on the plateau",
            "Preset `quick`, seed 4, 6000 subjects, 112 s on a processor, 2 threads, torch 2.4.0.",
            "| arm | LV | RV | |", "| mdm | 0.123 | 0.500 | stage 1, linear probe |",
            "| mdm+mmcl | - | -0.020 | the method, probe |",
            "| arm | CAD | AF |", "| mdm | 0.710 | - |", "| mdm+mmcl | 0.750 | 0.600 |",
            "Retrieval among 256 test subjects (chance: top-1 0.4%, top-5 2.0%, median rank "
            "128.5):",
            "| ECG -> CMR, mdm+mmcl | 5.0% | 20.0% | 31.5 |",
            "| CMR -> ECG, mdm+mmcl | 6.0% | 25.0% | 30 |",
            "Masked reconstruction (80 % hidden): NCC 0.912 on validation subjects.",
            "| stage | seconds |", "| cohort | 12.3 |", "| mdm | 100.0 |"):
        assert wanted in lines, wanted
    assert not any("mmcl |" in line and "ECG -> CMR, mmcl" in line for line in lines)
    gain = next(line for line in lines if line.startswith("R2 of mdm+mmcl minus mdm"))
    assert "+0.021 (95 % interval -0.004 to +0.050" in gain
    tables = [line for line in lines if line.startswith("|")]
    for head, rule in zip(tables, tables[1:]):
        if rule.startswith("|---"):
            assert head.count("|") == rule.count("|")


def test_markdown_of_what_was_reached():
    part = {key: REPORT[key] for key in ("preset", "seed", "world", "seconds")}
    machine = {**REPORT["machine"], "accelerator": "a card"}
    text = markdown({**part, "machine": machine, "interrupted": True})
    assert "**Interrupted**" in text and "on a card, 2 threads" in text and "? subjects" in text
    assert "R2" not in text and "Retrieval" not in text and "NCC" not in text
    assert "**Interrupted**" not in markdown({**part, "machine": machine})
    assert "NCC -" in markdown({**REPORT, "mdm": {"val_ncc": None}})


@pytest.mark.parametrize("generator, words", [
    (None, "given cohort"), ({}, "given cohort"),
    ({"ecg_noise": 1.0, "coupling": 1.0}, "synthetic, realistic (ecg_noise 1, where 1 is"),
    ({"seed": 3}, "synthetic, realistic (ecg_noise 1"),
    ({"ecg_noise": 0.5, "coupling": 1.0}, "clearer than realistic (ecg_noise 0.5"),
    ({"ecg_noise": 0.5, "coupling": 0.3}, "altered (ecg_noise 0.5, where 1 is realistic; "
     "coupling 0.3"),
    ({"ecg_noise": 2.0, "coupling": 1.0}, "altered (ecg_noise 2"),
    ({"ecg_noise": 1.0, "coupling": 0.0}, "altered (ecg_noise 1")])
def test_world_line(generator, words):
    line = world_line(generator)
    assert line.startswith("World: ") and words in line and "\n" not in line
    assert "chosen" not in line


def test_world_line_says_that_subjects_were_chosen():
    assert "each diagnosis reaches 20%" in world_line({"ecg_noise": 0.5, "enrich": 0.2})


def test_a_failed_write_leaves_the_old_report(tmp_path, monkeypatch):
    write_report(tmp_path, REPORT)
    before = {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)}
    with pytest.raises(TypeError):
        write_report(tmp_path, {**REPORT, "seed": object()})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, {**REPORT, "seed": 5})
    assert {name: (tmp_path / name).read_text() for name in before} == before


# --- the line of progress


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
