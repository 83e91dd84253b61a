"""Preparing a cohort: what is cleaned and cut, and when it is done again."""

from __future__ import annotations

import numpy as np
import pytest

from reference import cohort as cohorts
from reference.augmentation import heart_box
from reference.experiment.prepare import clean_record, load_prepared, prepare, target_scale
from reference.preprocessing import clean_ecg
from reference.resampling import resample
from tests.support.helpers import assert_close, assert_equal, assert_shape


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six subjects of noise in the on-disk format, some phenotypes missing."""
    rng = np.random.default_rng(4)
    phenotypes = rng.uniform(20, 40, (6, 61))
    units = np.array([p.group for p in cohorts.PHENOTYPES])
    phenotypes[:, units == "Ecc"] *= -1
    phenotypes[1, 3] = np.nan
    directory = tmp_path_factory.mktemp("cohort") / "c"
    cohorts.import_arrays(directory, ecg=rng.standard_normal((6, 12, 5000)).astype(np.float32),
                          cmr=rng.random((6, 3, 210, 210)).astype(np.float32),
                          phenotypes=phenotypes, labels=np.eye(6, 3),
                          subjects=np.arange(10, 16))
    return cohorts.load(directory)


@pytest.fixture(scope="module")
def prepared(cohort, tmp_path_factory):
    directory = tmp_path_factory.mktemp("prepared")
    prepare(cohort, 100, directory)
    return directory


def test_prepared_ecg_is_cleaned_then_resampled(cohort, prepared):
    data = load_prepared(cohort, prepared)
    assert data.ecg.dtype == np.float32
    assert_shape("ecg", data.ecg, (6, 12, 1000))
    want = resample(clean_ecg(cohort.ecg_mv(slice(2, 3)).astype(np.float64)), 500, 100)
    assert_close("ecg", data.ecg[2:3], want, atol=1e-5)


def test_prepared_box_is_the_heart_box_in_bytes(cohort, prepared):
    data = load_prepared(cohort, prepared)
    assert data.box.dtype == np.uint8
    want = heart_box(cohort.cmr_image(slice(None)))
    assert_close("box", data.box / 255, want, atol=0.5 / 255 + 1e-6)


def test_targets_are_standardised_with_the_training_split(cohort, prepared):
    data, train = load_prepared(cohort, prepared), cohort.split()["train"]
    assert 2 <= len(train) < 6
    y = np.array(cohort.phenotypes)
    assert_close("mean", np.nanmean(data.targets[train], axis=0), np.zeros(61), atol=1e-4)
    assert_close("sd", np.nanstd(data.targets[train], axis=0), np.ones(61), atol=1e-4)
    seen = ~np.isnan(y)
    units = data.targets * data.target_scale + data.target_mean
    assert_close("units", units[seen], y[seen], atol=1e-3)
    assert_equal("missing", np.isnan(data.targets), np.isnan(y))


def test_target_scale_oracle(cohort):
    mean, scale = target_scale(cohort)
    train = cohort.split()["train"]
    for k in (0, 3, 60):
        seen = [float(v) for v in np.array(cohort.phenotypes[train, k]) if not np.isnan(v)]
        average = sum(seen) / len(seen)
        assert mean[k] == pytest.approx(average)
        assert scale[k] == pytest.approx((sum((v - average) ** 2 for v in seen) / len(seen)) ** 0.5)


def test_prepared_arrays_are_reused_until_something_changes(cohort, prepared):
    stamp = (prepared / "ecg.npy").stat().st_mtime_ns
    prepare(cohort, 100, prepared)
    assert (prepared / "ecg.npy").stat().st_mtime_ns == stamp
    prepare(cohort, 50, prepared)
    assert np.load(prepared / "ecg.npy").shape == (6, 12, 500)
    prepare(cohort, 100, prepared)
    assert np.load(prepared / "ecg.npy").shape == (6, 12, 1000)


def test_half_made_arrays_are_made_again(cohort, prepared):
    (prepared / "prepared.json").write_text("{")
    np.save(prepared / "ecg.npy", np.zeros(3))
    prepare(cohort, 100, prepared)
    assert np.load(prepared / "ecg.npy").shape == (6, 12, 1000)


def test_workers_do_not_change_the_bytes(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("reference.experiment.prepare.SUBJECTS_A_TASK", 2)
    prepare(cohort, 100, tmp_path / "one", workers=1)
    prepare(cohort, 100, tmp_path / "two", workers=2)
    for name in ("ecg.npy", "box.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_progress_counts_subjects(cohort, tmp_path):
    seen = []
    prepare(cohort, 100, tmp_path, progress=lambda *args: seen.append(args))
    assert seen[-1] == ("prepare", 6, 6)


@pytest.mark.parametrize("rate, workers", [(0, 1), (501, 1), (100, 0)])
def test_prepare_refuses(cohort, tmp_path, rate, workers):
    with pytest.raises(ValueError, match="500"):
        prepare(cohort, rate, tmp_path, workers)
    assert list(tmp_path.iterdir()) == []


def test_clean_record_brings_any_rate_to_the_working_rate():
    time = np.arange(10_000) / 1000
    ecg = np.stack([np.sin(2 * np.pi * (3 + k) * time) for k in range(12)])
    at_1000, at_500 = clean_record(ecg, 1000, 100), clean_record(ecg[:, ::2], 500, 100)
    assert at_1000.dtype == np.float32
    assert_shape("clean", at_1000, (12, 1000))
    assert_close("clean", at_1000[:, 50:-50], at_500[:, 50:-50], atol=2e-2)
