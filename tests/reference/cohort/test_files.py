"""reference.array_files: files whose space is taken at the start and whose rows are written."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from reference.cohort import files
from tests.support.helpers import assert_equal, assert_shape


@pytest.mark.parametrize("dtype, shape, fill, want", [
    ("float32", (3, 2, 5), None, 0.0), ("float64", (4, 3), np.nan, np.nan),
    ("int64", (7,), -1, -1), ("uint8", (2, 9), 5, 5)])
def test_make_array(tmp_path, dtype, shape, fill, want):
    files.make_array(tmp_path / "a.npy", dtype, shape, fill)
    got = np.load(tmp_path / "a.npy")
    assert got.dtype == dtype
    assert_shape("array", got, shape)
    np.testing.assert_array_equal(got, np.full(shape, want, dtype))  # NaN equals NaN


def test_make_array_takes_its_space(tmp_path):
    files.make_array(tmp_path / "a.npy", "float32", (1000, 1000))
    assert os.stat(tmp_path / "a.npy").st_blocks * 512 >= 4_000_000


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 5)])
def test_write_array_rows(tmp_path, shape, order):
    rng = np.random.default_rng(0)
    want = np.asarray(rng.normal(0, 1, shape), order=order)
    files.make_array(tmp_path / "a.npy", "float64", shape, np.nan)
    for first, last in ((4, 6), (0, 1), (1, 4)):
        files.write_array_rows(tmp_path / "a.npy", first, want[first:last])
    assert_equal("array", np.load(tmp_path / "a.npy"), want)


@pytest.mark.parametrize("first, rows, words", [
    (0, np.zeros((2, 3), np.float32), "rows are float32 .3., but should be float64 .3."),
    (0, np.zeros((2, 4)), "float64 .4., but should be float64 .3."),
    (3, np.zeros((2, 3)), r"rows 3\.\.4, but should be in 0\.\.3"),
    (-1, np.zeros((2, 3)), r"rows -1\.\.0, but should be in 0\.\.3")])
def test_write_array_rows_refuses(tmp_path, first, rows, words):
    files.make_array(tmp_path / "a.npy", "float64", (4, 3), 7.0)
    with pytest.raises(ValueError, match=words):
        files.write_array_rows(tmp_path / "a.npy", first, rows)
    assert_equal("array", np.load(tmp_path / "a.npy"), np.full((4, 3), 7.0))


def test_require_space(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 2_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    files.require_space(tmp_path, 2_000_000)
    with pytest.raises(OSError, match=r"0.003 GB are needed, but 0.002 GB are free") as caught:
        files.require_space(tmp_path, 3_000_000)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("code, passes", [(errno.EOPNOTSUPP, True), (errno.ENOSPC, False)])
def test_make_array_where_space_cannot_be_reserved(tmp_path, monkeypatch, code, passes):
    """A file system that does not know reservation is used without; a full disk is reported."""
    def refuse(*words):
        raise OSError(code, "refused")

    monkeypatch.setattr("os.posix_fallocate", refuse, raising=False)
    if not passes:
        with pytest.raises(OSError):
            files.make_array(tmp_path / "a.npy", "float64", (4, 3), 7.0)
        return
    files.make_array(tmp_path / "a.npy", "float64", (4, 3), 7.0)
    assert_equal("array", np.load(tmp_path / "a.npy"), np.full((4, 3), 7.0))


def test_sync_waits_for_the_disk(tmp_path, monkeypatch):
    """The very file is handed to fsync, and nothing in it changes."""
    (tmp_path / "a").write_bytes(b"abc")
    seen = []
    monkeypatch.setattr("os.fsync", lambda descriptor: seen.append(os.fstat(descriptor).st_ino))
    files.sync(tmp_path / "a")
    assert seen == [os.stat(tmp_path / "a").st_ino] and (tmp_path / "a").read_bytes() == b"abc"
