"""Writing a cohort, and the command line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import data_synth
from data_synth import __main__ as command
from data_synth import writing
from helpers import ROOT, assert_equal
from reference import cohort

COUNT = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("synth") / "cohort"
    data_synth.write_cohort(directory, range(3, 3 + COUNT), 4)
    return directory


def run(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "data_synth", *map(str, words)], cwd=ROOT,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **options)


def test_write_cohort_is_valid_and_equals_simulate(written):
    assert cohort.check(written) == []
    got, want = cohort.load(written), data_synth.simulate(range(3, 3 + COUNT), 4)
    for name in ("ecg", "cmr", "segmentation", "phenotypes", "labels"):
        assert_equal(name, getattr(got, name), getattr(want, name))
    assert_equal("subjects", got.subjects, np.arange(3, 3 + COUNT))
    assert list(got.latents) == list(want.latents)
    for name, column in want.latents.items():
        assert_equal(name, got.latents[name], column)
    assert got.manifest["generator"] == {"name": "data_synth", "version": data_synth.VERSION,
                                         "seed": 4, "coupling": 1.0, "ecg_noise": 1.0,
                                         "enrich": 0.0, "label_noise": 0.0}


def test_write_cohort_does_not_depend_on_workers_or_chunks(written, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK", 2)  # three tasks for two processes
    seen = []
    manifest = data_synth.write_cohort(tmp_path / "c", range(3, 3 + COUNT), 4, workers=2,
                                       progress=lambda done, total: seen.append((done, total)))
    want = json.loads((written / "manifest.json").read_text())
    for file, entry in want["arrays"].items():
        assert_equal(file, manifest["arrays"][file]["sha256"], entry["sha256"])
    assert [total for _, total in seen] == [COUNT] * 3
    assert seen[-1] == (COUNT, COUNT) and sorted(seen) == seen


def test_write_cohort_storage_and_dials(tmp_path):
    data_synth.write_cohort(tmp_path / "c", [9, 2], 1, coupling=.5, ecg_noise=.5, label_noise=1.5,
                            ecg_dtype="float16", cmr_dtype="uint8", segmentation=False)
    got, want = cohort.load(tmp_path / "c"), data_synth.simulate(
        [9, 2], 1, coupling=.5, ecg_noise=.5, label_noise=1.5)
    assert cohort.check(tmp_path / "c") == [] and got.segmentation is None
    assert_equal("ecg", got.ecg, want.ecg.astype(np.float16))
    assert_equal("cmr", got.cmr, np.rint(want.cmr * 255).astype(np.uint8))
    assert got.manifest["generator"]["coupling"] == .5
    assert got.manifest["generator"]["ecg_noise"] == .5
    assert got.manifest["generator"]["label_noise"] == 1.5
    assert_equal("phenotypes", got.phenotypes, want.phenotypes)
    assert not np.array_equal(want.phenotypes[:, 0], want.latents["lvedv"])


@pytest.mark.parametrize("options, error, words", [
    ({"workers": 0}, ValueError, "workers=0"), ({"workers": 1.0}, TypeError, "workers=1.0"),
    ({"workers": 1000}, ValueError, "1..256"), ({"coupling": 2.0}, ValueError, "coupling=2.0"),
    ({"ecg_dtype": "uint8"}, ValueError, "ecg_dtype"), ({"subjects": []}, ValueError, "at least 1"),
    ({"subjects": [1, 1]}, ValueError, "more than once"), ({"seed": -1}, ValueError, "seed=-1")])
def test_write_cohort_refuses_before_any_work(tmp_path, options, error, words):
    options = {"subjects": [1], **options}
    with pytest.raises(error) as caught:
        data_synth.write_cohort(tmp_path / "c", **options)
    assert words in str(caught.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_write_cohort_failure_leaves_no_manifest(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(writing, "CHUNK", 1)

    def fail(done, total):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        data_synth.write_cohort(tmp_path / "c", range(4), workers=workers, progress=fail)
    assert not (tmp_path / "c" / "manifest.json").exists()


# ---- command line --------------------------------------------------------------------------------

def test_main_writes(tmp_path, capsys, written):
    out = tmp_path / "c"
    status = command.main(["--subjects", str(COUNT), "--first-subject", "3", "--out", str(out),
                           "--seed", "4"])
    assert status == 0 and cohort.check(out) == []
    assert capsys.readouterr().out == f"wrote {COUNT} subjects to {out}\n"
    assert (out / "ecg.npy").read_bytes() == (written / "ecg.npy").read_bytes()


def test_main_options(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(command, "write_cohort", lambda *words, **options: seen.update(
        words=words, **options))
    command.main(["--subjects", "2", "--out", "x", "--workers", "3", "--coupling", "0.25",
                  "--ecg-noise", "2", "--label-noise", "0.5", "--ecg-dtype", "float16",
                  "--cmr-dtype", "uint8",
                  "--no-segmentation", "--first-subject", "7", "--seed", "8"])
    assert seen.pop("words") == ("x", [7, 8], 8)
    assert isinstance(seen.pop("progress"), command.Progress)
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


def test_progress_at_most_once_a_second():
    now = [0.0]
    stream = io.StringIO()
    progress = command.Progress(stream, clock=lambda: now[0])
    for done in range(1, 33):
        now[0] += .125
        progress(done, 32)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4 and lines[-1] == "32 of 32 subjects, 8 a second, 0 s left"
    assert lines[0].startswith("8 of 32 subjects, 8 a second, 3 s")


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
