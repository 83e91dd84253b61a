"""Writing a cohort: bytes, continuation after a kill, bounded memory, full disks."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import data_synth
from data_synth import writing
from reference import cohort
from reference.cohort import writing as cohort_writing
from tests.support.hearts import COHORT
from tests.support.helpers import ROOT, assert_equal

COUNT = len(COHORT)


def assert_same_files(got: Path, want: Path) -> None:
    assert sorted(os.listdir(got)) == sorted(os.listdir(want))
    for file in want.iterdir():
        assert (got / file.name).read_bytes() == file.read_bytes(), file.name


def test_write_cohort_is_valid_and_equals_simulate(written):
    assert cohort.check(written) == []
    got, want = cohort.load(written), data_synth.simulate(COHORT, 4)
    for name in ("ecg", "cmr", "segmentation", "phenotypes", "labels"):
        assert_equal(name, getattr(got, name), getattr(want, name))
    assert_equal("subjects", got.subjects, COHORT)
    assert list(got.latents) == list(want.latents)
    for name, column in want.latents.items():
        assert_equal(name, got.latents[name], column)
    assert got.manifest["generator"] == {"name": "data_synth", "version": data_synth.VERSION,
                                         "seed": 4, "coupling": 1.0, "ecg_noise": 1.0,
                                         "enrich": 0.0, "label_noise": 0.0}


def test_bytes_do_not_depend_on_threads_of_the_linear_algebra():
    words = ("import hashlib, data_synth as d; r = d.simulate([3, 55, 18], 4); "
             "print([hashlib.sha256("
             "a.tobytes()).hexdigest() for a in (*r[:5], *r.latents.values())])")
    seen = {count: subprocess.run(
        [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": count,
             "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}).stdout for count in ("1", "2")}
    assert len(seen["1"]) > 300
    assert_equal("threads", seen["2"], seen["1"])


def test_write_cohort_does_not_depend_on_workers_or_chunks(written, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 2)  # three tasks for two processes
    seen = []
    manifest = data_synth.write_cohort(tmp_path / "c", COHORT, 4, workers=2,
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
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 1)

    def fail(done, total):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        data_synth.write_cohort(tmp_path / "c", range(4), workers=workers, progress=fail)
    assert not (tmp_path / "c" / "manifest.json").exists()


# ---- a stopped run is continued ------------------------------------------------------------------

class Stop(Exception):
    """Ends a run from its progress callback."""


def stop_after(chunks: int):
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) == chunks:
            raise Stop

    return progress


@pytest.mark.parametrize("chunks", [1, 2])
def test_write_cohort_continues(written, tmp_path, monkeypatch, chunks):
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 2)
    with pytest.raises(Stop):
        data_synth.write_cohort(tmp_path / "c", COHORT, 4,
                                progress=stop_after(chunks))
    assert_equal("written", np.load(tmp_path / "c" / "subjects.npy"),
                 np.array([3, 4, 5, 6, 7])[:2 * chunks].tolist() + [-1] * (COUNT - 2 * chunks))
    simulated, seen = [], []
    monkeypatch.setattr(writing, "simulate_one", lambda subject, *rest: simulated.append(subject)
                        or data_synth.simulate_one(subject, *rest))
    data_synth.write_cohort(tmp_path / "c", COHORT, 4,
                            progress=lambda *numbers: seen.append(numbers))
    assert simulated == list(range(3 + 2 * chunks, 3 + COUNT))  # nothing is made twice
    assert seen[-1] == (COUNT - 2 * chunks,) * 2
    assert_same_files(tmp_path / "c", written)


def test_write_cohort_continues_within_a_chunk(written, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 1)
    with pytest.raises(Stop):
        data_synth.write_cohort(tmp_path / "c", COHORT, 4, progress=stop_after(1))
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 2)
    data_synth.write_cohort(tmp_path / "c", COHORT, 4)
    assert_same_files(tmp_path / "c", written)


@pytest.mark.parametrize("seconds, marks", [(0.0, [[0, 1], [2, 3], [4]]),
                                            (1e9, [[0, 1, 2, 3, 4]])])
def test_write_cohort_marks_every_row_once(tmp_path, monkeypatch, seconds, marks):
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 2)
    monkeypatch.setattr(writing, "COMMIT_SECONDS", seconds)
    plain, seen = cohort_writing.mark_written, []
    monkeypatch.setattr(cohort_writing, "mark_written", lambda directory, rows, subjects: (
        seen.append(rows), plain(directory, rows, subjects)))
    data_synth.write_cohort(tmp_path / "c", range(COUNT))
    assert seen == marks


@pytest.mark.parametrize("place", ["create", "mark_written", "finish"])
def test_write_cohort_continues_wherever_it_was_stopped(written, tmp_path, monkeypatch, place):
    """Stopped between any two writes of files: the next call gives the same directory."""
    names = {"create": "make_array", "mark_written": "sync", "finish": "sha256"}
    target = names[place]
    plain = getattr(cohort_writing, target)
    for calls in range(7):
        count = [0]

        def once(*words, count=count, calls=calls):
            count[0] += 1
            if count[0] > calls:
                os._exit(9)
            return plain(*words)

        child = os.fork()
        if child == 0:  # ended at once, as by a kill: no handler runs
            monkeypatch.setattr(cohort_writing, target, once)
            data_synth.write_cohort(tmp_path / "c", COHORT, 4)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            break
        assert status == 9 and cohort.check(tmp_path / "c") != []
    data_synth.write_cohort(tmp_path / "d", [3], 4)  # the process is unharmed
    if status == 9:
        data_synth.write_cohort(tmp_path / "c", COHORT, 4)
    assert_same_files(tmp_path / "c", written)


def test_killed_run_continues_and_its_workers_end(tmp_path):
    words = [sys.executable, "-m", "data_synth", "--subjects", "150", "--seed", "2", "--workers",
             "2", "--ecg-dtype", "float16", "--cmr-dtype", "uint8", "--no-segmentation", "--out"]
    process = subprocess.Popen([*words, tmp_path / "killed"], cwd=ROOT, stderr=subprocess.PIPE)
    process.stderr.readline()  # first chunks are done
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = children.read_text().split() if children.is_file() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert cohort.check(tmp_path / "killed") == [
        "manifest.json: missing, so the cohort was never finished"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(alive(pid) for pid in workers):
        time.sleep(0.05)
    assert not [pid for pid in workers if alive(pid)]
    subprocess.run([*words, tmp_path / "killed"], cwd=ROOT, check=True, capture_output=True)
    data_synth.write_cohort(tmp_path / "plain", range(150), 2, ecg_dtype="float16",
                            cmr_dtype="uint8", segmentation=False)
    assert_same_files(tmp_path / "killed", tmp_path / "plain")


def alive(pid: str) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("options, words", [
    ({"seed": 5}, "seed is 4 there, but 5 is asked for"),
    ({"coupling": 0.5}, "coupling is 1.0 there, but 0.5"),
    ({"ecg_noise": 2}, "ecg_noise is 1.0 there, but 2.0"),
    ({"enrich": 0.1}, "enrich is 0.0 there, but 0.1"),
    ({"ecg_dtype": "float16"}, "ecg is float32 there, but float16"),
    ({"cmr_dtype": "uint8"}, "cmr is float32 there, but uint8"),
    ({"segmentation": False}, "segmentation is uint8 there, but absent"),
    ({"subjects": range(3, 9)}, "count is 5 there, but 6"),
    ({"subjects": range(4, 9)}, "row 0 is subject 3 there, but 4"),
    ({"VERSION": "0"}, f"version is {data_synth.VERSION} there, but 0")])
def test_write_cohort_does_not_continue_with_other_options(tmp_path, monkeypatch, options, words):
    directory, plain = tmp_path / "c", data_synth.simulate([3], 4)
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 2)
    monkeypatch.setattr(writing, "simulate_one", lambda *_: data_synth.Subject(
        *(array[0] for array in plain[:-1]), dict.fromkeys(data_synth.LATENTS, 0.0)))
    with pytest.raises(Stop):
        data_synth.write_cohort(directory, range(3, 8), 4, progress=stop_after(1))
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    options = {"subjects": range(3, 8), "seed": 4, **options}
    monkeypatch.setattr(writing, "VERSION", options.pop("VERSION", data_synth.VERSION))
    with pytest.raises(ValueError) as caught:
        data_synth.write_cohort(directory, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


def test_write_cohort_one_run_at_a_time(tmp_path):
    if writing.fcntl is None:
        pytest.skip("no file locks on this system")

    def again(done, total):
        with pytest.raises(ValueError, match="being written by another run"):
            data_synth.write_cohort(tmp_path / "c", [1])

    data_synth.write_cohort(tmp_path / "c", [1], progress=again)
    assert cohort.check(tmp_path / "c") == []


# ---- memory and disk -----------------------------------------------------------------------------

MEMORY = """
import sys
import numpy as np
from data_synth import simulate_one, writing
one = simulate_one(0)
writing.simulate_one = lambda *words: one
status = lambda: int(next(line.split()[1] for line in open("/proc/self/status")
                          if line.startswith("VmHWM"))) * 1024
writing.write_cohort(sys.argv[1] + "/small", range(32))
small = status()
writing.write_cohort(sys.argv[1] + "/large", range(320))
print(status() - small)
"""


def test_write_cohort_memory_does_not_grow_with_the_cohort(tmp_path):
    if not Path("/proc/self/status").is_file():
        pytest.skip("no /proc/self/status on this system")
    done = subprocess.run([sys.executable, "-c", MEMORY, tmp_path], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    size = sum(file.stat().st_size for file in (tmp_path / "large").iterdir())
    assert size > 250e6 and int(done.stdout) < 30e6, f"{done.stdout} bytes more for {size}"


@pytest.mark.parametrize("fault", ["free", "reserve"])
def test_write_cohort_full_disk_is_reported_before_work(tmp_path, monkeypatch, fault):
    def full(*words):
        raise OSError(errno.ENOSPC, "No space left on device")

    if fault == "free":
        usage = type("Usage", (), {"free": 4_000_000})
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    else:
        monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    monkeypatch.setattr(writing, "simulate_one", lambda *words: pytest.fail("worked"))
    with pytest.raises(OSError, match="0.005 GB are needed, but 0.004 GB" if fault == "free"
                       else "No space") as caught:
        data_synth.write_cohort(tmp_path / "c", range(5))
    assert caught.value.errno == errno.ENOSPC and not (tmp_path / "c").exists()
    (tmp_path / "c").mkdir()  # a directory that was there stays, empty
    with pytest.raises(OSError):
        data_synth.write_cohort(tmp_path / "c", range(5))
    assert os.listdir(tmp_path / "c") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_write_cohort_disk_that_fills_during_work(written, tmp_path, monkeypatch, workers):
    """A file system that cannot reserve: the rows done are kept and the same call continues."""
    monkeypatch.setattr(writing, "SUBJECTS_A_TASK", 2)
    plain, calls = cohort_writing.mark_written, []

    def fill(*words):
        calls.append(words)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(*words)

    monkeypatch.setattr(cohort_writing, "mark_written", fill)
    with pytest.raises(OSError, match="No space"):
        data_synth.write_cohort(tmp_path / "c", COHORT, 4, workers=workers)
    assert cohort.check(tmp_path / "c") != []
    data_synth.write_cohort(tmp_path / "c", COHORT, 4, workers=workers)
    assert_same_files(tmp_path / "c", written)


# ---- storage errors ------------------------------------------------------------------------------

def test_storage_errors_are_as_stated():
    """float16: 2^-11 of the value, 3e-8 mV near 0; uint8: 1/510; float16 images: 2^-12."""
    made = data_synth.simulate(range(4), 3)
    error = np.abs(cohort.store(made.ecg, "float16").astype(np.float64) - made.ecg)
    assert np.all(error <= np.maximum(2.0**-11 * np.abs(made.ecg), 2.0**-25))
    assert error.max() > 1e-4  # and not much better than stated
    stored = cohort.store(made.cmr, "uint8")
    image = stored.astype(np.float32) / np.float32(255)
    error = np.abs(image.astype(np.float64) - made.cmr)
    assert 0.99 / 510 < error.max() <= 1 / 510 + 1e-7
    error = np.abs(cohort.store(made.cmr, "float16").astype(np.float64) - made.cmr)
    assert 0.9 * 2.0**-12 < error.max() <= 2.0**-12
