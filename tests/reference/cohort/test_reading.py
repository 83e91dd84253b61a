"""reference.cohort.reading: round trips, and headers that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from reference import cohort
from tests.support.cohorts import COUNT, LATENTS, some_arrays, write
from tests.support.helpers import assert_close, assert_equal, assert_shape


@pytest.mark.parametrize("ecg_dtype, cmr_dtype, ecg_error, cmr_error", [
    ("float32", "float32", 0.0, 0.0), ("float16", "uint8", 2.0**-10, 0.501 / 255),
    ("float32", "float16", 0.0, 2.0**-12)])
def test_round_trip(tmp_path, ecg_dtype, cmr_dtype, ecg_error, cmr_error):
    arrays = some_arrays()
    manifest = write(tmp_path / "new" / "cohort", arrays, ecg_dtype=ecg_dtype, cmr_dtype=cmr_dtype)
    got = cohort.load(tmp_path / "new" / "cohort")
    assert cohort.check(got.path) == []
    assert len(got) == COUNT and got.manifest == manifest
    for rows in (slice(1, 3), np.array([2, 0]), np.array([False, True, True])):
        ecg, cmr = got.ecg_mv(rows), got.cmr_image(rows)
        assert ecg.dtype == cmr.dtype == np.float32
        assert_shape("ecg", ecg, (2, 12, 5000))
        assert_shape("cmr", cmr, (2, 3, 210, 210))
        assert ecg.flags.writeable and cmr.flags.writeable
        seen = ~np.isnan(arrays["ecg"][rows])
        assert_equal("NaN of ecg", ~np.isnan(ecg), seen)
        assert_close("ecg", ecg[seen], arrays["ecg"][rows][seen], atol=2 * ecg_error)
        assert_close("cmr", cmr, arrays["cmr"][rows], atol=cmr_error)
    for name in ("segmentation", "subjects", "phenotypes", "labels"):
        np.testing.assert_array_equal(getattr(got, name), arrays[name])
    assert list(got.latents) == list(LATENTS)
    assert_equal("latent", got.latents["male"], arrays["latents"][:, 1])
    with pytest.raises(ValueError, match="read-only"):
        got.ecg[0] = 0.0


def test_optional_arrays_may_be_absent(tmp_path):
    cohort.create(tmp_path, 1, segmentation=False)
    files, arrays = cohort.open_for_writing(tmp_path), some_arrays(1)
    assert sorted(files) == ["cmr", "ecg", "labels", "phenotypes", "subjects"]
    assert np.isnan(files["phenotypes"]).all() and np.isnan(files["labels"]).all()
    for name in ("ecg", "cmr", "subjects"):
        files[name][...] = arrays[name]
    cohort.finish(tmp_path)
    got = cohort.load(tmp_path)
    assert cohort.check(tmp_path) == []
    assert got.segmentation is None and got.latents == {} and got.manifest["generator"] is None
