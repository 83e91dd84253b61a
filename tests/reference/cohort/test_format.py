"""reference.cohort and reference.cohort_check: round trips, and every fault found by name."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reference import cohort
from reference.cohort import checking
from tests.support.helpers import ROOT, assert_close, assert_equal, assert_shape

COUNT = 3
LATENTS = ("age", "male")


def some_arrays(count: int = COUNT, seed: int = 0) -> dict[str, np.ndarray]:
    """Valid contents of a small cohort, with missing values where they are allowed."""
    rng = np.random.default_rng(seed)
    phenotypes = rng.uniform(5, 55, (count, 61))
    phenotypes[:, 4] = 5.0  # LVCO, l/min
    labels = rng.integers(0, 2, (count, 3)).astype(float)
    phenotypes[0, 7] = labels[-1, 2] = np.nan
    ecg = rng.normal(0, 0.5, (count, 12, 5000)).astype(np.float32)
    ecg[0, 0, :5] = np.nan
    return {"ecg": ecg, "cmr": rng.random((count, 3, 210, 210), dtype=np.float32),
            "segmentation": rng.integers(0, 4, (count, 3, 210, 210), dtype=np.uint8),
            "phenotypes": phenotypes, "labels": labels,
            "subjects": 7 + 11 * np.arange(count, dtype=np.int64),
            "latents": rng.normal(0, 1, (count, len(LATENTS)))}


def write(directory: Path, arrays: dict[str, np.ndarray], **options) -> dict:
    """Create, fill and finish."""
    cohort.create(directory, len(arrays["ecg"]), latents=LATENTS, **options)
    files = cohort.open_for_writing(directory)
    for name, file in files.items():
        storable = name in ("ecg", "cmr")
        file[...] = cohort.store(arrays[name], str(file.dtype)) if storable else arrays[name]
    return cohort.finish(directory, generator={"name": "test", "seed": 0})


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("cohort") / "valid"
    write(directory, some_arrays())
    return directory


@pytest.fixture
def copied(pristine, tmp_path) -> Path:
    """A valid cohort that a test may spoil."""
    directory = tmp_path / "cohort"
    directory.mkdir()
    for file in pristine.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


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


# --- create, write, finish, load ---------------------------------------------------------------


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
        with pytest.raises(ValueError, match="has no manifest.draft.json"):
            call(tmp_path / "nowhere")


@pytest.mark.parametrize("options, words", [
    (dict(count=0), "at least 1, got 0"),
    (dict(count=1, ecg_dtype="uint8"), r"ecg_dtype must be one of .*float16.*, got 'uint8'"),
    (dict(count=1, cmr_dtype="int16"), "cmr_dtype must be one of .*uint8.*, got 'int16'"),
    (dict(count=1, latents=("age", "age")), "must all differ"),
])
def test_create_refuses(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        cohort.create(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_create_refuses_a_full_directory(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds 1 files, notes.txt among them"):
        cohort.create(tmp_path, 1)
    with pytest.raises(ValueError, match="is a file"):
        cohort.create(tmp_path / "notes.txt", 1)


# --- check: every fault -----------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="ecg_old.npy: not part.*; labels.npy: missing"):
        cohort.load(copied)
