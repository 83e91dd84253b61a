"""Errors of the labels: size, correlation, identities, independence of everything else."""

from __future__ import annotations

import numpy as np
import pytest

import data_synth
from data_synth import streams
from data_synth.heart import label_noise
from data_synth.heart.phenotypes import COLUMN
from tests.support.helpers import assert_close, assert_equal

COUNT = 4000


@pytest.fixture(scope="module")
def exact():
    return data_synth.simulate([3], 2).phenotypes[0]


@pytest.fixture(scope="module")
def errors(exact):
    """[COUNT, 61] label minus truth."""
    return np.array([label_noise.measured(exact, 60.0, np.random.default_rng(k), 1.0)
                     for k in range(COUNT)]) - exact


@pytest.mark.parametrize("group, sd", [("WT", .35), ("Ecc", 2.5), ("Err", 8.0)])
def test_segment_errors(errors, group, sd):
    columns = [COLUMN[f"{group}_AHA_{k}"] for k in range(1, 17)]
    assert_close("SD", errors[:, columns].std(0), np.full(16, sd), rtol=.06)
    assert_close("mean", errors[:, columns].mean(0), np.zeros(16), atol=5 * sd / np.sqrt(COUNT))
    r = np.corrcoef(errors[:, columns].T)[~np.eye(16, dtype=bool)]
    assert_close("shared", r.mean(), .25, atol=.03)
    weight = [6] * 12 + [9] * 4
    want = sum(w * errors[:, k] for w, k in zip(weight, columns, strict=True)) / 108
    assert_close("global", errors[:, COLUMN[f"{group}_Global"]], want, atol=1e-9)


@pytest.mark.parametrize("name, sd", [("LVEDV", .03), ("LVESV", .05), ("RVEDV", .04),
                                      ("RVESV", .05), ("LVM", .05)])
def test_volume_errors(errors, exact, name, sd):
    relative = errors[:, COLUMN[name]] / exact[COLUMN[name]]
    assert_close("SD", relative.std(), sd, rtol=.06)
    assert_close("mean", relative.mean(), 0.0, atol=5 * sd / np.sqrt(COUNT))


def test_volume_errors_go_together(errors):
    for side in ("LV", "RV"):
        r = np.corrcoef(errors[:, COLUMN[f"{side}EDV"]], errors[:, COLUMN[f"{side}ESV"]])[0, 1]
        assert_close(side, r, .5, atol=.05)
    for one, other in (("LVEDV", "RVEDV"), ("LVEDV", "LVM"), ("LVEDV", "WT_Global"),
                       ("WT_Global", "Ecc_Global")):
        r = np.corrcoef(errors[:, COLUMN[one]], errors[:, COLUMN[other]])[0, 1]
        assert abs(r) < 4.5 / np.sqrt(COUNT), f"{one}, {other}: {r}"


@pytest.mark.parametrize("scale", [.5, 1.0, 50.0])
def test_identities_hold(exact, scale):
    for k in range(30):
        got = label_noise.measured(exact, 71.0, np.random.default_rng(k), scale)
        v = dict(zip(COLUMN, got, strict=True))
        assert np.isfinite(got).all() and got[10:27].min() > 0
        for side in ("LV", "RV"):
            assert_close("SV", v[f"{side}SV"], v[f"{side}EDV"] - v[f"{side}ESV"], rtol=1e-12)
            assert_close("EF", v[f"{side}EF"], 100 * v[f"{side}SV"] / v[f"{side}EDV"], rtol=1e-12)
            assert 0 < v[f"{side}ESV"] < v[f"{side}EDV"]
        assert_close("CO", v["LVCO"], v["LVSV"] * .071, rtol=1e-12)


def test_scale(exact):
    zero = label_noise.measured(exact, 60.0, np.random.default_rng(1), 0.0)
    assert_equal("exact", zero, exact)
    half, full = (label_noise.measured(exact, 60.0, np.random.default_rng(1), s) - exact
                  for s in (.5, 1.0))
    assert_close("linear", half[27:], full[27:] / 2, atol=1e-9)


def test_simulate_with_label_noise_changes_labels_alone():
    plain, noisy = data_synth.simulate([5, 6], 3), data_synth.simulate([5, 6], 3, label_noise=1.0)
    for name in ("ecg", "cmr", "segmentation", "labels"):
        assert_equal(name, getattr(noisy, name), getattr(plain, name))
    for name, column in plain.latents.items():
        assert_equal(name, noisy.latents[name], column)
    for row, subject in enumerate((5, 6)):
        want = label_noise.measured(plain.phenotypes[row], plain.latents["heart_rate"][row],
                                    streams.generator(3, subject, "labels"), 1.0)
        assert_equal("phenotypes", noisy.phenotypes[row], want)
    assert not np.any(noisy.phenotypes == plain.phenotypes)
    other = data_synth.simulate([5, 6], 3, label_noise=1.0, ecg_seed=8, cmr_seed=9)
    assert_equal("own stream", other.phenotypes, noisy.phenotypes)
