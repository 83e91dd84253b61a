"""The command line: `python -m data_synth`."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from data_synth import __main__ as command
from data_synth.command import Progress
from reference import cohort
from tests.support.hearts import COHORT
from tests.support.helpers import ROOT


def run(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "data_synth", *map(str, words)], cwd=ROOT,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **options)


def test_main_writes(tmp_path, capsys, written):
    out = tmp_path / "c"
    status = command.main(["--subjects", str(len(COHORT)), "--first-subject", str(COHORT[0]),
                           "--out", str(out), "--seed", "4"])
    assert status == 0 and cohort.check(out) == []
    assert re.fullmatch(
        rf"wrote {len(COHORT)} subjects to {re.escape(str(out))} in \d+\.\d s, [\d,]+ a minute, "
        r"at most [\d,]+ MiB of memory\n", capsys.readouterr().out)
    assert (out / "ecg.npy").read_bytes() == (written / "ecg.npy").read_bytes()


def test_peak_memory(monkeypatch):
    class Usage:
        RUSAGE_SELF, RUSAGE_CHILDREN = 0, 1

        @staticmethod
        def getrusage(who):
            return type("R", (), {"ru_maxrss": (100, 30)[who] * 2**10})

    monkeypatch.setattr(command, "resource", Usage)
    monkeypatch.setattr(command.sys, "platform", "linux")
    assert command._peak_memory(3) == ", at most 190 MiB of memory"
    assert command._peak_memory(1) == ", at most 100 MiB of memory"
    monkeypatch.setattr(command, "resource", None)
    assert command._peak_memory(3) == ""


def test_main_options(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(command, "write_cohort", lambda *words, **options: seen.update(
        words=words, **options))
    command.main(["--subjects", "2", "--out", "x", "--workers", "3", "--coupling", "0.25",
                  "--ecg-noise", "2", "--label-noise", "0.5", "--ecg-dtype", "float16",
                  "--cmr-dtype", "uint8",
                  "--no-segmentation", "--first-subject", "7", "--seed", "8"])
    assert seen.pop("words") == ("x", [7, 8], 8)
    assert isinstance(seen.pop("progress"), Progress)
    assert seen == {"enrich": 0.0, "workers": 3, "coupling": .25, "ecg_noise": 2.0,
                    "label_noise": .5, "ecg_dtype": "float16", "cmr_dtype": "uint8",
                    "segmentation": False}


@pytest.mark.parametrize("words", [
    ["--subjects", "0"], ["--subjects", "-3"], ["--subjects", "many"], ["--seed", "-1"],
    ["--coupling", "1.5"], ["--coupling", "nan"], ["--ecg-noise", "-1"], ["--label-noise", "-1"],
    ["--workers", "0"],
    ["--ecg-dtype", "int8"], ["--cmr-dtype", "int8"], ["--first-subject", "-1"], ["--unknown"]])
def test_main_refuses_with_one_line(tmp_path, capsys, words):
    with pytest.raises(SystemExit) as caught:
        command.main(["--subjects", "1", "--out", str(tmp_path / "c"), *words])
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and text.startswith("python -m data_synth: ")
    assert not (tmp_path / "c").exists()


def test_main_refuses_a_directory_in_use(written, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--subjects", "1", "--out", str(written)])
    assert caught.value.code == 2
    assert str(written) in capsys.readouterr().err
    assert cohort.check(written) == []


@pytest.mark.parametrize("subjects", [0, -1, 10**7 + 1, 10**30])
def test_main_refuses_a_count_before_counting(tmp_path, capsys, subjects):
    with pytest.raises(SystemExit) as caught:
        command.main(["--subjects", str(subjects), "--out", str(tmp_path / "c")])
    assert caught.value.code == 2
    assert "but should be in 1..10,000,000" in capsys.readouterr().err


def test_main_refuses_other_options_than_those_of_the_unfinished_run(tmp_path, capsys, monkeypatch):
    words = ["--subjects", "2", "--out", str(tmp_path / "c")]
    with monkeypatch.context() as patch:
        patch.setattr("data_synth.writing.simulate_one", interrupt)
        assert command.main(words) == 130
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "interrupted; the same command continues" in line
    with pytest.raises(SystemExit) as caught:
        command.main([*words, "--cmr-dtype", "uint8"])
    line = capsys.readouterr().err
    assert caught.value.code == 2 and line.count("\n") == 1
    assert "cmr is float32 there, but uint8 is asked for" in line
    assert command.main(words) == 0 and cohort.check(tmp_path / "c") == []


def interrupt(*words):
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["under a file", "is a file", "not allowed"])
def test_main_where_nothing_can_be_written(tmp_path, capsys, monkeypatch, place):
    (tmp_path / "file").write_text("mine")
    out = {"under a file": tmp_path / "file" / "c", "is a file": tmp_path / "file",
           "not allowed": tmp_path / "c"}[place]
    if place == "not allowed":
        monkeypatch.setattr("pathlib.Path.mkdir", not_allowed)
    try:
        status = command.main(["--subjects", "1", "--out", str(out)])
    except SystemExit as stop:
        status = stop.code
    line = capsys.readouterr().err
    assert status == (2 if place == "is a file" else 1)
    assert line.count("\n") == 1 and str(out) in line and "continues" not in line
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


def not_allowed(path, **options):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def test_main_full_disk(tmp_path, capsys):
    """A real file system of 3 MB, where one can be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        out = tmp_path / "c"
        assert command.main(["--subjects", "10", "--out", str(out)]) == 1
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and "0.009 GB are needed, but 0.003 GB are free" in line
        assert os.listdir(tmp_path) == []
        assert command.main(["--subjects", "2", "--out", str(out)]) == 0
        assert cohort.check(out) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_main_help(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--subjects", "--out", "--seed", "--workers", "--coupling", "--ecg-noise"):
        assert option in text


def test_main_failure_is_one_line(tmp_path, capsys, monkeypatch):
    for error, status in ((OSError("No space left"), 1), (KeyboardInterrupt(), 130)):
        def stop(*words, error=error, **options):
            raise error
        monkeypatch.setattr(command, "write_cohort", stop)
        assert command.main(["--subjects", "1", "--out", "x"]) == status
        assert capsys.readouterr().err.count("\n") == 1


def test_interrupt_ends_cleanly(tmp_path):
    out = tmp_path / "c"
    process = run("--subjects", 20000, "--out", out, "--workers", 2, "--no-segmentation",
                  "--cmr-dtype", "uint8", "--ecg-dtype", "float16", start_new_session=True)
    deadline = time.monotonic() + 60
    first = process.stderr.readline()
    assert "of 20,000 subjects" in first and time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in text.splitlines() if "subjects, " not in line]
    assert len(lines) == 1 and "interrupted" in lines[0] and str(out) in lines[0]
    assert not (out / "manifest.json").exists()
