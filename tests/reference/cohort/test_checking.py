"""reference.cohort.checking: every fault found by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from reference import cohort
from reference.cohort import checking


def put(name: str, index, value, rehash: bool = True):
    """A corruption: change values of one array, and by default its hash in the manifest too."""
    def spoil(directory: Path) -> None:
        array = np.load(directory / f"{name}.npy", mmap_mode="r+")
        array[index] = value
        array.flush()
        if rehash:
            digest = cohort.sha256(directory / f"{name}.npy")
            _edit(directory, lambda m: m["arrays"][f"{name}.npy"].update(sha256=digest))
    return spoil


def edit(change):
    """A corruption of the manifest."""
    return lambda directory: _edit(directory, change)


def _edit(directory: Path, change) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    change(manifest)
    (directory / "manifest.json").write_text(json.dumps(manifest))


def replace(name: str, array: np.ndarray):
    return lambda directory: np.save(directory / f"{name}.npy", array)


CORRUPTIONS = {
    "no manifest": (lambda d: (d / "manifest.json").unlink(), "manifest.json: missing"),
    "broken manifest": (lambda d: (d / "manifest.json").write_text("{"), "not readable as JSON"),
    "binary manifest": (lambda d: (d / "manifest.json").write_bytes(b"\xff\xfe\x00"),
                        "not readable as JSON"),
    "list manifest": (lambda d: (d / "manifest.json").write_text("[]"), "holds a list"),
    "schema": (edit(lambda m: m.update(schema=2)), "schema is 2, but this code reads 1"),
    "count": (edit(lambda m: m.update(count=0)), "count is 0, but should be an integer >= 1"),
    "wrong count": (edit(lambda m: m.update(count=4)),
                    r"ecg.npy has shape \[3, 12, 5000\], but should have \[4, 12, 5000\]"),
    "no arrays": (edit(lambda m: m.pop("arrays")), "arrays is missing"),
    "array not named": (edit(lambda m: m["arrays"].pop("cmr.npy")), "arrays has no cmr.npy"),
    "latents not named": (edit(lambda m: m["arrays"].pop("latents.npy")),
                          "arrays has no latents.npy"),
    "unknown array": (edit(lambda m: m["arrays"].update({"../x.npy": {}})),
                      "names '../x.npy', which the format does not know"),
    "entry": (edit(lambda m: m["arrays"].update({"ecg.npy": 3})), "ecg.npy is 3, but should be"),
    "dtype": (edit(lambda m: m["arrays"]["ecg.npy"].update(dtype="int16")),
              "ecg.npy has dtype 'int16', but should have float32 or float16"),
    "leads": (edit(lambda m: m["leads"].reverse()), "leads entry 0 is 'V6', but should be 'I'"),
    "rate": (edit(lambda m: m.update(sampling_rate_hz=250)),
             "sampling_rate_hz is 250, but should be 500"),
    "pixel": (edit(lambda m: m.update(pixel_mm=1.0)), "pixel_mm is 1.0, but should be 1.8"),
    "labels": (edit(lambda m: m["labels"].pop()), "labels has 2 entries, but should have 3"),
    "phenotype unit": (edit(lambda m: m["phenotypes"][5].update(unit="kg")),
                       "phenotypes entry 5 is .*'kg'.*, but should be .*'g'"),
    "latent names": (edit(lambda m: m.update(latents=["age", "age"])), "names that all differ"),
    "latent count": (edit(lambda m: m.update(latents=["age"])),
                     r"latents.npy has shape \[3, 2\], but should have \[3, 1\]"),
    "split": (edit(lambda m: m["split"].update(train=99)), "split is .*99.*, but the subjects"),
    "missing file": (lambda d: (d / "labels.npy").unlink(), "labels.npy: missing, but named"),
    "extra file": (lambda d: (d / "ecg_old.npy").write_bytes(b""), "ecg_old.npy: not part of"),
    "truncated": (lambda d: (d / "cmr.npy").write_bytes((d / "cmr.npy").read_bytes()[:9000]),
                  "cmr.npy: not readable as a .npy array"),
    "no array": (lambda d: (d / "cmr.npy").write_bytes(b"cine"), "cmr.npy: not readable"),
    "other dtype": (replace("labels", np.zeros((3, 3), np.float32)),
                    "labels.npy: dtype is float32, but manifest.json says float64"),
    "other shape": (replace("labels", np.zeros((2, 3))),
                    r"labels.npy: shape is \[2, 3\], but manifest.json says \[3, 3\]"),
    "one bit": (put("latents", (0, 0), 3.0, rehash=False), "latents.npy: SHA-256 is .* changed"),
    "no hash": (edit(lambda m: m["arrays"]["ecg.npy"].pop("sha256")), "ecg.npy: SHA-256 is"),
    "ecg inf": (put("ecg", (1, 4, 7), np.inf), "ecg.npy: infinite value in row 1"),
    "ecg NaN": (put("ecg", (2, slice(0, 2)), np.nan), "ecg.npy: more than 10% .* NaN in row 2"),
    "ecg unit": (put("ecg", (slice(1, 3), 0, 0), -51.0),
                 r"ecg.npy: value beyond \+-50 mV \(perhaps microvolts\) in 2 rows: 1, 2"),
    "ecg empty": (put("ecg", 0, 0.0), "ecg.npy: constant record .* in row 0"),
    "cmr NaN": (put("cmr", (1, 0, 0, 0), np.nan), "cmr.npy: NaN or infinite value in row 1"),
    "cmr high": (put("cmr", (1, 2, 9, 9), 1.01), r"cmr.npy: value outside \[0, 1\] in row 1"),
    "cmr low": (put("cmr", (1, 2, 9, 9), -0.01), r"cmr.npy: value outside \[0, 1\] in row 1"),
    "cmr empty": (put("cmr", 2, 0.0), "cmr.npy: constant image .* in row 2"),
    "class": (put("segmentation", (0, 1, 5, 5), 4), "segmentation.npy: class above 3 in row 0"),
    "volume": (put("phenotypes", (2, 0), 1001.0),
               r"phenotypes.npy: LVEDV outside \[0, 1000\] ml in row 2"),
    "fraction": (put("phenotypes", (2, 3), -0.1),
                 r"phenotypes.npy: LVEF outside \[0, 100\] % in row 2"),
    "thickness": (put("phenotypes", (0, 26), np.inf), "phenotypes.npy: WT_Global outside"),
    "strain": (put("phenotypes", (0, 27), -101.0), "phenotypes.npy: Ecc_AHA_1 outside"),
    "label": (put("labels", (1, 1), 0.5), "labels.npy: AF is neither 0, 1 nor NaN in row 1"),
    "latent": (put("latents", (1, 1), -np.inf), "latents.npy: infinite value in row 1"),
    "subject": (put("subjects", 1, -4), "subjects.npy: negative subject number in row 1"),
    "twice": (put("subjects", 1, 7), "subjects.npy: subject 7 has 2 rows"),
}


def test_check_valid(pristine, copied):
    assert cohort.check(pristine) == [] and cohort.check(copied) == []
    assert cohort.check(str(copied)) == []


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_check_finds(copied, name):
    spoil, words = CORRUPTIONS[name]
    spoil(copied)
    faults = cohort.check(copied)
    found = [fault for fault in faults if re.search(words, fault)]
    assert found, f"faults={faults}, but one should say {words!r}"
    assert all("\n" not in fault and len(fault) < 300 for fault in faults)
    if not any(part in name for part in ("count", "twice", "subject", "fraction")):
        assert len(faults) == 1, faults  # nothing but the fault


def test_check_names_all_faults_at_once(copied):
    for name in ("ecg inf", "cmr empty", "label", "one bit"):
        CORRUPTIONS[name][0](copied)
    assert len(cohort.check(copied)) == 4


def test_check_no_directory(tmp_path):
    assert cohort.check(tmp_path / "x") == [f"{tmp_path / 'x'}: no such directory"]


def test_check_in_small_chunks(copied, monkeypatch):
    """The same faults row by row as at once, with the rows of the whole cohort."""
    for name in ("ecg unit", "cmr empty", "volume"):
        CORRUPTIONS[name][0](copied)
    whole = cohort.check(copied)
    monkeypatch.setattr(checking, "CHUNK_BYTES", 1)
    assert cohort.check(copied) == whole and len(whole) == 3


def test_load_names_header_faults(copied):
    CORRUPTIONS["missing file"][0](copied)
    CORRUPTIONS["extra file"][0](copied)
    with pytest.raises(ValueError, match=r"ecg_old.npy: not part.*; labels.npy: missing"):
        cohort.load(copied)
