"""reference.cohort.writing: rows in any order, unfinished work taken up, no half-made rest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from reference import cohort
from reference.cohort import writing
from tests.support.cohorts import COUNT, LATENTS, some_arrays
from tests.support.helpers import ROOT, assert_equal

OPTIONS = {"ecg_dtype": "float16", "cmr_dtype": "uint8", "segmentation": False,
           "latents": ("age", "male"), "generator": {"name": "test", "seed": 3}}


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Valid rows of every array of OPTIONS but the subjects."""
    rng = np.random.default_rng(seed)
    return {"ecg": rng.normal(0, 0.5, (count, 12, 5000)).astype(np.float16),
            "cmr": rng.integers(0, 256, (count, 3, 210, 210), dtype=np.uint8),
            "phenotypes": np.full((count, 61), 7.0),
            "labels": rng.integers(0, 2, (count, 3)).astype(float),
            "latents": rng.normal(0, 1, (count, 2))}


def test_write_rows_mark_written_finish(tmp_path):
    held = writing.create(tmp_path / "c", 5, **OPTIONS)
    assert held.dtype == np.int64
    assert_equal("held", held, np.full(5, -1))
    whole = rows(5)
    for first, last in ((3, 5), (0, 3)):
        writing.write_rows(tmp_path / "c", first, {
            name: array[first:last] for name, array in whole.items()})
    writing.mark_written(tmp_path / "c", [4, 3], [14, 13])
    assert_equal("subjects", np.load(tmp_path / "c" / "subjects.npy"), [-1, -1, -1, 13, 14])
    writing.mark_written(tmp_path / "c", [0, 1, 2], [10, 11, 12])
    manifest = writing.finish(tmp_path / "c")
    assert manifest["generator"] == OPTIONS["generator"]
    assert cohort.check(tmp_path / "c") == []
    got = cohort.load(tmp_path / "c")
    assert_equal("subjects", got.subjects, np.arange(10, 15))
    for name in ("ecg", "cmr", "phenotypes", "labels"):
        assert_equal(name, getattr(got, name), whole[name])
    assert_equal("male", got.latents["male"], whole["latents"][:, 1])


def test_mark_written_syncs_the_data_first(tmp_path, monkeypatch):
    writing.create(tmp_path / "c", 2, **OPTIONS)
    seen = []

    def sync(path):
        seen.append(path.name)
        assert_equal("subjects", np.load(tmp_path / "c" / "subjects.npy"), [-1, -1])

    monkeypatch.setattr(writing, "sync", sync)
    writing.mark_written(tmp_path / "c", [0], [5])
    assert sorted(seen) == ["cmr.npy", "ecg.npy", "labels.npy", "latents.npy", "phenotypes.npy"]


def test_mark_written_waits_until_the_subjects_are_on_the_disk(tmp_path, monkeypatch):
    writing.create(tmp_path / "c", 2, **OPTIONS)
    flushed = []
    monkeypatch.setattr(np.memmap, "flush", lambda array: flushed.append(array.tolist()))
    writing.mark_written(tmp_path / "c", [1], [5])
    assert flushed == [[-1, 5]]


def test_create_resumes(tmp_path):
    writing.create(tmp_path / "c", 5, **OPTIONS)
    writing.write_rows(tmp_path / "c", 2, rows(2))
    writing.mark_written(tmp_path / "c", [2, 3], [8, 9])
    (tmp_path / "c" / ".manifest.draft.json.77.tmp").write_text("{")  # of a killed writer
    held = writing.create(tmp_path / "c", 5, **OPTIONS, resume=True)
    assert_equal("held", held, [-1, -1, 8, 9, -1])
    assert_equal("ecg", np.load(tmp_path / "c" / "ecg.npy")[2:4], rows(2)["ecg"])
    assert not [file for file in os.listdir(tmp_path / "c") if file.endswith(".tmp")]
    with pytest.raises(ValueError, match="must be a new or empty directory"):
        writing.create(tmp_path / "c", 5, **OPTIONS)


@pytest.mark.parametrize("options, words", [
    ({"count": 6}, "count is 5 there, but 6"), ({"latents": ("age",)}, "latents is"),
    ({"latents": ("male", "age")}, "latents is"),
    ({"cmr_dtype": "float16"}, "cmr is uint8 there, but float16"),
    ({"segmentation": True}, "segmentation is absent there, but uint8"),
    ({"generator": None}, "name is test there, but absent is asked for"),
    ({"generator": {"name": "test", "seed": 4}}, "seed is 3 there, but 4 is asked for")])
def test_create_resumes_only_the_same(tmp_path, options, words):
    writing.create(tmp_path / "c", 5, **OPTIONS)
    with pytest.raises(ValueError, match="unfinished cohort with other options: .*" + words):
        writing.create(tmp_path / "c", **{"count": 5, **OPTIONS, **options}, resume=True)


def test_create_resumes_what_was_being_made(tmp_path):
    """Killed before the last array was there: all are made again."""
    writing.create(tmp_path / "c", 2, **OPTIONS)
    for file in ("subjects.npy", "latents.npy"):
        (tmp_path / "c" / file).unlink()
    (tmp_path / "c" / ".manifest.draft.json.latents.npy.tmp").write_bytes(b"half")
    assert_equal("held", writing.create(tmp_path / "c", 2, **OPTIONS, resume=True), [-1, -1])
    want = ["cmr.npy", "ecg.npy", "labels.npy", "latents.npy", "manifest.draft.json",
            "phenotypes.npy", "subjects.npy"]
    assert sorted(os.listdir(tmp_path / "c")) == want


def test_create_resumes_what_had_hardly_begun(tmp_path):
    (tmp_path / ".manifest.draft.json.77.tmp").write_text("{")  # killed at the first write
    writing.create(tmp_path, 2, **OPTIONS, resume=True)
    assert not (tmp_path / ".manifest.draft.json.77.tmp").exists()
    (tmp_path / "manifest.draft.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest.draft.json is not readable as JSON"):
        writing.create(tmp_path, 2, **OPTIONS, resume=True)


def test_finish_again_after_a_stop_before_the_last_step(tmp_path, monkeypatch):
    writing.create(tmp_path / "c", 2, **OPTIONS)
    writing.write_rows(tmp_path / "c", 0, rows(2))
    writing.mark_written(tmp_path / "c", [0, 1], [8, 9])
    plain = os.replace

    def stop(source, target):
        if str(target).endswith("manifest.json"):
            raise KeyboardInterrupt
        plain(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", stop)
        with pytest.raises(KeyboardInterrupt):
            writing.finish(tmp_path / "c")
    assert cohort.check(tmp_path / "c") != []
    draft = json.loads((tmp_path / "c" / "manifest.draft.json").read_text())
    assert_equal("held", writing.create(tmp_path / "c", 2, **OPTIONS, resume=True), [8, 9])
    assert writing.finish(tmp_path / "c") == draft
    assert cohort.check(tmp_path / "c") == []


@pytest.mark.parametrize("call", [1, 3, 6])
def test_create_that_fails_leaves_nothing(tmp_path, monkeypatch, call):
    plain, calls = writing.make_array, []

    def full(*words):
        calls.append(words)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(*words)

    monkeypatch.setattr(writing, "make_array", full)
    with pytest.raises(OSError, match="No space"):
        writing.create(tmp_path / "c", 2, **OPTIONS)
    assert not (tmp_path / "c").exists()


def test_manifest(pristine):
    manifest = json.loads((pristine / "manifest.json").read_text())
    assert list(manifest)[:3] == ["schema", "count", "generator"]
    assert (manifest["schema"], manifest["count"]) == (1, COUNT)
    assert (manifest["sampling_rate_hz"], manifest["pixel_mm"]) == (500, 1.8)
    assert manifest["generator"] == {"name": "test", "seed": 0}
    assert manifest["phenotypes"][3] == {"name": "LVEF", "group": "LV", "unit": "%"}
    assert manifest["latents"] == list(LATENTS)
    ecg = manifest["arrays"]["ecg.npy"]
    assert (ecg["dtype"], ecg["shape"], ecg["unit"]) == ("float32", [COUNT, 12, 5000], "mV")
    for file, entry in manifest["arrays"].items():
        assert entry["sha256"] == hashlib.sha256((pristine / file).read_bytes()).hexdigest()
    rows = cohort.load(pristine).split()
    assert manifest["split"] == {name: rows[name].size for name in ("train", "val", "test")}
    for name, members in rows.items():
        for row in members:
            assert cohort.split_of(7 + 11 * row) == name


def test_rows_written_by_other_processes(tmp_path):
    """Disjoint rows from two processes; the result is that of one."""
    cohort.create(tmp_path / "a", 2, segmentation=False)
    np.savez(tmp_path / "source.npz", **some_arrays(2))
    for row in (1, 0):
        code = ("import sys; import numpy as np; from reference import cohort\n"
                "source, row = np.load(sys.argv[2]), int(sys.argv[3])\n"
                "for name, file in cohort.open_for_writing(sys.argv[1]).items():\n"
                "    file[row] = source[name][row]\n")
        subprocess.run([sys.executable, "-c", code, tmp_path / "a", tmp_path / "source.npz",
                        str(row)], check=True, cwd=ROOT)
    cohort.finish(tmp_path / "a")
    np.testing.assert_array_equal(cohort.load(tmp_path / "a").ecg, some_arrays(2)["ecg"])
    assert cohort.check(tmp_path / "a") == []


def test_unfinished(tmp_path):
    """No manifest: no cohort. Unwritten rows: no manifest."""
    cohort.create(tmp_path, 2, segmentation=False)
    assert cohort.check(tmp_path) == ["manifest.json: missing, so the cohort was never finished"]
    with pytest.raises(ValueError, match="never finished"):
        cohort.load(tmp_path)
    files = cohort.open_for_writing(tmp_path)
    files["subjects"][0] = 5
    with pytest.raises(ValueError, match="1 of 2 rows were not written, the first is row 1"):
        cohort.finish(tmp_path)
    files["subjects"][1] = 6
    with pytest.raises(ValueError):
        cohort.finish(tmp_path, generator={"seed": float("nan")})  # not JSON
    assert not (tmp_path / "manifest.json").exists()
    cohort.finish(tmp_path)
    assert not [file.name for file in tmp_path.iterdir() if "draft" in file.name]
    for call in (cohort.finish, cohort.open_for_writing):
        with pytest.raises(ValueError, match="is finished"):
            call(tmp_path)
        with pytest.raises(ValueError, match=r"has no manifest.draft.json"):
            call(tmp_path / "nowhere")


@pytest.mark.parametrize("options, words", [
    ({"count": 0}, "at least 1, got 0"),
    ({"count": 1, "ecg_dtype": "uint8"}, r"ecg_dtype must be one of .*float16.*, got 'uint8'"),
    ({"count": 1, "cmr_dtype": "int16"}, "cmr_dtype must be one of .*uint8.*, got 'int16'"),
    ({"count": 1, "latents": ("age", "age")}, "must all differ"),
])
def test_create_refuses(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        cohort.create(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_create_refuses_a_full_directory(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 1 files, notes.txt among them"):
        cohort.create(tmp_path, 1)
    with pytest.raises(ValueError, match="is a file"):
        cohort.create(tmp_path / "notes.txt", 1)
