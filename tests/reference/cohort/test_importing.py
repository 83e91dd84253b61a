"""reference.cohort.importing: every form that data comes in, and every refusal before writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reference import cohort
from reference.cohort import importing
from tests.support.cohorts import COUNT, some_arrays
from tests.support.helpers import assert_close, assert_equal


def test_import_arrays_round_trip(tmp_path):
    arrays = some_arrays()
    del arrays["latents"]
    cohort.import_arrays(tmp_path / "c", **arrays)
    got = cohort.load(tmp_path / "c")
    assert cohort.check(got.path) == []
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(got, name), array)


def ecg_forms() -> dict:
    """File name -> the same ECGs in one of the forms in which they come."""
    x = torch.from_numpy(some_arrays()["ecg"])
    return {"tensor.pt": x, "channel.pt": x[:, None], "list.pt": list(x), "tuple.pt": tuple(x),
            "channel_list.pt": list(x[:, None]), "double.pt": x.double(), "array.npy": x.numpy()}


@pytest.mark.parametrize("form", ecg_forms())
def test_import_ecg_forms(tmp_path, form):
    source, value = tmp_path / form, ecg_forms()[form]
    np.save(source, value) if form.endswith("npy") else torch.save(value, source)
    np.savez(tmp_path / "cmr.npz", some_arrays()["cmr"])
    cohort.import_files(tmp_path / "c", ecg=source, cmr=tmp_path / "cmr.npz")
    got = cohort.load(tmp_path / "c")
    np.testing.assert_array_equal(got.ecg, some_arrays()["ecg"])
    assert cohort.check(got.path) == []
    assert np.isnan(got.phenotypes).all() and np.isnan(got.labels).all()
    assert_equal("subjects", got.subjects, np.arange(COUNT))


@pytest.mark.parametrize("legacy", [False, True])
def test_import_files(tmp_path, legacy):
    """Everything from .pt files, in the new and in the old format of torch.save."""
    arrays = some_arrays()
    pixels = torch.from_numpy(np.rint(255 * arrays["cmr"]).astype(np.uint8))
    mask = np.ones((COUNT, 61), int)
    mask[2, 5] = 0
    files = {"ecg": list(torch.from_numpy(arrays["ecg"])), "cmr": list(pixels),
             "labels": {"AF": torch.tensor([0, 1, 1]), "DM": [1.0, 0.0, float("nan")]},
             "phenotypes": torch.from_numpy(arrays["phenotypes"]),
             "label_mask": torch.from_numpy(mask), "subjects": torch.tensor([5, 3, 8])}
    for name, value in files.items():
        torch.save(value, tmp_path / f"{name}.pt", _use_new_zipfile_serialization=not legacy)
    cohort.import_files(tmp_path / "c", **{name: tmp_path / f"{name}.pt" for name in files})
    got = cohort.load(tmp_path / "c")
    assert cohort.check(got.path) == []
    assert got.cmr.dtype == np.uint8
    assert_equal("cmr", got.cmr, pixels)
    assert_equal("subjects", got.subjects, [5, 3, 8])
    np.testing.assert_array_equal(got.labels, [[np.nan, 0, 1], [np.nan, 1, 0], [np.nan, 1, np.nan]])
    want = arrays["phenotypes"].copy()
    want[2, 5] = np.nan
    np.testing.assert_array_equal(got.phenotypes, want)
    cohort.import_files(tmp_path / "f", ecg=tmp_path / "ecg.pt", cmr=tmp_path / "cmr.pt",
                        ecg_dtype="float16", cmr_dtype="float32")
    got = cohort.load(tmp_path / "f")
    assert (got.ecg.dtype, got.cmr.dtype) == (np.float16, np.float32)
    assert_close("cmr", got.cmr, pixels.numpy() / 255, atol=1e-7)


def test_import_label_columns_and_mask(tmp_path):
    arrays = some_arrays()
    torch.save(torch.tensor([1, 0, 1]), tmp_path / "cad.pt")
    np.savez(tmp_path / "pair.npz", ecg=arrays["ecg"], cmr=arrays["cmr"])
    np.save(tmp_path / "mask.npy", np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1]]))
    pair = tmp_path / "pair.npz"
    cohort.import_files(tmp_path / "c", ecg=pair, cmr=pair, labels={"CAD": tmp_path / "cad.pt"},
                        label_mask=tmp_path / "mask.npy")
    want = np.full((3, 3), np.nan)
    want[:, 0] = 1, np.nan, 1
    np.testing.assert_array_equal(cohort.load(tmp_path / "c").labels, want)


def with_value(name: str, index, value) -> dict:
    array = some_arrays()[name].copy()
    array[index] = value
    return {name: array}


REFUSALS = {
    "count of cmr": ({"cmr": some_arrays(2)["cmr"]}, "cmr has 2 subjects, but ecg has 3"),
    "count of labels": ({"labels": np.zeros((2, 3))},
                        r"labels has shape \[2, 3\], but should have \[3, 3\]"),
    "label column": ({"labels": {"AF": [0, 1]}},
                     r"labels AF has shape \[2\], but should have \[3\]"),
    "label name": ({"labels": {"HF": [0, 1, 0]}}, "among CAD, AF, DM, got HF"),
    "label text": ({"labels": [["a"] * 3] * 3}, "labels must be numbers"),
    "ragged labels": ({"labels": [[0, 1, 0], [1]]}, "rows of one length"),
    "label value": ({"labels": np.full((3, 3), 2)}, "CAD is neither 0, 1 nor NaN in 3 rows"),
    "phenotypes": ({"phenotypes": np.zeros((3, 60))}, r"phenotypes has shape \[3, 60\]"),
    "mask shape": ({"label_mask": np.ones((3, 5))},
                   r"\[3, 5\], but should have \[3, 3\] or \[3, 61\]"),
    "mask value": ({"label_mask": np.full((3, 3), 2), "labels": np.zeros((3, 3))}, "0 .missing."),
    "mask alone": ({"label_mask": np.ones((3, 61))}, "belongs to phenotypes, which were not"),
    "subjects twice": ({"subjects": [1, 1, 2]}, "subject 1 has 2 rows"),
    "subject text": ({"subjects": np.array([1.5, 2, 3])}, "whole numbers, got float64"),
    "subject shape": ({"subjects": [[1], [2], [3]]}, r"of shape \[3, 1\]"),
    "subject count": ({"subjects": [1, 2]}, "subjects has 2 subjects, but ecg has 3"),
    "ecg leads": ({"ecg": np.zeros((3, 11, 5000), np.float32)},
                  r"ecg of row 0 has shape \[11, 5000\], but should have \[12, 5000\]"),
    "ecg length": ({"ecg": [np.zeros((12, 5000)), np.zeros((12, 5500))]},
                   r"ecg of row 1 has shape \[12, 5500\], but should have \[12, 5000\]"),
    "ecg unit": ({"ecg": 1000 * some_arrays()["ecg"]}, "perhaps microvolts. in 3 rows: 0, 1, 2"),
    "ecg counts": ({"ecg": np.ones((3, 12, 5000), np.int16)}, "int16 .perhaps raw counts"),
    "ecg kinds": ({"ecg": [np.zeros((12, 5000)), np.zeros((12, 5000), np.float32)]},
                  "one dtype, got float32, float64"),
    "ecg none": ({"ecg": []}, "at least one subject"),
    "ecg number": ({"ecg": np.array(1.0)}, "got one number"),
    "ecg mapping": ({"ecg": {"a": 1}}, "got dict"),
    "ecg rows": ({"ecg": [1, 2, 3]}, "ecg of row 0 must be an array or a tensor, got int"),
    "cmr size": ({"cmr": np.zeros((3, 3, 84, 84))}, r"\[3, 84, 84\], but should have \[3, 210"),
    "cmr range": ({"cmr": 255 * some_arrays()["cmr"]}, r"outside \[0, 1\] in 3 rows"),
    "cmr dtype": ({"cmr": np.ones((3, 3, 210, 210), np.int64)}, "or uint8, got int64"),
    "segmentation": ({"segmentation": np.zeros((3, 3, 210, 210))}, "uint8, got float64"),
    "dtype": ({"cmr_dtype": "int8"}, "cmr_dtype must be one of"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_import_refuses(tmp_path, name):
    given_arrays, words = REFUSALS[name]
    arrays = {key: some_arrays()[key] for key in ("ecg", "cmr")}
    with pytest.raises(ValueError, match=words):
        cohort.import_arrays(tmp_path / "c", **{**arrays, **given_arrays})
    assert not (tmp_path / "c").exists()


def test_import_refuses_a_full_directory(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for call in (cohort.import_files, cohort.import_arrays):
        with pytest.raises(ValueError, match=r"notes.txt"):
            call(tmp_path, ecg="missing.pt", cmr="missing.pt")


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_read_tensor_file_never_executes(tmp_path):
    torch.save({"ecg": Payload(tmp_path / "executed")}, tmp_path / "evil.pt")
    np.save(tmp_path / "evil.npy", np.array([Payload(tmp_path / "executed")]), allow_pickle=True)
    np.savez(tmp_path / "evil.npz", np.array([Payload(tmp_path / "executed")]))
    for file in ("evil.pt", "evil.npy", "evil.npz"):
        with pytest.raises(ValueError, match=f"{file}: (refused|not readable)"):
            cohort.read_tensor_file(tmp_path / file)
    assert not (tmp_path / "executed").exists()


def test_read_tensor_file_refuses(tmp_path):
    for name in ("text.pt", "text.npy", "text.npz"):
        (tmp_path / name).write_text("not data at all")
        with pytest.raises(ValueError, match=f"{name}: "):
            cohort.read_tensor_file(tmp_path / name)
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ValueError, match=f"{name}: "):
            cohort.read_tensor_file(tmp_path / name)
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"x.npz: not readable"):
        cohort.read_tensor_file(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"\.npz, got '.csv'"):
        cohort.read_tensor_file(tmp_path / "x.csv")
    with pytest.raises(ValueError, match=r"none.pt: no such file"):
        cohort.read_tensor_file(tmp_path / "none.pt")
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(ValueError, match="one array or one named 'ecg', got a, b"):
        importing.import_files(tmp_path / "c", ecg=tmp_path / "two.npz",
                                   cmr=tmp_path / "two.npz")
