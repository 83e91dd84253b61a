"""What the commands share: errors of one line, progress, files that say what made them."""

from __future__ import annotations

import argparse
import io
import os

import pytest

from data_synth.command import Parser, Progress, new_file, write_results


def test_parser_errors_are_one_line(capsys):
    parser = Parser(prog="a b")
    parser.add_argument("--count", type=int)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--count", "many"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "a b: argument --count: invalid int value: 'many' (see --help)\n")


def test_progress_at_most_once_a_second():
    now = [0.0]
    stream = io.StringIO()
    progress = Progress(stream, clock=lambda: now[0])
    for done in range(1, 33):
        now[0] += .125
        progress(done, 32)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4 and lines[-1] == "32 of 32 subjects, 8 a second, 0 s left"
    assert lines[0].startswith("8 of 32 subjects, 8 a second, 3 s")


def test_new_file_needs_a_directory(tmp_path):
    assert new_file(str(tmp_path / "a.md")) == str(tmp_path / "a.md")
    assert new_file("a.md") == "a.md"
    with pytest.raises(argparse.ArgumentTypeError, match="is no directory"):
        new_file(str(tmp_path / "none" / "a.md"))


def test_write_results_begins_with_the_command(tmp_path):
    write_results(str(tmp_path / "a.md"), ["report", "--out", "my file.md"], "one\ntwo\n")
    assert (tmp_path / "a.md").read_text() == (
        "python -m data_synth report --out 'my file.md'\n\none\ntwo\n")
    assert os.listdir(tmp_path) == ["a.md"]
