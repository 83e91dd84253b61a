"""What the commands share: errors of one line, progress, files that say what made them."""

from __future__ import annotations

import io
import os

import pytest

from data_synth.command import Parser, Progress, write_results


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


def test_add_report_takes_files_in_directories_that_exist(tmp_path, capsys):
    parser = Parser(prog="a b")
    parser.add_report(7)
    options = parser.parse_args(["--out", str(tmp_path / "a.md"), "--json", "b.json"])
    assert vars(options) == {"subjects": 7, "seed": 0, "out": str(tmp_path / "a.md"),
                             "json": "b.json"}
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--out", str(tmp_path / "none" / "a.md")])
    assert stop.value.code == 2
    assert f"{tmp_path / 'none'} is no directory" in capsys.readouterr().err


def test_write_results_begins_with_the_command(tmp_path):
    write_results(str(tmp_path / "a.md"), ["report", "--out", "my file.md"], "one\ntwo\n")
    assert (tmp_path / "a.md").read_text() == (
        "python -m data_synth report --out 'my file.md'\n\none\ntwo\n")
    assert os.listdir(tmp_path) == ["a.md"]
