"""Measurements of the audit, against the arrays that they were made on."""

from __future__ import annotations

import numpy as np

from data_synth import simulate
from data_synth.audit.measures import measure
from data_synth.heart import physiology
from tests.support.audits import SUBJECTS, N
from tests.support.helpers import assert_equal, assert_shape


def test_measure(plain):
    assert_shape("ecg", plain.ecg, (N, 71))
    assert_shape("image", plain.image, (N, 49))
    assert_shape("image margin", plain.image_margin, (N, 3 * 836 + 12))
    assert all(np.isfinite(value).all() for value in plain[:-1])
    people = [physiology.sample(subject, 0) for subject in SUBJECTS]
    np.testing.assert_array_equal(plain.labels, [[p["cad"], p["af"], p["dm"]] for p in people])
    rate = np.corrcoef(plain.ecg[:, 0], plain.latents["heart_rate"])[0, 1]
    assert rate > .95, rate
    group = simulate(SUBJECTS[:5])
    assert_equal("area", plain.image[3, 0], (group.segmentation[3, 0] == 1).sum())
    assert_equal("mean", plain.ecg_margin[2, 50], group.ecg[2, 2].mean())
    border = group.cmr[4, 1][cine_border()]
    np.testing.assert_array_equal(np.sort(plain.image_margin[4, 836:1672]), np.sort(border))


def cine_border() -> np.ndarray:
    inside = np.zeros((210, 210), bool)
    inside[1:-1, 1:-1] = True
    return ~inside


def test_measure_in_any_order_and_rows(plain):
    """Subjects are measured one by one; `rows` chooses them, latents included."""
    few = measure(simulate, [SUBJECTS[4], SUBJECTS[1]], 0)
    chosen = plain.rows(np.array([4, 1]))
    for got, want in zip(few[:-1], chosen[:-1], strict=True):
        np.testing.assert_array_equal(got, want)
    for name, value in few.latents.items():
        np.testing.assert_array_equal(value, chosen.latents[name])
