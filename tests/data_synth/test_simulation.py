"""The interface: shapes, independence of subjects, the dials, refusals; the output's checksum."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data_synth
from data_synth import streams
from data_synth.cmr import cine
from data_synth.ecg import electrocardiogram
from data_synth.heart import geometry, physiology
from data_synth.heart.phenotypes import COLUMN, phenotypes
from tests.support import synth_checksum
from tests.support.helpers import assert_close, assert_equal, assert_shape

KIND = {latent.name: latent.kind for latent in data_synth.LATENT_INFO}
ARRAYS = ("ecg", "cmr", "segmentation", "phenotypes", "labels")


def assert_same(got, want, names=(*ARRAYS, "latents"), rows=slice(None), redrawn=None):
    """Equal bits; of the kind of latents that was drawn anew, the values differ."""
    for name in names:
        a, b = getattr(got, name), getattr(want, name)
        if name == "latents":
            assert list(a) == list(b)
            for key in a:
                if KIND[key] != redrawn:
                    assert_equal(key, a[key], b[key][rows])
            assert any(not np.array_equal(a[key], b[key][rows]) for key in a
                       if KIND[key] == redrawn) == (redrawn is not None)
        else:
            assert_equal(name, a, b[rows])


@pytest.fixture(scope="module")
def batch():
    return data_synth.simulate(range(12), 5)


def test_simulate_dtypes_and_shapes(batch):
    for name, dtype, shape in (("ecg", np.float32, (12, 12, 5000)),
                               ("cmr", np.float32, (12, 3, 210, 210)),
                               ("segmentation", np.uint8, (12, 3, 210, 210)),
                               ("phenotypes", np.float64, (12, 61)),
                               ("labels", np.float64, (12, 3))):
        assert_equal(f"{name}.dtype", getattr(batch, name).dtype, dtype)
        assert_shape(name, getattr(batch, name), shape)
        assert np.isfinite(getattr(batch, name)).all(), name
    assert tuple(batch.latents) == data_synth.LATENTS
    for name, column in batch.latents.items():
        assert_shape(name, column, (12,))
        assert_equal(f"{name}.dtype", column.dtype, np.float64)
    assert {"male", "age", "bsa", "heart_rate"} <= set(batch.latents)
    assert batch.cmr.min() >= 0 and batch.cmr.max() <= 1
    assert set(np.unique(batch.segmentation)) == {0, 1, 2, 3}
    assert data_synth.Simulation._fields == (*ARRAYS, "latents")


def test_simulate_agrees_with_itself(batch):
    for latent, column in (("lvedv", "LVEDV"), ("lvesv", "LVESV"), ("lvef", "LVEF"),
                           ("lvm", "LVM"), ("rvedv", "RVEDV"), ("rvesv", "RVESV"),
                           ("rvef", "RVEF"), ("wt_global", "WT_Global")):
        assert_equal(latent, batch.latents[latent], batch.phenotypes[:, COLUMN[column]])
    for k, name in enumerate(("cad", "af", "dm")):
        assert_equal(name, batch.labels[:, k], batch.latents[name])
    assert_close("LVEDV", batch.latents["lvedv"], batch.latents["lvedv_target"], rtol=1e-3)
    assert_close("LVM", batch.latents["lvm"], batch.latents["lvm_target"], rtol=1e-3)
    people = [physiology.sample(subject, 5) for subject in range(12)]
    assert_equal("age", batch.latents["age"], np.array([p["age"] for p in people]))


def test_simulate_same_seed_same_bits(batch):
    assert_same(data_synth.simulate(range(12), 5), batch)
    other = data_synth.simulate([0], 6)
    for name in ("ecg", "cmr", "phenotypes"):
        assert not np.array_equal(getattr(other, name)[0], getattr(batch, name)[0])


@settings(max_examples=8)
@given(rows=st.lists(st.integers(0, 11), min_size=1, max_size=3, unique=True))
def test_simulate_any_subject_alone_and_in_any_order(batch, rows):
    assert_same(data_synth.simulate(rows, 5), batch, rows=rows)
    assert_same(data_synth.simulate(np.array(rows), np.int64(5)), batch, rows=rows)


def test_simulate_no_subjects():
    empty = data_synth.simulate([])
    assert_shape("ecg", empty.ecg, (0, 12, 5000))
    assert_shape("age", empty.latents["age"], (0,))


def test_ecg_seed_replaces_the_ecg_alone(batch):
    other = data_synth.simulate(range(3), 5, ecg_seed=99)
    assert_same(other, batch, ("cmr", "segmentation", "phenotypes", "labels", "latents"),
                slice(3), redrawn="ecg")
    assert not any(np.array_equal(a, b) for a, b in zip(other.ecg, batch.ecg[:3], strict=True))
    assert_same(data_synth.simulate(range(3), 5, ecg_seed=5), batch, rows=slice(3))


def test_cmr_seed_replaces_the_image_alone(batch):
    other = data_synth.simulate(range(3), 5, cmr_seed=99)
    assert_same(other, batch, ("ecg", "phenotypes", "labels", "latents"), slice(3), redrawn="cmr")
    assert not any(np.array_equal(a, b) for a, b in zip(other.cmr, batch.cmr[:3], strict=True))
    assert_same(data_synth.simulate(range(3), 5, cmr_seed=5), batch, rows=slice(3))


@pytest.mark.parametrize("dials", [{"coupling": 0.0}, {"coupling": .5}, {"ecg_noise": .5}])
def test_the_dials_touch_the_ecg_alone(batch, dials):
    other = data_synth.simulate(range(3), 5, **dials)
    assert_same(other, batch, ("cmr", "segmentation", "phenotypes", "labels", "latents"),
                slice(3))
    assert not any(np.array_equal(a, b) for a, b in zip(other.ecg, batch.ecg[:3], strict=True))


def test_simulate_one_gives_each_part_its_own_stream(batch):
    one = data_synth.simulate_one(7, 5)
    ecg = electrocardiogram.render(one.latents, streams.generator(5, 7, "ecg"))
    heart = geometry.realise(one.latents, streams.generator(5, 7, "anatomy"))
    image, classes = cine.render(heart, streams.generator(5, 7, "cmr"))
    assert_equal("ecg", ecg, one.ecg)
    assert_equal("cmr", image, one.cmr)
    assert_equal("segmentation", classes, one.segmentation)
    assert_equal("phenotypes", phenotypes(heart, one.latents), one.phenotypes)


def test_simulate_one(batch):
    one = data_synth.simulate_one(7, 5)
    for name in ARRAYS:
        assert_equal(name, getattr(one, name), getattr(batch, name)[7])


@pytest.mark.parametrize("arguments, options, error, words", [
    ((3,), {}, TypeError, "subjects=3 "), (("12",), {}, TypeError, "sequence of ints"),
    (([True],), {}, TypeError, "subject=True"), (([1.0],), {}, TypeError, "subject=1.0"),
    (([-1],), {}, ValueError, "subject=-1"), (([2**63],), {}, ValueError, str(2**63)),
    (([4, 5, 4],), {}, ValueError, "4 more than once"),
    (([0], -1), {}, ValueError, "seed=-1"), (([0], 1.5), {}, TypeError, "seed=1.5"),
    (([0], False), {}, TypeError, "seed=False"), (([0],), {"ecg_seed": -2}, ValueError, "ecg_seed"),
    (([0],), {"cmr_seed": "a"}, TypeError, "cmr_seed='a'"),
    (([0],), {"coupling": 1.01}, ValueError, "coupling=1.01"),
    (([0],), {"coupling": -.1}, ValueError, "0..1"),
    (([0],), {"coupling": float("nan")}, ValueError, "coupling=nan"),
    (([0],), {"coupling": True}, TypeError, "coupling=True"),
    (([0],), {"coupling": "1"}, TypeError, "coupling='1'"),
    (([0],), {"ecg_noise": -1.0}, ValueError, "ecg_noise=-1.0"),
    (([0],), {"ecg_noise": float("inf")}, ValueError, "ecg_noise=inf"),
    (([0],), {"label_noise": -.5}, ValueError, "label_noise=-0.5"),
    (([0],), {"label_noise": "1"}, TypeError, "label_noise='1'")])
def test_simulate_refuses(arguments, options, error, words):
    with pytest.raises(error) as caught:
        data_synth.simulate(*arguments, **options)
    assert words in str(caught.value)
    assert "should" in str(caught.value)


# ---- the output belongs to its VERSION -----------------------------------------------------------

@pytest.fixture(scope="module")
def results():
    return synth_checksum.simulations()


def stored() -> dict:
    return json.loads(synth_checksum.GOLDEN.read_text())


def test_output_is_that_of_the_version(results):
    faults = synth_checksum.changes(data_synth.VERSION, stored(), results)
    assert faults == [], "\n".join(faults[:5])


@pytest.mark.parametrize("name, change", [
    ("ecg", lambda x: x[:, ::-1]), ("ecg", lambda x: np.roll(x, 1, -1)), ("ecg", lambda x: -x),
    ("cmr", lambda x: x * 1.001), ("cmr", lambda x: np.roll(x, 1, -2)),
    ("segmentation", lambda x: (x + 1) % 4), ("phenotypes", lambda x: x * 1.001),
    ("labels", lambda x: 1 - x), ("latents", lambda x: {**x, "age": x["age"] + 0.1})])
def test_checksum_sees_a_change_on_any_machine(results, monkeypatch, name, change):
    monkeypatch.setattr(synth_checksum, "machine", lambda: "another")
    version = data_synth.VERSION
    assert synth_checksum.changes(version, stored(), results) == []
    changed = [results[0]._replace(**{name: change(getattr(results[0], name))}), results[1]]
    faults = synth_checksum.changes(version, stored(), changed)
    assert faults and all("output changed: raise VERSION" in fault for fault in faults)


def test_checksum_sees_the_last_bit_on_the_same_machine(results, monkeypatch):
    version = data_synth.VERSION
    entry = {version: {**stored()[version],
                       "bytes": {synth_checksum.machine(): synth_checksum.digest(results)}}}
    ecg = results[0].ecg.copy()
    ecg[0, 0, 0] = np.nextafter(ecg[0, 0, 0], np.float32(9))
    changed = [results[0]._replace(ecg=ecg), results[1]]
    assert synth_checksum.changes(version, entry, results) == []
    assert "bytes are" in synth_checksum.changes(version, entry, changed)[0]
    monkeypatch.setattr(synth_checksum, "machine", lambda: "another")
    assert synth_checksum.changes(version, entry, changed) == []
    assert "nothing is stored" in synth_checksum.changes("none", entry, results)[0]


PRINTS = {  # of subjects 0..2, seed 0: mean, SD of ECG and of image, and phenotypes
    "ecg": (0.052756872, 0.20561737),
    "cmr": (0.16303994, 0.20308982),
    "phenotypes": (19.368098, 37.280337)}
PIXELS = (386032, 3834, 2827, 4207)  # of each class, give or take those on an edge


def test_version_changes_with_the_output():
    """Other numbers need another VERSION, and other prints here."""
    assert data_synth.VERSION == "3.1"
    got = data_synth.simulate(range(3))
    for name, want in PRINTS.items():
        array = getattr(got, name).astype(np.float64)
        assert_close(name, [array.mean(), array.std()], want, rtol=1e-5)
    assert_close("pixels", np.bincount(got.segmentation.ravel()), PIXELS, atol=3)
