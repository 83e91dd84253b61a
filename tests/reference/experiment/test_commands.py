"""What the commands refuse, and what they do where the generator, a pair or pictures are missing.

The ways that work are walked by test_end_to_end.py.
"""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import data_synth
from reference.__main__ import parser
from reference.experiment import commands, figures
from reference.presets import PRESETS


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    directory = tmp_path_factory.mktemp("commands") / "cohort"
    data_synth.write_cohort(directory, range(2), 5, ecg_noise=.5)
    return directory


def options(*words):
    return parser().parse_args([str(word) for word in words])


# ---- the generated cohort ------------------------------------------------------------------------

@pytest.mark.parametrize("status, error, message", [
    (130, KeyboardInterrupt, "^$"), (-2, KeyboardInterrupt, "^$"), 
    (1, ValueError, "exit status 1")])
def test_an_ended_generator_ends_the_job(monkeypatch, tmp_path, status, error, message):
    asked = []

    def generator(command, **more):
        asked.append(command)
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(subprocess, "run", generator)
    with pytest.raises(error, match=message):
        commands._generated(options("run", "--seed", 3), PRESETS["smoke"], tmp_path / "cohort")
    words = asked[0]
    assert words[:3] == [sys.executable, "-m", "data_synth"]
    assert words[words.index("--seed") + 1] == "3"
    assert words[words.index("--subjects") + 1] == str(PRESETS["smoke"].subjects)


@pytest.mark.parametrize("name, value", [("subjects", 3), ("seed", 4), ("ecg-noise", 1)])
def test_a_finished_cohort_is_taken_only_as_asked(cohort, name, value):
    words = {"subjects": 2, "seed": 5, "ecg-noise": .5}

    def found():
        return commands._generated(options("run", *(word for key, number in words.items()
                                                    for word in (f"--{key}", number))),
                                   PRESETS["smoke"], cohort)

    assert found() == cohort
    words[name] = value
    with pytest.raises(ValueError, match=r"= \(2, 5, 0.5\), but this.*choose another --out"):
        found()


# ---- runs that do not fit ------------------------------------------------------------------------

@pytest.mark.parametrize("words, message", [
    (("mdm", "--from", "R"), "stage mdm starts from random weights"),
    (("supervised", "--from", "R"), "stage supervised starts from random weights"),
    (("finetune",), "stage finetune needs --from RUN")])
def test_train_refuses_a_wrong_start(words, message):
    asked = options("train", words[0], "--cohort", "C", "--out", "O", *words[1:])
    with pytest.raises(ValueError, match=message):
        commands.train(asked)


def test_train_refuses_a_source_of_another_shape(monkeypatch, tmp_path):
    made = SimpleNamespace(input_size=(1, 12, 7), patch_size=(1, 7), dim=5)
    monkeypatch.setattr(commands, "load_run", lambda path, stages: (None, "mdm", made))
    monkeypatch.setattr(commands, "_shape", lambda name: ((1, 12, 250), (1, 25), 64))
    asked = options("train", "finetune", "--cohort", "C", "--out", tmp_path / "O", "--from", "R")
    with pytest.raises(ValueError, match=r"R has .*\(1, 12, 7\).*needs .*\(1, 12, 250\)"):
        commands.train(asked)
    assert not (tmp_path / "O").exists()


def test_maps_need_a_pair(monkeypatch):
    monkeypatch.setattr(commands, "load_run", lambda path, stages: (object(), "mdm", None))
    asked = options("localise", "--run", "R", "--cohort", "C", "--subject", 1, "--out", "O")
    with pytest.raises(ValueError, match="R is a run of stage mdm; a run of mmcl is needed"):
        commands.localise(asked)


def test_maps_of_an_unknown_subject(monkeypatch, tmp_path, cohort):
    monkeypatch.setattr(commands, "_loaded", lambda *words, **more: (None, None))
    asked = options("localise", "--run", "R", "--cohort", cohort, "--subject", 999_999,
                    "--out", tmp_path / "O")
    with pytest.raises(ValueError, match="subject 999999 is not in the cohort of"):
        commands.localise(asked)
    assert not (tmp_path / "O.npz").exists()


# ---- one record ----------------------------------------------------------------------------------

def record(monkeypatch, seconds, model):
    made = SimpleNamespace(window=1000, rate_hz=100)
    monkeypatch.setattr(commands, "read_record", lambda path, rate: SimpleNamespace(
        ecg=np.zeros((12, round(500 * seconds)), np.float32), sampling_rate=500.0))
    monkeypatch.setattr(commands, "load_run", lambda path, stages: (model, "mmcl", made))


def test_reconstruct_needs_an_autoencoder(monkeypatch):
    record(monkeypatch, 10, object())
    with pytest.raises(ValueError, match="R is a run of stage mmcl; a run of mdm is needed"):
        commands.reconstruct(options("reconstruct", "x.npz", "--run", "R"))


@pytest.mark.parametrize("start, message", [
    (0, r"9\.00 s, but 10\.00 s are needed from --start 0"),
    (2, r"9\.00 s, but 12\.00 s are needed from --start 2"),
    (-1, r"9\.00 s, but 9\.00 s are needed from --start -1")])
def test_reconstruct_needs_a_whole_window(monkeypatch, start, message):
    monkeypatch.setattr(commands, "MaskedAutoencoder", SimpleNamespace)
    record(monkeypatch, 9, SimpleNamespace())
    with pytest.raises(ValueError, match=message):
        commands.reconstruct(options("reconstruct", "x.npz", "--run", "R",
                                     f"--start={start}"))


@pytest.mark.parametrize("out", [None, "picture.png"])
def test_reconstruct_without_matplotlib(monkeypatch, capsys, out):
    """The numbers are printed; only an asked-for picture is an error."""
    monkeypatch.setattr(commands, "MaskedAutoencoder", SimpleNamespace)
    record(monkeypatch, 10, SimpleNamespace())
    monkeypatch.setattr(commands, "clean_record",
                        lambda ecg, rate, to: np.zeros((12, 1000), np.float32))
    monkeypatch.setattr(commands, "reconstruct_window", lambda *words: (
        np.zeros((12, 1000)), np.eye(12, 10, dtype=bool), np.linspace(.1, .3, 12)))
    monkeypatch.setattr(figures, "available", lambda: False)
    words = ("reconstruct", "x.npz", "--run", "R", *(("--out", out) if out else ()))
    if out:
        with pytest.raises(ModuleNotFoundError, match="matplotlib"):
            commands.reconstruct(options(*words))
    else:
        assert commands.reconstruct(options(*words)) == 0
    printed = capsys.readouterr().out
    assert "mean NCC 0.200, 10 of 120 patches hidden, 10 s at 100 Hz" in printed
    assert "picture" not in printed


def test_no_pictures_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "available", lambda: False)
    commands._draw(tmp_path, None, {}, {}, {})
    assert not list(tmp_path.iterdir())
