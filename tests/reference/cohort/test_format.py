"""reference.cohort.format: names, splits, storage types."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reference import cohort
from tests.support.helpers import assert_close, assert_equal

# --- names -----------------------------------------------------------------------------------


def test_phenotypes():
    names = [phenotype.name for phenotype in cohort.PHENOTYPES]
    assert names[:10] == ["LVEDV", "LVESV", "LVSV", "LVEF", "LVCO", "LVM", "RVEDV", "RVESV", "RVSV",
                          "RVEF"]
    assert names[10:12] == ["WT_AHA_1", "WT_AHA_2"] and names[26:28] == ["WT_Global", "Ecc_AHA_1"]
    assert names[43:45] == ["Ecc_Global", "Err_AHA_1"] and names[60] == "Err_Global"
    assert len(set(names)) == 61
    groups = [phenotype.group for phenotype in cohort.PHENOTYPES]
    assert [groups.count(g) for g in ("LV", "RV", "WT", "Ecc", "Err")] == [6, 4, 17, 17, 17]
    units = {phenotype.name: phenotype.unit for phenotype in cohort.PHENOTYPES}
    assert [units[n] for n in ("LVEDV", "LVEF", "LVCO", "LVM", "RVSV", "RVEF")] == [
        "ml", "%", "l/min", "g", "ml", "%"]
    assert [units[n] for n in ("WT_AHA_16", "Ecc_AHA_3", "Err_Global")] == ["mm", "%", "%"]
    assert cohort.LABELS == ("CAD", "AF", "DM")
    assert " ".join(cohort.LEADS) == "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6"


# --- split -----------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1))
def test_split_of(subject):
    digest = hashlib.sha256(str(subject).encode()).hexdigest()
    share = int(digest[:16], 16) / 16**16
    want = "train" if share < 0.7 else "val" if share < 0.85 else "test"
    assert cohort.split_of(subject) == want
    assert cohort.split_of(np.int64(subject)) == want


def test_split_proportions_and_known_values():
    rows = cohort.split_rows(range(20_000))
    shares = [rows[name].size / 20_000 for name in ("train", "val", "test")]
    assert_close("shares", np.array(shares), np.array([0.7, 0.15, 0.15]), atol=0.01)
    together = np.sort(np.concatenate(list(rows.values())))
    assert_equal("every row once", together, np.arange(20_000))
    assert [cohort.split_of(subject) for subject in range(12)] == KNOWN_SPLITS


KNOWN_SPLITS = ["train", "train", "val", "train", "train", "test", "test", "train", "train",
                "train", "train", "train"]  # from sha256sum on the command line


# --- store -----------------------------------------------------------------------------------


@given(hnp.arrays(np.float64, hnp.array_shapes(), elements=st.floats(0, 1)))
def test_store_uint8(x):
    got = cohort.store(x, "uint8")
    assert got.dtype == np.uint8
    assert_close("restored", got / 255.0, x, atol=0.5 / 255 + 1e-12)


@given(hnp.arrays(np.float64, hnp.array_shapes(), elements=st.floats(-40, 40)))
def test_store_floats(x):
    half, single = cohort.store(x, "float16"), cohort.store(x, "float32")
    assert half.dtype == np.float16 and single.dtype == np.float32
    assert_close("float16", half, x, rtol=2.0**-11, atol=2.0**-25)
    assert_close("float32", single, x, rtol=2.0**-24, atol=2.0**-140)


@pytest.mark.parametrize("value, dtype, words", [
    (1.01, "uint8", r"uint8 must be in \[0, 1\], got 0..1.01"),
    (-0.01, "uint8", "got -0.01..0"), (np.nan, "uint8", "cannot hold NaN, got 1"),
    (7e4, "float16", r"\[-65504, 65504\], got 0..70000"), (-np.inf, "float32", "got -inf"),
    (0.0, "float64", "float32, float16 or uint8, got 'float64'")])
def test_store_refuses(value, dtype, words):
    with pytest.raises(ValueError, match=words):
        cohort.store(np.array([0.0, value]), dtype)
    if dtype.startswith("float") and dtype != "float64":
        with pytest.raises(ValueError, match=words):
            cohort.store(np.array([np.nan, value, np.nan]), dtype)  # NaN does not hide it


def test_store_keeps_nan():
    assert np.isnan(cohort.store(np.array([np.nan, 1.0]), "float16")).tolist() == [True, False]
