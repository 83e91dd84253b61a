"""The command line: every command explains itself, every bad value is refused with one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reference.__main__ import main
from tests.support.helpers import ROOT

COMMANDS = ("run", "train", "probe", "embed", "localise", "reconstruct", "check", "import",
            "verify")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_the_command(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"python -m reference {name}" in text and len(text) > 250


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n    {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("arguments, wanted", [
    ([], "required"),
    (["fly"], "fly"),
    (["run", "--preset", "huge"], "huge"),
    (["run", "--seed", "-1"], "-1"),
    (["run", "--seed", "1.5"], "1.5"),
    (["run", "--workers", "0"], "0"),
    (["run", "--subjects", "none"], "none"),
    (["run", "--ecg-noise", "loud"], "loud"),
    (["train", "mdm"], "--cohort"),
    (["train", "dance", "--cohort", "x", "--out", "y"], "dance"),
    (["probe", "--run", "x"], "--cohort"),
    (["localise", "--cohort", "x", "--run", "y", "--out", "z", "--subject", "-3"], "-3"),
])
def test_bad_arguments_exit_2_with_one_line(arguments, wanted, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    assert len(errors.strip().splitlines()) == 1 and wanted in errors


@pytest.mark.parametrize("arguments, wanted", [
    (["run", "--device", "warp", "--out", "{tmp}/o"], "warp"),
    (["run", "--cohort", "{tmp}/none", "--out", "{tmp}/o", "--preset", "smoke"], "none"),
    (["run", "--cohort", "{tmp}/none", "--subjects", "5", "--out", "{tmp}/o"], "--cohort"),
    (["train", "mdm", "--cohort", "{tmp}/none", "--out", "{tmp}/o"], "none"),
    (["train", "finetune", "--cohort", "{tmp}/none", "--out", "{tmp}/o"], "--from"),
    (["train", "mdm", "--cohort", "{tmp}", "--out", "{tmp}/o", "--from", "{tmp}"], "--from"),
    (["probe", "--cohort", "{tmp}/none", "--run", "{tmp}"], "no checkpoint"),
    (["reconstruct", "{tmp}/none.npz", "--run", "{tmp}"], "none.npz"),
    (["import", "--ecg", "{tmp}/a.npy", "--cmr", "{tmp}/b.npy", "--out", "{tmp}/c"], "a.npy"),
])
def test_bad_input_exits_2_with_one_line(arguments, wanted, capsys, tmp_path):
    assert main([a.format(tmp=tmp_path) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1 and wanted in captured.err


def test_refusals_come_without_loading_torch():
    code = ("import sys; from reference.__main__ import parser; parser(); "
            "sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
